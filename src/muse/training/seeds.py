"""The models of a run: which targets each has, their data, and the training of their seeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from muse.config.shared import PARTITIONS
from muse.config.train import TrainConfig
from muse.data.windows import Frames
from muse.scoring import metric_name
from muse.training.checkpoint import Checkpoint
from muse.training.loop import SeedResult, new_model, predict, train_seed
from muse.training.prepare import ModelPlan
from muse.training.scores import mean_score, score_target


@dataclass(frozen=True)
class SeedOutcome:
    """A trained model with what it predicts."""

    result: SeedResult
    outputs: dict[str, np.ndarray]  # partition -> (frames, outputs)
    row: dict  # seed, best_epoch, epochs; devel, test and test_last: target -> score or None


@dataclass(frozen=True)
class ModelResult:
    """The seeds of a model, and all that is needed of the one that is best on devel."""

    best: SeedResult
    outputs: dict[str, np.ndarray]  # partition -> (frames, outputs) of the best seed
    seeds: list[dict]  # the row of each, see SeedOutcome


def train_one(
    config: TrainConfig,
    plan: ModelPlan,
    seed: int,
    on_epoch: Callable[[dict], None],
    checkpoints: tuple[Path, tuple[str, ...]] | None = None,
) -> SeedOutcome:
    """Train one seed of a model: devel picks the epoch; test is scored with its weights.

    `test_last` is the score with the weights of the last epoch, as the published baseline code has
    it. Nothing is chosen by it.

    Args:
        on_epoch: gets the record of each epoch, see train_seed.
        checkpoints: folder and ids of the checkpoints, one per seed, from which to go on.
    """
    frames, watched = plan.frames, plan.frames[config.best_on]
    checkpoint = _checkpoint(checkpoints, plan, f"seed_{seed}")
    result = train_seed(
        config, frames["train"], watched, _score(config, watched), seed, on_epoch, checkpoint
    )
    model = new_model(config, frames["train"])
    model.load_state_dict(result.weights)
    outputs = {partition: predict(model, frames[partition]) for partition in PARTITIONS}
    row = {"seed": seed, "best_epoch": result.best_epoch, "epochs": result.epochs}
    row |= {p: _scores(config, plan, p, outputs[p]) for p in ("devel", "test")}
    row["test_last"] = row["test"]
    if result.best_epoch < result.epochs:
        model.load_state_dict(result.last)
        row["test_last"] = _scores(config, plan, "test", predict(model, frames["test"]))
    return SeedOutcome(replace(result, last={}), outputs, row)  # it may go to another process


def _scores(
    config: TrainConfig, plan: ModelPlan, partition: str, output: np.ndarray
) -> dict[str, float | None]:
    """Target -> score; None without labels, or if a prediction is not finite."""
    metric, finite = metric_name(config.task.metric), np.isfinite(output).all()
    return {
        target: score_target(config, plan.frames[partition], output, k)[metric]
        if partition in plan.labelled[target] and finite
        else None
        for k, target in enumerate(plan.targets)
    }


def best_of(outcomes: Iterable[SeedOutcome], on_seed: Callable[[dict], None]) -> ModelResult:
    """The seed of a model that is best on devel; ``on_seed`` gets the row of each in turn."""
    best: SeedOutcome | None = None
    seeds = []
    for outcome in outcomes:
        seeds.append(outcome.row)
        on_seed(outcome.row)
        if best is None or outcome.result.devel > best.result.devel:
            best = outcome
    return ModelResult(best.result, best.outputs, seeds)


def train_fold(
    config: TrainConfig,
    plan: ModelPlan,
    seed: int,
    on_epoch: Callable[[dict], None],
    fold: int,
    checkpoints: tuple[Path, tuple[str, ...]] | None = None,
) -> SeedOutcome:
    """Predict the training recordings of one of `crossfit` folds by a model trained on the others.

    Args:
        seed: of the model; its epoch is picked as that of any other.
        on_epoch, checkpoints: see train_one.
        fold: from 1.

    Returns an outcome with the outputs of train only, 0 where the recording is in another fold.
    """
    train, watched = plan.frames["train"], plan.frames[config.best_on]
    starts = [start for _, start, _ in train.recordings]
    recording_of = np.searchsorted(starts, train.samples[:, 0], side="right") - 1
    held_out = recording_of % config.crossfit == fold - 1
    rest = replace(train, samples=train.samples[~held_out])
    checkpoint = _checkpoint(checkpoints, plan, f"seed_{seed}_fold_{fold}")
    score = _score(config, watched)
    result = train_seed(config, rest, watched, score, seed, on_epoch, checkpoint)
    model = new_model(config, train)
    model.load_state_dict(result.weights)
    output = predict(model, replace(train, samples=train.samples[held_out]))
    return SeedOutcome(replace(result, last={}), {"train": output}, {"seed": seed, "fold": fold})


def _score(config: TrainConfig, watched: Frames) -> Callable[[np.ndarray], float]:
    return lambda output: mean_score(config, watched, output)


def _checkpoint(
    checkpoints: tuple[Path, tuple[str, ...]] | None, plan: ModelPlan, name: str
) -> Checkpoint | None:
    if not checkpoints:
        return None
    folder, ids = checkpoints
    return Checkpoint(folder / plan.name / f"{name}.safetensors", ids, plan.name, name)
