"""Models that are fitted to the means of segments at once, without epochs: the SVM of MuSe 2020.

Such a model is a class in `muse.models` with

    C                           the values of its hyperparameter, one of which is chosen
    chosen_by                   the score on devel that chooses it, such as `uar`
    means(features, lengths)    what it reads of segments, (batch, features)
    decide(means)               its outputs for them, (segments, outputs)
    fit(means, classes, C)      set the weights; returns whether the solver has converged

and a `forward` as every model. It is fitted on train with each C and scored on devel; with the best
one, of equal ones the first, it is then fitted on train and devel together (Stappen et al. 2020,
section 5.5). The model of train alone predicts train and devel, the one of both predicts all that
neither has seen, so no devel score is of a model that was fitted on devel. Features are scaled as
train says for both.
"""

import logging
import math
import shlex
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from muse.config.train import TrainConfig
from muse.data.heads import head_of
from muse.data.windows import Frames, collate, group_by_length
from muse.errors import MuseError
from muse.models import build_model, is_fitted
from muse.training.loop import SeedResult
from muse.training.model import CELLS_AT_ONCE, LEAST_WIDTH, copy_on_cpu, new_model
from muse.training.scores import score_target

log = logging.getLogger(__name__)

# settings of a training by gradient, with the values that stand for "not used"
UNUSED = {
    **{"lr": 1.0, "weight_decay": 0.0, "clip": None, "noise": 0.0, "loss_over": "window"},
    **{"batch_size": 1, "epochs": 1, "patience": None, "precision": "float32", "seeds": [101]},
    **{"lr_on": "devel", "lr_patience": 0, "lr_factor": 0.5, "lr_floor": 0.0},
}


def settle_fit(config: TrainConfig) -> TrainConfig:
    """The settings of a run whose model is fitted; those of other models are returned as they are.

    What is not used gets the same value in all runs, so that no run id depends on it; a line of the
    log names what the command has of it.

    Raises MuseError for a task without classes, joint=true, and settings that the model refuses.
    """
    target = str(config.model["_target_"])
    if not is_fitted(target):
        return config
    name = target.rpartition(".")[2]
    if config.task.head != "classes":
        raise MuseError(
            f"{name} gives a class for each segment, task={config.task.name} has a value for each "
            "frame. Give another model, such as model=lstm, or a task with classes."
        )
    if config.joint:
        raise MuseError(f"joint=true: {name} is fitted for one target at a time. Leave it out.")
    build_model(config.model, {"": 1}, 2)  # refuses wrong settings before the data are read
    windows = {} if config.standardise_over == "windows" else {"window": 1, "hop": 1}
    unused = UNUSED | windows  # the windows of a standardisation over them are used
    given = {word.lstrip("+").split("=")[0] for word in shlex.split(config.job.command)}
    named = [key for key in unused if key in given]
    if named:
        log.info(
            "%s is fitted without gradients, epochs or random numbers; not used: %s.",
            *(name, ", ".join(named)),
        )
    standardise = False if config.standardise is None else config.standardise
    return replace(config, **unused, standardise=standardise)


def fit_seed(
    config: TrainConfig,
    frames: dict[str, Frames],
    seed: int,
    on_epoch: Callable[[dict], None],
) -> SeedResult:
    """Choose C on devel, then fit the model on train and devel.

    Args:
        config: see `settle_fit`.
        frames: of train and devel.
        on_epoch: gets seed, epoch (the place of C in the list), C, devel (the score that chooses),
            best and seconds for each C.

    Returns the result with the weights of train alone, and those of both as `refitted`.

    Raises MuseError for training segments that the model cannot be fitted to.
    """
    model = new_model(config, frames["train"])
    means = {part: _means(model, frames[part]) for part in ("train", "devel")}
    classes = {part: _classes(config, frames[part]) for part in means}
    watched, late = config.best_on, []
    best, chosen, weights = -math.inf, 0.0, {}

    def fit(C: float, *parts: str) -> None:
        whole = torch.cat([means[part] for part in parts])
        gold = np.concatenate([classes[part] for part in parts])
        if not model.fit(whole, gold, C):
            late.append(f"C={C:g} on {' and '.join(parts)}")

    for number, C in enumerate(model.C, start=1):
        started = time.perf_counter()
        fit(C, "train")
        value = _score(config, model, frames[watched], means[watched])
        if value > best:
            best, chosen, weights = value, C, copy_on_cpu(model.state_dict())
        record = {"seed": seed, "epoch": number, "C": C, "devel": value, "best": best}
        on_epoch(record | {"seconds": round(time.perf_counter() - started, 4)})
    fit(chosen, "train", "devel")
    if late:
        log.warning(
            "%s: the solver has not converged in max_iter=%d iterations for %s. Give a higher "
            "model.max_iter, or standardise the features (standardise=true).",
            *("+".join(frames["train"].targets), model.max_iter, ", ".join(late)),
        )
    return SeedResult(seed, best, 0, 0, weights, {}, copy_on_cpu(model.state_dict()), chosen)


def _means(model: nn.Module, frames: Frames) -> Tensor:
    """What the model reads of all segments, in their order: (segments, features).

    Features that are not in memory are read once, in parts; see `muse.training.model.predict`.
    """
    width = max(LEAST_WIDTH, frames.features.shape[1])
    parts, where = [], []
    for chosen in group_by_length(frames.samples, CELLS_AT_ONCE, width):
        features, _, lengths = collate(frames, chosen)  # (B, T, F), (B,)
        parts.append(model.means(features, lengths))
        where.append(chosen[:, 0])
    order = np.argsort(np.concatenate(where))
    return torch.cat(parts)[torch.from_numpy(order).to(parts[0].device)]


def _classes(config: TrainConfig, frames: Frames) -> np.ndarray:
    """The class of each segment: (segments,) int64."""
    head = head_of(config.task, targets=frames.targets)
    return head.labels(frames.labels[:, 0].cpu().numpy(), frames.samples)


def _score(config: TrainConfig, model: nn.Module, frames: Frames, means: Tensor) -> float:
    """The score by which the model is chosen, of segments with these means."""
    with torch.no_grad():
        values = model.decide(means).cpu().numpy()  # (segments, outputs)
    output = np.repeat(values, frames.samples[:, 1], axis=0)  # (frames, outputs)
    return score_target(config, frames, output, 0)[model.chosen_by]
