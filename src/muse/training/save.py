"""What a trained model leaves in the run folder: weights, predictions, labels, pictures, scores."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from muse.config.shared import PARTITIONS
from muse.config.train import TrainConfig
from muse.data.heads import Head, head_of
from muse.data.recordings import Package, Recording
from muse.data.windows import Frames
from muse.files import write_rows
from muse.plots import draw_confusion, draw_curves, draw_signals, save_figure
from muse.runs.weights import save_model_file
from muse.scoring import metric_name, metric_title
from muse.terminal import heading
from muse.training.prepare import ModelPlan
from muse.training.scores import not_finite, score_target
from muse.training.seeds import ModelResult

log = logging.getLogger(__name__)

SCORED = ("devel", "test", "test_last")  # of each seed, see muse.training.seeds.train_one


def save_job(
    config: TrainConfig, folder: Path, package: Package, plan: ModelPlan, done: ModelResult
) -> dict[str, dict]:
    """Write the files of the best seed and return target -> its part of result.json."""
    weights = Path("weights") / f"{plan.name}.safetensors"
    about = {
        "task": config.task.name,
        "model": config.model,
        "targets": plan.targets,
        "classes": config.task.classes,
        "features": {name: package.columns[name] for name in package.features},
        "standardised": plan.standardised,
        "seed": done.best.seed,
    }
    save_model_file(folder / weights, done.best.weights, plan.scaling, about)
    head = head_of(config.task, targets=plan.targets)
    finite = {
        p: _all_finite(f"{plan.name}, {p}", package.partitions[p], done.outputs[p])
        for p in PARTITIONS
    }
    result = {}
    for k, target in enumerate(plan.targets):
        for partition in PARTITIONS:
            recordings = package.partitions[partition]
            values = head.values(done.outputs[partition], k)
            if finite[partition]:
                save_predictions(head, folder, recordings, target, partition, values)
            _save_labels(head, folder, recordings, target, partition)
        scores = {
            partition: score_target(
                config, plan.frames[partition], done.outputs[partition], k, config.bootstrap
            )
            if partition in plan.labelled[target] and finite[partition]
            else None
            for partition in PARTITIONS
        }
        _plot(config, folder, package, plan, done, k, scores["devel"])
        seeds = [row | {p: row[p][target] for p in SCORED} for row in done.seeds]
        result[target] = {
            "best_seed": done.best.seed,
            "best_epoch": done.best.best_epoch,
            "weights": str(weights),
            "standardised": plan.standardised,
            **scores,
            "test_last": next(r["test_last"] for r in seeds if r["seed"] == done.best.seed),
            "seeds": seeds,
            "over_seeds": {p: _over_seeds([row[p] for row in seeds]) for p in SCORED},
        }
    return result


def save_out_of_fold(
    config: TrainConfig, folder: Path, package: Package, plan: ModelPlan, output: np.ndarray
) -> None:
    """crossfit/: predictions of train, in the shape of predictions/ and logits/."""
    head = head_of(config.task, targets=plan.targets)
    for k, target in enumerate(plan.targets):
        values = head.values(output, k)
        recordings = package.partitions["train"]
        if _all_finite(f"{plan.name}, crossfit", recordings, values):
            save_predictions(head, folder / "crossfit", recordings, target, "train", values)


def _all_finite(what: str, recordings: list[Recording], values: np.ndarray) -> bool:
    """Whether all predictions are finite; if not, the log has why there are none, and no score."""
    wrong = not_finite(recordings, values)
    if wrong:
        log.error("%s, %s: no score, and no predictions of them are written.", what, wrong)
    return wrong is None


def _save_labels(
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
    written, end = [], 0
    for recording in recordings:
        start, end = end, end + len(recording.rows)
        own, samples = values[start:end], recording.samples
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


def _plot(
    config: TrainConfig,
    folder: Path,
    package: Package,
    plan: ModelPlan,
    done: ModelResult,
    k: int,
    scores: dict,
) -> None:
    """plots/TARGET.png of devel."""
    frames: Frames = plan.frames["devel"]
    target, path = plan.targets[k], folder / "plots" / f"{plan.targets[k]}.png"
    metric = metric_name(config.task.metric)
    title = f"{config.task.title}, {target}, devel {metric_title(metric)} {scores[metric]:.3f}"
    title += " (synthetic data)" if package.synthetic else ""
    if "confusion" in scores:
        save_figure(draw_confusion(title, target, scores["confusion"]), path)
        return
    values, gold = done.outputs["devel"][:, k], frames.labels[:-1, k].cpu().numpy()
    recordings = [
        (recording.id, recording.timestamps, gold[start:end], values[start:end])
        for recording, (_, start, end) in zip(
            package.partitions["devel"], frames.recordings, strict=True
        )
    ]
    save_figure(draw_signals(title, target, recordings, config.ccc), path)


def save_curves(
    config: TrainConfig, folder: Path, package: Package, records: Sequence[dict]
) -> None:
    """plots/curves.png of all seeds; none where nothing was trained, as for a mean.

    Args:
        records: of the epochs, see `muse.training.loop.train_seed`.
    """
    records = [record for record in records if "fold" not in record]
    if records:
        title = heading(config.task.title, config.describe(package.features), package.synthetic)
        watched = f"{config.best_on} {metric_title(metric_name(config.task.metric))}"
        save_figure(draw_curves(title, watched, records), folder / "plots" / "curves.png")


def _over_seeds(scores: list[float | None]) -> dict | None:
    """Mean and deviation (n - 1; None for one seed) over seeds."""
    if None in scores:
        return None
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return {"mean": float(np.mean(scores)), "deviation": deviation}
