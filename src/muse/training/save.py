"""What a trained job leaves in the run folder: weights, predictions, labels, pictures, scores."""

from pathlib import Path

import numpy as np

from muse import runs
from muse.config import TrainConfig
from muse.config_parts import PARTITIONS
from muse.data.recordings import Package, Recording
from muse.data.windows import Frames
from muse.plots import plot_confusion, plot_signals
from muse.training.evaluate import of_target, score_target
from muse.training.jobs import Job, JobResult
from muse.training.trained import save_trained


def save_job(
    config: TrainConfig, folder: Path, package: Package, job: Job, done: JobResult
) -> dict[str, dict]:
    """Write the files of the best seed and return target -> its part of result.json."""
    weights = Path("weights") / f"{job.name}.safetensors"
    save_trained(folder / weights, config, package, job, done.best.seed, done.best.weights)
    result = {}
    for k, target in enumerate(job.targets):
        for partition in PARTITIONS:
            _save_partition(config, folder, package, job, done, partition, k)
        scores = {
            partition: score_target(
                config, job.frames[partition], done.outputs[partition], k, config.bootstrap
            )
            if partition in job.labelled
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


def _save_partition(
    config: TrainConfig,
    folder: Path,
    package: Package,
    job: Job,
    done: JobResult,
    partition: str,
    k: int,
) -> None:
    """predictions/, labels/ and with classes logits/ of one target and partition."""
    frames, target = job.frames[partition], job.targets[k]
    values = of_target(config, done.outputs[partition], k)
    where = Path(target) / partition
    for recording, (_, start, end) in zip(
        package.partitions[partition], frames.recordings, strict=True
    ):
        name = where / f"{recording.id}.csv"
        gold = recording.labels[target]
        if config.task.classes:
            logits = {f"c_{c}": values[start:end, c] for c in range(config.task.classes)}
            _write(folder / "logits" / name, recording, np.arange(end - start), logits)
            rows = recording.samples[:, 0]  # a segment has the time of its first frame
            last = recording.samples[:, 1] - 1
            predicted = values[start:end][last].argmax(1)
            gold = None if gold is None else gold[last].astype(int)
        else:
            rows, predicted = np.arange(end - start), values[start:end]
        _write(folder / "predictions" / name, recording, rows, {"value": predicted})
        if gold is not None:
            _write(folder / "labels" / name, recording, rows, {"value": gold})


def _write(path: Path, recording: Recording, rows: np.ndarray, columns: dict) -> None:
    runs.write_rows(path, recording.timestamps[rows], recording.segments[rows], columns)


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
