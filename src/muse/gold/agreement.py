"""How well raters agree, and the weights that follow from it.

Evaluator weighted estimator: Grimm and Kroschel, Evaluation of natural emotions using self
assessment manikins, ASRU 2005. A rater's weight is the rater's agreement with the others.
"""

from dataclasses import dataclass

import numpy as np

from muse.gold.standardise import moves

MEASURES = ("ccc", "correlation")


@dataclass(frozen=True)
class Weights:
    """The weights of the raters of a recording."""

    shares: np.ndarray  # (raters,), none negative, their sum is 1
    agreement: np.ndarray  # (raters,): what they were made from, in -1 to 1
    constant: np.ndarray  # (raters,) bool: raters who never move, with weight 0
    fallback: bool  # nobody agrees with anybody: the plain mean


def agreement_matrix(values: np.ndarray, measure: str) -> np.ndarray:
    """CCC or correlation of each rater with each other: (raters, frames) -> (raters, raters).

    Variances and covariances are divided by n - 1, as in the score of MuSe 2021. A rater who never
    moves has 0 with everybody; the diagonal of the others is 1.
    """
    values = np.asarray(values, np.float64)
    mean = values.mean(1)
    centred = values - mean[:, None]
    moving = moves(values)
    covariance = centred @ centred.T / max(values.shape[1] - 1, 1)
    variance = np.diagonal(covariance)
    if measure == "ccc":
        below = variance[:, None] + variance + (mean[:, None] - mean) ** 2
        above = 2 * covariance
    else:
        below, above = np.sqrt(variance[:, None] * variance), covariance
    both = moving[:, None] & moving
    return np.where(both, above, 0) / np.where(both, below, 1)


def agreement_of_raters(values: np.ndarray, agreement: str, measure: str) -> np.ndarray:
    """How well each rater agrees with the others: (raters, frames) -> (raters,).

    Args:
        values: two raters or more.
        agreement: `pairwise` (mean over the other raters) or `mean_of_others` (with their mean).
        measure: `ccc` or `correlation`.
    """
    count = len(values)
    if agreement == "pairwise":
        matrix = agreement_matrix(values, measure)
        return (matrix.sum(1) - np.diagonal(matrix)) / (count - 1)
    others = (values.sum(0) - values) / (count - 1)  # (raters, frames)
    pairs = [agreement_matrix(np.stack(pair), measure) for pair in zip(values, others, strict=True)]
    return np.array([matrix[0, 1] for matrix in pairs])


def ewe_weights(values: np.ndarray, agreement: str, measure: str) -> Weights:
    """The weights of the raters of a recording, from ``values`` (raters, frames).

    A negative agreement gives weight 0, and so does a trace that never moves. If no agreement is
    above 0 all who move have equal weights (all raters, if none moves). One rater has weight 1.
    """
    values = np.asarray(values, np.float64)
    constant = ~moves(values)
    if len(values) == 1:
        return Weights(np.ones(1), np.zeros(1), constant, False)
    found = agreement_of_raters(values, agreement, measure)
    found = np.where(constant, 0.0, found)
    weights = np.maximum(found, 0.0)
    fallback = weights.sum() == 0
    if fallback:
        weights = np.ones(len(values)) if constant.all() else (~constant).astype(float)
    return Weights(weights / weights.sum(), found, constant, bool(fallback))


def agreement_between(values: np.ndarray, measure: str) -> tuple[float, float]:
    """Mean and deviation (n - 1) of the agreement over all pairs of raters; NaN for one rater."""
    matrix = agreement_matrix(values, measure)
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    if not len(pairs):
        return float("nan"), float("nan")
    return float(pairs.mean()), float(pairs.std(ddof=1)) if len(pairs) > 1 else float("nan")
