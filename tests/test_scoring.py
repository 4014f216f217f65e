"""Scores against torchmetrics, audmetric, scikit-learn, and numbers worked out by hand."""

import audmetric
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, recall_score
from torchmetrics.functional import concordance_corrcoef

from muse.scoring import ccc, ccc_scores, class_scores


def signals(n: int, seed: int = 0, offset: float = 0.3):
    rng = np.random.default_rng(seed)
    gold = rng.normal(size=n)
    return 0.6 * gold + rng.normal(scale=0.5, size=n) + offset, gold


def test_by_hand():
    # variances 1 and 4, covariance 2, means 2 and 4 (n - 1): 2 * 2 / (1 + 4 + 4)
    prediction, gold = np.array([1.0, 2, 3]), np.array([2.0, 4, 6])
    assert ccc(prediction, gold) == pytest.approx(4 / 9, rel=1e-12)
    # over n: 2 * 4/3 / (2/3 + 8/3 + 4)
    assert ccc(prediction, gold, "biased") == pytest.approx((8 / 3) / (22 / 3), rel=1e-12)
    assert ccc(gold, gold) == pytest.approx(1)
    assert ccc(-gold + 8, gold) == pytest.approx(-1)


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
@pytest.mark.parametrize("offset", [0.0, 0.3, 20.0])
def test_conventions_are_those_of_torchmetrics_and_audmetric(n, offset):
    prediction, gold = signals(n, n, offset)
    sample = concordance_corrcoef(torch.tensor(prediction), torch.tensor(gold))
    assert ccc(prediction, gold) == pytest.approx(float(sample), rel=1e-9)
    biased = audmetric.concordance_cc(gold, prediction)
    assert ccc(prediction, gold, "biased") == pytest.approx(biased, rel=1e-9)


@pytest.mark.parametrize("variance", ["sample", "biased"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e6])
def test_a_constant_signal_has_a_ccc_of_zero(variance, value):
    gold = np.sin(np.arange(50)).astype(np.float32)
    flat = np.full(50, value, np.float32)
    for prediction, truth in ((flat, gold), (gold, flat), (flat, flat)):
        assert ccc(prediction, truth, variance) == 0


def test_a_small_signal_on_a_large_offset_is_not_constant():
    gold = 100 + 1e-3 * np.sin(np.arange(200) / 9)
    assert ccc(gold + 1e-4, gold) > 0.9


def test_a_partition_is_one_signal_and_its_recordings_are_beside_it():
    pairs = [signals(n, seed=n) for n in (30, 7, 100)]
    scores = ccc_scores([p for p, _ in pairs], [g for _, g in pairs], bootstrap=0)
    whole = ccc(np.concatenate([p for p, _ in pairs]), np.concatenate([g for _, g in pairs]))
    assert scores["ccc"] == pytest.approx(whole, rel=1e-12)
    assert scores["ccc_per_recording"] == pytest.approx(np.mean([ccc(p, g) for p, g in pairs]))
    assert (scores["recordings"], scores["frames"], scores["interval"]) == (3, 137, None)


def test_the_interval_comes_from_resampled_recordings():
    pairs = [signals(20 + k, seed=k, offset=0.1 * k) for k in range(8)]
    predictions, golds = [p for p, _ in pairs], [g for _, g in pairs]
    scores = ccc_scores(predictions, golds, bootstrap=500)
    draws = np.random.default_rng(2021).integers(8, size=(500, 8))
    resampled = [
        ccc(np.concatenate([predictions[i] for i in d]), np.concatenate([golds[i] for i in d]))
        for d in draws
    ]
    np.testing.assert_allclose(scores["interval"], np.percentile(resampled, [2.5, 97.5]))
    assert scores["interval"][0] < scores["ccc"] < scores["interval"][1]
    assert scores == ccc_scores(predictions, golds, bootstrap=500)


def test_class_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(5)
    golds = [rng.integers(0, 5, size=n) for n in (40, 11, 90)]
    predictions = [np.where(rng.random(len(g)) < 0.5, g, rng.integers(0, 5, len(g))) for g in golds]
    gold, prediction = np.concatenate(golds), np.concatenate(predictions)
    scores = class_scores(predictions, golds, 5, bootstrap=200)
    assert scores["f1"] == pytest.approx(f1_score(gold, prediction, average="macro"))
    assert scores["uar"] == pytest.approx(recall_score(gold, prediction, average="macro"))
    assert scores["confusion"] == confusion_matrix(gold, prediction).tolist()
    assert (scores["recordings"], scores["segments"]) == (3, 141)
    draws = np.random.default_rng(2021).integers(3, size=(200, 3))
    resampled = [
        f1_score(
            np.concatenate([golds[i] for i in d]),
            np.concatenate([predictions[i] for i in d]),
            average="macro",
        )
        for d in draws
    ]
    np.testing.assert_allclose(scores["interval"], np.percentile(resampled, [2.5, 97.5]))


def test_a_class_that_nowhere_occurs_does_not_count():
    scores = class_scores([np.array([0, 0, 1, 3])], [np.array([0, 1, 1, 0])], 5)
    gold, prediction = [0, 1, 1, 0], [0, 0, 1, 3]
    expected = f1_score(gold, prediction, average="macro", zero_division=0)
    assert scores["f1"] == pytest.approx(expected)
    assert scores["uar"] == pytest.approx(0.5)  # classes 0 and 1, one of two right in each
