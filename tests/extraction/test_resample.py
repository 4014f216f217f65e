"""Values at times of their own brought to frames: numbers by hand."""

import numpy as np
import pytest

from muse.extraction.resample import averaged, new_frames, to_frames


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def test_frames_are_multiples_with_a_row_near_them():
    assert new_frames(np.array([20.0, 900.0, 1240.0]), 500).tolist() == [0, 500, 1000]
    assert new_frames(np.array([260.0, 1260.0]), 500).tolist() == [500, 1000, 1500]


def test_rows_slower_than_the_frames_are_read_between():
    found, gaps = to_frames(
        np.array([0.0, 1000, 2000]), column(0, 10, 0), np.arange(0, 2001, 500.0), 500, 1000
    )
    assert found[:, 0].tolist() == [0, 5, 10, 5, 0] and not gaps


def test_rows_at_the_frames_stay_what_they_are():
    values = np.random.default_rng(0).normal(size=(20, 3))
    times = np.arange(20) * 500.0
    found, _ = to_frames(times, values, times, 500, 1000)
    assert (found == values).all()


def test_faster_rows_are_averaged_around_each_frame():
    """Rows every 250 ms, the frame from 750 to 1250 ms: the areas of two trapezia, by hand."""
    times, values = np.arange(0, 2001, 250.0), column(0, 0, 0, 2, 8, 4, 0, 0, 0)
    found, _ = to_frames(times, values, np.array([0.0, 1000, 1500]), 500, 1000)
    assert found[:, 0] == pytest.approx([0, ((2 + 8) / 2 + (8 + 4) / 2) / 2, (4 + 0) / 2 / 2])


@pytest.mark.parametrize("frequency", [0.3, 1.1, 1.7, 2.0, 6.3])
def test_what_is_faster_than_the_frames_is_damped(frequency):
    """A component of f Hz is multiplied with sin(x) / x, x = pi f step, at any frame."""
    times = np.arange(0, 100, 0.001)
    frames = np.arange(2, 98, 0.5)
    wave = averaged(times, np.sin(2 * np.pi * frequency * times)[:, None], frames, 0.5)[:, 0]
    expected = np.sinc(frequency * 0.5) * np.sin(2 * np.pi * frequency * frames)
    assert wave == pytest.approx(expected, abs=1e-4)


def test_rows_at_irregular_times_do_not_shift_the_signal():
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 60, 1500))
    frames = np.arange(1, 59, 0.5)
    found = averaged(times, times[:, None] * 2 + 1, frames, 0.5)[:, 0]
    assert found == pytest.approx(frames * 2 + 1)


def test_times_of_the_clock_lose_nothing():
    times, values = np.arange(0, 1000, 40.0), np.random.default_rng(2).normal(size=(25, 1))
    frames = np.array([0.0, 500, 1000])
    here, _ = to_frames(times, values, frames, 500, 1000)
    there, _ = to_frames(times + 1.6e12, values, frames + 1.6e12, 500, 1000)
    assert there == pytest.approx(here, abs=1e-9)


def test_gaps_are_interpolated_or_left_empty():
    """Rows every 100 ms but for 1000 to 2600 ms, whose middle is 1800."""
    times = np.r_[np.arange(0, 1001, 100.0), np.arange(2600, 4001, 100.0)]
    values = times[:, None]
    frames = np.arange(0, 4001, 500.0)
    found, gaps = to_frames(times, values, frames, 500, 1600)
    assert gaps == [(1000, 2600)]
    assert found[2:6, 0] == pytest.approx([1000, 1500, 2000, 2500])
    found, gaps = to_frames(times, values, frames, 500, 1500)
    assert gaps == [] and np.isnan(found[:, 0]).tolist() == [False] * 3 + [True] * 2 + [False] * 4
    assert found[2, 0] == pytest.approx(875)  # the mean of 750 to 1000: no value comes from beyond
    assert found[5, 0] == pytest.approx((2600 + 2750) / 2)


def test_the_ends_are_held_for_the_longest_gap():
    times = np.arange(1000, 3001, 500.0)
    found, _ = to_frames(times, column(1, 2, 3, 4, 5), np.arange(0, 5001, 500.0), 500, 500)
    missing = np.isnan(found[:, 0])
    assert missing.tolist() == [True, False, False, False, False, False, False, False] + [True] * 3
    assert found[1, 0] == 1 and found[7, 0] == 5


def test_a_single_row_between_two_gaps_is_kept():
    times = np.array([0.0, 100, 200, 5000, 9000, 9100, 9200])
    found, _ = to_frames(times, times[:, None], np.array([0.0, 5000, 7000, 9000]), 500, 1000)
    assert found[1, 0] == 5000 and np.isnan(found[2, 0])
