"""What models check of their settings, and what is checked of a model that is not muse's."""

import logging

import torch
from torch import Tensor, nn

from muse.errors import MuseError

log = logging.getLogger(__name__)


def check_sizes(least: int = 1, **sizes: int) -> None:
    """Raise MuseError for a setting of the model that is no whole number of ``least`` or more."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise MuseError(f"model.{name}={size}: expected a whole number of {least} or more.")


def check_dropout(dropout: float) -> None:
    """Raise MuseError unless ``dropout`` is a probability below 1."""
    check_dropouts(dropout=dropout)


def check_dropouts(**dropouts: float) -> None:
    """Raise MuseError for a setting of the model that is no probability below 1."""
    for name, value in dropouts.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise MuseError(f"model.{name}={value}: expected a probability from 0 to below 1.")


def check_switches(**switches: bool) -> None:
    """Raise MuseError for a setting of the model that is neither true nor false."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise MuseError(f"model.{name}={value}: expected true or false.")


def check_outputs(model: nn.Module, features: Tensor, lengths: Tensor, outputs: int) -> None:
    """Try a model on a batch, without a trace in it or in the random numbers.

    Args:
        features: (batch, frames, features) of a batch with unequal ``lengths`` (batch,).
        outputs: values per frame that the model has to give.

    Raises MuseError for an output of another shape, which the loss might silently broadcast. Warns
    if what a recording gets depends on the padding behind it.
    """
    expected = (*features.shape[:2], outputs)
    was_training, state = model.training, torch.get_rng_state()
    model.eval()
    with torch.no_grad():
        result = model(features, lengths)
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        if shape != expected:
            raise MuseError(
                f"{type(model).__name__}: forward gives {shape} for features "
                f"{tuple(features.shape)} and lengths {tuple(lengths.shape)}; expected a tensor "
                f"{expected}: batch, frames, outputs."
            )
        short = int(lengths.argmin())
        count = int(lengths[short])
        alone = model(features[short : short + 1, :count], lengths[short : short + 1])
        if not torch.allclose(
            alone[0], result[short, :count], rtol=1e-3, atol=1e-4, equal_nan=True
        ):
            log.warning(
                "%s: a recording gets other predictions beside a longer one than alone, so scores "
                "depend on what is predicted together. Leave out frames beyond `lengths`.",
                type(model).__name__,
            )
    model.train(was_training)
    torch.set_rng_state(state)
