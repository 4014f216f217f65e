"""Agreement and weights, against muse's own CCC, numpy's correlation and numbers by hand."""

import numpy as np
import pytest

from muse.gold.agreement import (
    agreement_between,
    agreement_matrix,
    agreement_of_raters,
    ewe_weights,
)
from muse.gold.averaging import weighted
from muse.scoring import ccc

VALUES = np.random.default_rng(1).standard_normal((4, 50)).cumsum(1)


def test_matrix_of_all_pairs():
    matrix = agreement_matrix(VALUES, "ccc")
    expected = [[ccc(a, b) for b in VALUES] for a in VALUES]
    assert np.allclose(matrix, expected, atol=1e-12)
    assert np.allclose(agreement_matrix(VALUES, "correlation"), np.corrcoef(VALUES), atol=1e-12)


def test_pairwise_and_mean_of_others():
    pairwise = agreement_of_raters(VALUES, "pairwise", "ccc")
    expected = np.mean([ccc(VALUES[1], VALUES[k]) for k in (0, 2, 3)])
    assert pairwise[1] == pytest.approx(expected)
    others = agreement_of_raters(VALUES, "mean_of_others", "correlation")
    expected = np.corrcoef(VALUES[1], VALUES[[0, 2, 3]].mean(0))[0, 1]
    assert others[1] == pytest.approx(expected)


def test_weights_by_hand():
    # correlations: a with b 1, a with c 0.5, b with c 0.5 -> agreements 0.75, 0.75, 0.5
    a = np.array([1.0, 0, -1])
    c = np.array([0.0, 1, -1])
    found = ewe_weights(np.stack([a, 2 * a + 3, c]), "pairwise", "correlation")
    assert found.agreement.tolist() == pytest.approx([0.75, 0.75, 0.5])
    assert found.shares.tolist() == pytest.approx([0.375, 0.375, 0.25])
    assert not found.fallback and not found.constant.any()
    fused = weighted(np.stack([a, 2 * a + 3, c]), found.shares)
    assert fused[0] == pytest.approx(0.375 * 1 + 0.375 * 5 + 0.25 * 0)


def test_who_contradicts_has_no_weight():
    a = np.array([1.0, 2, 3, 5])
    found = ewe_weights(np.stack([a, 3 * a, -a]), "mean_of_others", "correlation")
    assert found.agreement[2] < 0 and found.shares[2] == 0
    assert found.shares.sum() == pytest.approx(1)


def test_nobody_agrees():
    a = np.array([1.0, 2, 3, 5])
    found = ewe_weights(np.stack([a, -a]), "pairwise", "ccc")
    assert found.fallback and found.shares.tolist() == [0.5, 0.5]
    found = ewe_weights(np.stack([a, -a, np.ones(4)]), "pairwise", "ccc")
    assert found.fallback and found.shares.tolist() == [0.5, 0.5, 0]
    found = ewe_weights(np.ones((2, 4)), "pairwise", "ccc")
    assert found.fallback and found.shares.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("agreement", ["pairwise", "mean_of_others"])
def test_who_never_moves_has_no_weight(agreement):
    a = np.array([1.0, 2, 3, 5])
    found = ewe_weights(np.stack([a, a, np.full(4, 0.1)]), agreement, "ccc")
    assert found.constant.tolist() == [False, False, True]
    assert found.shares.tolist() == pytest.approx([0.5, 0.5, 0])


def test_one_rater():
    found = ewe_weights(VALUES[:1], "pairwise", "ccc")
    assert found.shares.tolist() == [1] and not found.fallback
    assert np.isnan(agreement_between(VALUES[:1], "ccc")).all()


def test_mean_and_deviation_over_pairs():
    pairs = [ccc(VALUES[i], VALUES[j]) for i in range(4) for j in range(i)]
    mean, deviation = agreement_between(VALUES, "ccc")
    assert mean == pytest.approx(np.mean(pairs))
    assert deviation == pytest.approx(np.std(pairs, ddof=1))
