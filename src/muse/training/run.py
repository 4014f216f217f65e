"""From a package to a scored model and its run folder."""

import logging
from collections.abc import Callable
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from muse.config.shared import PARTITIONS
from muse.config.train import FuseConfig, TrainConfig
from muse.data.recordings import Package, load_package
from muse.errors import MuseError
from muse.runs.folder import begin, locked, log_file, set_status, write_result
from muse.terminal import METRIC_NAMES, heading, in_columns, interval_in_words
from muse.training.device import prepare
from muse.training.parallel import Run, Unit, processes, trainer
from muse.training.prepare import id_of, make_jobs
from muse.training.recorder import recording
from muse.training.save import save_job, save_out_of_fold
from muse.training.seeds import best_of

log = logging.getLogger(__name__)


Load = Callable[[TrainConfig, Path], tuple[TrainConfig, Package]]


def load(config: TrainConfig, folder: Path) -> tuple[TrainConfig, Package]:
    """The package of a run with its settings."""
    package = load_package(
        config.task,
        config.targets,
        config.features,
        config.feature_sets,
        config.data,
        config.missing,
        recordings=config.recordings,
        storage=config.storage,
    )
    return config, package


def train_in(folder: Path, config: TrainConfig, load: Load) -> None:
    """Train, score and save, from the folder's checkpoints if it has some.

    The run folder says how it ended, whatever happens.

    Args:
        load: gets settings and run folder, returns the settings completed and the data.
    """
    with locked(folder), log_file(folder):
        if (folder / "result.json").exists():
            log.info("%s was finished by another process meanwhile.", folder)
        else:
            _train_locked(folder, config, load)


def _train_locked(folder: Path, config: TrainConfig, load: Load) -> None:
    try:
        set_status(folder, "running")
        _train(config, folder, load)
    except KeyboardInterrupt:
        set_status(folder, "interrupted", "stopped by the user or the system")
        log.error("Interrupted. Continue where it stood: muse resume %s", folder)
        raise
    except MuseError as error:
        set_status(folder, "failed", str(error))
        raise
    except OSError as error:  # a full disk, a file that may not be written
        set_status(folder, "failed", str(error))
        raise MuseError(f"{error.filename or folder}: {error.strerror or error}.") from None
    except Exception as error:
        set_status(folder, "failed", f"{type(error).__name__}: {error}")
        raise


def _train(config: TrainConfig, folder: Path, load: Load) -> None:
    device = prepare(config.device, config.threads)
    given = config
    config, package = load(config, folder)
    if config != given:
        begin(folder, config)  # what was chosen is kept
    jobs = make_jobs(config, package, device)
    id_ = id_of(config, package)
    log.info(heading(config.task.title, config.describe(package.features), package.synthetic))
    log.info("%s, on %s, run %s", _sizes(package), device, id_)
    published = ", ".join(f"{name}={value}" for name, value in config.as_published().items())
    if published:
        log.info("as published: %s", published)
    targets: dict[str, dict] = {}
    units = [Unit(number, seed) for number in range(len(jobs)) for seed in config.seeds]
    count = processes(config, device, len(units))
    run = Run(config, jobs, (folder / "checkpoints", id_))
    with (
        recording(config, folder, len(jobs)) as recorder,
        trainer(run, count, recorder.on_epoch) as train,
    ):
        outcomes = train(units)
        for number, job in enumerate(jobs):
            recorder.of(job)
            done = best_of(islice(outcomes, len(config.seeds)), recorder.on_seed)
            targets |= save_job(config, folder, package, job, done)
            folds = [Unit(number, done.best.seed, k + 1) for k in range(config.crossfit)]
            if folds:
                held_out = [recorder.on_fold(outcome) for outcome in train(folds)]
                save_out_of_fold(config, folder, package, job, np.sum(held_out, axis=0))
    result = {
        "run_id": id_,
        "command": config.job.command,
        "task": config.task.name,
        "features": package.features,
        "model": config.model,
        "metric": config.task.metric,
        "synthetic": package.synthetic,
        "debug": config.recordings is not None or config.best_on != "devel",
        "data": {
            "folder": str(package.folder.absolute()),
            "digest": package.digest,
            "partitions": package.digests,
        },
        "seconds": round(recorder.seconds, 1),
        "targets": targets,
    }
    if isinstance(config, FuseConfig):
        result["members"] = dict(zip(config.features, config.runs, strict=True))
    if len(targets) > 1:
        result["combined"] = _combined(config, targets)
    write_result(folder, result)
    log.info("\n%s", _summary(config, package, result))
    log.info("\nRun folder: %s", folder)
    log.info("  scores result.json, curves metrics.jsonl, pictures plots/, the rest in README.md")
    if config.tensorboard:
        log.info("  tensorboard --logdir %s", folder)


def _combined(config: TrainConfig, targets: dict[str, dict]) -> dict:
    """Mean over targets of devel and of test; None where a target has no score."""
    combined = {}
    for partition in ("devel", "test"):
        scores = [
            part[partition] and part[partition][config.task.metric] for part in targets.values()
        ]
        combined[partition] = None if None in scores else float(np.mean(scores))
    return combined


def _sizes(package: Package) -> str:
    parts = []
    for partition in PARTITIONS:
        recordings = package.partitions[partition]
        frames = sum(len(recording.rows) for recording in recordings)
        parts.append(f"{partition} {len(recordings)} recordings, {frames} frames")
    return "; ".join(parts)


def _summary(config: TrainConfig, package: Package, result: dict) -> str:
    """The table at the end: a line per target, then their mean."""
    metric, count = config.task.metric, len(config.seeds)
    title = heading(config.task.title, config.describe(package.features), package.synthetic)
    title += (
        f": {METRIC_NAMES[metric]}, best of {count} seed{'s' * (count > 1)} on {config.best_on}"
    )
    rows = [
        ["", "devel", "95 % interval", "mean of seeds", "test", "95 % interval", "seed", "epoch"]
    ]
    for target, part in result["targets"].items():
        over = part["over_seeds"]["devel"]
        spread = "" if over["deviation"] is None else f" ± {over['deviation']:.4f}"
        row = [target]
        for scores in (part["devel"], part["test"]):
            row.append(f"{scores[metric]:.4f}" if scores else "no labels")
            row.append(interval_in_words(scores))
        row.insert(3, f"{over['mean']:.4f}{spread}")
        rows.append([*row, str(part["best_seed"]), str(part["best_epoch"])])
    if "combined" in result:
        devel, test = (result["combined"][p] for p in ("devel", "test"))
        test = "no labels" if test is None else f"{test:.4f}"
        rows.append(["combined", f"{devel:.4f}", "", "", test, "", "", ""])
    if config.best_on == "train":
        trained = [f"{part['train'][metric]:.4f}" for part in result["targets"].values()]
        for row, cell in zip_longest(rows, ["train", *trained], fillvalue=""):
            row.insert(1, cell)
    return f"{title}\n{in_columns(rows)}"
