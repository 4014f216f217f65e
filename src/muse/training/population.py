"""Many models of one shape trained together: seeds, folds, subjects, the grid points of a sweep.

Each member of a population keeps what its training alone would have: weights, shuffling, dropout,
learning rate, early stop and best weights, and a checkpoint in the same file. What a population
leaves behind are these checkpoints, from which the training of each ends at once; nothing that
comes later knows of it. A member that cannot go on, since its loss is not finite or its checkpoint
is of another run, is left out: its training alone says why.

A member that has stopped leaves at the end of the epoch, which costs one copy of the weights of
all, less than a single training step; one that waits takes its place.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

import torch

from muse.config.train import TrainConfig
from muse.cores import is_out_of_memory
from muse.errors import MuseError
from muse.models.stacked import STACKED
from muse.models.stacked_layers import check_kernel
from muse.training.loop import Member, begin_epoch, end_epoch, parts_of
from muse.training.memory import frame_bytes, members_within
from muse.training.population_members import (
    Population,
    Row,
    Waiting,
    are_alike,
    begin_member,
    save_checkpoint,
    weights_of,
    with_members,
    without_stopped,
)
from muse.training.population_step import predict_devel, train_steps
from muse.training.stopping import check_finite

log = logging.getLogger(__name__)

LEAST_ON_GPU = 10  # models that population=auto trains together; chosen, not measured
CHECKPOINT_SHARE = 0.05  # of the time that writing checkpoints may take, beside the last of each


def members_at_once(config: TrainConfig, device: torch.device, models: int) -> int:
    """How many models of a run are trained together at most; 1: each alone.

    Args:
        models: of the run.

    Raises MuseError if `population` asks for what these settings cannot have, or `kernel` for what
    this machine has not.
    """
    if config.population == "off" or models == 1:
        return 1
    reason = reason_against(config)
    if config.population == "auto":
        if device.type != "cuda" or models < LEAST_ON_GPU or reason:
            return 1
    elif reason:
        raise MuseError(
            f"population={config.population} does not go with {reason}. Give population=auto: "
            "then each model is trained alone."
        )
    check_kernel(config.kernel, device, config.model.get("hidden"))
    return models if config.population == "auto" else config.population


def reason_against(config: TrainConfig) -> str | None:
    """The setting with which models cannot be trained together; None if there is none."""
    model = str(config.model["_target_"])
    return None if model in STACKED else f"{model}: only lstm, gru and plain have one"


def train_population(members: Sequence[Callable[[], Member]], most: int) -> None:
    """Train members to their ends; each leaves its checkpoint, see the top of this file.

    Args:
        members: functions that make them, called when there is a place; a member needs a
            checkpoint. Those of unlike shapes are trained one population after another.
        most: members at once; fewer if the memory is good for no more.
    """
    waiting = deque(map(Waiting, members))
    while waiting:
        waiting = _train_alike(waiting, most)
    torch.cuda.empty_cache()


def _train_alike(waiting: deque[Waiting], most: int) -> deque[Waiting]:
    """Train the first member and all of its shape; returns the others."""
    population: Population | None = None
    unlike: deque[Waiting] = deque()
    while True:
        joined, there = [], population.rows if population else []
        while waiting and len(there) + len(joined) < most:
            row = begin_member(waiting.popleft())
            if row and (there or joined) and not are_alike(row, (there or joined)[0]):
                unlike.append(row.origin)
            elif row:
                joined.append(row)
                most = min(most, _room(row)) if len(there) + len(joined) == 1 else most
        if joined:
            population = with_members(population, joined)
        if not population:
            return unlike
        if _train_epoch_within_memory(population):
            population = without_stopped(population)
            continue
        most = max(1, len(population.rows) // 2)
        log.info("Out of memory: the population goes on with %d models at once.", most)
        if len(population.rows) > 1:  # else it is left out
            waiting.extendleft(row.origin for row in reversed(population.rows))
        population = None
        torch.cuda.empty_cache()  # nothing happens where there is no GPU


def _train_epoch_within_memory(population: Population) -> bool:
    """Whether the memory was enough; what the error holds of it is free when this returns."""
    try:
        _train_epoch(population)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _room(row: Row) -> int:
    """Members like a first one that the free memory is good for."""
    config, train, devel = row.member.config, row.member.train, row.member.devel
    each = frame_bytes(row.state.model, train.features.shape[1], train.most_rows)
    first = parts_of(row.windows[: config.batch_size], train.features.device, each)
    frames = max(len(part) * int(part[:, 1].max()) for part in first)
    own = [train, devel] if config.folds else []  # the others share them
    return members_within(row.state.model, train, frames, own, row.rate > 0)


def _train_epoch(population: Population) -> None:
    """An epoch of each member, from the first step to its record and checkpoint."""
    started = time.perf_counter()
    for row in population.rows:
        begin_epoch(row.state, row.member.schedule)
    losses = train_steps(population)
    outputs = predict_devel(population)
    taken = (time.perf_counter() - started) / len(losses)  # of each, so that they add up
    now = time.perf_counter()
    due = now - population.saved >= population.saving / CHECKPOINT_SHARE
    for k, (row, own, output) in enumerate(zip(population.rows, losses, outputs, strict=True)):
        config, state, seed = row.member.config, row.state, row.member.seed
        epoch, lr = len(state.history) + 1, state.optimiser.param_groups[0]["lr"]
        try:
            check_finite("the loss", own, seed, epoch, lr)
            record = end_epoch(
                *(config, state, own, output, row.member.score, seed),
                *(time.perf_counter() - taken, lambda k=k: weights_of(population, k)),
            )
        except MuseError:
            row.failed = True
            continue
        state.history.append(record)
        if due or row.ended:
            save_checkpoint(population, k)
        if len(state.history) > row.origin.told:  # else before it ran out of memory
            row.member.on_epoch(record)
            row.origin.told += 1
    if due:
        population.saved = time.perf_counter()
        population.saving = population.saved - now
