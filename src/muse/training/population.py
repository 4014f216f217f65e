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
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from muse.config.train import TrainConfig
from muse.data.windows import Frames, collate, cut_windows, group_by_length, on_device
from muse.errors import MuseError
from muse.models.stacked import STACKED, dropout_of, forward_rows, from_row, to_row
from muse.training.checkpoint import TrainState
from muse.training.gradient import with_noise
from muse.training.loop import (
    LEAST_WIDTH,
    Member,
    check_finite,
    end_epoch,
    go_on_from,
    has_ended,
    new_model,
    outputs_of,
    parts_of,
    seeded,
    start_state,
)
from muse.training.losses import loss_weight, window_losses
from muse.training.memory import frame_bytes, members_within
from muse.training.schedule import warmed_up

log = logging.getLogger(__name__)

CHECKPOINT_SHARE = 0.05  # of the time that writing checkpoints may take, beside the last of each
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of torch.optim.Adam


@dataclass
class _Waiting:
    """A member that has not begun, or begins again at its checkpoint."""

    make: Callable[[], Member]
    told: int = 0  # epochs that `on_epoch` has been told of


@dataclass
class _Row:
    """A member that is trained."""

    member: Member
    state: TrainState  # its weights and moments are those of the last checkpoint
    random: torch.Generator  # of dropout and noise
    unused: Tensor  # state of the CPU's generator, for the checkpoint
    windows: np.ndarray
    steps: int  # of Adam
    origin: _Waiting
    failed: bool = False  # its training alone will say why

    @property
    def rate(self) -> float:
        return float(self.member.config.model["dropout"])


@dataclass
class _Population:
    """Members and their weights, one row each."""

    rows: list[_Row]
    weights: Tensor  # (N, P)
    mean: Tensor  # of the gradients, (N, P)
    square: Tensor  # mean of the squares of the gradients, (N, P)
    frames: int = 0  # that went through the model of a member at once, at most
    saved: float = 0.0  # when the checkpoints were written
    saving: float = 0.0  # seconds that took

    @property
    def model(self) -> torch.nn.Module:
        """A model of the shape that all have."""
        return self.rows[0].state.model


def reason_against(config: TrainConfig) -> str | None:
    """Why the models of a run cannot be trained as a population; None if they can."""
    indicator = config.has_indicator and config.folds
    reasons = {
        "only model=lstm, gru and plain are": str(config.model["_target_"]) not in STACKED,
        "a run that is trained again is not": config.retrained,
        "with loss_over=batch nothing is": config.loss_over == "batch",
        f"with class_weights={config.class_weights} nothing is": config.class_weights,
        f"with precision={config.precision} nothing is": config.precision != "float32",
        "with folds and difficulty indicators, which each fold computes, nothing is": indicator,
    }
    return next((reason for reason, yes in reasons.items() if yes), None)


def train_population(members: Sequence[Callable[[], Member]], most: int) -> None:
    """Train members to their ends; each leaves its checkpoint, see the top of this file.

    Args:
        members: functions that make them, called when there is a place; a member needs a
            checkpoint. Those of unlike shapes are trained one population after another.
        most: members at once; fewer if the memory is good for no more.
    """
    waiting = deque(map(_Waiting, members))
    while waiting:
        waiting = _train_alike(waiting, most)


def _train_alike(waiting: deque[_Waiting], most: int) -> deque[_Waiting]:
    """Train the first member and all of its shape; returns the others."""
    population: _Population | None = None
    unlike: deque[_Waiting] = deque()
    while True:
        while waiting and (population is None or len(population.rows) < most):
            row = _begin(waiting.popleft())
            if row and population and not _alike(row, population.rows[0]):
                unlike.append(row.origin)
            elif row:
                population = _with(population, row)
                most = min(most, _room(row)) if len(population.rows) == 1 else most
        if not population:
            return unlike
        try:
            _train_epoch(population)
        except torch.cuda.OutOfMemoryError:
            most = len(population.rows) // 2
            if not most:
                raise
            log.info("Out of memory: the population goes on with %d models at once.", most)
            waiting.extendleft(row.origin for row in reversed(population.rows))
            population = None
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        population = _without_stopped(population)


def _room(row: _Row) -> int:
    """Members like a first one that the free memory is good for."""
    config, train, devel = row.member.config, row.member.train, row.member.devel
    each = frame_bytes(row.state.model, train.features.shape[1], train.most_rows)
    first = parts_of(row.windows[: config.batch_size], train.features.device, each)
    frames = max(len(part) * int(part[:, 1].max()) for part in first)
    own = [train, devel] if config.folds else []  # the others share them
    return members_within(row.state.model, train, frames, own, row.rate > 0)


def _begin(origin: _Waiting) -> _Row | None:
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
            go_on_from(member.checkpoint, config, state, device)
            random, unused = torch.Generator(device), torch.get_rng_state()
            on_gpu = device.type == "cuda"
            random.set_state(torch.cuda.get_rng_state(device) if on_gpu else unused)
    except MuseError:
        return None
    for record in state.history[origin.told :]:
        member.on_epoch(record)
        origin.told += 1
    if has_ended(config, state.history):
        return None
    moments = state.optimiser.state_dict()["state"]
    steps = int(moments[0]["step"]) if moments else 0
    windows = cut_windows(train.samples, config.window, config.hop)
    return _Row(member, state, random, unused, windows, steps, origin)


def _alike(row: _Row, other: _Row) -> bool:
    """Whether two members can be rows of one population."""

    def shape(of: _Row) -> tuple:
        config, model = of.member.config, of.state.model
        sizes = {name: weight.shape for name, weight in model.state_dict().items()}
        return type(model), sizes, config.loss, outputs_of(config, of.member.train)

    return shape(row) == shape(other)


def _with(population: _Population | None, row: _Row) -> _Population:
    """The population with one more member."""
    weights = to_row(row.state.model.state_dict())
    moments = row.state.optimiser.state_dict()["state"]
    values = [weights]
    for name in ("exp_avg", "exp_avg_sq"):
        kept = {str(k): moments[k][name] for k in sorted(moments)}
        values.append(to_row(kept) if kept else torch.zeros_like(weights))
    if population:
        before = population.weights.detach(), population.mean, population.square
        values = [torch.cat([old, new[None]]) for old, new in zip(before, values, strict=True)]
        rows = [*population.rows, row]
    else:
        values, rows = [value[None] for value in values], [row]
    return _Population(rows, values[0].requires_grad_(), *values[1:])


def _without_stopped(population: _Population) -> _Population | None:
    """The population of the members that go on; None if there is none."""
    rows = population.rows
    live = [k for k, row in enumerate(rows)
            if not row.failed and not has_ended(row.member.config, row.state.history)]  # fmt: skip
    if len(live) == len(rows):
        return population
    if not live:
        return None
    index = _index(live, population.weights)
    kept = population.weights.detach(), population.mean, population.square
    weights, mean, square = (value[index] for value in kept)
    times = population.frames, population.saved, population.saving
    return _Population([rows[k] for k in live], weights.requires_grad_(), mean, square, *times)


def _train_epoch(population: _Population) -> None:
    """An epoch of each member, from the first step to its record and checkpoint."""
    started = time.perf_counter()
    losses = _train_steps(population)
    outputs = _predict(population)
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
        if due or has_ended(config, state.history):
            _save(population, k)
        if len(state.history) > row.origin.told:  # else before it ran out of memory
            row.member.on_epoch(record)
            row.origin.told += 1
    if due:
        population.saved = time.perf_counter()
        population.saving = population.saved - now


def _weights(population: _Population, k: int) -> dict[str, Tensor]:
    return from_row(population.weights[k].detach().cpu(), population.model)


def _save(population: _Population, k: int) -> None:
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


def _train_steps(population: _Population) -> list[Tensor]:
    """The training steps of an epoch; returns the losses (steps,) of each member, on the CPU.

    Nothing is read from the device before the end.
    """
    rows, plans = population.rows, [_steps_of(row) for row in population.rows]
    losses = []
    for number in range(max(map(len, plans))):
        population.weights.grad = None
        active = [k for k, plan in enumerate(plans) if number < len(plan)]
        total = population.weights.new_zeros(len(rows))
        for part in range(max(len(plans[k][number]) for k in active)):
            chosen = [k for k in active if part < len(plans[k][number])]
            parts = [plans[k][number][part] for k in chosen]
            batches = [sum(loss_weight(rows[k].member.config.loss, own[:, 1])
                           for own in plans[k][number]) for k in chosen]  # fmt: skip
            own = _losses(population, chosen, parts, batches)  # (chosen,)
            own.sum().backward()  # no weight is of two members
            total = total.index_add(0, _index(chosen, total), own.detach())
        _adam(population, active, number, plans)
        losses.append(total)
    values = torch.stack(losses).cpu()  # (steps, N)
    return [values[: len(plan), k] for k, plan in enumerate(plans)]


def _steps_of(row: _Row) -> list[list[np.ndarray]]:
    """The parts of each training step of an epoch, windows shuffled as alone."""
    config, train = row.member.config, row.member.train
    order = torch.randperm(len(row.windows), generator=row.state.shuffle).numpy()
    windows, size = row.windows[order], config.batch_size
    each = frame_bytes(row.state.model, train.features.shape[1], train.most_rows)
    batches = [windows[k : k + size] for k in range(0, len(windows), size)]
    return [parts_of(batch, train.features.device, each) for batch in batches]


def _losses(
    population: _Population, chosen: list[int], parts: list[np.ndarray], batches: list[int]
) -> Tensor:
    """What a part of the batch of each chosen member adds to its loss: (chosen,).

    Args:
        batches: what the windows of the whole batch weigh together, see `loss_weight`.
    """
    rows = [population.rows[k] for k in chosen]
    config, train = rows[0].member.config, rows[0].member.train
    x, gold, lengths = _gather([row.member.train for row in rows], parts)
    for k, row in enumerate(rows):
        if noise := row.member.config.noise:
            count, frames = len(parts[k]), int(parts[k][:, 1].max())
            own = x[k, :frames, :count].transpose(0, 1)  # (B, T, F)
            own.copy_(with_noise(own, lengths[k, :count], noise, row.random))
    population.frames = max(population.frames, x.shape[1] * x.shape[2])
    sizes = [(int(part[:, 1].max()), len(part)) for part in parts]
    drop = dropout_of([row.rate for row in rows], sizes, [row.random for row in rows])
    output = forward_rows(population.model, _rows(population, chosen), x, lengths, drop)
    losses = window_losses(
        config.loss,
        output.transpose(1, 2).flatten(0, 1),
        gold.transpose(1, 2).flatten(0, 1),
        lengths.flatten().clamp_min(1),  # a window that is not there counts nothing below
        outputs_of(config, train),
    ).view(lengths.shape)
    share = on_device(1 / np.array(batches, float), x.device).to(losses.dtype)
    return (losses * (lengths > 0)).sum(1) * share


def _gather(
    partitions: list[Frames], parts: list[np.ndarray]
) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of each member, padded: features (N, T, B, F), labels (N, T, B, K), lengths (N, B).

    Args:
        partitions: of each member; those that are the same object are read together.
        parts: the windows of each.
    """
    windows = _padded(parts)
    count, frames = windows.shape[1], int(windows[..., 1].max())
    lengths = on_device(windows[..., 1], partitions[0].labels.device)
    owners: dict[int, list[int]] = {}
    for k, partition in enumerate(partitions):
        owners.setdefault(id(partition), []).append(k)
    found: list[Tensor] = []
    for own in owners.values():
        partition = partitions[own[0]]
        given = collate(partition, windows[own].reshape(-1, 2))[:2]
        values = [v.unflatten(0, (len(own), count)).transpose(1, 2) for v in given]
        if len(owners) == 1:
            return values[0].contiguous(), values[1], lengths
        found = found or [v.new_zeros(len(parts), frames, count, v.shape[3]) for v in values]
        for whole, part in zip(found, values, strict=True):
            whole[own, : part.shape[1]] = part
    return found[0], found[1], lengths


def _padded(parts: list[np.ndarray]) -> np.ndarray:
    """Windows of each member, filled up with windows of no frames: (N, B, 2)."""
    windows = np.zeros((len(parts), max(map(len, parts)), 2), np.int64)
    for k, part in enumerate(parts):
        windows[k, : len(part)] = part
    return windows


def _rows(population: _Population, chosen: list[int]) -> Tensor:
    """The weights of some members: (chosen, P)."""
    weights = population.weights
    return weights if len(chosen) == len(weights) else weights[_index(chosen, weights)]


def _index(chosen: list[int], like: Tensor) -> Tensor:
    return on_device(np.array(chosen), like.device)


def _adam(
    population: _Population, active: list[int], number: int, plans: list[list]
) -> None:
    """A step of Adam of the active members, as torch.optim.Adam makes it of each alone.

    Args:
        number: of the step in the epoch, from 0.
    """
    values = np.zeros((7, len(plans)))
    values[4:6] = 1.0  # of a member that makes no step nothing is divided by 0
    values[6] = np.inf
    for k in active:
        row = population.rows[k]
        config, lr = row.member.config, row.state.optimiser.param_groups[0]["lr"]
        if config.warmup is not None:
            step, steps = len(row.state.history) * len(plans[k]) + number, len(plans[k])
            lr *= warmed_up(step, config.epochs * steps, config.warmup)
        row.steps += 1
        corrections = [1 - beta**row.steps for beta in BETAS]
        values[:4, k] = 1 - BETAS[0], 1 - BETAS[1], config.weight_decay, lr / corrections[0]
        values[4, k] = corrections[1] ** 0.5
        values[6, k] = np.inf if config.clip is None else config.clip
    weights, gradient = population.weights.detach(), population.weights.grad
    of = on_device(values, weights.device).to(weights.dtype)[:, :, None]  # (7, N, 1)
    if np.isfinite(values[6]).any():
        norm = gradient.norm(dim=1, keepdim=True)
        gradient = gradient * (of[6] / (norm + 1e-6)).clamp_max(1.0)
    if values[2].any():
        gradient = gradient + of[2] * weights
    population.mean.lerp_(gradient, of[0])
    population.square.lerp_(gradient.square(), of[1])
    divisor = (population.square.sqrt() / of[4]).add_(EPSILON)
    weights.addcdiv_(population.mean * of[3], divisor, value=-1)


def _predict(population: _Population) -> list[np.ndarray]:
    """What each member predicts of its devel: (frames, O), zero where no sample is."""
    rows = population.rows
    devels = [row.member.devel for row in rows]
    width = max(LEAST_WIDTH * devels[0].most_rows, devels[0].features.shape[1])
    plans = [group_by_length(devel.samples, population.frames * width, width) for devel in devels]
    most, same = max(len(devel.labels) for devel in devels) - 1, len(set(map(id, devels))) == 1
    outputs: Tensor | None = None
    with torch.no_grad():
        for part in range(max(map(len, plans))):
            chosen = [k for k, plan in enumerate(plans) if part < len(plan)]
            parts = [plans[k][part] for k in chosen]
            if same:  # of all members
                x, _, lengths = _gather(devels[:1], parts[:1])
                x, lengths = x.expand(len(rows), -1, -1, -1), lengths.expand(len(rows), -1)
            else:
                x, _, lengths = _gather([devels[k] for k in chosen], parts)
            result = forward_rows(population.model, _rows(population, chosen), x, lengths)
            if outputs is None:
                outputs = result.new_zeros(len(rows), most + 1, result.shape[3])
            starts = on_device(_padded(parts)[..., 0], x.device)[:, None]  # (N, 1, B)
            steps = torch.arange(x.shape[1], device=x.device)[:, None]  # (T, 1)
            where = torch.where(steps < lengths[:, None], starts + steps, most)  # (N, T, B)
            outputs[_index(chosen, x)[:, None, None], where] = result
    found = outputs.cpu().numpy()
    return [own[: len(devel.labels) - 1] for own, devel in zip(found, devels, strict=True)]
