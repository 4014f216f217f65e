"""Many models of one shape trained together: seeds, folds, subjects, the grid points of a sweep.

Each member of a population keeps what its training alone would have: weights, shuffling, dropout,
learning rate, early stop and best weights, and a checkpoint in the same file. What a population
leaves behind are these checkpoints, from which the training of each ends at once; nothing that
comes later knows of it. A member that cannot go on, since its loss is not finite or its checkpoint
is of another run, is left out: its training alone says why.

A member that has stopped leaves at the end of the epoch, which costs one copy of the weights of
all, less than a single training step; one that waits takes its place.

Shapes: N members, P weights of a model, T frames, B windows, F features, K targets, O outputs.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from muse.config.train import TrainConfig
from muse.cores import is_out_of_memory
from muse.data.windows import Frames, cut_windows
from muse.errors import MuseError
from muse.models.stacked import STACKED, from_row, to_row
from muse.models.stacked_layers import check_kernel
from muse.training.loop import (
    Member,
    begin_epoch,
    classes_of,
    end_epoch,
    go_on_from,
    parts_of,
    seeded,
    start_state,
)
from muse.training.losses import balanced_weights, window_weights
from muse.training.memory import frame_bytes, members_within
from muse.training.model import new_model, outputs_of
from muse.training.population_data import index_of
from muse.training.population_step import (
    Population,
    Row,
    Waiting,
    predict_devel,
    train_steps,
)
from muse.training.stopping import check_finite, has_ended

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
            row = _begin(waiting.popleft())
            if row and (there or joined) and not _alike(row, (there or joined)[0]):
                unlike.append(row.origin)
            elif row:
                joined.append(row)
                most = min(most, _room(row)) if len(there) + len(joined) == 1 else most
        if joined:
            population = _with(population, joined)
        if not population:
            return unlike
        if _train_epoch_within_memory(population):
            population = _without_stopped(population)
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


def _begin(origin: Waiting) -> Row | None:
    """A member where its checkpoint was written; None if it has ended, or cannot go on."""
    try:
        member = origin.make()
        config, train, device = member.config, member.train, member.train.features.device
        with seeded(member.seed, device) as (shuffle, start_training):
            model = new_model(config, train)
            if member.start:
                model.load_state_dict(member.start)
            state = start_state(config, model, train, shuffle)
            start_training()
            go_on_from(member.checkpoint, config, state, device, member.schedule)
            random, unused = torch.Generator(device), torch.get_rng_state()
            on_gpu = device.type == "cuda"
            random.set_state(torch.cuda.get_rng_state(device) if on_gpu else unused)
    except MuseError:
        return None
    except RuntimeError as error:
        if not is_out_of_memory(error):  # else there may be room when it is alone
            raise
        return None
    for record in state.history[origin.told :]:
        member.on_epoch(record)
        origin.told += 1
    if has_ended(config, state.history, member.schedule):
        return None
    moments = state.optimiser.state_dict()["state"]
    steps = int(moments[0]["step"]) if moments else 0
    windows = cut_windows(train.samples, config.window, config.hop)
    counts = _class_counts(config, train, windows)
    return Row(member, state, random, unused, windows, steps, origin, counts)


def _class_counts(config: TrainConfig, train: Frames, windows: np.ndarray) -> np.ndarray | None:
    """How much each window counts for each target by its class, at its last frame: (frames, K)."""
    if not config.class_weights:
        return None
    gold = classes_of(train, windows).cpu()
    counts = np.zeros(train.labels.shape)
    weights = balanced_weights(gold, outputs_of(config, train))
    counts[windows.sum(1) - 1] = window_weights(gold, weights).numpy()
    return counts


def _alike(row: Row, other: Row) -> bool:
    """Whether two members can be rows of one population."""

    def shape(of: Row) -> tuple:
        config, model = of.member.config, of.state.model
        sizes = {name: weight.shape for name, weight in model.state_dict().items()}
        loss = config.loss, config.loss_over, outputs_of(config, of.member.train)
        return type(model), sizes, loss, config.precision, of.member.devel is None

    return shape(row) == shape(other)


def _with(population: Population | None, joined: list[Row]) -> Population:
    """The population with more members."""
    weights = [to_row(row.state.model.state_dict()) for row in joined]
    values = [weights, [], []]
    for row, own in zip(joined, weights, strict=True):
        moments = row.state.optimiser.state_dict()["state"]
        for name, rows in zip(("exp_avg", "exp_avg_sq"), values[1:], strict=True):
            kept = {str(k): moments[k][name] for k in sorted(moments)}
            rows.append(to_row(kept) if kept else torch.zeros_like(own))
    stacked = [torch.stack(rows) for rows in values]
    if population:
        before = population.weights.detach(), population.mean, population.square
        stacked = [torch.cat(pair) for pair in zip(before, stacked, strict=True)]
        joined = [*population.rows, *joined]
    return Population(joined, stacked[0].requires_grad_(), *stacked[1:])


def _without_stopped(population: Population) -> Population | None:
    """The population of the members that go on; None if there is none."""
    rows = population.rows
    live = [k for k, row in enumerate(rows) if not row.failed and not row.ended]
    if len(live) == len(rows):
        return population
    if not live:
        return None
    index = index_of(live, population.weights)
    kept = population.weights.detach(), population.mean, population.square
    weights, mean, square = (value[index] for value in kept)
    times = population.frames, population.saved, population.saving
    return Population([rows[k] for k in live], weights.requires_grad_(), mean, square, *times)


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
                *(time.perf_counter() - taken, lambda k=k: _weights(population, k)),
            )
        except MuseError:
            row.failed = True
            continue
        state.history.append(record)
        if due or row.ended:
            _save(population, k)
        if len(state.history) > row.origin.told:  # else before it ran out of memory
            row.member.on_epoch(record)
            row.origin.told += 1
    if due:
        population.saved = time.perf_counter()
        population.saving = population.saved - now


def _weights(population: Population, k: int) -> dict[str, Tensor]:
    return from_row(population.weights[k].detach().cpu(), population.model)


def _save(population: Population, k: int) -> None:
    """Write the checkpoint of a member as its training alone writes it."""
    row = population.rows[k]
    state, device = row.state, row.member.train.features.device
    model, optimiser = state.model, state.optimiser
    model.load_state_dict(from_row(population.weights[k].detach(), model))
    means, squares = (
        from_row(moment[k].clone(), model) for moment in (population.mean, population.square)
    )
    for name, weight in model.named_parameters():
        step = torch.tensor(float(row.steps))
        moments = {"step": step, "exp_avg": means[name], "exp_avg_sq": squares[name]}
        optimiser.state[weight] = moments
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(row.unused if device.type == "cuda" else row.random.get_state())
        if device.type == "cuda":
            torch.cuda.set_rng_state(row.random.get_state(), device)
        row.member.checkpoint.save(state, device)
