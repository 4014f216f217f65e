"""Paired tests against plain calculations, and by what they must say where the answer is known."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from muse.scoring import class_measure, regression_measure
from muse.statistics.paired import compare_recordings, compare_seeds, holm


def plain_ccc(prediction, gold) -> float:
    """Over concatenated frames, divided by n - 1."""
    (var_p, cov), (_, var_g) = np.cov(prediction, gold)
    return 2 * cov / (var_p + var_g + (np.mean(prediction) - np.mean(gold)) ** 2)


def systems(recordings: int, seed: int, noises=(0.5, 1.0), frames: int = 30):
    """Gold standards, and the predictions of two systems, of recordings of unequal length."""
    rng = np.random.default_rng(seed)
    golds = [rng.normal(k, 1, size=frames + 3 * k) for k in range(recordings)]
    made = [[gold + rng.normal(0.2, noise, len(gold)) for gold in golds] for noise in noises]
    return golds, *made


def compared(golds, first, second, resamples=1000, seed=2021):
    measure = regression_measure(first + second, golds * 2, "sample", "ccc")
    return compare_recordings(measure, len(golds), resamples, seed)


def score_of_picked(golds, system, picked) -> float:
    together = [np.concatenate([signals[k] for k in picked]) for signals in (system, golds)]
    return plain_ccc(*together)


@pytest.mark.parametrize("seed", range(6))
def test_three_recordings_have_eight_swaps(seed):
    golds, first, second = systems(3, seed, noises=(0.9, 1.0))
    every = [0, 1, 2]
    observed = score_of_picked(golds, first, every) - score_of_picked(golds, second, every)
    gaps = []
    for swaps in product([False, True], repeat=3):
        one = [b if s else a for a, b, s in zip(first, second, swaps, strict=True)]
        two = [a if s else b for a, b, s in zip(first, second, swaps, strict=True)]
        gaps.append(score_of_picked(golds, one, every) - score_of_picked(golds, two, every))
    test = compared(golds, first, second, resamples=8)
    assert test.first == pytest.approx(score_of_picked(golds, first, every), rel=1e-12)
    assert test.second == pytest.approx(score_of_picked(golds, second, every), rel=1e-12)
    assert test.difference == pytest.approx(observed, rel=1e-9)
    assert test.exact
    assert test.p == np.mean([abs(gap) > abs(observed) - 1e-12 for gap in gaps])


def test_the_score_is_not_the_mean_over_recordings():
    # constant within each recording: only the concatenated frames have a CCC
    golds = [np.full(5, float(k)) for k in range(4)]
    near, far = [gold + 0.1 for gold in golds], [gold + 3.0 for gold in golds]
    test = compared(golds, near, far, resamples=16)
    assert test.first > 0.9 and test.second < 0.3 and test.p == 2 / 16


def test_the_bootstrap_draws_both_systems_with_the_same_recordings():
    golds, first, second = systems(7, 1)
    draws = np.random.default_rng(5).integers(7, size=(300, 7))
    gaps = [score_of_picked(golds, first, d) - score_of_picked(golds, second, d) for d in draws]
    test = compared(golds, first, second, resamples=300, seed=5)
    np.testing.assert_allclose(test.interval, np.percentile(gaps, [2.5, 97.5]), rtol=1e-9)


def test_random_swaps_count_what_was_observed_and_come_near_all_swaps():
    golds, first, second = systems(10, 3, noises=(0.95, 1.0))
    exact = compared(golds, first, second, resamples=1024)
    drawn = compared(golds, first, second, resamples=1000)
    assert exact.exact and not drawn.exact
    # of 1000 swaps the share varies by about 0.016 around p = 0.5
    assert drawn.p == pytest.approx(exact.p, abs=0.08)
    assert drawn.difference == exact.difference
    golds, first, second = systems(20, 4, noises=(0.1, 3.0))
    clear = compared(golds, first, second, resamples=999)
    assert clear.p == pytest.approx(2 / 1000)  # never 0: one of 999 + 1 on either side
    assert clear.interval[0] > 0


@pytest.mark.parametrize("resamples", [64, 50])
def test_systems_that_are_equal_do_not_differ(resamples):
    golds, first, _ = systems(6, 2)
    test = compared(golds, first, first, resamples)
    assert (test.difference, test.p) == (0, 1)
    np.testing.assert_allclose(test.interval, 0, atol=1e-12)


def test_the_order_of_the_systems_changes_the_sign_alone():
    golds, first, second = systems(8, 6, noises=(0.6, 0.9))
    one, two = compared(golds, first, second), compared(golds, second, first)
    assert two.difference == pytest.approx(-one.difference)
    assert two.p == one.p
    np.testing.assert_allclose(two.interval, [-one.interval[1], -one.interval[0]])


def test_one_recording_has_no_test():
    golds, first, second = systems(1, 0)
    test = compared(golds, first, second)
    assert test.interval is None and test.p is None and test.first > test.second


def test_p_is_uniform_where_the_systems_do_not_differ():
    p = [compared(*systems(7, seed, (0.8, 0.8), 8), resamples=128).p for seed in range(200)]
    # 64 values are possible, 2/128 apart
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.09


def test_classes_are_scored_over_all_segments():
    rng = np.random.default_rng(9)
    golds = [rng.integers(0, 3, size=n) for n in (20, 9, 14)]
    first, second = ([np.where(rng.random(len(g)) < share, g, 0) for g in golds]
                     for share in (0.7, 0.4))  # fmt: skip

    def f1(system) -> float:
        return f1_score(np.concatenate(golds), np.concatenate(system), average="macro")

    gaps = []
    for swaps in product([0, 1], repeat=3):
        both = [(a, b)[::-1] if s else (a, b) for a, b, s in zip(first, second, swaps, strict=True)]
        gaps.append(f1([a for a, _ in both]) - f1([b for _, b in both]))
    measure = class_measure(first + second, golds * 2, 3, "f1")
    test = compare_recordings(measure, 3, 100, 1)
    assert (test.first, test.second) == pytest.approx((f1(first), f1(second)))
    assert test.p == np.mean([abs(gap) >= abs(gaps[0]) - 1e-12 for gap in gaps])


def test_a_weighted_metric_with_auc_is_tested_as_it_is_scored():
    rng = np.random.default_rng(2)
    golds = [np.array([0, 1, 0, 1, 1]) for _ in range(3)]
    probabilities = [[rng.dirichlet([1, 1], 5) for _ in golds] for _ in range(2)]
    predicted = [[p.argmax(1) for p in system] for system in probabilities]
    metric = {"auc": 0.5, "uar": 0.5}
    alone = [float(class_measure(p, golds, 2, metric, probs)()[0])
             for p, probs in zip(predicted, probabilities, strict=True)]  # fmt: skip
    measure = class_measure([*predicted[0], *predicted[1]], golds * 2, 2, metric,
                            [*probabilities[0], *probabilities[1]])  # fmt: skip
    test = compare_recordings(measure, 3, 8, 1)
    assert (test.first, test.second) == pytest.approx(alone) and test.p * 4 == round(test.p * 4)


def test_seeds_by_hand():
    # means 0.5 and 0.3, variances 0.01 and 0.01, of 3 and 3: t = 0.2 / sqrt(0.02 / 3), 4 degrees
    test = compare_seeds([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    assert (test.first, test.second, test.difference) == pytest.approx((0.5, 0.3, 0.2))
    assert test.p == pytest.approx(2 * stats.t.sf(0.2 / np.sqrt(0.02 / 3), 4))
    # variances 0.01 of 3 and 0.0002 of 2: Welch and Satterthwaite's degrees of freedom
    a, b = 0.01 / 3, 0.0002 / 2
    degrees = (a + b) ** 2 / (a**2 / 2 + b**2 / 1)
    expected = 2 * stats.t.sf(0.2 / np.sqrt(a + b), degrees)
    assert compare_seeds([0.4, 0.5, 0.6], [0.29, 0.31]).p == pytest.approx(expected)


def test_seeds_that_cannot_be_tested():
    assert compare_seeds([0.4], [0.2, 0.3]).p is None
    assert compare_seeds([0.3, 0.3, 0.3], [0.1, 0.1]).p is None  # no seed changes a score
    assert compare_seeds([0.3, 0.3, 0.3], [0.1, 0.2, 0.3]).p < 1
    assert compare_seeds([0.3, 0.31], [0.3, 0.31]).p == 1


def test_holm_by_hand():
    # 0.01 * 3, then 0.03 * 2, then max(0.04 * 1, 0.06)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([0.2]) == [0.2] and holm([]) == []
    assert holm([None, 0.02, None, 0.5]) == pytest.approx([None, 0.04, None, 0.5])
