"""One seed of one model: epochs, devel score, early stop, best weights.

Shapes: B windows, T frames, F features, O outputs (targets, or targets times classes).
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from muse.config.origin import Schedule
from muse.config.train import TrainConfig
from muse.data.windows import Frames, collate, cut_windows, group_by_length, on_device
from muse.models import is_of_muse
from muse.models.checks import check_outputs
from muse.training.checkpoint import Checkpoint, TrainState
from muse.training.device import renew_dropout
from muse.training.gradient import Outputs, joint_gradient, summed_gradient, with_noise
from muse.training.losses import balanced_weights, loss_function, loss_weight
from muse.training.memory import frame_bytes, step_parts, within_step
from muse.training.model import copy_on_cpu, new_model, outputs_of, predict
from muse.training.schedule import warmed_up
from muse.training.stopping import best_epoch, check_finite, check_not_passed, has_ended

TRIED_FRAMES = 64  # on which the model of a user is tried out


@dataclass(frozen=True)
class SeedResult:
    """What is left of one seed."""

    seed: int
    devel: float | None  # best score, reached in `best_epoch`; None if it was not looked at
    best_epoch: int
    epochs: int  # trained, early stop included
    weights: dict[str, Tensor]  # of the best epoch, on the CPU
    last: dict[str, Tensor]  # of the last epoch, on the CPU as well
    # of a model that is fitted, see muse.training.fit
    refitted: dict[str, Tensor] = field(default_factory=dict)  # weights of train and devel
    C: float | None = None  # that devel has chosen

    @property
    def about_fit(self) -> dict:
        """What result.json has of a model that is fitted, beside what it has of every model."""
        return {} if self.C is None else {"C": self.C}


class Member(NamedTuple):
    """What `train_seed` takes: a model to train, alone or in a population."""

    config: TrainConfig
    train: Frames
    devel: Frames | None
    score: Callable[[np.ndarray], float] | None
    seed: int
    on_epoch: Callable[[dict], None]
    checkpoint: Checkpoint | None = None
    start: dict[str, Tensor] | None = None
    schedule: Schedule | None = None


def train_seed(
    config: TrainConfig,
    train: Frames,
    devel: Frames | None,
    score: Callable[[np.ndarray], float] | None,
    seed: int,
    on_epoch: Callable[[dict], None],
    checkpoint: Checkpoint | None = None,
    start: dict[str, Tensor] | None = None,
    schedule: Schedule | None = None,
) -> SeedResult:
    """Train one model from a seed and keep the weights of the epoch that is best on devel.

    Args:
        train, devel: partitions on the device that the model is trained on.
        score: devel predictions (frames, O) -> score, higher is better.
        on_epoch: gets seed, epoch, loss, devel, best, lr and seconds after each epoch, those
            before a checkpoint included; with a schedule neither devel nor best.
        checkpoint: written after each epoch; if it is there, training goes on from it.
        start: weights to begin with. They are kept, as those of epoch 0, if no epoch is better.
        schedule: epochs and learning rates of a model that is trained again: devel is not looked
            at, and the weights of the last epoch are kept.

    Raises:
        MuseError: a loss or a devel prediction that is not finite, with epoch and step; a
            checkpoint that cannot be used.
    """
    device = train.features.device
    with seeded(seed, device) as (shuffle, start_training):
        model = new_model(config, train)
        if not list(model.parameters()):  # nothing to learn, such as a mean of predictions
            state = copy_on_cpu(model.state_dict())
            return SeedResult(seed, score(predict(model, devel)), 0, 0, state, state)
        if start:
            model.load_state_dict(start)
            before = score(predict(model, devel))
        progress = start_state(config, model, train, shuffle)
        windows = cut_windows(train.samples, config.window, config.hop)
        start_training()
        go_on_from(checkpoint, config, progress, device, schedule)
        history = progress.history
        for record in history:
            on_epoch(record)
        while not has_ended(config, history, schedule):
            order = torch.randperm(len(windows), generator=shuffle).numpy()
            begin_epoch(progress, schedule)
            history.append(_one_epoch(config, progress, train, windows[order], devel, score, seed))
            if checkpoint:
                checkpoint.save(progress, device)
            on_epoch(history[-1])
    last = copy_on_cpu(progress.model.state_dict())
    if schedule:
        return SeedResult(seed, None, len(history), len(history), last, last)
    if start and before >= history[-1]["best"]:
        return SeedResult(seed, before, 0, len(history), start, last)
    return SeedResult(
        seed, history[-1]["best"], best_epoch(history), len(history), progress.best, last
    )


def _one_epoch(
    config: TrainConfig,
    progress: TrainState,
    train: Frames,
    windows: np.ndarray,
    devel: Frames | None,
    score: Callable[[np.ndarray], float] | None,
    seed: int,
) -> dict:
    """Train on ``windows`` in their order, look at devel, keep the best weights; the record."""
    started, epoch = time.perf_counter(), len(progress.history) + 1
    lr = progress.optimiser.param_groups[0]["lr"]
    losses = train_epoch(progress.model, progress.optimiser, train, windows, config, epoch)
    check_finite("the loss", losses, seed, epoch, lr)
    output = predict(progress.model, devel) if devel else None
    return end_epoch(
        config, progress, losses, output, score, seed, started, progress.model.state_dict
    )


def end_epoch(
    config: TrainConfig,
    progress: TrainState,
    losses: Tensor,
    output: np.ndarray | None,
    score: Callable[[np.ndarray], float] | None,
    seed: int,
    started: float,
    weights: Callable[[], dict[str, Tensor]],
) -> dict:
    """Score devel, keep the weights if they are the best, adapt the learning rate; the record.

    Args:
        losses: (steps,) of the epoch.
        output: what the model predicts of devel, (frames, O); None: it is not looked at.
        started: when the epoch began, see `time.perf_counter`.
        weights: gives those of the model.
    """
    epoch, lr = len(progress.history) + 1, progress.optimiser.param_groups[0]["lr"]
    about = {"seed": seed, "epoch": epoch, "loss": float(losses.mean())}
    if output is not None:
        check_finite("a devel prediction", torch.from_numpy(output), seed, epoch, lr)
        value = score(output)
        best = progress.history[-1]["best"] if progress.history else -math.inf
        if value > best:
            progress.best = copy_on_cpu(weights())
        progress.plateau.step(1 - value if config.lr_on == "devel" else losses.mean().item())
        about |= {"devel": value, "best": max(value, best)}
    return about | {"lr": lr, "seconds": round(time.perf_counter() - started, 4)}


def begin_epoch(progress: TrainState, schedule: Schedule | None) -> None:
    """Set the learning rate of the epoch that comes next, if there is a schedule."""
    if schedule:
        epoch = len(progress.history) + 1
        for group in progress.optimiser.param_groups:
            group["lr"] = schedule.lr[max(first for first in schedule.lr if first <= epoch)]


def go_on_from(
    checkpoint: Checkpoint | None,
    config: TrainConfig,
    progress: TrainState,
    device: torch.device,
    schedule: Schedule | None = None,
) -> None:
    """Set a training that begins to where its checkpoint was written, if there is one.

    Raises MuseError for a checkpoint that cannot be used.
    """
    if checkpoint:
        checkpoint.load(progress, device)
    if checkpoint and not schedule:  # which does not change
        check_not_passed(config, progress.history, checkpoint.path)


def start_state(
    config: TrainConfig, model: nn.Module, train: Frames, shuffle: torch.Generator
) -> TrainState:
    """A new model with its optimiser and scheduler."""
    if hasattr(model, "load_pretrained"):
        model.load_pretrained()
    if not is_of_muse(config.model["_target_"]):
        _try_out(model, train, sum(outputs_of(config, train)))
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=config.lr_factor, patience=config.lr_patience, min_lr=config.lr_floor
    )
    return TrainState(model, optimiser, plateau, shuffle)


def _try_out(model: nn.Module, train: Frames, outputs: int) -> None:
    """Check the shape of a model's outputs on frames of the first sample, alone and padded."""
    start, length = train.samples[0].tolist()
    length = min(length, TRIED_FRAMES)
    features, _, lengths = collate(train, np.array([[start, length], [start, -(-length // 2)]]))
    check_outputs(model, features, lengths, outputs)


def train_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    train: Frames,
    windows: np.ndarray,
    config: TrainConfig,
    epoch: int = 1,
) -> Tensor:
    """One step per batch of ``windows``, (windows, 2) in the order given; returns (steps,) losses.

    On the CPU padding costs more than a second pass, so the windows of a batch go through the model
    in groups of similar length, and no more at once than memory is good for (`step_parts`); the
    gradient is that of the whole batch.

    Args:
        epoch: from 1; the learning rate depends on it if there is a warm-up.
    """
    model.train()
    renew_dropout(train.features.device)
    outputs = outputs_of(config, train)
    balanced = config.class_weights and balanced_weights(classes_of(train, windows), outputs)
    loss_of = loss_function(config.loss, outputs, balanced)
    each = frame_bytes(model, train.features.shape[1], train.most_rows)

    def forward(part: np.ndarray) -> Outputs:
        features, gold, lengths = collate(train, part)  # (B, T, F), (B, T, K), (B,)
        if config.noise:
            features = with_noise(features, lengths, config.noise)
        with arithmetic(config, features.device):
            output = model(features, lengths)  # (B, T, O)
        return output.to(gold.dtype), gold, lengths

    def weight_of(part: np.ndarray) -> int | Tensor:
        gold = classes_of(train, part) if balanced else None
        return loss_weight(config.loss, part[:, 1], gold, balanced)

    losses = []
    lr, steps = optimiser.param_groups[0]["lr"], -(-len(windows) // config.batch_size)
    for step in range(steps):
        batch = windows[step * config.batch_size : (step + 1) * config.batch_size]
        optimiser.zero_grad()
        parts = parts_of(batch, train.features.device, each)
        if config.loss_over == "batch":
            losses.append(joint_gradient(forward, loss_of, parts, within_step(parts, each)))
        else:
            weights = [weight_of(part) for part in parts]
            losses.append(summed_gradient(forward, loss_of, parts, weights))
        if config.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if config.warmup is not None:
            share = warmed_up((epoch - 1) * steps + step, config.epochs * steps, config.warmup)
            optimiser.param_groups[0]["lr"] = lr * share
        optimiser.step()
    optimiser.param_groups[0]["lr"] = lr  # which a warm-up only scales
    return torch.stack(losses).cpu()


def parts_of(batch: np.ndarray, device: torch.device, each: int) -> list[np.ndarray]:
    """The windows of a step that go through the model together, see `train_epoch`.

    Args:
        each: bytes that a frame takes, see `muse.training.memory.frame_bytes`.
    """
    groups = group_by_length(batch) if device.type == "cpu" else []
    return [part for group in groups for part in step_parts(group, each)] or [batch]


def arithmetic(config: TrainConfig, device: torch.device) -> AbstractContextManager:
    """What a model computes in while it is trained: float32, or autocast to bfloat16."""
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def classes_of(frames: Frames, windows: np.ndarray) -> Tensor:
    """The class of each window, read at its last frame: (windows, targets)."""
    return frames.labels[on_device(windows.sum(axis=1) - 1, frames.labels.device)]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[tuple[torch.Generator, Callable]]:
    """Random numbers of a seed's own: initial weights, shuffling and dropout.

    Yields the generator of the shuffling, and a function to be called between building the model
    and training it. Inside, PyTorch's global generators belong to the seed; outside they are as
    before, so a seed gives the same numbers alone, beside others and in any process.
    """
    initial, shuffling, dropout = np.random.SeedSequence(seed).generate_state(3, np.uint64).tolist()
    mask = 2**63 - 1
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(initial & mask)
        shuffle = torch.Generator().manual_seed(shuffling & mask)
        yield shuffle, lambda: torch.manual_seed(dropout & mask)
