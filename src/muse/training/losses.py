"""Losses over padded windows.

Shapes: B windows, T frames, K targets, O outputs. Frames past a window's length do not count.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def loss_function(
    name: str, outputs: Sequence[int] = (), weights: Sequence[Tensor] | None = None
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss of a name: (predictions (B, T, O), gold (B, T, K), lengths (B,)) -> scalar.

    Args:
        outputs: number of outputs of each target, together O; only for classes.
        weights: of the classes of each target, see `class_loss`.
    """
    by_class = partial(class_loss, classes=outputs, weights=weights)
    return {"ccc": ccc_loss, "mse": mse_loss, "l1": l1_loss, "cross_entropy": by_class}[name]


def window_losses(
    name: str, prediction: Tensor, gold: Tensor, lengths: Tensor, outputs: Sequence[int] = ()
) -> Tensor:
    """What each window adds to the loss of each target: (B, K).

    The loss of a target is their sum over the windows of a batch, divided by the batch's
    `loss_weight`; the loss of a batch is the mean of its targets'. With weights of classes each
    window is multiplied by its `window_weights` first.

    Args:
        outputs: number of outputs of each target; only for classes.
    """
    if name == "ccc":
        return 1 - _ccc(prediction, gold, lengths)[:, 0]
    if name == "cross_entropy":
        logits, classes = _at_the_end(prediction, gold, lengths, outputs)
        each = zip(logits, classes, strict=True)
        return torch.stack([cross_entropy(*own, reduction="none") for own in each], 1)
    difference = (prediction - gold) * _mask(prediction, lengths)
    difference = difference.square() if name == "mse" else difference.abs()
    return difference.sum(1)


def loss_weight(
    name: str, lengths: np.ndarray, gold: Tensor | None = None, weights: Sequence[Tensor] = ()
) -> int | Tensor:
    """What windows of these lengths count in a mean: frames for mse and l1, else one each.

    Args:
        gold: class of each window, (B, K), if there are ``weights`` of the classes of each target;
            then it is the sum of these, (K,).
    """
    if gold is not None:
        return window_weights(gold, weights).sum(0)
    return int(lengths.sum()) if name in ("mse", "l1") else len(lengths)


def window_weights(gold: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """What each window counts for each target by its class: (B, K).

    Args:
        gold: class of each window, (B, K).
        weights: of the classes of each target.
    """
    of_targets = zip(gold.long().unbind(1), weights, strict=True)
    return torch.stack([weight[own] for own, weight in of_targets], 1)


def ccc_loss(prediction: Tensor, gold: Tensor, lengths: Tensor) -> Tensor:
    """One minus the mean CCC (Lin 1989) of the windows, variances over n as in the baseline.

    A window in which gold standard and prediction are constant and equal has a CCC of 0.
    """
    return 1 - _ccc(prediction, gold, lengths).mean()


def _ccc(prediction: Tensor, gold: Tensor, lengths: Tensor) -> Tensor:
    """The CCC of each window and target: (B, 1, K)."""
    mask = _mask(prediction, lengths)
    count = lengths[:, None, None].to(prediction.dtype)  # (B, 1, 1)
    mean_p = (prediction * mask).sum(1, keepdim=True) / count  # (B, 1, K)
    mean_g = (gold * mask).sum(1, keepdim=True) / count
    p, g = (prediction - mean_p) * mask, (gold - mean_g) * mask  # (B, T, K)
    covariance = (p * g).sum(1, keepdim=True) / count
    spread = (p.square() + g.square()).sum(1, keepdim=True) / count
    return 2 * covariance / (spread + (mean_p - mean_g).square()).clamp_min(1e-12)


def mse_loss(prediction: Tensor, gold: Tensor, lengths: Tensor) -> Tensor:
    """Mean squared error over frames."""
    mask = _mask(prediction, lengths)
    return ((prediction - gold).square() * mask).sum() / (mask.sum() * gold.shape[2])


def l1_loss(prediction: Tensor, gold: Tensor, lengths: Tensor) -> Tensor:
    """Mean absolute error over frames."""
    mask = _mask(prediction, lengths)
    return ((prediction - gold).abs() * mask).sum() / (mask.sum() * gold.shape[2])


def class_loss(
    logits: Tensor,
    gold: Tensor,
    lengths: Tensor,
    classes: Sequence[int],
    weights: Sequence[Tensor] | None = None,
) -> Tensor:
    """Cross-entropy of each window's class, read at its last frame; the mean over the targets.

    Args:
        logits: (B, T, O), those of each target side by side.
        classes: number of classes of each target.
        weights: of the classes of each target: the mean over the windows is weighted by them. What
            windows weigh differs from target to target then, so there is a loss for each, (K,).
    """
    of_targets = zip(*_at_the_end(logits, gold, lengths, classes), strict=True)
    weights = weights or [None] * len(classes)
    losses = torch.stack(
        [cross_entropy(*own, weight) for own, weight in zip(of_targets, weights, strict=True)]
    )
    return losses if weights[0] is not None else losses.mean()


def _at_the_end(
    logits: Tensor, gold: Tensor, lengths: Tensor, classes: Sequence[int]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Logits (B, C) and class (B,) of each target at the last frame of each window."""
    last = torch.arange(len(lengths), device=lengths.device), lengths - 1
    return logits[last].split(list(classes), 1), gold[last].long().unbind(1)


def balanced_weights(gold: Tensor, classes: Sequence[int]) -> list[Tensor]:
    """Weights by which each class counts the same as a whole, and windows 1 on average.

    Those of scikit-learn, `class_weight="balanced"`; 0 for a class that no window has.

    Args:
        gold: class of each window, (B, K).
        classes: number of classes of each target.
    """
    from sklearn.utils.class_weight import compute_class_weight  # slow to import

    weights = []
    for own, count in zip(gold.long().cpu().numpy().T, classes, strict=True):
        present, weight = np.unique(own), np.zeros(count)
        weight[present] = compute_class_weight("balanced", classes=present, y=own)
        weights.append(torch.from_numpy(weight).to(gold))
    return weights


def _mask(prediction: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, 1): 1 within a window's length, 0 behind it."""
    steps = torch.arange(prediction.shape[1], device=prediction.device)
    return (steps < lengths[:, None])[:, :, None].to(prediction.dtype)
