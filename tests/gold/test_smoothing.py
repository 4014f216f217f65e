"""Filters against fits made one by one, and numbers by hand."""

import numpy as np
import pytest

from muse.errors import MuseError
from muse.gold.smoothing import average, savgol, smooth

NOISE = np.random.default_rng(5).standard_normal((2, 40))


def fit(values: np.ndarray, first: int, window: int, order: int, at: int) -> float:
    """The polynomial through ``window`` frames from ``first`` on, at frame ``at``."""
    frames = np.arange(first, first + window)
    return np.polyval(np.polyfit(frames - at, values[first : first + window], order), 0)


@pytest.mark.parametrize(("window", "order"), [(5, 3), (7, 2), (3, 0)])
def test_odd_windows_are_fits_around_each_frame(window, order):
    smoothed = savgol(NOISE, window, order)
    for at in range(window, 40 - window):
        expected = fit(NOISE[1], at - window // 2, window, order, at)
        assert smoothed[1, at] == pytest.approx(expected, abs=1e-9)
    assert smoothed[1, 0] == pytest.approx(fit(NOISE[1], 0, window, order, 0), abs=1e-9)


@pytest.mark.parametrize(("window", "order"), [(26, 3), (4, 1)])
def test_even_windows_average_the_two_fits_that_a_frame_is_in_the_middle_of(window, order):
    smoothed, half = savgol(NOISE, window, order), window // 2
    for at in range(half, 40 - half):
        fits = [fit(NOISE[0], at - half + late, window, order, at) for late in (0, 1)]
        assert smoothed[0, at] == pytest.approx(np.mean(fits), abs=1e-8)
    for at in (0, half - 1):
        assert smoothed[0, at] == pytest.approx(fit(NOISE[0], 0, window, order, at), abs=1e-8)
    for at in (39, 40 - half):
        expected = fit(NOISE[0], 40 - window, window, order, at)
        assert smoothed[0, at] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("window", [5, 26])
def test_no_filter_delays_a_signal(window):
    peak = np.zeros(81)
    peak[40] = 1
    for smoothed in (savgol(peak, window, 3), average(peak, window)):
        assert np.allclose(smoothed, smoothed[::-1], atol=1e-12)
        assert smoothed[40] == pytest.approx(smoothed.max())
    cubic = np.linspace(-1, 1, 81) ** 3
    assert np.allclose(savgol(cubic, window, 3), cubic, atol=1e-9)  # edges as well


def test_the_mean_of_the_frames_that_there_are():
    values = [1.0, 2, 3, 4, 8]
    assert average(values, 3).tolist() == pytest.approx([1.5, 2, 3, 5, 6])
    assert average(values, 2).tolist() == pytest.approx([4 / 3, 2, 3, 4.75, 20 / 3])
    assert average(values, 1).tolist() == values
    assert np.allclose(average(np.full((2, 30), 0.7), 15), 0.7)  # no dip at the ends
    assert average(values, 99).tolist() == pytest.approx([3.6] * 5)


def test_by_name():
    assert smooth(NOISE, "none", 5).tolist() == NOISE.tolist()
    assert np.array_equal(smooth(NOISE, "average", 3), average(NOISE, 3))
    assert np.array_equal(smooth(NOISE, "savgol", 5, 2), savgol(NOISE, 5, 2))


def test_too_few_frames():
    with pytest.raises(MuseError, match="4 frames are fewer than the smoothing window of 5"):
        savgol(np.zeros(4), 5, 3)
    assert savgol(NOISE[:, :26], 26, 3).shape == (2, 26)
