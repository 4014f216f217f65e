"""Mean, deviation and range of raters, by hand."""

import numpy as np
import pytest

from muse.gold.standardise import moves, standardise

ONE = np.array([[0.0, 2, 4], [5, 5, 5]])
TWO = np.array([[6.0, 8], [1, 0]])


def test_a_rater_over_the_corpus():
    # rater a: 0, 2, 4 and 6, 8, with mean 4 and variance 8
    first, second = standardise([ONE, TWO], [["a", "c"], ["a", "b"]], "corpus", False)
    assert first[0].tolist() == pytest.approx([-4 / 8**0.5, -2 / 8**0.5, 0])
    assert second[0].tolist() == pytest.approx([2 / 8**0.5, 4 / 8**0.5])
    assert second[1].tolist() == pytest.approx([1, -1])
    assert first[1].tolist() == [0, 0, 0]  # never moves


def test_into_minus_one_to_one():
    first, second = standardise([ONE, TWO], [["a", "c"], ["a", "b"]], "corpus", True)
    assert first[0].tolist() == pytest.approx([-1, -0.5, 0])
    assert second[0].tolist() == pytest.approx([0.5, 1])
    assert first[1].tolist() == [0, 0, 0]


def test_a_rater_with_two_ids_is_one():
    """Names decide, not rows."""
    (first, second) = standardise([ONE[:1], TWO[:1]], [["a"], ["z"]], "corpus", True)
    assert first[0].tolist() == pytest.approx([-1, 0, 1]) and second[0].tolist() == [-1, 1]
    first, second = standardise([ONE[:1], TWO[:1]], [["a"], ["a"]], "corpus", True)
    assert second[0].tolist() == pytest.approx([0.5, 1])


def test_over_a_recording_or_not_at_all():
    names = [["a", "c"], ["a", "b"]]
    first, second = standardise([ONE, TWO], names, "recording", True)
    assert first[0].tolist() == pytest.approx([-1, 0, 1]) and second[0].tolist() == [-1, 1]
    first, second = standardise([ONE, TWO], names, "recording", False)
    assert second[0].tolist() == pytest.approx([-1, 1])
    first, second = standardise([ONE, TWO], names, "none", True)
    assert first.tolist() == ONE.tolist() and second.tolist() == TWO.tolist()


def test_rounding_is_no_movement():
    noise = np.random.default_rng(0).standard_normal(9) * 1e-16
    traces = np.stack([0.3 + noise, noise, noise + 0.1 * np.eye(9)[1]])
    assert moves(traces).tolist() == [False, False, True]
    assert standardise([traces[:1]], [["a"]], "corpus", True)[0].tolist() == [[0.0] * 9]
