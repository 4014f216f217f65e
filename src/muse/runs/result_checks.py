"""Whether what stands in a result.json has the parts that are used, of the types they need."""

from pathlib import PurePosixPath

from muse.config.origin import SUBJECTS
from muse.config.shared import PARTITIONS
from muse.data.layout import is_name

SCORED = *PARTITIONS, "pooled"
SEED_KEYS = "best_seed", "best_epoch"


def is_sound(result: dict) -> bool:
    """Whether the parts that are used have their types, and paths stay in the folder."""
    try:
        metric, targets = result["metric"], result["targets"]
        scores = [t[p] for t in targets.values() for p in SCORED if t.get(p) is not None]
        paths = [PurePosixPath(name) for name in result["files"]]
        partitions = result["data"]["partitions"]
        return (
            bool(targets)
            and all(isinstance(part[metric], float) for part in scores)
            and all(isinstance(t.get("test_last"), float | None) for t in targets.values())
            and all(name in result["files"] for t in targets.values() for name in weights_of(t))
            and not any(path.is_absolute() or ".." in path.parts for path in paths)
            and all(isinstance(part, dict) for part in (result["files"], partitions))
            and all(isinstance(result[key], str) for key in ("run_id", "task", "metric"))
            and all(isinstance(result[key], bool) for key in ("synthetic", "debug"))
            and isinstance(result["data"]["folder"], str)
            and all(map(is_name, [*targets, *result["features"], *result.get("members", [])]))
            and all(map(_has_folds if "folds" in result else _has_seeds, targets.values()))
            and (
                result.get("folds", "loso") in ("loso", SUBJECTS)
                or isinstance(result["folds"], int)
            )
            and all(isinstance(group, str) for group in result.get("groups", {}).values())
            and ("retrained" not in result or _is_retrained(result))
            and all(map(_is_provenance, result.get("extracted", {}).items()))
            and isinstance(result.get("frame_step"), float | None)
            and isinstance(result["model"], dict)
            and isinstance(result["features"], list)
        )
    except (KeyError, TypeError, AttributeError):
        return False


def _is_retrained(result: dict) -> bool:
    """Whether the run that the run was made from is named."""
    return all(isinstance(result["retrained"][key], str) for key in ("run", "run_id"))


def _is_provenance(item: tuple[str, dict]) -> bool:
    """Whether a feature set has a tool and settings."""
    return is_name(item[0]) and all(isinstance(item[1][key], dict) for key in ("tool", "settings"))


def weights_of(target: dict) -> list[str]:
    """The names of the files with the weights of a target in result.json: one, or one a fold.

    Of a model that was fitted on train and devel, that of train alone is the second.
    """
    names = [part["weights"] for part in target.get("folds", [target])]
    return names + [target[key] for key in ("without_devel",) if key in target]


def _has_seeds(target: dict) -> bool:
    """Whether the part of a target has what devel has chosen, and its spread over seeds.

    A retrained run has neither: its devel is null, as is that of predictions that are not finite.
    """
    over, devel = target["over_seeds"]["devel"], target["devel"]
    chosen = all(isinstance(target[key], int) for key in SEED_KEYS) and "folds" not in target
    return chosen and (devel is over is None or _is_spread(over))


def _has_folds(target: dict) -> bool:
    """Whether the part of a target is that of a cross-validation."""
    rows, pooled = target["folds"], target["pooled"]
    ids = [id_ for row in rows for id_ in row["recordings"]]
    return (
        bool(rows)
        and isinstance(pooled, dict)
        and _is_spread(target["over_folds"])
        and all(isinstance(id_, str) for id_ in ids)
        and len(set(ids)) == len(ids)
        and all(isinstance(row["score"], float) for row in rows)
        and all(isinstance(row[key], int) for row in rows for key in ("fold", "seed", "epoch"))
        and all(isinstance(row["groups"], list) for row in rows)
    )


def _is_spread(over: dict) -> bool:
    """Whether it has a mean over seeds, and a deviation or None."""
    return isinstance(over["mean"], float) and isinstance(over["deviation"], float | None)
