"""What a run leaves of folds: a model for each, and predictions of the recordings it left out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from muse.config.shared import PARTITIONS
from muse.config.train import TrainConfig
from muse.data.heads import Head, head_of
from muse.data.recordings import Package, Recording
from muse.errors import MuseError
from muse.plots import draw_folds, save_figure
from muse.scoring import metric_name, metric_title
from muse.terminal import format_interval, format_spread, heading, in_columns
from muse.training.difficulty import save_autoencoders
from muse.training.folds import UNLABELLED, Fold, used_groups
from muse.training.parallel import Unit
from muse.training.prepare import ModelPlan, groups_of
from muse.training.recorder import Recorder
from muse.training.save import (
    all_finite,
    plot_target,
    save_labels,
    save_model,
    save_predictions,
    spread_of,
)
from muse.training.scores import not_finite, score_recordings, split_frames
from muse.training.seeds import SeedOutcome

Values = dict[str, np.ndarray]  # recording id -> (frames, outputs)


def seed_units(config: TrainConfig, folds: list[Fold]) -> list[Unit]:
    """The seeds of all models; with `folds` those of a fold follow one another."""
    numbers = range(1, len(folds) + 1) if config.folds else [None]
    jobs = range(len(groups_of(config)))
    return [Unit(job, seed, k) for k in numbers for job in jobs for seed in config.seeds]


def save_folds(
    config: TrainConfig,
    folder: Path,
    package: Package,
    folds: list[Fold],
    outcomes: Iterator[SeedOutcome],
    recorder: Recorder,
) -> dict[str, dict]:
    """Write the files of a cross-validation; returns target -> its part of result.json.

    In each fold the seed that is best on the inner devel predicts the recordings held out; what the
    others predict is only scored.

    Args:
        outcomes: of the units of `seed_units`, in their order.

    Raises MuseError for a recording whose prediction is not finite: no score could be pooled.
    """
    chosen: list[list[SeedOutcome]] = [[] for _ in groups_of(config)]
    of_seeds: list[dict[int, Values]] = [{seed: {} for seed in config.seeds} for _ in chosen]
    for number, fold in enumerate(folds, start=1):
        for kept, of_seed in zip(chosen, of_seeds, strict=True):
            seeds = islice(outcomes, len(config.seeds))
            told = [recorder.on_fold(outcome, len(folds)) for outcome in seeds]
            for outcome in told:
                of_seed[outcome.result.seed] |= held_out_outputs(folds, [outcome])
            best = max(told, key=lambda outcome: outcome.result.devel)
            check_held_out(fold, best, f"fold {number}")
            save_model(config, folder, best.plan, best.result, fold_weights(best))
            save_autoencoders(
                folder / "weights", best.plan.autoencoders, f"{{}}/fold_{number}.safetensors"
            )
            kept.append(replace(best, result=replace(best.result, weights={})))
    results: dict[str, dict] = {}
    for kept, of_seed in zip(chosen, of_seeds, strict=True):
        results |= _save_job(config, folder, package, folds, kept, of_seed)
    if config.plots:
        _plot(config, folder, package, results)
    return results


def check_held_out(fold: Fold, outcome: SeedOutcome, name: str) -> None:
    """Raise MuseError for a recording held out whose prediction is not finite."""
    wrong = not_finite(fold.package.partitions["test"], outcome.outputs["test"])
    if wrong:
        raise MuseError(f"{outcome.plan.name}, {name}, {wrong}.")


def fold_weights(outcome: SeedOutcome) -> Path:
    """The file of the model of a fold, in the run folder."""
    return Path("weights") / outcome.plan.name / f"fold_{outcome.row['fold']}.safetensors"


def _save_job(
    config: TrainConfig,
    folder: Path,
    package: Package,
    folds: list[Fold],
    outcomes: list[SeedOutcome],
    of_seed: dict[int, Values],
) -> dict[str, dict]:
    """Predictions, labels and scores of one model.

    Args:
        outcomes: the one that is best in each fold.
        of_seed: seed -> what its models predict of the recordings that their folds hold out.
    """
    plan = outcomes[0].plan
    head = head_of(config.task, targets=plan.targets)
    output = held_out_outputs(folds, outcomes)
    scored = set(output)
    output |= _mean_outputs(folds[0], outcomes)
    groups = used_groups(config, package)
    results = {}
    for k, target in enumerate(plan.targets):
        values = {id_: head.values(own, k) for id_, own in output.items()}
        parts = save_parts(config, folder, package, target, values, scored, groups)
        everything = [r for p in PARTITIONS for r in package.partitions[p] if r.id in scored]
        rows = [_row(config, fold, outcome, target, values)
                for fold, outcome in zip(folds, outcomes, strict=True)]  # fmt: skip
        seeds = [{"seed": seed, "pooled": _score_of_seed(config, everything, target, head, k, own)}
                 for seed, own in of_seed.items()]  # fmt: skip
        results[target] = {
            **{"best_seed": None, "best_epoch": None, "weights": None},
            "standardised": plan.standardised,
            **parts,
            "test_last": None,
            "seeds": seeds,
            "over_seeds": {"pooled": spread_of([row["pooled"] for row in seeds])},
            "pooled": score_values(config, everything, target, values, groups),
            "over_folds": spread_of([row["score"] for row in rows]),
            "folds": rows,
        }
    return results


def save_parts(
    config: TrainConfig,
    folder: Path,
    package: Package,
    target: str,
    values: Values,
    scored: set[str],
    groups: dict[str, str] | None = None,
) -> dict[str, dict | None]:
    """Predictions, labels and picture of a target by several models; partition -> scores.

    Args:
        values: recording id -> values of the target, see muse.data.heads.
        scored: recordings that count; a partition with another one has no score, nor has one with a
            prediction that is not finite.
        groups: see `score_values`.
    """
    head = head_of(config.task, targets=[target])
    parts: dict[str, dict | None] = dict.fromkeys(PARTITIONS)
    for partition in PARTITIONS:
        recordings = package.partitions[partition]
        whole = np.concatenate([values[r.id] for r in recordings])
        save_labels(head, folder, recordings, target, partition)
        if not all_finite(f"{target}, {partition}", recordings, whole):
            continue
        save_predictions(head, folder, recordings, target, partition, whole)
        if all(r.id in scored for r in recordings):
            parts[partition] = score_values(config, recordings, target, values, groups)
    if parts["devel"]:
        devel = np.concatenate([values[r.id] for r in package.partitions["devel"]])
        plot_target(config, folder, package, target, devel, parts["devel"])
    return parts


def held_out_outputs(folds: list[Fold], outcomes: Iterable[SeedOutcome]) -> Values:
    """What each recording gets from the model of the fold that has held it out."""
    output: Values = {}
    for outcome in outcomes:
        recordings = folds[outcome.row["fold"] - 1].package.partitions["test"]
        own = split_frames(recordings, outcome.outputs["test"])
        output |= {r.id: values for r, values in zip(recordings, own, strict=True)}
    return output


def _mean_outputs(fold: Fold, outcomes: list[SeedOutcome]) -> Values:
    """The mean of all models for the recordings that have no labels: those are in no fold."""
    recordings = fold.package.partitions.get(UNLABELLED, [])
    if not recordings:
        return {}
    mean = np.mean([outcome.outputs[UNLABELLED] for outcome in outcomes], axis=0)
    own = split_frames(recordings, mean)
    return {r.id: values for r, values in zip(recordings, own, strict=True)}


def score_values(
    config: TrainConfig,
    recordings: list[Recording],
    target: str,
    values: Values,
    groups: dict[str, str] | None = None,
) -> dict:
    """Score recordings with labels by what ``values`` has of each; intervals are over groups."""
    own = [values[recording.id] for recording in recordings]
    return score_recordings(config, recordings, target, own, config.bootstrap, groups)


def _score_of_seed(
    config: TrainConfig, recordings: list[Recording], target: str, head: Head, k: int, own: Values
) -> float | None:
    """The score over all recordings by the models of one seed; None if a value is not finite."""
    if not_finite(recordings, np.concatenate([own[recording.id] for recording in recordings])):
        return None
    values = {id_: head.values(output, k) for id_, output in own.items()}
    scores = score_values(replace(config, bootstrap=0), recordings, target, values)
    return scores[metric_name(config.task.metric)]


def _row(
    config: TrainConfig, fold: Fold, outcome: SeedOutcome, target: str, values: Values
) -> dict:
    """A fold in result.json."""
    held_out = fold.package.partitions["test"]
    scores = score_values(replace(config, bootstrap=0), held_out, target, values)
    return {
        "fold": outcome.row["fold"],
        "recordings": [recording.id for recording in held_out],
        "groups": fold.groups,
        "seed": outcome.result.seed,
        "epoch": outcome.result.best_epoch,
        **outcome.result.about_fit,
        "inner_devel": outcome.result.devel,
        "score": scores[metric_name(config.task.metric)],
        "weights": str(fold_weights(outcome)),
    }


def save_out_of_fold(
    config: TrainConfig,
    folder: Path,
    package: Package,
    plan: ModelPlan,
    folds: list[Fold],
    outcomes: list[SeedOutcome],
) -> None:
    """crossfit/: predictions of train, in the shape of predictions/ and logits/."""
    output, recordings = held_out_outputs(folds, outcomes), package.partitions["train"]
    whole = np.concatenate([output[recording.id] for recording in recordings])
    if not all_finite(f"{plan.name}, crossfit", recordings, whole):
        return
    head = head_of(config.task, targets=plan.targets)
    for k, target in enumerate(plan.targets):
        values = head.values(whole, k)
        save_predictions(head, folder / "crossfit", recordings, target, "train", values)


def _plot(config: TrainConfig, folder: Path, package: Package, results: dict[str, dict]) -> None:
    """plots/folds.png: the score of each fold beside that of all recordings."""
    metric = metric_name(config.task.metric)
    title = heading(config.task.title, config.describe(package.features), package.synthetic)
    scores = {
        target: (part["pooled"][metric], [(_name(row), row["score"]) for row in part["folds"]])
        for target, part in results.items()
    }
    save_figure(draw_folds(title, metric_title(metric), scores), folder / "plots" / "folds.png")


def _name(row: dict) -> str:
    """A fold by what it holds out, if that is a single group."""
    return row["groups"][0] if len(row["groups"]) == 1 else f"fold {row['fold']}"


def fold_summary(config: TrainConfig, result: dict) -> str:
    """The table at the end of a cross-validation: a line per target, then their mean."""
    metric, count = result["metric"], len(next(iter(result["targets"].values()))["folds"])
    title = heading(config.task.title, config.describe(result["features"]), result["synthetic"])
    title += f": {metric_title(metric)} out of {count} folds, in each the best of "
    title += f"{len(config.seeds)} seed{'s' * (len(config.seeds) > 1)} on an inner {config.best_on}"
    rows = [["", "pooled", "95 % interval", "mean of folds", "mean of seeds", *PARTITIONS]]
    for target, part in result["targets"].items():
        scores = [part[p][metric] if part[p] else None for p in PARTITIONS]
        cells = [f"{part['pooled'][metric]:.4f}", format_interval(part["pooled"])]
        over = part["over_seeds"]["pooled"]
        spreads = [format_spread(part["over_folds"]), format_spread(over) if over else ""]
        rows.append([target, *cells, *spreads, *map(_cell, scores)])
    if "combined" in result:
        combined = result["combined"]
        devel, test = _cell(combined["devel"]), _cell(combined["test"])
        rows.append(["combined", _cell(combined["pooled"]), "", "", "", "", devel, test])
    return f"{title}\n{in_columns(rows)}"


def _cell(score: float | None) -> str:
    return "no labels" if score is None else f"{score:.4f}"
