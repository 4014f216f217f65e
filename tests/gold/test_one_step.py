"""One Gauss-Newton step from the uniform path: by hand, by another solver, and its properties."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize

from muse.gold.agreement import ewe_weights
from muse.gold.one_step import gauss_newton, one_step
from muse.gold.paths import published_bases, warped
from muse.synthetic.raters import simulated_raters, simulated_signal

START = np.array([1.0, 0])


def test_a_step_by_hand():
    """Three frames, paths that mix 2t and 2t^2: their middle is 1 - b/2 for weights (1 - b, b).

    The first trace is 1 - b/2 there. The second, 0.5 with a slope of 1, is 0.5 - a/2. Ends are
    fixed, so b = 1 + a: a = 0, b = 1, and the first trace is read at 0.5 in the middle frame.
    """
    bases = np.array([[0, 0], [1, 0.5], [2, 2]])
    traces = np.array([[0.0, 1, 2], [0, 0.5, 2]])
    weights = gauss_newton(traces, bases, START)
    assert weights == pytest.approx(np.array([[0, 1], [1, 0]]), abs=1e-6)
    assert warped(traces[0], bases @ weights[0]) == pytest.approx([0, 0.5, 2], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_step_is_the_minimum_of_the_linearised_distance(seed):
    """Pair by pair, as it is defined, with a general solver."""
    rng = np.random.default_rng(seed)
    traces = rng.standard_normal((3, 40)).cumsum(1)
    bases, start = 39 * published_bases(40, 3, 0), np.array([0, 1.0, 0])
    slopes = np.gradient(traces, axis=1)

    def distance(flat: np.ndarray) -> float:
        moved = [x + s * (bases @ (w - start))
                 for x, s, w in zip(traces, slopes, flat.reshape(3, 3), strict=True)]  # fmt: skip
        return sum(np.sum((one - two) ** 2) for one, two in combinations(moved, 2))

    found = gauss_newton(traces, bases, start)
    assert (found >= 0).all() and np.allclose(found.sum(1), 1)
    sums = [{"type": "eq", "fun": lambda flat, k=k: flat[3 * k : 3 * k + 3].sum() - 1}
            for k in range(3)]  # fmt: skip
    best = minimize(distance, np.full(9, 1 / 3), bounds=[(0, 1)] * 9, constraints=sums,
                    method="SLSQP", options={"maxiter": 500, "ftol": 1e-12})  # fmt: skip
    assert distance(found.ravel()) <= best.fun * (1 + 1e-6)
    assert distance(found.ravel()) < distance(np.tile(start, 3))


@pytest.mark.parametrize("seed", range(4))
def test_paths_are_monotone_and_keep_both_ends(seed):
    rng = np.random.default_rng(seed)
    raters, frames = rng.integers(2, 12), rng.integers(20, 200)
    traces = rng.standard_normal((raters, frames)).cumsum(1) * rng.uniform(0.01, 100)
    traces[0] *= seed % 2  # a rater who never moves
    paths = one_step(traces, polynomials=1 + seed, tangents=seed)
    assert paths.shape == traces.shape and (np.diff(paths, axis=1) >= -1e-9).all()
    assert np.allclose(paths[:, 0], 0, atol=1e-9) and np.allclose(paths[:, -1], frames - 1)


def test_who_stays_on_the_uniform_path():
    """Raters who agree already, contradict the others, or never move."""
    one, two = simulated_signal(200, 3), simulated_signal(200, 4)
    uniform = np.arange(200)
    assert np.allclose(one_step(np.stack([one, one, one])), uniform, atol=1e-3)
    paths = one_step(np.stack([one, one + 0.5 * two, -one, np.zeros(200)]))
    assert np.allclose(paths[2:], uniform, atol=0.01) and np.abs(paths[0] - uniform).max() > 0.05
    assert (one_step(one[None]) == uniform).all() and (one_step(np.ones((3, 2))) == [0, 1]).all()


@pytest.mark.parametrize("seed", range(4))
def test_closer_to_a_known_signal_than_without(seed):
    """600 frames, 5 raters with lags, drifts and noise of their own."""
    rng = np.random.default_rng(seed)
    signal = simulated_signal(600, seed, width=6)
    raters = simulated_raters(signal, rng.uniform(-5, 5, 5), rng.uniform(-4, 4, 5),
                              [1] * 5, [0.2, 0.3, 0.4, 0.5, 0.6], seed)  # fmt: skip
    weights = ewe_weights(raters, "pairwise", "ccc").shares
    aligned = [warped(row, path) for row, path in zip(raters, one_step(raters), strict=True)]
    with_, without = (np.corrcoef(weights @ x, signal)[0, 1] for x in (np.stack(aligned), raters))
    assert with_ > without + 0.005
