"""Constant lags: known ones are found to the frame."""

import numpy as np
import pytest

from muse.gold.lag import lags_of, shifted
from muse.synthetic.raters import simulated_raters, simulated_signal


def test_a_late_trace_is_read_later():
    assert shifted(np.array([0, 0, 1, 2, 3]), 2).tolist() == [1, 2, 3, 3, 3]
    assert shifted(np.array([1, 2, 3]), -1).tolist() == [1, 1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_known_lags_are_found(seed):
    lags = np.array([-6, -2, 0, 1, 7])
    raters = simulated_raters(
        simulated_signal(600, seed, width=8), lags, [0] * 5, [1, 0.5, 0.8, 1, 0.6], [0.3] * 5, seed
    )
    assert np.abs(lags_of(raters, 20) - lags).max() <= 1


def test_lags_are_relative_to_the_group_and_bounded():
    signal = simulated_signal(400, 1, width=8)
    late = np.stack([np.roll(signal, lag)[50:350] for lag in (3, 5, 7)])
    assert lags_of(late, 20).tolist() == [-2, 0, 2]
    assert np.abs(lags_of(late, 1)).max() <= 2


def test_raters_who_never_move_are_left_alone():
    signal = simulated_signal(300, 2, width=8)
    values = np.stack([np.zeros(300), signal, np.roll(signal, 4)])
    assert lags_of(values, 10).tolist() == [0, -2, 2]
    assert lags_of(np.stack([np.zeros(300), signal]), 10).tolist() == [0, 0]
    assert lags_of(signal[None], 10).tolist() == [0]
