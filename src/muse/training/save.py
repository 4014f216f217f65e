"""What a trained model leaves in the run folder: weights, predictions, labels, pictures, scores."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from muse.config.shared import PARTITIONS
from muse.config.train import TrainConfig
from muse.data.heads import Head, head_of
from muse.data.recordings import Package, Recording
from muse.files import write_rows
from muse.models import find_class
from muse.plots import draw_choice, draw_confusion, draw_curves, draw_signals, save_figure
from muse.runs.folder import SEEDS
from muse.runs.weights import save_model_file
from muse.scoring import metric_name, metric_title
from muse.terminal import heading
from muse.training.loop import SeedResult
from muse.training.prepare import ModelPlan
from muse.training.scores import not_finite, score_target, split_frames
from muse.training.seeds import ModelResult, SeedOutcome

log = logging.getLogger(__name__)

SCORED = ("devel", "test", "test_last")  # of each seed, see muse.training.seeds.train_one


def save_job(
    config: TrainConfig, folder: Path, package: Package, plan: ModelPlan, done: ModelResult
) -> dict[str, dict]:
    """Write the files of the best seed and return target -> its part of result.json.

    A retrained run has no devel: what it has learnt from is train.
    """
    files = {"weights": Path("weights") / f"{plan.name}.safetensors"}
    if done.best.refitted:  # what predicts test is the model; the other one has not seen devel
        files["without_devel"] = Path("weights") / f"{plan.name}_without_devel.safetensors"
        save_model(config, folder, plan, done.best, files["without_devel"])
    used = replace(done.best, weights=done.best.refitted or done.best.weights)
    save_model(config, folder, plan, used, files["weights"])
    head = head_of(config.task, targets=plan.targets)
    finite = {
        p: all_finite(f"{plan.name}, {p}", package.partitions[p], done.outputs[p])
        for p in package.partitions
    }
    result = {}
    for k, target in enumerate(plan.targets):
        for partition, recordings in package.partitions.items():
            values = head.values(done.outputs[partition], k)
            if finite[partition]:
                save_predictions(head, folder, recordings, target, partition, values)
            save_labels(head, folder, recordings, target, partition)
        scores = dict.fromkeys(PARTITIONS) | {
            partition: score_target(
                config, plan.frames[partition], done.outputs[partition], k, config.bootstrap
            )
            for partition in plan.labelled[target]
            if finite[partition]
        }
        if scores["devel"]:
            values = head.values(done.outputs["devel"], k)
            plot_target(config, folder, package, target, values, scores["devel"])
        seeds = [row | {p: row[p][target] for p in SCORED} for row in done.seeds]
        result[target] = {
            "best_seed": done.best.seed,
            "best_epoch": done.best.best_epoch,
            **{key: str(path) for key, path in files.items()},
            **done.best.about_fit,
            "standardised": plan.standardised,
            **scores,
            "test_last": next(r["test_last"] for r in seeds if r["seed"] == done.best.seed),
            "seeds": seeds,
            "over_seeds": {p: spread_of([row[p] for row in seeds]) for p in SCORED},
        }
    return result


def keep_seeds(
    config: TrainConfig,
    folder: Path,
    package: Package,
    plan: ModelPlan,
    outcomes: Iterable[SeedOutcome],
) -> Iterator[SeedOutcome]:
    """The seeds of a model as they come; with `keep_seeds` what each predicts is written."""
    head = head_of(config.task, targets=plan.targets)
    for outcome in outcomes:
        seed = outcome.result.seed
        for partition, output in outcome.outputs.items() if config.keep_seeds else ():
            recordings = package.partitions[partition]
            if all_finite(f"{plan.name}, seed {seed}, {partition}", recordings, output):
                for k, target in enumerate(plan.targets):
                    values, home = head.values(output, k), folder / SEEDS / str(seed)
                    save_predictions(head, home, recordings, target, partition, values)
        yield outcome


def save_model(
    config: TrainConfig,
    folder: Path,
    plan: ModelPlan,
    result: SeedResult,
    name: Path,
) -> None:
    """Write the weights of a seed with all that is needed to use them again."""
    about = {
        "task": config.task.name,
        "model": config.model,
        "targets": plan.targets,
        "classes": config.task.classes,
        "features": plan.features,
        "standardised": plan.standardised,
        "seed": result.seed,
    }
    save_model_file(folder / name, result.weights, plan.scaling, about)


def all_finite(what: str, recordings: list[Recording], values: np.ndarray) -> bool:
    """Whether all predictions are finite; if not, the log has why there are none, and no score."""
    wrong = not_finite(recordings, values)
    if wrong:
        log.error("%s, %s: no score, and no predictions of them are written.", what, wrong)
    return wrong is None


def save_labels(
    head: Head, folder: Path, recordings: list[Recording], target: str, partition: str
) -> None:
    """labels/ of one target and partition, in the shape of predictions/."""
    for recording in recordings:
        gold, samples = recording.labels[target], recording.samples
        if gold is not None:
            path = folder / "labels" / target / partition / f"{recording.id}.csv"
            _write(path, recording, head.rows(samples), {"value": head.labels(gold, samples)})


def save_predictions(
    head: Head,
    folder: Path,
    recordings: list[Recording],
    target: str,
    partition: str,
    values: np.ndarray,
) -> list[Path]:
    """predictions/ and with classes logits/ of one target and partition; returns the former.

    Args:
        recordings: of the partition.
        values: of the target, see muse.data.heads, (frames, ...) of all recordings in turn.
    """
    written = []
    for recording, own in zip(recordings, split_frames(recordings, values), strict=True):
        samples = recording.samples
        name = Path(target) / partition / f"{recording.id}.csv"
        if head.folder != "predictions":  # what the model gives for every frame
            columns = dict(zip(head.columns(own.shape[1]), own.T, strict=True))
            _write(folder / head.folder / name, recording, np.arange(len(own)), columns)
        written.append(folder / "predictions" / name)
        predicted = {"value": head.predictions(own, samples)}
        _write(written[-1], recording, head.rows(samples), predicted)
    return written


def _write(path: Path, recording: Recording, rows: np.ndarray, columns: dict) -> None:
    write_rows(path, recording.timestamps[rows], recording.segments[rows], columns)


def plot_target(
    config: TrainConfig,
    folder: Path,
    package: Package,
    target: str,
    values: np.ndarray,
    scores: dict,
) -> None:
    """plots/TARGET.png of devel.

    Args:
        values: of devel, see muse.data.heads, (frames, ...) of all recordings in turn.
    """
    if not config.plots:
        return
    path, metric = folder / "plots" / f"{target}.png", metric_name(config.task.metric)
    title = f"{config.task.title}, {target}, devel {metric_title(metric)} {scores[metric]:.3f}"
    title += " (synthetic data)" if package.synthetic else ""
    if "confusion" in scores:
        save_figure(draw_confusion(title, target, scores["confusion"]), path)
        return
    devel = package.partitions["devel"]
    recordings = [
        (recording.id, recording.timestamps, recording.labels[target], own)
        for recording, own in zip(devel, split_frames(devel, values), strict=True)
    ]
    save_figure(draw_signals(title, target, recordings, config.ccc), path)


def save_curves(
    config: TrainConfig, folder: Path, package: Package, records: Sequence[dict]
) -> None:
    """plots/curves.png of all seeds; none where nothing was trained, as for a mean.

    Args:
        records: of the epochs, see `muse.training.loop.train_seed`; those of crossfit are left out,
            with folds each fold has curves of its own.
    """
    if config.folds:
        records = [r | {"seed": f"{r['seed']}, fold {r['fold']}"} for r in records]
    records = [record for record in records if config.folds or "fold" not in record]
    if records and config.plots:
        title = heading(config.task.title, config.describe(package.features), package.synthetic)
        draw, metric = draw_curves, metric_name(config.task.metric)
        if "C" in records[0]:
            draw, metric = draw_choice, find_class(str(config.model["_target_"])).chosen_by
        inner = "inner " if config.folds and config.best_on == "devel" else ""
        watched = f"{inner}{config.best_on} {metric_title(metric)}"
        watched = "training loss" if config.retrained else watched
        save_figure(draw(title, watched, records), folder / "plots" / "curves.png")


def spread_of(scores: list[float | None]) -> dict | None:
    """Mean and deviation (n - 1; None for one) of scores; None if one is missing."""
    if None in scores:
        return None
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return {"mean": float(np.mean(scores)), "deviation": deviation}
