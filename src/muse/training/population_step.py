"""A training step, and a prediction, of all members of a population at once.

Shapes: N members, P weights of a model, T frames, B windows, F features, K targets, O outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from muse.cores import STEP_BYTES
from muse.data.windows import Frames, collate, group_by_length, on_device
from muse.models.stacked import dropout_of, forward_rows
from muse.training.checkpoint import TrainState
from muse.training.gradient import with_noise
from muse.training.loop import LEAST_WIDTH, Member, outputs_of, parts_of
from muse.training.losses import loss_weight, window_losses
from muse.training.memory import frame_bytes, stacked_bytes
from muse.training.schedule import warmed_up

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
    failed: bool = False  # its training alone will say why

    @property
    def rate(self) -> float:
        return float(self.member.config.model["dropout"])


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


def train_steps(population: Population) -> list[Tensor]:
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
            having = {k: plans[k][number][part] for k in active if part < len(plans[k][number])}
            for chosen in _at_once(population, having):
                batches = [sum(loss_weight(rows[k].member.config.loss, own[:, 1])
                               for own in plans[k][number]) for k in chosen]  # fmt: skip
                own = _losses(population, chosen, [having[k] for k in chosen], batches)  # (chosen,)
                own.sum().backward()  # no weight is of two members
                total = total.index_add(0, index_of(chosen, total), own.detach())
        _adam(population, active, number, plans)
        losses.append(total)
    values = torch.stack(losses).cpu()  # (steps, N)
    return [values[: len(plan), k] for k, plan in enumerate(plans)]


def _at_once(population: Population, parts: dict[int, np.ndarray]) -> list[list[int]]:
    """Which members go through together: all; on the CPU no more than STEP_BYTES are good for.

    Args:
        parts: member -> its windows.
    """
    chosen, first = list(parts), population.rows[0].member
    if first.train.features.device.type != "cpu":
        return [chosen]
    frames = max(len(part) * int(part[:, 1].max()) for part in parts.values())
    dropped = any(row.rate for row in population.rows)
    each = stacked_bytes(population.model, first.train.features.shape[1], dropped) * frames
    size = max(1, STEP_BYTES // each)
    return [chosen[k : k + size] for k in range(0, len(chosen), size)]


def _steps_of(row: Row) -> list[list[np.ndarray]]:
    """The parts of each training step of an epoch, windows shuffled as alone."""
    config, train = row.member.config, row.member.train
    order = torch.randperm(len(row.windows), generator=row.state.shuffle).numpy()
    windows, size = row.windows[order], config.batch_size
    each = frame_bytes(row.state.model, train.features.shape[1], train.most_rows)
    batches = [windows[k : k + size] for k in range(0, len(windows), size)]
    return [parts_of(batch, train.features.device, each) for batch in batches]


def _losses(
    population: Population, chosen: list[int], parts: list[np.ndarray], batches: list[int]
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
    weights, kernel = _rows(population, chosen), config.kernel
    output = forward_rows(population.model, weights, x, lengths, drop, kernel)
    losses = window_losses(
        config.loss,
        output.transpose(1, 2).flatten(0, 1),
        gold.transpose(1, 2).flatten(0, 1),
        lengths.flatten().clamp_min(1),  # a window that is not there counts nothing below
        outputs_of(config, train),
    ).view(lengths.shape)
    share = on_device(1 / np.array(batches, float), x.device).to(losses.dtype)
    return (losses * (lengths > 0)).sum(1) * share


def _gather(partitions: list[Frames], parts: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
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


def _rows(population: Population, chosen: list[int]) -> Tensor:
    """The weights of some members: (chosen, P)."""
    weights = population.weights
    if len(chosen) == len(weights):
        return weights
    return weights.index_select(0, index_of(chosen, weights))


def index_of(chosen: list[int], like: Tensor) -> Tensor:
    return on_device(np.array(chosen), like.device)


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


def predict_devel(population: Population) -> list[np.ndarray]:
    """What each member predicts of its devel: (frames, O), zero where no sample is."""
    rows = population.rows
    devels = [row.member.devel for row in rows]
    width = max(LEAST_WIDTH * devels[0].most_rows, devels[0].features.shape[1])
    plans = [group_by_length(devel.samples, population.frames * width, width) for devel in devels]
    kernel = rows[0].member.config.kernel
    most, same = max(len(devel.labels) for devel in devels) - 1, len(set(map(id, devels))) == 1
    outputs: Tensor | None = None
    with torch.no_grad():
        for part in range(max(map(len, plans))):
            having = {k: plan[part] for k, plan in enumerate(plans) if part < len(plan)}
            for chosen in _at_once(population, having):
                parts = [having[k] for k in chosen]
                if same:
                    x, _, lengths = _gather(devels[:1], parts[:1])
                    x, lengths = x.expand(len(chosen), -1, -1, -1), lengths.expand(len(chosen), -1)
                else:
                    x, _, lengths = _gather([devels[k] for k in chosen], parts)
                weights = _rows(population, chosen)
                result = forward_rows(population.model, weights, x, lengths, None, kernel)
                if outputs is None:
                    outputs = result.new_zeros(len(rows), most + 1, result.shape[3])
                starts = on_device(_padded(parts)[..., 0], x.device)[:, None]  # (N, 1, B)
                steps = torch.arange(x.shape[1], device=x.device)[:, None]  # (T, 1)
                where = torch.where(steps < lengths[:, None], starts + steps, most)  # (N, T, B)
                outputs[index_of(chosen, x)[:, None, None], where] = result
    found = outputs.cpu().numpy()
    return [own[: len(devel.labels) - 1] for own, devel in zip(found, devels, strict=True)]
