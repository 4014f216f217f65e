"""The models of a run trained side by side: seeds and folds share the data and all cores.

Each has a process with one thread, and random numbers of its own, so results do not depend on the
number of processes. On Linux a process is a fork: it starts at once and shares the memory of the
data. Elsewhere it is a new interpreter that gets a copy (memory maps stay shared).
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from muse import terminal
from muse.config.train import TrainConfig
from muse.cores import cores, end_with, start_method, within_memory
from muse.errors import MuseError
from muse.runs.weights import LoadedModel
from muse.training.device import give_back_memory, prepare
from muse.training.difficulty import with_difficulty
from muse.training.folds import Fold
from muse.training.loop import Member
from muse.training.memory import expected_memory
from muse.training.model import new_model
from muse.training.population import train_population
from muse.training.prepare import ModelPlan, plan_models
from muse.training.seeds import (
    SeedOutcome,
    checkpoint_name,
    member_of,
    retrain_one,
    train_fold,
    train_one,
)

POLL_SECONDS = 0.05
KILLED = (
    "a training process was killed from outside, perhaps for want of memory. `muse resume` goes on "
    "where each seed stood; workers=1 trains one at a time."
)


class Unit(NamedTuple):
    """One model to train: a seed of a job, on the whole package or on a fold."""

    job: int
    seed: int
    fold: int | None = None


@dataclass(frozen=True)
class Run:
    """What all units of a run share."""

    config: TrainConfig
    jobs: list[ModelPlan]  # on the whole package; none where everything is trained in folds
    checkpoints: tuple[Path, tuple[str, ...]]  # folder and ids, see Checkpoint
    folds: list[Fold] = field(default_factory=list)
    device: torch.device = torch.device("cpu")
    general: list[LoadedModel] = field(default_factory=list)  # that a personalised run goes on from
    kept: dict[int, list[ModelPlan]] = field(default_factory=dict)  # fold -> plans, see `plan`

    def plan(self, unit: Unit) -> ModelPlan:
        """The data of a unit; of the folds one at a time is in the memory of a process."""
        if unit.fold is None:
            return self.jobs[unit.job]
        if unit.fold not in self.kept:
            self.kept.clear()
            package = with_difficulty(self.config, self.folds[unit.fold - 1].package, self.device)
            self.kept[unit.fold] = plan_models(self.config, package, self.device, self.general)
        return self.kept[unit.fold][unit.job]

    def member(self, unit: Unit, on_epoch: Callable[[dict], None]) -> Member:
        """A unit as a member of a population; ``on_epoch`` as in `train`."""
        name = checkpoint_name(unit.seed, unit.fold)
        return member_of(*self._arguments(unit, on_epoch), name, self.checkpoints)

    def train(self, unit: Unit, on_epoch: Callable[[dict], None]) -> SeedOutcome:
        """Train a unit; ``on_epoch`` gets the record of each epoch with its target and fold."""
        arguments = self._arguments(unit, on_epoch)
        if unit.fold:
            return train_fold(*arguments, unit.fold, self.checkpoints)
        if self.config.retrained:
            return retrain_one(*arguments, self.checkpoints)
        return train_one(*arguments, self.checkpoints)

    def _arguments(self, unit: Unit, on_epoch: Callable[[dict], None]) -> tuple:
        job = self.plan(unit)
        about = {"target": job.name} | ({"fold": unit.fold} if unit.fold else {})
        return self.config, job, unit.seed, lambda record: on_epoch(about | record)


Trainer = Callable[[list[Unit]], Iterator[SeedOutcome]]


@contextmanager
def trainer(
    run: Run, count: int, on_epoch: Callable[[dict], None], together: int = 1
) -> Iterator[Trainer]:
    """A function that trains units and yields their outcomes in the order of the units.

    Args:
        count: processes; with 1 everything happens in this one.
        together: models that are trained together in it, see `muse.training.population`.
    """
    if count == 1:
        try:
            yield lambda units: _in_turn(run, units, on_epoch, together)
        finally:
            run.kept.clear()
            give_back_memory()  # the process may go on with another run
        return
    context = multiprocessing.get_context(start_method())
    records = context.SimpleQueue()
    pool = ProcessPoolExecutor(count, context, _begin, (run, records, os.getpid()))
    try:
        yield lambda units: _outcomes(pool, records, units, on_epoch)
    except BaseException:
        # none is waited for; one that has just been forked would still catch a SIGTERM as this
        # process does, and train on
        for process in list((pool._processes or {}).values()):
            process.kill()
        # of an outcome that one of them has begun to hand over the pool would wait for the rest
        pool._result_queue._writer.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def processes(config: TrainConfig, device: torch.device, units: int, plan: ModelPlan) -> int:
    """Models to train side by side: one per core, unless the user has other plans for them.

    With workers=-1 no more than the free memory is good for.

    Args:
        units: models to train.
        plan: one of them; the others are as large. Each process has data of its own if there are
            folds.
    """
    if device.type != "cpu" or config.threads > 1:
        return 1
    count = min(cores(config.workers), units)
    if config.workers > 0 or count == 1:
        return count
    with torch.random.fork_rng(devices=[]):
        model = new_model(config, plan.frames["train"])
    copied = start_method() != "fork" or bool(config.folds or config.crossfit)
    each = expected_memory(model, plan.frames, config.window, config.batch_size, copied)
    return within_memory(count, each)


def _in_turn(
    run: Run, units: list[Unit], on_epoch: Callable[[dict], None], together: int
) -> Iterator[SeedOutcome]:
    if together > 1:
        members = [partial(run.member, unit, on_epoch) for unit in units]
        train_population(members, together)
        on_epoch = _told_already
    for unit in units:
        yield run.train(unit, on_epoch)


def _told_already(record: dict) -> None:
    """Of a model whose training a population has ended, or has left to it with its error."""


def _outcomes(
    pool: ProcessPoolExecutor, records: Any, units: list[Unit], on_epoch: Callable[[dict], None]
) -> Iterator[SeedOutcome]:
    with _interrupted_later():
        futures = [pool.submit(_train, unit) for unit in units]
    while futures:
        future = futures.pop(0)  # what it holds is free once it was given out
        while not future.done():
            wait([future], POLL_SECONDS)
            _report(records, on_epoch)
            for other in [future, *futures]:  # none is waited for when one has failed
                _raise_failure(other)
            if any(process.exitcode for process in (pool._processes or {}).values()):
                raise MuseError(KILLED)  # before the pool knows, which may be never, see `trainer`
        _raise_failure(future)
        _report(records, on_epoch)
        yield future.result()


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """While processes start a Ctrl-C would leave some of them behind: it waits for that."""
    caught: list = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only the main thread gets signals
    handlers = {n: signal.signal(n, lambda number, _: caught.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


def _report(records: Any, on_epoch: Callable[[dict], None]) -> None:
    while not records.empty():
        on_epoch(records.get())


def _raise_failure(future: Future) -> None:
    try:
        future.done() and future.result()
    except BrokenProcessPool:
        raise MuseError(KILLED) from None


_worker: list = []  # in a process of the pool: the run, and where to tell of epochs


def _begin(run: Run, records: Any, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks stops this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):  # a closed terminal, and Slurm, tell everyone
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with(parent)
    prepare("cpu", 1)
    terminal.quiet = True
    _worker[:] = run, records


def _train(unit: Unit) -> SeedOutcome:
    run, records = _worker
    return run.train(unit, records.put)
