"""Reaction time as one constant lag per rater, from the cross-correlation with the others."""

import numpy as np

from muse.gold.standardise import moves

ROUNDS = 20  # of estimating all lags anew; they settle in a few


def lags_of(values: np.ndarray, most: int) -> np.ndarray:
    """By how many frames each rater is later than the group: (raters, frames) -> (raters,) int.

    The lag of a rater is where the correlation with the mean of the others, shifted by their own
    lags, is highest over the frames that both have; raters in turn, until no lag changes. Lags are
    relative to the group, whose mean has lag 0: a delay that all share is in no trace to be seen.

    Args:
        values: (raters, frames), without NaN.
        most: frames of the longest lag looked for.
    """
    values = np.asarray(values, np.float64)
    count, frames = values.shape
    lags = np.zeros(count, int)
    moving = moves(values)
    most = min(most, frames // 2)
    if moving.sum() < 2 or most < 1:
        return lags
    for _ in range(ROUNDS):
        before = lags.copy()
        for k in np.flatnonzero(moving):
            others = np.flatnonzero(moving & (np.arange(count) != k))
            mean = np.mean([shifted(values[j], lags[j]) for j in others], axis=0)
            lags[k] = _best_lag(values[k], mean, most)
        lags[moving] -= int(np.rint(lags[moving].mean()))
        if (lags == before).all():
            break
    return lags


def shifted(trace: np.ndarray, lag: int) -> np.ndarray:
    """A trace (frames,) that is ``lag`` frames late, in time; its end (or start) is held."""
    frames = len(trace)
    return trace[np.clip(np.arange(frames) + lag, 0, frames - 1)]


def _best_lag(trace: np.ndarray, other: np.ndarray, most: int) -> int:
    """The lag of ``trace`` behind ``other`` of the best correlation; the smallest of equals."""
    frames = len(trace)
    best, found = 0, -np.inf
    for lag in sorted(range(-most, most + 1), key=abs):
        one = trace[max(lag, 0) : frames + min(lag, 0)]
        two = other[max(-lag, 0) : frames + min(-lag, 0)]
        one, two = one - one.mean(), two - two.mean()
        below = np.sqrt((one @ one) * (two @ two))
        score = one @ two / below if below > 0 else -np.inf
        if score > found + 1e-12:
            best, found = lag, score
    return best
