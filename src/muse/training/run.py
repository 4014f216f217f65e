"""From a package to a scored model and its run folder."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote

import numpy as np

from muse.config.train import TrainConfig
from muse.cores import is_out_of_memory
from muse.data.heads import head_of
from muse.data.recordings import Package
from muse.errors import MuseError
from muse.fusion.members import choose_members
from muse.models import is_fitted
from muse.runs.environment import environment
from muse.runs.folder import begin, check_new, log_file, set_status, write_result
from muse.runs.lock import locked
from muse.runs.read import read_result
from muse.runs.weights import keep_pretrained
from muse.terminal import heading
from muse.training.device import prepare
from muse.training.difficulty import save_autoencoders, with_difficulty
from muse.training.fit import settle_fit
from muse.training.folds import make_folds
from muse.training.out_of_fold import fold_summary, save_folds, save_out_of_fold, seed_units
from muse.training.parallel import Run, Trainer, Unit, processes, trainer
from muse.training.personal import general_models, save_subjects, subject_summary
from muse.training.population import members_at_once
from muse.training.prepare import checkpoint_ids, id_of, load_inputs, plan_inputs, plan_models
from muse.training.recorder import Recorder, recording
from muse.training.result import result_of
from muse.training.retrain import with_devel
from muse.training.save import keep_seeds, save_curves, save_job
from muse.training.seeds import SeedOutcome, best_of
from muse.training.summary import sizes, summary

log = logging.getLogger(__name__)


class PrunedError(Exception):
    """Whoever watches a run has seen enough of it: it is stopped, and not finished."""


Watch = Callable[[dict], None]


def begin_run(
    config: TrainConfig,
    folder: Path,
    package: Package | None = None,
    new: bool = True,
    watch: Watch | None = None,
) -> dict:
    """Begin a run folder, train, score and save; return the content of result.json.

    Args:
        config: settings; those of a fusion with its members, see `settle`.
        package: the data, if they have been read already.
        new: refuse a folder that is not empty; else checkpoints in it are continued.
        watch: gets the record of each epoch, as metrics.jsonl; may raise PrunedError.

    Raises:
        PrunedError: that of ``watch``; the status of the run is then `pruned`.
        MuseError: the folder is not empty; data that cannot be read; training has diverged.
    """
    if new:
        check_new(folder)
    begin(folder, config)
    return continue_run(config, folder, package, watch)


def continue_run(
    config: TrainConfig, folder: Path, package: Package | None = None, watch: Watch | None = None
) -> dict:
    """Train on in a run folder that was begun, from its checkpoints if it has some.

    The run folder says how it ended, whatever happens. Returns and raises as `begin_run`.
    """
    with locked(folder), log_file(folder):
        if not (folder / "result.json").exists():
            return _train_locked(config, folder, package, watch)
        log.info("%s was finished by another process meanwhile.", folder)
        return read_result(folder)


def settle(config: TrainConfig) -> TrainConfig:
    """The settings with all that is chosen before a run begins: the members of a fusion.

    Those of a model that is fitted are as `muse.training.fit.settle_fit` returns them.
    """
    return settle_fit(choose_members(config) if config.fusion else config)


def _train_locked(
    config: TrainConfig, folder: Path, package: Package | None, watch: Watch | None
) -> dict:
    try:
        set_status(folder, "running")
        return _train(config, folder, package, watch)
    except PrunedError as stopped:
        set_status(folder, "pruned", str(stopped))
        log.info("Pruned %s. Train to the end: muse resume %s", stopped, quote(str(folder)))
        raise
    except KeyboardInterrupt:
        set_status(folder, "interrupted", "stopped by the user or the system")
        log.error("Interrupted. Continue where it stood: muse resume %s", quote(str(folder)))
        raise
    except MuseError as error:
        _failed(folder, str(error))
        raise
    except OSError as error:  # a full disk, a file that may not be written
        _failed(folder, str(error))
        raise MuseError(f"{error.filename or folder}: {error.strerror or error}.") from None
    except Exception as error:
        if not is_out_of_memory(error):
            _failed(folder, f"{type(error).__name__}: {error}")
            raise
        full = _out_of_memory(config, error)
        _failed(folder, str(full))
        raise full from None


def _out_of_memory(config: TrainConfig, error: Exception) -> MuseError:
    first = str(error).partition(". ")[0].partition("\n")[0]
    return MuseError(
        f"the memory of the GPU is full ({first}). Give a smaller batch_size "
        f"({config.batch_size} now) or window ({config.window} now), let fewer jobs of a sweep "
        "share it (jobs_per_device), or train on the CPU: device=cpu. `muse resume` goes on where "
        "each seed stood."
    )


def _failed(folder: Path, reason: str) -> None:
    """Keep the reason; where even that cannot be written, the error itself has to do."""
    with suppress(MuseError):
        set_status(folder, "failed", reason)


def _train(config: TrainConfig, folder: Path, package: Package | None, watch: Watch | None) -> dict:
    device = prepare(config.device, config.threads)
    package = package or load_inputs(config)
    id_ = id_of(config, package)
    folds = make_folds(config, package)
    if config.folds:  # each fold computes its own indicators, of which this has only the names
        package = replace(package, features=plan_inputs(config, package).names)
    else:
        package = with_difficulty(config, package, device)
        save_autoencoders(folder / "weights", package.autoencoders)
    keep_pretrained(folder / "weights" / "pretrained", config.model, config.tokenizer)
    log.info(heading(config.task.title, config.describe(package.features), package.synthetic))
    log.info("%s, on %s, run %s", sizes(package), device, id_)
    published = ", ".join(f"{k}={json.dumps(v)}" for k, v in config.as_published().items())
    if published:
        log.info("as in the published baseline: %s", published)
    ids = checkpoint_ids(config, package)
    if config.retrained:  # an auto-encoder stays as it was fitted, and stopped, without devel
        package = with_devel(config, package)
    jobs = [] if config.folds else plan_models(config, package, device)
    general = general_models(config, package, device)
    run = Run(config, jobs, (folder / "checkpoints", ids), folds, device, general)
    targets, recorder = _train_units(run, folder, package, watch)
    save_curves(config, folder, package, recorder.records)
    result = result_of(config, package, id_, targets) | {
        "seconds": round(recorder.seconds, 1),
        "environment": environment(device, str(config.model["_target_"])),
    }
    result = write_result(folder, result)
    table = fold_summary if config.folds else summary
    log.info("\n%s", (subject_summary if config.personalised else table)(config, result))
    log.info("\nRun folder: %s", folder)
    log.info("  scores result.json, curves metrics.jsonl and plots/curves.png, pictures plots/")
    if config.tensorboard:
        log.info("  tensorboard --logdir %s", quote(str(folder)))
    return result


def _train_units(
    run: Run, folder: Path, package: Package, watch: Watch | None
) -> tuple[dict[str, dict], Recorder]:
    """Train all units of a run and save what they leave; returns target -> its part of the result,
    and the records of the epochs."""
    config, folds = run.config, run.folds
    units = seed_units(config, folds)
    together = members_at_once(config, run.device, len(units))
    count = 1 if together > 1 else processes(config, run.device, len(units), run.plan(units[0]))
    models = len(units) + len(run.jobs) * config.crossfit
    with (
        recording(config, folder, models, watch) as recorder,
        trainer(run, count, recorder.on_epoch, together) as train,
    ):
        outcomes = train(units)
        if config.personalised:
            arguments = config, folder, package, folds, outcomes, recorder
            targets = save_subjects(*arguments, run.general)
        elif config.folds:
            targets = save_folds(config, folder, package, folds, outcomes, recorder)
        else:
            targets = _save_jobs(run, folder, package, train, outcomes, recorder)
    return targets, recorder


def _save_jobs(
    run: Run,
    folder: Path,
    package: Package,
    train: Trainer,
    outcomes: Iterator[SeedOutcome],
    recorder: Recorder,
) -> dict[str, dict]:
    """Save the best seed of each job, and train the folds that predict train with its seed.

    Args:
        train, outcomes: see `trainer`; the outcomes are those of all seeds of all jobs.
    """
    config, folds = run.config, run.folds
    targets: dict[str, dict] = {}
    for number, job in enumerate(run.jobs):
        recorder.of(job)
        chosen = config.retrained and config.retrained.best_seed(job.name)
        seeds = islice(outcomes, len(config.seeds))
        seeds = keep_seeds(config, folder, package, job, seeds)
        done = best_of(seeds, recorder.on_seed, chosen)
        targets |= save_job(config, folder, package, job, done)
        watched = "train" if config.retrained else "devel"
        _warn_constant(config, job.targets, done.outputs[watched], watched)
        if folds:
            units = [Unit(number, done.best.seed, k + 1) for k in range(len(folds))]
            held_out = [recorder.on_fold(outcome, len(folds)) for outcome in train(units)]
            save_out_of_fold(config, folder, package, job, folds, held_out)
    return targets


def _warn_constant(
    config: TrainConfig, targets: list[str], output: np.ndarray, partition: str = "devel"
) -> None:
    """Warn of targets for which a model has learnt nothing.

    Args:
        output: of the best seed on the partition, (frames, outputs).
    """
    for k, target in enumerate(targets):
        values = head_of(config.task, targets=targets).values(output, k)
        if np.ptp(values, axis=0).max() <= 1e-6 * max(1, np.abs(values).max()):
            mend = f"Give a lower learning rate (lr={config.lr:g} now)"
            if is_fitted(str(config.model["_target_"])):
                mend = "Give larger values of model.C"
            log.warning(
                "%s: the predictions of the best seed are constant on %s. %s, or standardise the "
                "features (standardise=true).",
                *(target, partition, mend),
            )
