"""Generic canonical time warping: its properties, and warps that are known."""

import numpy as np
import pytest

from muse.gold.agreement import agreement_between, ewe_weights
from muse.gold.gctw import gctw
from muse.gold.multiset_cca import components_for, multiset_cca
from muse.gold.paths import warped
from muse.scoring import ccc
from muse.synthetic.raters import simulated_raters, simulated_signal


def random_sequences(seed: int) -> list[np.ndarray]:
    """Two to six sequences of one to three dims and 20 to 150 frames; some never move."""
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(rng.integers(2, 7)):
        shape = (rng.integers(1, 4), rng.integers(20, 150))
        walk = rng.standard_normal(shape).cumsum(1) * rng.uniform(0.01, 100)
        sequences.append(np.zeros(shape) if rng.random() < 0.1 else walk)
    return sequences


@pytest.mark.parametrize("seed", range(12))
def test_paths_are_monotone_and_keep_both_ends(seed):
    sequences = random_sequences(seed)
    stiffness = [0.0, 0.1, 3.0][seed % 3]
    for centred in (False, True):
        found = gctw(sequences, stiffness=stiffness, centred=centred, rounds=6)
        assert found.paths.shape == (len(sequences), min(x.shape[1] for x in sequences))
        assert np.isfinite(found.paths).all() and (np.diff(found.paths, axis=1) >= -1e-9).all()
        last = [x.shape[1] - 1 for x in sequences]
        assert np.allclose(found.paths[:, 0], 0, atol=1e-9)
        assert np.allclose(found.paths[:, -1], last, rtol=1e-9)
        assert (np.diff(found.objective) < 0).all()
    relative = found.paths / np.array(last)[:, None]
    assert np.allclose(relative.mean(0), np.linspace(0, 1, relative.shape[1]), atol=0.02)


@pytest.mark.parametrize(("seed", "nonnegative"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_objective_is_that_of_the_method(seed, nonnegative):
    """Computed again pair by pair from paths and projections, as it is defined."""
    rng = np.random.default_rng(seed)
    dims = [1, 1, 1] if nonnegative else [2, 3, 2]
    sequences = [rng.standard_normal((d, 60 + 10 * k)).cumsum(1) for k, d in enumerate(dims)]
    r, stiffness = 0.6, 0.5
    found = gctw(
        sequences, regularisation=r, stiffness=stiffness, nonnegative=nonnegative, centred=False
    )
    frames, m, value, power = 60, 3, 0.0, 0.0
    z = []
    for x, path, v in zip(sequences, found.paths, found.projections, strict=True):
        read = np.stack([np.interp(path, np.arange(x.shape[1]), row) for row in x])
        read = (read - read.mean(1, keepdims=True)) / read.std(1, keepdims=True)
        z.append(v.T @ read)
        power = power + v.T @ ((1 - r) * read @ read.T / frames + r * np.eye(len(v))) @ v
        slope = np.diff(path) * (frames - 1) / (x.shape[1] - 1)
        value += r / (1 - r) / 2 * (v**2).sum() + stiffness / (2 * m) * ((slope - 1) ** 2).mean()
    value += sum(((z[i] - z[j]) ** 2).sum() for i in range(m) for j in range(i)) / (2 * m * frames)
    assert found.objective[-1] == pytest.approx(value, rel=1e-6)
    assert np.allclose(power, np.eye(len(power)), atol=1e-6)
    assert len(found.objective) > 1


def test_two_sets_without_regularisation_are_the_classical_analysis():
    """The power of a component is one plus the canonical correlation."""
    rng = np.random.default_rng(3)
    common = rng.standard_normal((2, 200))
    sets = [rng.standard_normal((d, 2)) @ common + rng.standard_normal((d, 200)) for d in (3, 4)]
    sets = [x - x.mean(1, keepdims=True) for x in sets]
    bases = [np.linalg.svd(x, full_matrices=False)[2] for x in sets]
    correlations = np.linalg.svd(bases[0] @ bases[1].T)[1]
    projections, powers = multiset_cca(sets, 0.0, 3)
    assert np.allclose(powers, 1 + correlations, atol=1e-6)
    for k in range(3):
        one, two = (v[:, k] @ x for v, x in zip(projections, sets, strict=True))
        assert np.corrcoef(one, two)[0, 1] == pytest.approx(correlations[k], abs=1e-6)


def test_components_by_energy():
    rng = np.random.default_rng(4)
    signal = rng.standard_normal((3, 500)) * [[9], [3], [0.01]]
    sets = [signal - signal.mean(1, keepdims=True)] * 2
    assert components_for(sets, 0.999999, 0.5) == 1  # powers as the variances: 81, 9, 0
    assert components_for(sets, 0.999999, 0.95) == 2
    assert components_for(sets, 0.999999, 1.0) == 3
    assert components_for([*sets, sets[0][:1]], 0.999999, 1.0) == 1  # the fewest dims


def test_nonnegative_turns_nobody_upside_down():
    rng = np.random.default_rng(5)
    signal = rng.standard_normal(300)
    sets = [signal + 0.3 * rng.standard_normal(300) for _ in range(3)] + [-signal]
    sets = [x[None] - x.mean() for x in sets]
    plain = np.concatenate(multiset_cca(sets, 0.5, 1)[0])[:, 0]
    nonnegative = np.concatenate(multiset_cca(sets, 0.5, 1, nonnegative=True)[0])[:, 0]
    assert plain[3] < 0 and nonnegative[3] == 0 and (nonnegative[:3] > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_known_warp_is_found(seed):
    """One sequence runs late by a smooth, growing and falling lag of up to 12 frames."""
    signal = simulated_signal(400, seed, width=8)
    time = np.arange(400.0)
    known = 12 * np.sin(np.pi * time / 399) ** 2
    late = np.interp(time - known, time, signal)
    found = gctw([signal, late], stiffness=0.01)
    ahead = found.paths[1] - found.paths[0]  # of the late one against the other
    assert np.abs(ahead - known)[40:-40].max() < 3
    one, two = (warped(x, p) for x, p in zip((signal, late), found.paths, strict=True))
    assert np.corrcoef(signal, late)[0, 1] < 0.75 and np.corrcoef(one, two)[0, 1] > 0.97


def test_sequences_of_several_dims_and_unequal_length():
    """What two recordings share is in other dims, and one is a third slower."""
    common = np.stack([simulated_signal(300, seed, width=8) for seed in (1, 2)])
    slow = warped(common, np.linspace(0, 299, 400))
    mixed = np.array([[1.0, 0.5], [-0.4, 1], [0.2, 0.2]]) @ slow
    found = gctw([common, mixed], stiffness=0.1)
    assert found.paths.shape == (2, 300)
    assert np.allclose(found.paths[1], np.linspace(0, 399, 300), atol=4)
    assert found.projections[1].shape[0] == 3


def test_equal_sequences_stay_where_they_are():
    signal = simulated_signal(200, 3)
    found = gctw([signal, signal, 2 * signal + 1])
    assert np.allclose(found.paths, np.arange(200), atol=1e-6)


@pytest.mark.parametrize("sequences", [[np.zeros(5)], [np.zeros(9), np.ones(9)],
                                       [np.arange(2.0), np.arange(2.0)]])  # fmt: skip
def test_nothing_to_align(sequences):
    found = gctw(sequences)
    assert np.allclose(found.paths, np.arange(len(sequences[0])))


@pytest.mark.parametrize("seed", range(5))
def test_gctw_is_closer_to_a_fast_known_signal_than_the_plain_mean_and_ewe(seed):
    """600 frames, 5 raters with lags, drifts, gains and noise of their own."""
    rng = np.random.default_rng(seed)
    signal = simulated_signal(600, seed, width=6)
    lags, drifts = rng.uniform(-5, 5, 5), rng.uniform(-4, 4, 5)
    lags -= lags.mean()
    raters = simulated_raters(
        signal, lags, drifts, rng.uniform(0.4, 1, 5),
        [0.2, 0.3, 0.4, 0.5, 0.6], seed,
    )  # fmt: skip
    raters /= raters.std(1, keepdims=True)
    paths = gctw(list(raters), nonnegative=True).paths
    aligned = np.stack([warped(row, path) for row, path in zip(raters, paths, strict=True)])
    weights = ewe_weights(raters, "pairwise", "ccc").shares
    truth = signal / signal.std()

    def closeness(fused: np.ndarray) -> float:
        return ccc((fused - fused.mean()) / fused.std() + truth.mean(), truth)

    full, ewe, mean = (closeness(x) for x in (weights @ aligned, weights @ raters, raters.mean(0)))
    assert full > ewe + 0.015 and full > mean + 0.015
    time = np.arange(600)
    late = lags[:, None] + drifts[:, None] * np.sin(np.pi * time / 599) ** 2
    wrong = (paths - time) - (late - late.mean(0))
    assert np.sqrt((wrong[:, 50:-50] ** 2).mean(1)).max() < 1.2  # frames
    assert agreement_between(aligned, "ccc")[0] > agreement_between(raters, "ccc")[0] + 0.05
