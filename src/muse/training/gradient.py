"""The gradient of a batch whose windows go through the model part by part.

Shapes: B windows, T frames, F features, K targets, O outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from muse.data.windows import on_device

Outputs = tuple[Tensor, Tensor, Tensor]  # output (B, T, O), gold (B, T, K), lengths (B,)
Part, Given = TypeVar("Part"), TypeVar("Given")
Forward = Callable[[np.ndarray], Outputs]  # of windows: (B, 2) start and length in frames


def summed_gradient(
    forward: Forward,
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor],
    parts: Sequence[np.ndarray],
    weights: Sequence[int] | Sequence[Tensor],
) -> Tensor:
    """Add the gradient of the mean of the parts' losses to that of the model; returns the loss.

    Args:
        forward: gives output, gold standard and lengths of a part.
        loss_of: their loss; or that of each target, (K,), of which the mean is taken.
        weights: what each part counts; (K,) for each target.
    """
    total: Tensor | float = 0.0
    for part, weight in zip(parts, weights, strict=True):
        loss = (loss_of(*forward(part)) * (weight / sum(weights))).mean()
        loss.backward()
        total = total + loss.detach()
        del loss  # before the next part needs the memory
    return total


def joint_gradient(
    forward: Forward,
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor],
    parts: Sequence[np.ndarray],
    keep: bool,
) -> Tensor:
    """Add the gradient of one loss over all frames of the parts to that of the model; returns it.

    Such a loss, as the CCC, is no sum over the parts: all outputs must be there before any has a
    gradient.

    Args:
        forward, loss_of: see `summed_gradient`. The frames are one window end to end for the loss.
        keep: see `outputs_of_parts`.
    """
    results = outputs_of_parts(forward, parts, keep)
    output, gold = (
        torch.cat([frames_of(result[k], part) for result, part in zip(results, parts, strict=True)])
        for k in (0, 1)
    )  # (frames, O), (frames, K)
    count = torch.full((1,), len(output), device=output.device)
    loss = loss_of(output[None], gold[None], count)
    loss.backward()
    return loss.detach()


def outputs_of_parts(
    forward: Callable[[Part], Given],
    parts: Sequence[Part],
    keep: bool,
    generators: Sequence[torch.Generator] = (),
) -> list[Given]:
    """What ``forward`` gives of each part.

    Args:
        keep: whether the parts keep all that the backward pass needs at once. Else each goes
            through the model again there, with the same random numbers (`torch.utils.checkpoint`).
        generators: from which ``forward`` draws, beside PyTorch's own.
    """

    def contexts() -> tuple:
        states = [generator.get_state() for generator in generators]
        return nullcontext(), _again(generators, states)

    if keep:
        return [forward(part) for part in parts]
    return [checkpoint(forward, part, use_reentrant=False, context_fn=contexts) for part in parts]


@contextmanager
def _again(generators: Sequence[torch.Generator], states: Sequence[Tensor]) -> Iterator[None]:
    """The generators give the numbers again that came after ``states``; afterwards they go on."""
    now = [generator.get_state() for generator in generators]
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    try:
        yield
    finally:  # the backward pass leaves by an exception once it has what it needs
        for generator, state in zip(generators, now, strict=True):
            generator.set_state(state)


def frames_of(x: Tensor, windows: np.ndarray) -> Tensor:
    """The frames of padded windows, end to end: (B, T, O) -> (frames, O).

    Args:
        windows: (B, 2) start and length in frames. Where the frames are is not asked of the device.
    """
    there = np.arange(x.shape[1]) < windows[:, 1:]  # (B, T)
    return x.flatten(0, 1)[on_device(np.flatnonzero(there), x.device)]


def with_noise(
    features: Tensor, lengths: Tensor, deviation: float, random: torch.Generator | None = None
) -> Tensor:
    """Features (B, T, F) with Gaussian noise; the padding stays as it is.

    Args:
        deviation: standard deviation of the noise.
        random: where it comes from; None: PyTorch's generator.
    """
    there = torch.arange(features.shape[1], device=features.device) < lengths[:, None]  # (B, T)
    noise = torch.empty_like(features).normal_(generator=random)
    noise.mul_(deviation).mul_(there[..., None])
    return noise.add_(features)
