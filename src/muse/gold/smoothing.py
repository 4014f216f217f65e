"""Smoothing of traces along time; both filters are symmetric and delay nothing.

Savitzky and Golay, Smoothing and differentiation of data by simplified least squares procedures,
Analytical Chemistry 36(8), 1964.
"""

import numpy as np
from scipy.ndimage import convolve1d
from scipy.signal import savgol_coeffs, savgol_filter

from muse.errors import MuseError


def smooth(values: np.ndarray, method: str, window: int, order: int = 0) -> np.ndarray:
    """Smooth each row of ``values`` (..., frames) with `savgol`, `average` or `none`.

    Raises:
        MuseError: fewer frames than the Savitzky-Golay window has.
    """
    if method == "none":
        return np.asarray(values, np.float64)
    return savgol(values, window, order) if method == "savgol" else average(values, window)


def savgol(values: np.ndarray, window: int, order: int) -> np.ndarray:
    """Each frame from a polynomial through the ``window`` frames around it.

    No even window is centred on a frame. With one, two fits are averaged: that through the frames
    n - window/2 to n + window/2 - 1 and that through n - window/2 + 1 to n + window/2, both
    evaluated at frame n, which is symmetric and delays nothing. At both ends the polynomial
    through the outermost ``window`` frames is evaluated where the frame lies.

    Args:
        values: (..., frames).
        window: frames of a fit, more than ``order``.
        order: of the polynomial.

    Raises:
        MuseError: fewer frames than the window has.
    """
    values = np.asarray(values, np.float64)
    if values.shape[-1] < window:
        raise MuseError(
            f"{values.shape[-1]} frames are fewer than the smoothing window of {window}. Give a "
            "shorter window, or none."
        )
    if window % 2:
        return savgol_filter(values, window, order, axis=-1, mode="interp")
    half = window // 2
    fits = [savgol_coeffs(window, order, pos=at, use="dot") for at in range(window)]
    kernel = (np.append(fits[half], 0) + np.append(0, fits[half - 1])) / 2  # (window + 1,)
    result = np.empty_like(values)
    result[..., :half] = values[..., :window] @ np.transpose(fits[:half])
    result[..., -half:] = values[..., -window:] @ np.transpose(fits[-half:])
    if values.shape[-1] > window:
        around = np.lib.stride_tricks.sliding_window_view(values, window + 1, axis=-1)
        result[..., half:-half] = around @ kernel
    return result


def average(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the ``window`` frames around each frame: (..., frames).

    At the ends it is the mean of those that exist, so a signal does not dip towards zero. An
    even window takes its two outermost frames by half.
    """
    values = np.asarray(values, np.float64)
    half = window // 2
    kernel = np.ones(2 * half + 1)
    if window % 2 == 0:
        kernel[[0, -1]] = 0.5
    present = convolve1d(np.ones(values.shape[-1]), kernel, mode="constant")
    return convolve1d(values, kernel, axis=-1, mode="constant") / present
