"""What a trained job leaves in the run folder: weights, predictions, labels, pictures, scores."""

from pathlib import Path

import numpy as np

from muse.config.shared import PARTITIONS
from muse.config.train import TrainConfig
from muse.data.recordings import Package, Recording
from muse.data.windows import Frames
from muse.files import write_rows
from muse.plots import plot_confusion, plot_signals
from muse.runs.weights import save_trained
from muse.training.prepare import Job
from muse.training.scores import of_target, score_target
from muse.training.seeds import JobResult


def save_job(
    config: TrainConfig, folder: Path, package: Package, job: Job, done: JobResult
) -> dict[str, dict]:
    """Write the files of the best seed and return target -> its part of result.json."""
    weights = Path("weights") / f"{job.name}.safetensors"
    about = {
        "task": config.task.name,
        "model": config.model,
        "targets": job.targets,
        "classes": config.task.classes,
        "features": {name: package.columns[name] for name in package.features},
        "standardised": job.standardised,
        "seed": done.best.seed,
    }
    save_trained(folder / weights, done.best.weights, job.scaling, about)
    result = {}
    for k, target in enumerate(job.targets):
        for partition in PARTITIONS:
            recordings = package.partitions[partition]
            values = of_target(config, done.outputs[partition], k)
            save_predictions(config, folder, recordings, target, partition, values)
            _save_labels(config, folder, recordings, target, partition)
        scores = {
            partition: score_target(
                config, job.frames[partition], done.outputs[partition], k, config.bootstrap
            )
            if partition in job.labelled[target]
            else None
            for partition in PARTITIONS
        }
        _plot(config, folder, package, job, done, k, scores["devel"])
        result[target] = {
            "best_seed": done.best.seed,
            "best_epoch": done.best.best_epoch,
            "weights": str(weights),
            "standardised": job.standardised,
            **scores,
            "seeds": [row | {p: row[p][target] for p in ("devel", "test")} for row in done.seeds],
            "over_seeds": {
                p: _over_seeds([r[p][target] for r in done.seeds]) for p in ("devel", "test")
            },
        }
    return result


def save_out_of_fold(
    config: TrainConfig, folder: Path, package: Package, job: Job, output: np.ndarray
) -> None:
    """crossfit/: predictions of train, in the shape of predictions/ and logits/."""
    for k, target in enumerate(job.targets):
        values = of_target(config, output, k)
        recordings = package.partitions["train"]
        save_predictions(config, folder / "crossfit", recordings, target, "train", values)


def _save_labels(
    config: TrainConfig, folder: Path, recordings: list[Recording], target: str, partition: str
) -> None:
    """labels/ of one target and partition, in the shape of predictions/."""
    for recording in recordings:
        gold = recording.labels[target]
        if gold is not None:
            rows = np.arange(len(gold))
            if config.task.classes:
                rows, last = recording.samples[:, 0], recording.samples[:, 1] - 1
                gold = gold[last].astype(int)
            name = Path(target) / partition / f"{recording.id}.csv"
            _write(folder / "labels" / name, recording, rows, {"value": gold})


def save_predictions(
    config: TrainConfig,
    folder: Path,
    recordings: list[Recording],
    target: str,
    partition: str,
    values: np.ndarray,
) -> list[Path]:
    """predictions/ and with classes logits/ of one target and partition; returns the former.

    Args:
        recordings: of the partition.
        values: (frames,) predictions, or (frames, classes) logits, of all recordings in turn.
    """
    written, end = [], 0
    for recording in recordings:
        start, end = end, end + len(recording.rows)
        own = values[start:end]
        rows, predicted = np.arange(len(own)), own
        name = Path(target) / partition / f"{recording.id}.csv"
        if config.task.classes:
            logits = {f"c_{c}": own[:, c] for c in range(config.task.classes)}
            _write(folder / "logits" / name, recording, rows, logits)
            rows = recording.samples[:, 0]  # a segment has the time of its first frame
            predicted = own[recording.samples[:, 1] - 1].argmax(1)
        written.append(folder / "predictions" / name)
        _write(written[-1], recording, rows, {"value": predicted})
    return written


def _write(path: Path, recording: Recording, rows: np.ndarray, columns: dict) -> None:
    write_rows(path, recording.timestamps[rows], recording.segments[rows], columns)


def _plot(
    config: TrainConfig,
    folder: Path,
    package: Package,
    job: Job,
    done: JobResult,
    k: int,
    scores: dict,
) -> None:
    """plots/TARGET.png of devel."""
    frames: Frames = job.frames["devel"]
    target, path = job.targets[k], folder / "plots" / f"{job.targets[k]}.png"
    label = "macro F1" if config.task.classes else "CCC"
    title = f"{config.task.title}, {target}, devel {label} {scores[config.task.metric]:.3f}"
    title += " (synthetic data)" if package.synthetic else ""
    if config.task.classes:
        plot_confusion(path, title, scores["confusion"])
        return
    values, gold = done.outputs["devel"][:, k], frames.labels[:-1, k].cpu().numpy()
    recordings = [
        (recording.id, recording.timestamps, gold[start:end], values[start:end])
        for recording, (_, start, end) in zip(
            package.partitions["devel"], frames.recordings, strict=True
        )
    ]
    plot_signals(path, title, recordings, config.ccc)


def _over_seeds(scores: list[float | None]) -> dict | None:
    """Mean and deviation (n - 1; None for one seed) over seeds."""
    if None in scores:
        return None
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return {"mean": float(np.mean(scores)), "deviation": deviation}
