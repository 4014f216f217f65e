"""When the training of a seed ends: after its epochs, early, or because it has diverged."""

from pathlib import Path

from torch import Tensor

from muse.config.origin import Schedule
from muse.config.train import TrainConfig
from muse.errors import MuseError


def has_ended(config: TrainConfig, history: list[dict], schedule: Schedule | None = None) -> bool:
    """Whether all epochs are trained, or devel has not improved for `patience` of them."""
    if schedule:
        return len(history) >= schedule.epochs
    if not history or len(history) >= config.epochs:
        return len(history) >= config.epochs
    return config.patience is not None and len(history) - best_epoch(history) >= config.patience


def best_epoch(history: list[dict]) -> int:
    """The first epoch with the best devel score."""
    return next(record["epoch"] for record in history if record["devel"] == history[-1]["best"])


def check_not_passed(config: TrainConfig, history: list[dict], path: Path) -> None:
    """Raise MuseError if more epochs are trained in a checkpoint than with these settings."""
    end = next((n for n in range(1, len(history)) if has_ended(config, history[:n])), None)
    if end:
        raise MuseError(
            f"{path}: {len(history)} epochs are trained; with epochs={config.epochs} "
            f"patience={config.patience} training would have ended after {end}. Give more, or "
            "train anew."
        )


def check_finite(what: str, values: Tensor, seed: int, epoch: int, lr: float) -> None:
    """Raise if a loss (one per step) or a prediction (after the last step) is not finite."""
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        where = f"step {int(wrong[0, 0]) + 1}" if values.ndim == 1 else "after the last step"
        raise MuseError(
            f"seed {seed}, epoch {epoch}, {where}: {what} is {values[tuple(wrong[0])]:g}. Training "
            f"has diverged: give a lower learning rate (lr={lr:g} now), or standardise the "
            "features (standardise=true)."
        )
