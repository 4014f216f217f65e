"""Segment features against numbers by hand, and against tsfresh where it is installed."""

import math
import warnings

import numpy as np
import pytest

from muse.classes.features import KNOWN, PEAKS, PLAIN, feature, segment_features
from muse.errors import MuseError

# mean 2; above it: 5, 5, 3; below: 1, 0, 1, 1, 0; equal to it: 2, 2
SIGNAL = np.array([2, 1, 5, 5, 0, 1, 1, 3, 0, 2], float)
BY_HAND = {
    "mean": 2,
    "median": 1.5,  # 0 0 1 1 1 | 2 2 3 5 5
    "standard_deviation": math.sqrt(30 / 10),  # 0 1 9 9 4 1 1 1 4 0
    "percentile_0": 0,
    "percentile_25": 1,  # rank 9 * 0.25 = 2.25: between the third and the fourth value
    "percentile_75": 2.75,  # rank 6.75: 2 + 0.75 * (3 - 2)
    "percentile_90": 5,  # rank 8.1: between 5 and 5
    "percentile_37.5": 1.0 + 0.375 * 0,  # rank 3.375: between the fourth and the fifth value
    "relative_energy": 70 / 10,  # 4 1 25 25 0 1 1 9 0 4
    "relative_sum_of_changes": 18 / 10,  # 1 4 0 5 1 0 2 3 2
    "relative_longest_strike_below_mean": 3 / 10,  # 0 1 1
    "relative_longest_strike_above_mean": 2 / 10,  # 5 5
    "relative_count_below_mean": 5 / 10,  # 1 0 1 1 0
    "reoccurring_share": 9 / 10,  # all but the 3
    "relative_number_of_peaks": 1 / 10,  # the 3; the two 5 do not exceed each other
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    assert feature(name, 1)(SIGNAL) == pytest.approx(BY_HAND[name], abs=1e-12)


def test_a_peak_exceeds_so_many_frames_on_each_side():
    signal = np.array([0, 1, 2, 9, 3, 4, 1, 0, 0], float)
    assert [9 * feature(PEAKS, n)(signal) for n in (1, 2, 3, 4, 5)] == pytest.approx(
        [2, 1, 1, 0, 0]
    )


def test_a_peak_needs_ten_frames_on_each_side():
    """As in the MuSe-Toolbox: the middle of 21 frames is a peak, unless a tenth frame equals it."""
    signal = np.r_[np.arange(10), 10, np.arange(10)[::-1]].astype(float)
    assert feature(PEAKS, 10)(signal) == 1 / 21
    assert feature(PEAKS, 10)(signal[1:]) == feature(PEAKS, 10)(signal[:-1]) == 0
    for tenth in (0, 20):
        equal = signal.copy()
        equal[tenth] = 10
        assert feature(PEAKS, 10)(equal) == 0
        assert feature(PEAKS, 9)(equal) == 1 / 21


def test_a_segment_of_one_value_has_no_movement():
    """The mean of ten times 0.1 is not 0.1 in floating point."""
    for length in (1, 2, 3, 10, 77):
        signal = np.full(length, 0.1)
        names = [*PLAIN, PEAKS, "percentile_5"]
        found = dict(zip(names, segment_features([signal], names, 1)[0], strict=True))
        assert found.pop("mean") == found.pop("median") == 0.1
        assert found.pop("percentile_5") == pytest.approx(0.1)
        assert found.pop("relative_energy") == pytest.approx(0.01)
        assert found.pop("reoccurring_share") == (length > 1)
        assert set(found.values()) == {0.0}


def test_they_do_not_grow_with_the_length():
    """Two rounds of the same signal: what counts or sums frames stays as it is, per frame."""
    names = ["mean", "median", "standard_deviation", "relative_energy", "relative_count_below_mean"]
    once, twice = segment_features([SIGNAL, np.tile(SIGNAL, 2)], names, 1)
    assert once == pytest.approx(twice)


def test_shapes_and_order():
    names = ["percentile_90", "mean"]
    found = segment_features([SIGNAL, SIGNAL[:1]], names, 3)
    assert found.tolist() == [[5.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("medain", "segment_features=medain: expected one of mean, median"),
        ("percentile_101", "segment_features=percentile_101: expected one of"),
        ("percentile_P", "P is a number from 0 to 100"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(MuseError, match=message):
        feature(name, 1)
    assert "percentile_P" in KNOWN


@pytest.mark.parametrize("signal", [np.array([]), np.array([0.0, np.nan])])
def test_what_has_no_features(signal):
    with pytest.raises(MuseError, match="segment 1 has"):
        segment_features([SIGNAL, signal], ["mean"], 1)


def test_they_are_those_of_tsfresh():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that it imports
        oracle = pytest.importorskip(
            "tsfresh.feature_extraction.feature_calculators", reason="tsfresh is not installed"
        )
    random = np.random.default_rng(1)
    names = [*PLAIN, PEAKS, *(f"percentile_{p}" for p in (0, 5, 10, 25, 33, 66, 75, 90, 95, 100))]
    for length in (1, 2, 3, 7, 20, 81, 400):
        walk = random.normal(size=length).cumsum().round(1)  # values repeat
        n = len(walk)
        expected = {
            "mean": oracle.mean(walk),
            "median": oracle.median(walk),
            "standard_deviation": oracle.standard_deviation(walk),
            "relative_energy": oracle.abs_energy(walk) / n,
            "relative_sum_of_changes": oracle.absolute_sum_of_changes(walk) / n,
            "relative_longest_strike_below_mean": oracle.longest_strike_below_mean(walk) / n,
            "relative_longest_strike_above_mean": oracle.longest_strike_above_mean(walk) / n,
            "relative_count_below_mean": oracle.count_below_mean(walk) / n,
            "reoccurring_share": (
                oracle.percentage_of_reoccurring_datapoints_to_all_datapoints(walk)
            ),
            PEAKS: oracle.number_peaks(walk, 3) / n,
        }
        for name in names[len(expected) :]:
            expected[name] = oracle.quantile(walk, float(name.split("_")[1]) / 100)
        found = segment_features([walk], names, 3)[0]
        assert dict(zip(names, found, strict=True)) == pytest.approx(expected, abs=1e-12), length
