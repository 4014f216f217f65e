"""The trials of a study: each draws settings, and is a job of a sweep with these."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from muse import terminal
from muse.config.compose import explain_error, given_keys, load_config, sweep_params
from muse.config.overrides import unquoted
from muse.config.search_space import Axis, axes_of, split_words
from muse.config.train import TrainConfig
from muse.config.tune import OWN, TuneConfig
from muse.cores import end_with, start_method
from muse.data.layout import is_name
from muse.errors import MuseError
from muse.files import write_json
from muse.runs.identity import settings_key
from muse.runs.read import read_result
from muse.scoring import metric_name, metric_title
from muse.sweep.jobs import run_job
from muse.sweep.state import STUDY_FILE, finished_ids, reason_of, run_of_job, state_of
from muse.sweep.study import (
    FOLDER,
    Study,
    Trial,
    TrialState,
    draw,
    optuna,
    pruner,
    reachable,
    sampler,
)
from muse.sweep.watch import at_once
from muse.training.run import PrunedError

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Search:
    """What every process of a study knows."""

    config: TuneConfig
    root: Path  # the folder of the study
    words: list[str]  # of `muse train`, which every trial has
    axes: list[Axis]
    models: int  # of a trial: targets times seeds

    def open(self) -> Study:
        """The study, with a connection of this process's own."""
        config = self.config
        study = Study(config.study, self.root, config.database, config.heartbeat)
        study.optuna.pruner = pruner(
            config.pruner, config.startup, config.warmup_epochs, self.models * config.epochs
        )
        return study


def tune(config: TuneConfig) -> Path:
    """Do the trials that a study lacks, some of them perhaps in other processes; its folder.

    Raises:
        MuseError: no search space; a study with another; a database that cannot be reached; none
            of the trials has finished.
    """
    if not is_name(config.study):
        raise MuseError(f"study={config.study}: expected a name for a folder, without slashes.")
    try:
        search = plan_search(config)
        first = load_config("train", [*search.words, *(axis.first for axis in search.axes)])
    except (HydraException, OmegaConfBaseException) as error:
        raise MuseError(explain_error("train", error, config.job.words)) from None
    search.root.mkdir(parents=True, exist_ok=True)
    with reachable(config.database or str(search.root)):
        study = search.open()
        about = {"space": {axis.key: str(axis) for axis in search.axes}}
        about |= {"objective": config.objective, "settings": settings_key(first)}
        study.check(about, config.job.command)
        write_json(search.root / STUDY_FILE, {
            "study": config.study,
            "own_database": config.database is None,
            "objective": config.objective,
            "settings": [axis.key for axis in search.axes],
        })  # fmt: skip
        if config.rerun == "failed":
            study.try_failed_again()
        count = at_once(config.workers, max(1, config.trials - study.counted()))
        if count == 1:
            work(search, study)
        study.close()  # no fork may have its connections
        if count > 1:
            _in_processes(search, count)
    return search.root


def plan_search(config: TuneConfig) -> Search:
    """What a study searches, and the words of `muse train` that all its trials have.

    The space is that of an experiment, as `space` or as axes of a sweep, and of the command line,
    which has the last word. MuseError if there is none.
    """
    fixed, given = split_words(unquoted(config.job.words))
    fixed = [word for word in fixed if word.lstrip("+~").split("=")[0].split(".")[0] not in OWN]
    first = [*fixed, *(axis.first for axis in given.values())]
    swept = {k: v for k, v in sweep_params("train", first).items() if "," in v or "(" in v}
    axes = axes_of(swept) | axes_of(config.space) | given
    for word in fixed:
        axes.pop(word.lstrip("+").split("=")[0], None)
    if not axes:
        raise MuseError(
            "no search space: give several values of a setting at least, such as "
            "'model.hidden=choice(32,64)' or 'lr=tag(log,interval(1e-4,1e-2))'."
        )
    words = [*fixed, *(f"~{key}" for key in given_keys("train", first) if key in OWN)]
    others = [a.first for key, a in axes.items() if not key.startswith("model.")]
    known = load_config("train", [*words, *others])
    typed = [axis.for_setting(_value(known, axis.key)) for axis in axes.values()]
    models = len(config.seeds) * (1 if config.joint else len(config.targets))
    return Search(config, Path(config.job.folder), words, typed, models)


def _value(config: object, key: str) -> object:
    """A setting by its name, such as model.hidden."""
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
    return config


def _in_processes(search: Search, count: int) -> None:
    """Several processes, which share the study as those of different machines do."""
    context = multiprocessing.get_context(start_method())
    arguments = search, os.getpid()
    workers = [context.Process(target=_process, args=arguments) for _ in range(count)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except BaseException:
        for worker in workers:
            worker.terminate()  # as Ctrl-C: each gives its trial back
        for worker in workers:
            worker.join()
        raise
    if search.config.timeout is None and search.open().unfinished(search.config.trials):
        raise MuseError(
            "the processes of the study were killed from outside, perhaps for want of memory. The "
            "same command goes on; workers=1 does one trial at a time."
        )


def _process(search: Search, parent: int) -> None:
    end_with(parent)
    try:
        with reachable(search.config.database or str(search.root)):
            work(search, search.open())
    except KeyboardInterrupt:
        sys.exit(130)
    except MuseError as error:
        print(f"muse tune: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def work(search: Search, study: Study) -> None:
    """Do trials until the study has as many as it should; wait for those of other processes."""
    config, started = search.config, time.monotonic()
    while study.unfinished(config.trials):
        if config.timeout is not None and time.monotonic() - started > config.timeout:
            break
        trial = study.claim(config.trials)
        if trial is None:
            time.sleep(POLL_SECONDS)
            continue
        with study.alive(trial):
            try:
                _try(search, study, trial)
            except optuna.exceptions.UpdateFinishedTrialError:
                continue  # no sign of life for too long: another process tries it again
            except BaseException:
                study.give_up(trial)
                raise


def _try(search: Search, study: Study, trial: Trial) -> None:
    """Train a trial, and tell the study what came out."""
    config = search.config
    seed = [config.sampler_seed, trial.number]
    study.optuna.sampler = sampler(config.sampler, seed, config.startup)
    words = [f"{key}={value}" for key, value in draw(trial, search.axes).items()]
    try:
        job = load_config("train", [*search.words, *words])
        trial.set_user_attr(FOLDER, settings_key(job))
        with terminal.quietly():
            # the trials side by side have the cores, and their seeds a fixed order
            result = _result(replace(job, workers=1), search.root, _watch(config, trial))
        value = objective(result, config.objective)
        study.optuna.tell(trial, value, skip_if_finished=True)
        outcome = f"{value:.4f}"
    except PrunedError as stopped:
        study.optuna.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        outcome = f"pruned {stopped}"
    except (MuseError, HydraException, OmegaConfBaseException) as error:
        known = isinstance(error, MuseError)
        reason = str(error) if known else explain_error("train", error, words)
        study.fail(trial, reason)
        outcome = f"failed: {reason}"
    print(f"trial {trial.number}: {outcome}  {' '.join(words)}", flush=True)


def _result(config: TrainConfig, root: Path, watch: Callable[[dict], None]) -> dict:
    """The content of result.json of a job of the study, which is trained unless that is done.

    Raises MuseError with the reason if it has failed.
    """
    folder = root / settings_key(config)
    while True:
        with suppress(MuseError, OSError):  # finished by another process meanwhile
            known = read_result(folder)["run_id"]
            finished_ids(root.absolute()).setdefault(known, folder.absolute())
        run_job(config, root, watch=watch)
        if state_of(folder) == "finished":
            return read_result(run_of_job(folder))
        if state_of(folder) == "failed":
            raise MuseError(reason_of(folder))
        time.sleep(POLL_SECONDS)  # another process trains with the same settings


def objective(result: dict, over: str) -> float:
    """The value of a trial: the devel score, averaged over targets.

    Args:
        result: the content of result.json.
        over: mean, over the seeds, or best, of the best seed.
    """
    parts = result["targets"].values()
    if over == "best":
        return mean(part["devel"][result["metric"]] for part in parts)
    return mean(part["over_seeds"]["devel"]["mean"] for part in parts)


def _watch(config: TuneConfig, trial: Trial) -> Callable[[dict], None]:
    """What is told to the pruner after each epoch: the objective if the trial ended there.

    Targets and seeds are trained in turn, so the objective is over the models so far, each with the
    best score that it has reached. The steps count on from one model to the next.
    """
    best: dict[str, dict[int, float]] = {}  # target -> seed -> score
    over = {"mean": lambda scores: mean(scores), "best": max}[config.objective]

    def watch(record: dict) -> None:
        if config.pruner == "none" or "C" in record or "fold" in record:
            return
        best.setdefault(record["target"], {})[record["seed"]] = record["best"]
        step = (sum(map(len, best.values())) - 1) * config.epochs + record["epoch"]
        value = mean(over(list(scores.values())) for scores in best.values())
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # given up as dead: finish it
            trial.report(value, step)
            if trial.should_prune():
                metric = metric_title(metric_name(config.task.metric))
                raise PrunedError(f"at {metric} {value:.4f} in epoch {step}")

    return watch
