"""Finished runs in pairs, tested on the recordings that they all predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from muse.config.compare import CompareConfig
from muse.data.heads import head_of
from muse.errors import MuseError
from muse.runs.predictions import ALL, load_together
from muse.runs.read import SavedRun
from muse.scoring import metric_title
from muse.statistics.paired import compare_recordings, compare_seeds, holm
from muse.terminal import heading

NUMBERS = ["low", "high", "p", "p_holm", "first_mean", "second_mean", "mean_difference", "p_seeds",
           "p_seeds_holm"]  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Pairs of runs, tested on the same recordings.

    ``rows`` has a row for each target and pair: target, first and second (names), recordings;
    first_score, second_score, difference, low, high (95 %), p, p_holm and exact over recordings;
    first_mean, second_mean, mean_difference, seeds (such as `5 / 5`), p_seeds and p_seeds_holm over
    seeds. NaN where there is none.
    """

    title: str
    task: str
    partition: str
    metric: str  # its title
    rows: pd.DataFrame
    runs: dict[str, str]  # name -> folder
    resamples: int
    synthetic: bool


def compare(config: CompareConfig, runs: Sequence[SavedRun]) -> Comparison:
    """Test the pairs of runs that the settings ask for.

    Raises MuseError for a run that is named twice, for runs of other tasks, metrics, recordings or
    labels, and as `muse.runs.predictions.load_together`.
    """
    for number, other in enumerate(runs[1:], start=1):
        _check_alike(runs[0], other)
        if other.folder.resolve() in [run.folder.resolve() for run in runs[:number]]:
            raise MuseError(f"runs: {other.folder} is named twice; name each run once.")
    names = config.names or _names(runs)
    rows = [row for target in _targets(config, runs) for row in _rows(config, runs, names, target)]
    frame = pd.DataFrame(rows)
    frame[NUMBERS] = frame[NUMBERS].astype(float)
    synthetic = any(run.result["synthetic"] for run in runs)
    title = heading(runs[0].config.task.title, config.partition, synthetic)
    title += ", debugging" if any(run.result["debug"] for run in runs) else ""
    kind = runs[0].result["task"], config.partition, metric_title(runs[0].result["metric"])
    folders = {name: str(run.folder) for name, run in zip(names, runs, strict=True)}
    return Comparison(title, *kind, frame, folders, config.resamples, synthetic)


def _check_alike(first: SavedRun, run: SavedRun) -> None:
    """Raise MuseError for runs whose scores are not of one kind."""
    expected, found = (
        {
            "task": one.result["task"],
            "task.classes": one.config.task.classes,
            "metric": one.result["metric"],
            "ccc": one.config.ccc if "ccc" in one.result["metric"] else None,
        }
        for one in (first, run)
    )
    for key, value in expected.items():
        if found[key] != value:
            raise MuseError(
                f"{run.folder}: has {key}={found[key]}, but {first.folder} has {key}={value}. "
                "Compare runs of one task that are scored alike."
            )


def _targets(config: CompareConfig, runs: Sequence[SavedRun]) -> list[str]:
    """The target that is asked for, or all that the runs have in common."""
    common = [t for t in runs[0].result["targets"] if all(t in r.result["targets"] for r in runs)]
    wanted = [config.target] if config.target else common
    if not wanted or wanted[0] not in common:
        what = (
            f"target={config.target}: not all runs have it" if config.target else "no common target"
        )
        lists = [f"{run.folder} has {', '.join(run.result['targets'])}" for run in runs]
        raise MuseError(f"{what}: {'; '.join(lists)}.")
    return wanted


def _names(runs: Sequence[SavedRun]) -> list[str]:
    """What distinguishes the runs: features, features and model, names of folders, or paths."""
    features = [run.config.describe(run.result["features"]) for run in runs]
    models = [run.result["model"] for run in runs]
    models = [model.get("cell") or str(model["_target_"]).split(".")[-1] for model in models]
    both = [", ".join(pair) for pair in zip(features, models, strict=True)]
    for names in (features, both, [run.folder.name for run in runs]):
        if len(set(names)) == len(runs):
            return names
    return [str(run.folder) for run in runs]


def _rows(
    config: CompareConfig, runs: Sequence[SavedRun], names: list[str], target: str
) -> list[dict]:
    """The rows of a target, see `Comparison`."""
    recordings = load_together(runs, target, config.partition)
    head = head_of(runs[0].config.task, runs[0].config.ccc, [target])
    values = [[head.values(np.asarray(r.features[k]), 0) for r in recordings]
              for k in range(len(runs))]  # fmt: skip
    golds, samples = [r.labels[target] for r in recordings], [r.samples for r in recordings]
    seeds = [_scores_of_seeds(run, target, config.partition) for run in runs]
    rows = []
    for one, two in combinations(range(len(runs)), 2):
        if config.pairs == "first" and one:
            break
        measure = head.measure(values[one] + values[two], golds * 2, samples * 2)
        test = compare_recordings(measure, len(recordings), config.resamples, config.seed)
        low, high = test.interval or (None, None)
        rows.append(
            {
                **{"target": target, "first": names[one], "second": names[two]},
                **{"recordings": len(recordings), "first_score": test.first},
                **{"second_score": test.second, "difference": test.difference},
                **{"low": low, "high": high, "p": test.p, "exact": test.exact},
                **_over_seeds(seeds[one], seeds[two]),
            }
        )
    for name in ("p", "p_seeds"):
        for row, corrected in zip(rows, holm([row[name] for row in rows]), strict=True):
            row[f"{name}_holm"] = corrected
    return rows


def _scores_of_seeds(run: SavedRun, target: str, partition: str) -> list[float]:
    """The score of each seed; none of cross-validation, where it would be one of each fold."""
    if partition == ALL or run.result.get("folds"):
        return []
    scores = [row.get(partition) for row in run.result["targets"][target]["seeds"]]
    return [] if None in scores else scores


def _over_seeds(first: list[float], second: list[float]) -> dict:
    """The part of a row that is over seeds; empty unless both runs have several."""
    if min(len(first), len(second)) < 2:
        names = ("first_mean", "second_mean", "mean_difference", "p_seeds")
        return dict.fromkeys(names) | {"seeds": ""}
    test = compare_seeds(first, second)
    return {
        **{"first_mean": test.first, "second_mean": test.second},
        **{"mean_difference": test.difference, "p_seeds": test.p},
        "seeds": f"{len(first)} / {len(second)}",
    }
