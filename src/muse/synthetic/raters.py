"""Synthetic raters of a known signal: what a gold standard can be tested on. Never data."""

from collections.abc import Sequence

import numpy as np

from muse.gold.smoothing import average


def simulated_signal(frames: int, seed: int, width: int = 25) -> np.ndarray:
    """A smooth signal in [-1, 1], (frames,); ``width``: frames over which it keeps its course."""
    noise = np.random.default_rng(seed).standard_normal(frames + 8 * width)
    for _ in range(3):
        noise = average(noise, width)
    signal = noise[4 * width : 4 * width + frames]
    signal = signal - signal.mean()
    return 0.9 * signal / np.abs(signal).max()


def simulated_raters(
    signal: np.ndarray,
    lags: Sequence[float],
    drifts: Sequence[float],
    gains: Sequence[float],
    noise: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Raters of a signal (frames,), one for each entry of the lists: (raters, frames).

    Args:
        signal: what they rate.
        lags: frames by which each comes late.
        drifts: frames by which the lag grows (and falls back) on the way to the middle.
        gains: how strongly each moves.
        noise: deviation of a slow wander of each, relative to the signal's deviation.
        seed: of the wander.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(len(signal), dtype=float)
    rows = []
    for lag, drift, gain, level in zip(lags, drifts, gains, noise, strict=True):
        late = lag + drift * np.sin(np.pi * time / max(len(signal) - 1, 1)) ** 2
        wander = average(rng.standard_normal(len(signal)), 9)
        wander *= level * signal.std() / wander.std()
        rows.append(gain * np.interp(time - late, time, signal) + wander)
    return np.stack(rows)
