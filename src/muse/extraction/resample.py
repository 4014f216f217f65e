"""Values at times of their own, brought to frames."""

import numpy as np


def new_frames(times: np.ndarray, pace: float) -> np.ndarray:
    """The multiples of ``pace`` that have one of ``times`` within half of it, and those between.

    Args:
        times: (rows,) ms, rising.
        pace: ms from one frame to the next.

    Returns:
        (frames,) ms.
    """
    first, last = np.ceil(times[0] / pace - 0.5), np.floor(times[-1] / pace + 0.5)
    return np.round(np.arange(first, last + 1) * pace, 6)


def to_frames(
    times: np.ndarray, values: np.ndarray, frames: np.ndarray, pace: float, max_gap: float
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Columns at the times of ``frames``. All times are in ms.

    A gap is where rows are further apart than ``pace`` and than 1.5 times their usual distance.
    Gaps of up to ``max_gap`` are interpolated; in longer ones only frames with a row within half of
    ``pace`` have a value. Before the first row and after the last their values are held for
    ``max_gap``.

    Args:
        times: (rows,) rising.
        values: (rows, columns) without missing values.
        frames: (frames,) rising.
        pace: from one frame to the next.

    Returns:
        (frames, columns), NaN where there is no value; and the gaps that were interpolated, each
        with the times of the rows on its sides.
    """
    distances = np.diff(times)
    usual = float(np.median(distances)) if len(distances) else pace
    gaps = distances > max(1.5 * usual, pace)
    long = gaps & (distances > max_gap)
    found = np.full((len(frames), values.shape[1]), np.nan)
    for rows in np.split(np.arange(len(times)), np.flatnonzero(long) + 1):
        before, after = (max(max_gap, pace / 2) if row == end else pace / 2
                         for row, end in ((rows[0], 0), (rows[-1], len(times) - 1)))  # fmt: skip
        inside = (frames >= times[rows[0]] - before) & (frames <= times[rows[-1]] + after)
        width = pace if usual < pace else 0.0
        found[inside] = averaged(times[rows], values[rows], frames[inside], width)
    bridged = np.flatnonzero(gaps & ~long)
    return found, [(float(times[k]), float(times[k + 1])) for k in bridged]


def averaged(times: np.ndarray, values: np.ndarray, frames: np.ndarray, width: float) -> np.ndarray:
    """Mean of the line through the rows, over ``width`` around each frame: (frames, columns).

    This keeps what is faster than the frames from appearing as something slow: with a width of one
    frame step, a component at 1 / step vanishes and those next to it are damped by sin(x) / x with
    x = pi * frequency * step. Unlike a polyphase filter (`scipy.signal.resample_poly`) it needs no
    equal distances of the rows, never leaves the range of the ratings and carries nothing further
    than half a step. Where the rows are slower than the frames nothing needs to be averaged: with a
    width of 0 the line is read at the frames.

    Args:
        times: (rows,) rising; the first and last row are held beyond the ends.
        values: (rows, columns)
        frames: (frames,) in the unit of ``times``, as ``width``.
    """
    low, high = (np.clip(frames + side * width / 2, times[0], times[-1]) for side in (-1, 1))
    lines = np.stack([np.interp(frames, times, column) for column in values.T], axis=1)
    wide = high - low > width / 1000  # of a frame at the very end too little is left for a mean
    if wide.any():
        pieces = np.diff(times)[:, None] * (values[1:] + values[:-1]) / 2
        area = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(pieces, axis=0)])
        means = _area(times, values, area, high[wide]) - _area(times, values, area, low[wide])
        lines[wide] = means / (high - low)[wide, None]
    return lines


def _area(times: np.ndarray, values: np.ndarray, area: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Integral of the line from the first row to ``at``; ``area`` has it at the rows."""
    row = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    on = (at - times[row])[:, None]
    slope = (values[row + 1] - values[row]) / (times[row + 1] - times[row])[:, None]
    return area[row] + on * (values[row] + slope * on / 2)
