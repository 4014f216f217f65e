"""Raters use the scale differently: bring each to the same mean, deviation and range."""

from collections.abc import Sequence

import numpy as np


def moves(values: np.ndarray) -> np.ndarray:
    """Whether each trace changes by more than rounding does: (..., frames) -> (...) bool."""
    values = np.asarray(values)
    return np.ptp(values, axis=-1) > np.maximum(1e-9 * np.abs(values).max(-1), 1e-12)


def standardise(
    recordings: Sequence[np.ndarray], raters: Sequence[Sequence[str]], over: str, scale: bool
) -> list[np.ndarray]:
    """Standardise each rater to zero mean and unit deviation, then into [-1, 1].

    Args:
        recordings: each (raters, frames), without NaN.
        raters: the rater of each row; equal names in several recordings are the same rater.
        over: `corpus` (each rater over all recordings), `recording`, or `none`.
        scale: bring the lowest value of the rater to -1 and the highest to 1. That takes back what
            the z-score has done to mean and deviation; the two together are the published way.

    Returns:
        The recordings, standardised; a rater who never moves is zero throughout.
    """
    if over == "none":
        return [np.asarray(values, np.float64) for values in recordings]
    apart = over == "recording"
    keys = [[(apart and k, name) for name in names] for k, names in enumerate(raters)]
    traces: dict[tuple, list[np.ndarray]] = {}
    for values, own in zip(recordings, keys, strict=True):
        for key, trace in zip(own, values, strict=True):
            traces.setdefault(key, []).append(trace)
    moments = {key: _moments(np.concatenate(parts), scale) for key, parts in traces.items()}
    standardised = []
    for values, own in zip(recordings, keys, strict=True):
        mean, factor, shift = np.transpose([moments[key] for key in own])[:, :, None]
        standardised.append((values - mean) * factor + shift)
    return standardised


def _moments(trace: np.ndarray, scale: bool) -> tuple[float, float, float]:
    """Mean, factor and shift that standardise a trace."""
    mean, deviation = trace.mean(), trace.std()
    if not moves(trace):
        return mean, 0.0, 0.0
    if not scale:
        return mean, 1 / deviation, 0.0
    low, high = (trace.min() - mean) / deviation, (trace.max() - mean) / deviation
    return mean, 2 / (deviation * (high - low)), -(high + low) / (high - low)
