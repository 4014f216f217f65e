"""Classes of segments: against exhaustive search, formulas written out, and numbers by hand."""

from itertools import product

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from muse.classes.clusters import (
    class_means,
    distinctiveness,
    drop_correlated,
    fit_classes,
    fit_space,
)
from muse.errors import MuseError


@pytest.fixture(autouse=True)
def one_thread():
    """As `muse classes` does: on small matrices threads wait for each other."""
    with threadpool_limits(1):
        yield


def blobs(centres, deviations, each: int, seed: int = 0) -> np.ndarray:
    """``each`` points around every centre: (points, dimensions)."""
    random = np.random.default_rng(seed)
    return np.concatenate(
        [random.normal(c, d, (each, len(c))) for c, d in zip(centres, deviations, strict=True)]
    )


def test_components_are_the_eigenvectors_of_the_covariance():
    random = np.random.default_rng(3)
    features = random.normal(size=(40, 4)) @ random.normal(size=(4, 4)) + 5
    features = np.c_[features, np.full(40, 0.1)]  # a feature that does not vary
    space = fit_space(features, 2, "none")
    assert space.constant.tolist() == [False] * 4 + [True]
    standard = (features[:, :4] - features[:, :4].mean(0)) / features[:, :4].std(0)
    values, vectors = np.linalg.eigh(standard.T @ standard / 40)
    assert space.explained == pytest.approx(values[::-1][:2] / values.sum())
    other = random.normal(size=(7, 5))
    points = ((other[:, :4] - features[:, :4].mean(0)) / features[:, :4].std(0)) @ vectors
    assert np.abs(space.project(other)) == pytest.approx(np.abs(points[:, ::-1][:, :2]))


def test_components_are_rescaled_by_the_range_of_the_training_segments():
    """0, 2 and 10 become -1, 2 * 2 / 10 - 1 and 1; others follow, and may lie outside."""
    train = np.array([[0.0], [2.0], [10.0]])
    space = fit_space(train, 1, "minmax")
    sign = np.sign(space.axes[0, 0])
    assert sign * space.project(train)[:, 0] == pytest.approx([-1, -0.6, 1])
    other = np.array([[5.0], [12.0], [-1.0]])
    assert sign * space.project(other)[:, 0] == pytest.approx([0, 1.4, -1.2])


def test_every_component_is_rescaled_by_its_own_range():
    train, other = np.split(np.random.default_rng(5).normal(size=(30, 4)) * (1, 2, 3, 4), [20])
    plain, rescaled = fit_space(train, 3, "none"), fit_space(train, 3, "minmax")
    points = plain.project(train)
    low, high = points.min(0), points.max(0)
    assert rescaled.project(train).min(0) == pytest.approx([-1] * 3)
    assert rescaled.project(train).max(0) == pytest.approx([1] * 3)
    expected = 2 * (plain.project(other) - low) / (high - low) - 1
    assert rescaled.project(other) == pytest.approx(expected)


def test_a_component_without_variance_is_not_blown_up_to_the_range():
    """Of two features that say the same, the second component is rounding."""
    one = np.random.default_rng(6).normal(size=20)
    space = fit_space(np.stack([one, 0.3 * one + 1], axis=1), 2, "minmax")
    points = space.project(np.array([[0.1, 7.0], [0.3, -7.0]]))
    assert points[:, 1].tolist() == [0, 0] and points[0, 0] != points[1, 0]


def test_more_components_than_features():
    with pytest.raises(MuseError, match="components=3: there are 2 segment features of 9"):
        fit_space(np.random.default_rng(0).normal(size=(9, 2)), 3, "none")
    with pytest.raises(MuseError, match="do not differ in any feature"):
        fit_space(np.full((9, 2), 0.3), 1, "none")


def test_k_means_finds_the_best_of_all_divisions():
    points = np.random.default_rng(4).normal(size=(9, 2))
    found = fit_classes("kmeans", 2, points, points[:, 0], seed=0, starts=20)

    def spread(classes: np.ndarray) -> float:
        return sum(((points[classes == c] - points[classes == c].mean(0)) ** 2).sum()
                   for c in set(classes.tolist()))  # fmt: skip

    everything = min(spread(np.array(classes)) for classes in product((0, 1), repeat=9))
    assert spread(found.train) == pytest.approx(everything)
    for c in (0, 1):
        assert found.centres[c] == pytest.approx(points[found.train == c].mean(0))


def test_silhouette_by_its_formula():
    points = blobs([(0, 0), (3, 1), (0, 4)], [1, 1, 1], 6)
    found = fit_classes("kmeans", 3, points, points[:, 0], seed=0, starts=5)
    values = []
    for point, own in zip(points, found.train, strict=True):
        apart = np.linalg.norm(points - point, axis=1)
        same = apart[found.train == own].sum() / ((found.train == own).sum() - 1)
        other = min(apart[found.train == c].mean() for c in range(3) if c != own)
        values.append((other - same) / max(other, same))
    assert found.silhouette == pytest.approx(np.mean(values))


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm"])
def test_numbers_follow_the_mean_of_the_signal_whatever_the_seed(algorithm):
    centres = [(0, 0), (9, 0), (0, 9), (9, 9)]
    points = blobs(centres, [1] * 4, 10)
    means = np.repeat([0.5, -0.5, 0.9, 0.1], 10) + np.random.default_rng(1).normal(0, 0.01, 40)
    for seed in range(4):
        found = fit_classes(algorithm, 4, points, means, seed, starts=5)
        assert found.train.tolist() == [2] * 10 + [0] * 10 + [3] * 10 + [1] * 10
        near = found.assign(np.array([(1, 1), (8, 1), (1, 8), (8, 8)]), np.zeros(4), "centre")
        assert near.tolist() == [2, 0, 3, 1]
        assert found.stability == 1
    again = fit_classes(algorithm, 4, points, means, 3, starts=5)
    assert (again.centres == found.centres).all()


def test_nearest_centre_and_most_probable_part_of_a_mixture():
    """Beside a narrow cloud, but within reach of a wide one."""
    points = blobs([(0, 0), (6, 0)], [0.2, 2.5], 200)
    found = fit_classes("gmm", 2, points, points[:, 0], seed=0, starts=5)
    between = np.array([[1.5, 0.0]])
    assert np.linalg.norm(found.centres - between, axis=1).argmin() == 0
    density = []
    for c in (0, 1):
        part = int(np.flatnonzero(found.order == c)[0])
        mean, covariance = found.mixture.means_[part], found.mixture.covariances_[part]
        away = between[0] - mean
        norm = found.mixture.weights_[part] / np.sqrt(np.linalg.det(2 * np.pi * covariance))
        density.append(norm * np.exp(-0.5 * away @ np.linalg.inv(covariance) @ away))
    assert density[1] > density[0]
    assert found.assign(between, np.zeros(1), "centre").tolist() == [0]
    assert found.assign(between, np.zeros(1), "probability").tolist() == [1]


def test_equal_parts_by_the_mean():
    means = np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.7, 0.4, 0.6, 0.5])
    points = np.random.default_rng(0).normal(size=(9, 2))
    found = fit_classes("quantiles", 3, points, means, seed=0, starts=1)
    assert found.train.tolist() == [2, 0, 0, 0, 2, 2, 1, 1, 1]
    # a third of the way from 0.3 to 0.4 above the third value: rank 8 / 3
    assert found.cuts == pytest.approx([0.3 + 0.1 * 2 / 3, 0.6 + 0.1 * 1 / 3])
    new = found.assign(np.zeros((3, 2)), np.array([-5, 0.37, 5]), "centre")
    assert new.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("algorithm", "points", "means", "message"),
    [
        ("kmeans", np.arange(6.0).reshape(3, 2), np.arange(3.0), "3 training segments, 3 of wh"),
        ("gmm", np.ones((9, 2)), np.arange(9.0), "9 training segments, 1 of which differ"),
        ("quantiles", np.eye(9), np.ones(9), "1 of which differ"),
        ("quantiles", np.eye(9), np.r_[0, 0, 0, 0, 0, 0, 0, 1, 2.0], "have no training segment"),
    ],
)
def test_too_little_to_make_classes_of(algorithm, points, means, message):
    with pytest.raises(MuseError, match=message):
        fit_classes(algorithm, 3, points, means, seed=0, starts=2)


def test_what_distinguishes_classes():
    features = np.array([[0, 5, 1], [2, 5, 2], [10, 5, 1], [12, 5, 2]], float)
    found = np.array([0, 0, 1, 1])
    space = fit_space(features, 1, "none")
    means = class_means(space, features, found, 2)
    # the first feature: mean 6, variance (36 + 16 + 16 + 36) / 4 = 26; class means 1 and 11
    assert means[:, 0] == pytest.approx([-5 / 26**0.5, 5 / 26**0.5])
    assert distinctiveness(means, np.array([2, 2])) == pytest.approx([25 / 26, 0, 0])


def test_features_that_say_the_same_are_told_once():
    a, b, c = np.random.default_rng(2).normal(size=(3, 50))
    features = np.stack([a, 3 * a + 0.01 * b, -a, b, np.zeros(50), c], axis=1)
    features -= features.mean(0)
    assert drop_correlated(np.array([1, 0, 4, 3, 2, 5]), features, 10) == [1, 3, 5]
    assert drop_correlated(np.array([1, 0, 4, 3, 2, 5]), features, 2) == [1, 3]
