"""The models of a run: which targets each has, their data, and the training of their seeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from muse.config.train import TrainConfig
from muse.models import is_fitted
from muse.scoring import metric_name
from muse.training.checkpoint import Checkpoint
from muse.training.fit import fit_seed
from muse.training.loop import Member, SeedResult, train_seed
from muse.training.model import new_model, predict
from muse.training.prepare import ModelPlan
from muse.training.scores import mean_score, score_target


@dataclass(frozen=True)
class SeedOutcome:
    """A trained model with what it predicts."""

    result: SeedResult
    outputs: dict[str, np.ndarray]  # partition -> (frames, outputs)
    row: dict  # seed, best_epoch, epochs; devel, test and test_last: target -> score or None
    plan: ModelPlan | None = None  # of a fold: what its model was made with, without the data


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

    Of a model that is fitted, test is predicted by that of train and devel, see muse.training.fit.

    Args:
        on_epoch: gets the record of each epoch, see train_seed.
        checkpoints: folder and ids of the checkpoints, one per seed, from which to go on.
    """
    frames, name = plan.frames, checkpoint_name(seed)
    result, model = _trained(config, plan, seed, on_epoch, name, checkpoints)
    outputs = {partition: predict(model, frames[partition]) for partition in ("train", "devel")}
    if result.refitted:
        model.load_state_dict(result.refitted)
    outputs["test"] = predict(model, frames["test"])
    row = {"seed": seed, "best_epoch": result.best_epoch, "epochs": result.epochs}
    row |= result.about_fit
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


def retrain_one(
    config: TrainConfig,
    plan: ModelPlan,
    seed: int,
    on_epoch: Callable[[dict], None],
    checkpoints: tuple[Path, tuple[str, ...]] | None = None,
) -> SeedOutcome:
    """Train one seed of a retrained run: as train_one, without devel."""
    result, model = _trained(config, plan, seed, on_epoch, checkpoint_name(seed), checkpoints)
    outputs = {partition: predict(model, frames) for partition, frames in plan.frames.items()}
    test = _scores(config, plan, "test", outputs["test"])
    row = {"seed": seed, "best_epoch": result.best_epoch, "epochs": result.epochs}
    row |= {"devel": dict.fromkeys(plan.targets), "test": test, "test_last": test}
    return SeedOutcome(replace(result, last={}), outputs, row)


def best_of(
    outcomes: Iterable[SeedOutcome], on_seed: Callable[[dict], None], chosen: int | None = None
) -> ModelResult:
    """The seed of a model that is best on devel, or the one that was ``chosen`` before.

    Args:
        on_seed: gets the row of each in turn.
    """
    best: SeedOutcome | None = None
    seeds = []
    for outcome in outcomes:
        seeds.append(outcome.row)
        on_seed(outcome.row)
        if chosen is not None:
            best = outcome if outcome.result.seed == chosen else best
        elif best is None or outcome.result.devel > best.result.devel:
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
    """Predict the recordings that a fold holds out by a model that has not seen them.

    Args:
        plan: of the fold's own package, see muse.training.folds.
        seed: of the model; its epoch is picked as that of any other.
        on_epoch, checkpoints: see train_one.
        fold: from 1.

    Returns an outcome with the outputs of all partitions but train and devel; of a subject's own
    model with those as well.
    """
    name = checkpoint_name(seed, fold)
    result, model = _trained(config, plan, seed, on_epoch, name, checkpoints)
    if result.refitted and config.folds:  # with crossfit devel stays unseen: it chooses a fusion
        model.load_state_dict(result.refitted)
        result = replace(result, weights=result.refitted)
    known = () if config.personalised else ("train", "devel")
    predicted = [partition for partition in plan.frames if partition not in known]
    outputs = {partition: predict(model, plan.frames[partition]) for partition in predicted}
    row = {"seed": seed, "fold": fold, **result.about_fit}
    return SeedOutcome(replace(result, last={}), outputs, row, replace(plan, frames={}, start=None))


def _trained(
    config: TrainConfig,
    plan: ModelPlan,
    seed: int,
    on_epoch: Callable[[dict], None],
    name: str,
    checkpoints: tuple[Path, tuple[str, ...]] | None,
) -> tuple[SeedResult, nn.Module]:
    """Train a model on train of a plan; returns it with the weights of its best epoch.

    Args:
        name: of its checkpoint.
    """
    if is_fitted(str(config.model["_target_"])):
        result = fit_seed(config, plan.frames, seed, on_epoch)
    else:
        result = train_seed(*member_of(config, plan, seed, on_epoch, name, checkpoints))
    model = new_model(config, plan.frames["train"])
    model.load_state_dict(result.weights)
    return result, model


def member_of(
    config: TrainConfig,
    plan: ModelPlan,
    seed: int,
    on_epoch: Callable[[dict], None],
    name: str,
    checkpoints: tuple[Path, tuple[str, ...]] | None = None,
) -> Member:
    """A model to train, with the data that it needs; ``name`` is that of its checkpoint."""
    train, checkpoint = plan.frames["train"], _checkpoint(checkpoints, plan, name)
    if config.retrained:
        schedule = config.retrained.of(plan.name, seed)
        about = seed, on_epoch, checkpoint, plan.start, schedule
        return Member(config, train, None, None, *about)
    watched = plan.frames[config.best_on]

    def score(output: np.ndarray) -> float:
        return mean_score(config, watched, output)

    return Member(config, train, watched, score, seed, on_epoch, checkpoint, plan.start)


def checkpoint_name(seed: int, fold: int | None = None) -> str:
    """What the checkpoint of a model is called."""
    return f"seed_{seed}" + (f"_fold_{fold}" if fold else "")


def _checkpoint(
    checkpoints: tuple[Path, tuple[str, ...]] | None, plan: ModelPlan, name: str
) -> Checkpoint | None:
    if not checkpoints:
        return None
    folder, ids = checkpoints
    return Checkpoint(folder / plan.name / f"{name}.safetensors", ids, plan.name, name)
