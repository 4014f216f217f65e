"""Scores against torchmetrics, audmetric, scikit-learn, and numbers worked out by hand."""

import audmetric
import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import confusion_matrix, f1_score, recall_score, roc_auc_score
from torchmetrics.functional import concordance_corrcoef

from muse.scoring import (
    auc,
    ccc,
    class_scores,
    metric_name,
    metric_title,
    regression_scores,
)


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
    scores = regression_scores([p for p, _ in pairs], [g for _, g in pairs], bootstrap=0)
    whole = ccc(np.concatenate([p for p, _ in pairs]), np.concatenate([g for _, g in pairs]))
    assert scores["ccc"] == pytest.approx(whole, rel=1e-12)
    assert scores["ccc_per_recording"] == pytest.approx(np.mean([ccc(p, g) for p, g in pairs]))
    assert (scores["recordings"], scores["frames"], scores["interval"]) == (3, 137, None)


def test_the_interval_comes_from_resampled_recordings():
    pairs = [signals(20 + k, seed=k, offset=0.1 * k) for k in range(8)]
    predictions, golds = [p for p, _ in pairs], [g for _, g in pairs]
    scores = regression_scores(predictions, golds, bootstrap=500)
    draws = np.random.default_rng(2021).integers(8, size=(500, 8))
    resampled = [
        ccc(np.concatenate([predictions[i] for i in d]), np.concatenate([golds[i] for i in d]))
        for d in draws
    ]
    np.testing.assert_allclose(scores["interval"], np.percentile(resampled, [2.5, 97.5]))
    assert scores["interval"][0] < scores["ccc"] < scores["interval"][1]
    assert scores == regression_scores(predictions, golds, bootstrap=500)


def test_with_groups_the_interval_comes_from_resampled_groups():
    pairs = [signals(20 + k, seed=k, offset=0.1 * k) for k in range(5)]
    groups = {"p": [0, 3], "q": [1], "r": [2, 4]}
    draws = np.random.default_rng(2021).integers(3, size=(400, 3))
    resampled = []
    for draw in draws:
        drawn = [pairs[i] for g in draw for i in list(groups.values())[g]]
        resampled.append(ccc(*(np.concatenate(signal) for signal in zip(*drawn, strict=True))))
    predictions, golds = zip(*pairs, strict=True)
    scores = regression_scores(predictions, golds, bootstrap=400, groups=["p", "q", "r", "p", "r"])
    np.testing.assert_allclose(scores["interval"], np.percentile(resampled, [2.5, 97.5]))
    assert regression_scores(predictions, golds, bootstrap=9, groups=["p"] * 5)["interval"] is None
    labels = [np.array([0, 1, 1]), np.array([1, 1, 0]), np.array([0, 0, 1])]
    both = [class_scores(labels, labels[::-1], 2, 50, groups=g) for g in (None, ["x", "y", "x"])]
    assert both[0]["interval"] != both[1]["interval"]


def test_class_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(5)
    golds = [rng.integers(0, 5, size=n) for n in (40, 11, 90)]
    predictions = [np.where(rng.random(len(g)) < 0.5, g, rng.integers(0, 5, len(g))) for g in golds]
    gold, prediction = np.concatenate(golds), np.concatenate(predictions)
    scores = class_scores(predictions, golds, 5, bootstrap=200)
    assert scores["f1"] == pytest.approx(f1_score(gold, prediction, average="macro"))
    assert scores["uar"] == pytest.approx(recall_score(gold, prediction, average="macro"))
    assert scores["micro_f1"] == pytest.approx(f1_score(gold, prediction, average="micro"))
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


def test_pearson_is_that_of_scipy_over_all_recordings():
    pairs = [signals(n, seed=n, offset=5.0) for n in (30, 7, 100)]
    predictions, golds = [p for p, _ in pairs], [g for _, g in pairs]
    scores = regression_scores(predictions, golds, bootstrap=200, metric="pearson")
    expected = pearsonr(np.concatenate(predictions), np.concatenate(golds)).statistic
    assert scores["pearson"] == pytest.approx(expected, rel=1e-9)
    draws = np.random.default_rng(2021).integers(3, size=(200, 3))
    resampled = [
        pearsonr(
            np.concatenate([predictions[i] for i in d]), np.concatenate([golds[i] for i in d])
        ).statistic
        for d in draws
    ]
    np.testing.assert_allclose(scores["interval"], np.percentile(resampled, [2.5, 97.5]))
    flat = regression_scores([np.full(30, 3.0)], golds[:1])
    assert flat["pearson"] == 0


def test_auc_by_hand():
    # class 1 against class 0: of four pairs three in order and one equal
    gold, second = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.9])
    assert auc(np.stack([1 - second, second], axis=1), gold) == pytest.approx(3.5 / 4)
    # a class that no segment has, and a gold standard of one class, cannot be told apart
    assert auc(np.stack([1 - second, second, second], axis=1), gold) == pytest.approx(3.5 / 4)
    assert auc(np.stack([1 - second, second], axis=1), np.zeros(4, int)) == 0.5


def test_auc_is_that_of_scikit_learn_also_in_its_interval():
    rng = np.random.default_rng(8)
    golds = [np.r_[np.arange(4), rng.integers(0, 4, size=n)] for n in (40, 11, 30)]
    values = [rng.random((len(g), 4)).round(1) + 0.3 * np.eye(4)[g] for g in golds]
    probabilities = [v / v.sum(1, keepdims=True) for v in values]
    predictions = [p.argmax(1) for p in probabilities]
    scores = class_scores(predictions, golds, 4, 20, "auc", probabilities)

    def expected(picked) -> float:
        p = np.concatenate([probabilities[i] for i in picked])
        return roc_auc_score(np.concatenate([golds[i] for i in picked]), p, multi_class="ovr")

    assert scores["auc"] == pytest.approx(expected([0, 1, 2]))
    resampled = [expected(d) for d in np.random.default_rng(2021).integers(3, size=(20, 3))]
    np.testing.assert_allclose(scores["interval"], np.percentile(resampled, [2.5, 97.5]))


def test_a_weighted_sum_of_metrics_has_a_name_and_an_interval_of_its_own():
    # 3 of 4 right; recalls 1/2, 1 and 1: 0.66 * 0.75 + 0.34 * 5/6
    predictions, golds = [np.array([0, 1]), np.array([1, 2])], [np.array([0, 0]), np.array([1, 2])]
    metric = {"micro_f1": 0.66, "uar": 0.34}
    scores = class_scores(predictions, golds, 3, 400, metric)
    name = metric_name(metric)
    assert name == "0.66*micro_f1+0.34*uar"
    assert metric_title(name) == "0.66 micro F1 + 0.34 UAR" and metric_title("f1") == "macro F1"
    assert scores[name] == pytest.approx(0.66 * 0.75 + 0.34 * 5 / 6)
    # a quarter of the resamples is the first recording twice (half of it right), another the second
    assert scores["interval"] == pytest.approx([0.5, 1])


def test_one_recording_has_no_interval():
    one = [np.array([0.1, 0.2, 0.4])]
    assert regression_scores(one, one, bootstrap=50)["interval"] is None
    assert regression_scores(one * 2, one * 2, bootstrap=50)["interval"] == [1, 1]
