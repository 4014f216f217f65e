"""The members of a population: how they begin, join, leave, and are kept as if each were alone.

Shapes: N members, P weights of a model, B windows, K targets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from muse.config.train import TrainConfig
from muse.cores import is_out_of_memory
from muse.data.windows import Frames, cut_windows
from muse.errors import MuseError
from muse.models.stacked import from_row, to_row
from muse.training.checkpoint import TrainState
from muse.training.loop import Member, classes_of, go_on_from, seeded, start_state
from muse.training.losses import balanced_weights, loss_weight, window_weights
from muse.training.model import new_model, outputs_of
from muse.training.population_data import index_of
from muse.training.stopping import has_ended


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


def begin_member(origin: Waiting) -> Row | None:
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


def are_alike(row: Row, other: Row) -> bool:
    """Whether two members can be rows of one population."""

    def shape(of: Row) -> tuple:
        config, model = of.member.config, of.state.model
        sizes = {name: weight.shape for name, weight in model.state_dict().items()}
        loss = config.loss, config.loss_over, outputs_of(config, of.member.train)
        return type(model), sizes, loss, config.precision, of.member.devel is None

    return shape(row) == shape(other)


def with_members(population: Population | None, joined: list[Row]) -> Population:
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


def without_stopped(population: Population) -> Population | None:
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


def weights_of(population: Population, k: int) -> dict[str, Tensor]:
    """The weights of a member, on the CPU."""
    return from_row(population.weights[k].detach().cpu(), population.model)


def save_checkpoint(population: Population, k: int) -> None:
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
