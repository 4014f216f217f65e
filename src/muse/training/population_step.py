"""A training step, and a prediction, of all members of a population at once.

Shapes: N members, P weights of a model, T frames, B windows, F features, K targets, O outputs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from muse.cores import STEP_BYTES
from muse.data.windows import group_by_length, on_device
from muse.models.stacked import dropout_of, forward_rows
from muse.training.checkpoint import TrainState
from muse.training.gradient import outputs_of_parts, with_noise
from muse.training.loop import (
    LEAST_WIDTH,
    Member,
    arithmetic,
    has_ended,
    outputs_of,
    parts_of,
)
from muse.training.losses import loss_weight, window_losses
from muse.training.memory import frame_bytes, stacked_bytes
from muse.training.population_data import gather, index_of, padded, write_frames
from muse.training.schedule import warmed_up

Part = dict[int, np.ndarray]  # member -> windows of its that go through the model together

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of torch.optim.Adam


@dataclass
class Waiting:
    """A member that has not begun, or begins again at its checkpoint."""

    make: Callable[[], Member]
    told: int = 0  # epochs that `on_epoch` has been told of


@dataclass
class Row:
    """A member that is trained."""

    member: Member
    state: TrainState  # its weights and moments are those of the last checkpoint
    random: torch.Generator  # of dropout and noise
    unused: Tensor  # state of the CPU's generator, for the checkpoint
    windows: np.ndarray
    steps: int  # of Adam
    origin: Waiting
    counts: np.ndarray | None  # with class_weights: of windows that end at a frame, (frames, K)
    failed: bool = False  # its training alone will say why

    @property
    def rate(self) -> float:
        return float(self.member.config.model["dropout"])

    @property
    def ended(self) -> bool:
        return has_ended(self.member.config, self.state.history, self.member.schedule)

    def share(self, part: np.ndarray, step: list[np.ndarray]) -> np.ndarray | float:
        """The weights of a part's `window_losses` in its training step: (B, K), or one for all."""
        config, batch = self.member.config, np.concatenate(step)
        if config.loss_over == "batch":  # its frames are one window
            return 1.0
        if self.counts is None:
            return 1 / loss_weight(config.loss, batch[:, 1])
        own, all_ = (self.counts[windows.sum(1) - 1] for windows in (part, batch))
        return own / all_.sum(0)


@dataclass
class Population:
    """Members and their weights, one row each."""

    rows: list[Row]
    weights: Tensor  # (N, P)
    mean: Tensor  # of the gradients, (N, P)
    square: Tensor  # mean of the squares of the gradients, (N, P)
    frames: int = 0  # that went through the model of a member at once, at most
    saved: float = 0.0  # when the checkpoints were written
    saving: float = 0.0  # seconds that took

    @property
    def model(self) -> nn.Module:
        """A model of the shape that all have."""
        return self.rows[0].state.model

    @property
    def over_batch(self) -> bool:
        """Whether the loss is one over all frames of a training step."""
        return self.rows[0].member.config.loss_over == "batch"


def train_steps(population: Population) -> list[Tensor]:
    """The training steps of an epoch; returns the losses (steps,) of each member, on the CPU.

    Nothing is read from the device before the end.
    """
    rows, plans = population.rows, [_steps_of(row) for row in population.rows]
    losses = []
    for number in range(max(map(len, plans))):
        population.weights.grad = None
        step = {k: plan[number] for k, plan in enumerate(plans) if number < len(plan)}
        total = population.weights.new_zeros(len(rows))
        for parts in _passes(population, step):
            own = _losses(population, parts, step)
            own.sum().backward()  # no weight is of two members
            total = total.index_add(0, index_of(list(parts[0]), total), own.detach())
        _adam(population, list(step), number, plans)
        losses.append(total)
    values = torch.stack(losses).cpu()  # (steps, N)
    return [values[: len(plan), k] for k, plan in enumerate(plans)]


def _passes(population: Population, step: dict[int, list[np.ndarray]]) -> Iterator[list[Part]]:
    """The parts of a training step, each time those that have one backward pass.

    A loss over the batch needs all parts of a member at once, any other is a sum over them. The
    first of the parts is of all members that go through.

    Args:
        step: member -> its parts.
    """
    most = max(map(len, step.values()))
    parts = [{k: own[p] for k, own in step.items() if p < len(own)} for p in range(most)]
    for together in [parts] if population.over_batch else [[part] for part in parts]:
        for chosen in _at_once(population, together):
            own = [{k: part[k] for k in chosen if k in part} for part in together]
            yield [part for part in own if part]


def _at_once(population: Population, parts: list[Part]) -> list[list[int]]:
    """Which members go through together: all; on the CPU no more than STEP_BYTES are good for."""
    chosen = list(parts[0])
    if population.weights.device.type != "cpu":
        return [chosen]
    size = max(1, STEP_BYTES // _member_bytes(population, parts))
    return [chosen[k : k + size] for k in range(0, len(chosen), size)]


def _member_bytes(population: Population, parts: list[Part]) -> int:
    """Memory that parts take together, of the member with the most frames."""
    features = population.rows[0].member.train.features.shape[1]
    each = stacked_bytes(population.model, features, any(row.rate for row in population.rows))
    return each * max(
        sum(len(part[k]) * int(part[k][:, 1].max()) for part in parts if k in part)
        for k in parts[0]
    )


def _steps_of(row: Row) -> list[list[np.ndarray]]:
    """The parts of each training step of an epoch, windows shuffled as alone."""
    config, train = row.member.config, row.member.train
    order = torch.randperm(len(row.windows), generator=row.state.shuffle).numpy()
    windows, size = row.windows[order], config.batch_size
    each = frame_bytes(row.state.model, train.features.shape[1], train.most_rows)
    batches = [windows[k : k + size] for k in range(0, len(windows), size)]
    return [parts_of(batch, train.features.device, each) for batch in batches]


def _losses(population: Population, parts: list[Part], step: dict[int, list]) -> Tensor:
    """What parts of a training step add to the losses of their members: (N,).

    Args:
        parts, step: see `_passes`.
    """
    first, joint = population.rows[0].member, population.over_batch
    output, gold, lengths = (
        _end_to_end(population, parts) if joint else _forward(population, parts[0])
    )
    losses = window_losses(
        first.config.loss,
        output.flatten(0, 1),
        gold.flatten(0, 1),
        lengths.flatten().clamp_min(1),  # a window that is not there counts nothing below
        outputs_of(first.config, first.train),
    )
    shares = np.zeros((*lengths.shape, losses.shape[1]))
    for k, (own, windows) in enumerate(parts[0].items()):
        shares[k, : len(windows)] = population.rows[own].share(windows, step[own])
    shares = on_device(shares, losses.device).to(losses.dtype)
    return (losses.view(shares.shape) * shares).sum(1).mean(1)


def _forward(population: Population, part: Part) -> tuple[Tensor, Tensor, Tensor]:
    """Output (N, B, T, O), gold standard (N, B, T, K) and lengths (N, B) of a part's members."""
    rows, parts = [population.rows[k] for k in part], list(part.values())
    x, gold, lengths = gather([row.member.train for row in rows], parts)
    for k, row in enumerate(rows):
        if noise := row.member.config.noise:
            count, frames = len(parts[k]), int(parts[k][:, 1].max())
            own = x[k, :frames, :count].transpose(0, 1)  # (B, T, F)
            own.copy_(with_noise(own, lengths[k, :count], noise, row.random))
    population.frames = max(population.frames, x.shape[1] * x.shape[2])
    sizes = [(int(part[:, 1].max()), len(part)) for part in parts]
    drop = dropout_of([row.rate for row in rows], sizes, [row.random for row in rows])
    weights, own = _rows(population, list(part)), rows[0].member.config
    with arithmetic(own, x.device):
        output = forward_rows(population.model, weights, x, lengths, drop, own.kernel)
    return output.transpose(1, 2).to(gold.dtype), gold.transpose(1, 2), lengths


def _end_to_end(population: Population, parts: list[Part]) -> tuple[Tensor, Tensor, Tensor]:
    """As `_forward`, all frames of a member as one window, see `joint_gradient`."""
    chosen = list(parts[0])
    frames = {k: sum(int(part[k][:, 1].sum()) for part in parts if k in part) for k in chosen}
    keep = len(parts) == 1 or _member_bytes(population, parts) * len(chosen) <= STEP_BYTES
    random, most = [population.rows[k].random for k in chosen], max(frames.values())
    results = outputs_of_parts(partial(_forward, population), parts, keep, random)
    lines, written = [], dict.fromkeys(chosen, 0)
    for part, (*values, lengths) in zip(parts, results, strict=True):
        starts = np.zeros(lengths.shape, np.int64)
        for k, (own, windows) in enumerate(part.items()):
            ends = written[own] + windows[:, 1].cumsum()
            starts[k, : len(windows)] = ends - windows[:, 1]
            written[own] = int(ends[-1])
        lines = lines or [v.new_zeros(len(chosen), most + 1, v.shape[3]) for v in values]
        for line, value in zip(lines, values, strict=True):
            write_frames(line, [chosen.index(own) for own in part], value, starts, lengths)
    output, gold = (line[:, None, :-1] for line in lines)  # (N, 1, frames, O), (N, 1, frames, K)
    return output, gold, on_device(np.array([[n] for n in frames.values()]), gold.device)


def _rows(population: Population, chosen: list[int]) -> Tensor:
    """The weights of some members: (chosen, P)."""
    weights = population.weights
    if len(chosen) == len(weights):
        return weights
    return weights.index_select(0, index_of(chosen, weights))


def _adam(population: Population, active: list[int], number: int, plans: list[list]) -> None:
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


def predict_devel(population: Population) -> list[np.ndarray | None]:
    """What each member predicts of its devel, if it has one: (frames, O), zero past all samples."""
    rows = population.rows
    devels = [row.member.devel for row in rows]
    if devels[0] is None:
        return devels
    width = max(LEAST_WIDTH * devels[0].most_rows, devels[0].features.shape[1])
    plans = [group_by_length(devel.samples, population.frames * width, width) for devel in devels]
    kernel = rows[0].member.config.kernel
    most, same = max(len(devel.labels) for devel in devels) - 1, len(set(map(id, devels))) == 1
    outputs: Tensor | None = None
    with torch.no_grad():
        for part in range(max(map(len, plans))):
            having = {k: plan[part] for k, plan in enumerate(plans) if part < len(plan)}
            for chosen in _at_once(population, [having]):
                parts = [having[k] for k in chosen]
                if same:
                    x, _, lengths = gather(devels[:1], parts[:1])
                    x, lengths = x.expand(len(chosen), -1, -1, -1), lengths.expand(len(chosen), -1)
                else:
                    x, _, lengths = gather([devels[k] for k in chosen], parts)
                weights = _rows(population, chosen)
                result = forward_rows(population.model, weights, x, lengths, None, kernel)
                if outputs is None:
                    outputs = result.new_zeros(len(rows), most + 1, result.shape[3])
                starts = padded(parts)[..., 0]
                write_frames(outputs, chosen, result.transpose(1, 2), starts, lengths)
    found = outputs.cpu().numpy()
    return [own[: len(devel.labels) - 1] for own, devel in zip(found, devels, strict=True)]
