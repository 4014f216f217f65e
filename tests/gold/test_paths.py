"""Monotone paths: basis functions, sequences read along them, weights on simplices."""

import numpy as np
import pytest

from muse.gold.paths import on_simplices, published_bases, warped, warping_bases


@pytest.mark.parametrize("make", [warping_bases, published_bases])
def test_bases_rise_from_0_to_1(make):
    bases = make(100, 5, 5)
    assert bases.shape == (100, 10) and (np.diff(bases, axis=0) >= 0).all()
    assert np.allclose(bases[0], 0) and np.allclose(bases[-1], 1)
    assert np.linalg.matrix_rank(bases) == 10
    assert np.allclose(make(100, 1, 0)[:, 0], np.linspace(0, 1, 100))


def test_exponents_by_hand():
    uniform = np.linspace(0, 1, 100)
    assert np.allclose(warping_bases(100, 5, 5)[:, 0], uniform)
    assert np.allclose(published_bases(100, 5, 5)[:, 2], uniform)
    assert np.allclose(published_bases(100, 2, 0), uniform[:, None] ** [10**-0.5, 10**0.5])


def test_linear_between_frames():
    assert warped(np.array([[0.0, 10, 20], [5, 5, 8]]), np.array([0, 0.5, 1.25, 2])).tolist() == [
        [0, 5, 12.5, 20],
        [5, 5, 5.75, 8],
    ]


def test_weights_on_a_simplex_by_hand():
    """|w - target|^2 / 2: the target itself, its projection, and a choice left to the start."""
    eye = np.eye(2)
    assert on_simplices(eye, np.array([0.3, 0.7]), np.zeros(2)) == pytest.approx([0.3, 0.7])
    assert on_simplices(eye, np.array([2.0, 0.0]), np.zeros(2)) == pytest.approx([1, 0])
    both = on_simplices(np.eye(4), np.array([0.3, 0.7, 1.0, 0.4]), np.zeros(4), blocks=2)
    assert both == pytest.approx([0.3, 0.7, 0.8, 0.2])
    start = np.array([0.1, 0.9])
    assert on_simplices(0 * eye, np.zeros(2), start) == pytest.approx(start, abs=1e-6)
