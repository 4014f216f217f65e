"""Classes of segments: clusters of their features, or equal parts of their means.

Clusters follow Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 2.2,
and, where the paper is silent (standardisation, range of the components, full covariances), the
authors' public MuSe-Toolbox. Equal parts follow Stappen et al., MuSe 2020, section 2.2. Everything
is fitted on training segments, as the paper says; the toolbox fits the principal components and
their range on the segments of all partitions.
"""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, pairwise_distances_argmin, silhouette_score
from sklearn.mixture import GaussianMixture

from muse.errors import MuseError

log = logging.getLogger(__name__)
CORRELATED = 0.9  # absolute correlation above which the second of two features is left out
ROUNDING = 1e-9  # relative spread below which values count as equal


@dataclass(frozen=True)
class Space:
    """Standardised features and their principal components, fitted on training segments.

    The components are multiplied by ``factor`` and moved by ``offset``, so that each of them covers
    [-1, 1] on the training segments (`rescale=minmax`); without rescaling these are 1 and 0.
    """

    centre: np.ndarray  # (features,) mean of the training segments
    scale: np.ndarray  # (features,) their deviation over n; 1 where they do not differ
    constant: np.ndarray  # (features,) bool: the training segments do not differ
    axes: np.ndarray  # (components, features)
    explained: np.ndarray  # (components,) share of the variance
    factor: np.ndarray  # (components,) 0 for a component without variance
    offset: np.ndarray  # (components,)

    def standardise(self, features: np.ndarray) -> np.ndarray:
        """(segments, features) -> the same in training deviations; 0 where training is constant."""
        return np.where(self.constant, 0.0, (features - self.centre) / self.scale)

    def project(self, features: np.ndarray) -> np.ndarray:
        """(segments, features) -> (segments, components); devel and test may leave [-1, 1]."""
        return self.standardise(features) @ self.axes.T * self.factor + self.offset


@dataclass(frozen=True)
class Classes:
    """A class per training segment, and how others get theirs."""

    train: np.ndarray  # (segments,) int64, ordered by the mean of the signal in the class
    centres: np.ndarray  # (classes, components) mean of k-means and of the mixture's parts
    mixture: GaussianMixture | None
    order: np.ndarray  # (classes,) number of each cluster
    cuts: np.ndarray | None  # (classes - 1,) of the segment mean, only for equal parts
    silhouette: float  # of the training segments in the space of the components, -1 to 1
    stability: float  # adjusted Rand index with the classes of the next seed; 1: the same

    @property
    def mixture_parts(self) -> dict[str, list] | None:
        """Weights (classes,) and covariances (classes, components, components) of a mixture."""
        if self.mixture is None:
            return None
        parts = np.argsort(self.order)
        return {"weights": self.mixture.weights_[parts].tolist(),
                "covariances": self.mixture.covariances_[parts].tolist()}  # fmt: skip

    def assign(self, points: np.ndarray, means: np.ndarray, how: str) -> np.ndarray:
        """Classes of further segments: (segments, components), (segments,) -> (segments,) int64.

        ``how`` is `centre` (that of the nearest centre, as the paper says) or `probability` (of a
        mixture that of the most probable part, as the MuSe-Toolbox does; otherwise as `centre`).
        """
        if self.cuts is not None:
            return np.searchsorted(self.cuts, means, side="right")
        if how == "probability" and self.mixture is not None:
            return self.order[self.mixture.predict(points)]
        return pairwise_distances_argmin(points, self.centres)


def fit_space(features: np.ndarray, components: int, rescale: str) -> Space:
    """Standardise training segments and find their principal components.

    Args:
        features: (segments, features) of the training segments.
        components: how many principal components are kept.
        rescale: minmax (each component to [-1, 1], as the MuSe-Toolbox does) or none. With minmax
            all components have about the same weight in a distance, whatever variance they explain.

    Raises MuseError if there are fewer features or segments than components, or no variance.
    """
    segments, columns = features.shape
    if components > min(columns, segments):
        raise MuseError(
            f"components={components}: there are {columns} segment features of {segments} "
            f"training segments, so at most {min(columns, segments)} components."
        )
    centre, scale = features.mean(0), features.std(0)
    constant = scale <= ROUNDING * np.abs(features).max(0)
    if constant.all():
        raise MuseError(
            f"the {segments} training segments do not differ in any feature; there is nothing to "
            "make classes from. Is the signal constant?"
        )
    scale = np.where(constant, 1.0, scale)
    pca = PCA(components, svd_solver="full")
    points = pca.fit_transform(np.where(constant, 0.0, (features - centre) / scale))
    factor, offset = np.ones(components), np.zeros(components)
    if rescale == "minmax":
        low, high = points.min(0), points.max(0)
        varies = high - low > ROUNDING * (high - low).max()  # rounding must not become [-1, 1]
        factor = np.where(varies, 2 / np.where(varies, high - low, 1.0), 0.0)
        offset = -factor * (high + low) / 2
    return Space(centre, scale, constant, pca.components_, pca.explained_variance_ratio_,
                 factor, offset)  # fmt: skip


def fit_classes(
    algorithm: str, classes: int, points: np.ndarray, means: np.ndarray, seed: int, starts: int
) -> Classes:
    """Make classes of training segments, numbered by rising mean of the signal.

    Args:
        algorithm: kmeans, gmm (Gaussian mixture, full covariances) or quantiles (of ``means``).
        points: (segments, components), see `Space.project`.
        means: (segments,) mean of the signal in each segment.
        seed: of the random starts.
        starts: random starts of the clusters, of which the best is taken.

    Raises MuseError if there are too few segments that differ, or a class has none.
    """
    apart = len(np.unique(means if algorithm == "quantiles" else points.round(12), axis=0))
    if apart < classes or len(points) <= classes:
        raise MuseError(
            f"classes={classes}: {len(points)} training segments, {apart} of which differ, are too "
            "few; expected more segments than classes."
        )
    cuts = np.quantile(means, np.arange(1, classes) / classes) if algorithm == "quantiles" else None
    model, found, stability = None, None, 1.0
    if cuts is not None:
        found = np.searchsorted(cuts, means, side="right")
    else:
        model, found = _clusters(algorithm, classes, points, seed, starts)
        _, other = _clusters(algorithm, classes, points, seed + 1, starts)
        stability = float(adjusted_rand_score(found, other))
    sizes = np.bincount(found, minlength=classes)
    if not sizes.all():
        raise MuseError(
            f"algorithm={algorithm}, classes={classes}: {int((sizes == 0).sum())} of the classes "
            f"have no training segment. Take fewer classes or another algorithm."
        )
    rank = np.bincount(found, means) / sizes  # (classes,) mean of the signal
    order = np.empty(classes, np.int64)
    order[np.argsort(rank, kind="stable")] = np.arange(classes)
    train = order[found]
    centres = np.stack([points[train == c].mean(0) for c in range(classes)])
    mixture = model if algorithm == "gmm" else None
    if mixture is not None:
        centres = mixture.means_[np.argsort(order)]
    silhouette = float(silhouette_score(points, train))
    return Classes(train, centres, mixture, order, cuts, silhouette, stability)


def _clusters(
    algorithm: str, classes: int, points: np.ndarray, seed: int, starts: int
) -> tuple[KMeans | GaussianMixture, np.ndarray]:
    """The best of several starts: the model and the cluster of each point, (segments,)."""
    if algorithm == "gmm":
        model = GaussianMixture(classes, n_init=starts, random_state=seed, max_iter=500)
    else:
        model = KMeans(classes, n_init=starts, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of starts: what counts is the best of them
        found = model.fit_predict(points)
    if algorithm == "gmm" and not model.converged_:
        log.warning("The mixture of %d classes has not converged.", classes)
    return model, found


def class_means(space: Space, features: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Mean of each standardised feature in each class: (classes, features)."""
    standard = space.standardise(features)
    return np.stack([standard[found == c].mean(0) for c in range(classes)])


def distinctiveness(means: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Share of each feature's variance that lies between the classes: (features,), 0 to 1.

    Args:
        means: (classes, features) of standardised features, see `class_means`.
        sizes: (classes,) training segments.
    """
    return (sizes[:, None] * means**2).sum(0) / sizes.sum()


def drop_correlated(order: np.ndarray, features: np.ndarray, limit: int) -> list[int]:
    """The first ``limit`` columns of ``order`` that do not correlate with one before them.

    A column whose absolute correlation with an earlier one exceeds CORRELATED is left out, so that
    ten percentiles do not hide all other features. Constant columns are left out as well.

    Args:
        order: columns of ``features``, the most distinctive first.
        features: (segments, features), standardised.
    """
    norms = np.linalg.norm(features, axis=0)
    chosen: list[int] = []
    for column in order.tolist():
        others = features[:, chosen].T @ features[:, column]
        if norms[column] and (np.abs(others) <= CORRELATED * norms[column] * norms[chosen]).all():
            chosen.append(column)
    return chosen[:limit]
