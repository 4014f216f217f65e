"""Paired comparison of two systems: over the recordings that both predict, and over seeds.

The permutation test is the approximate randomisation of E. W. Noreen, Computer-Intensive Methods
for Testing Hypotheses, 1989, for scores that are no means over items, as A. Yeh, More accurate
tests for the statistical significance of result differences, COLING 2000: if the systems do not
differ, each recording's predictions may have come from the other system as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from muse.scoring import Measure, bootstrap_interval

BATCH = 1000  # permutations that are scored at once
TIE = 1e-10  # differences that are this close are equal: their sums are rounded differently


@dataclass(frozen=True)
class OverRecordings:
    """Two systems on the same recordings; intervals and p are None with one recording."""

    first: float
    second: float
    difference: float  # first - second
    interval: list[float] | None  # 95 %, of the difference: [low, high]
    p: float | None  # two-sided
    exact: bool  # whether p is over all swaps, not over some that were drawn


@dataclass(frozen=True)
class OverSeeds:
    """The mean scores of two systems over their seeds."""

    first: float
    second: float
    difference: float  # of the means
    p: float | None  # two-sided; None where a system has one seed, or no seed changes a score


def compare_recordings(
    measure: Measure, recordings: int, resamples: int, seed: int
) -> OverRecordings:
    """Test whether two systems differ by more than the choice of recordings explains.

    A score is never a mean over recordings: that of every resample and of every permutation is
    taken again over all frames (segments) of the recordings in it.

    Args:
        measure: of the first system's recordings followed by the second system's, which are the
            same in the same order.
        recordings: of each system, n.
        resamples: of the paired bootstrap, in which both systems are drawn with the same
            recordings; and of the permutation test, which swaps the systems' whole recordings. It
            is over all 2^n swaps if they are no more than ``resamples``; else so many are drawn,
            and what was observed counts as one more (B. Phipson, G. K. Smyth, Permutation p-values
            should never be zero, 2010).
        seed: of both.
    """

    def difference(own: np.ndarray, other: np.ndarray) -> np.ndarray:
        """First less second system; the first has its recordings ``own`` times, those of the second
        ``other`` times, and the second the rest: (B, n), (B, n) -> (B,)."""
        return measure(np.hstack([own, other])) - measure(np.hstack([other, own]))

    own, none = np.ones((1, recordings), int), np.zeros((1, recordings), int)
    first, second = (float(measure(np.hstack(draw))[0]) for draw in ([own, none], [none, own]))
    observed = first - second
    if recordings < 2:
        return OverRecordings(first, second, observed, None, None, False)

    def swapped(other: np.ndarray, own: np.ndarray, axis: int) -> np.ndarray:
        """The difference of each permutation: (B, n) or (n,), of 0 and 1, twice -> (B,) or ()."""
        found = difference(np.atleast_2d(own), np.atleast_2d(other)).reshape(own.shape[:-1])
        same = np.abs(np.abs(found) - abs(observed)) < TIE
        return np.where(same, np.copysign(observed, found), found)

    test = stats.permutation_test(
        (none[0], own[0]), swapped, permutation_type="samples", vectorized=True,
        n_resamples=resamples, batch=BATCH, rng=seed,
    )  # fmt: skip
    interval = bootstrap_interval(
        lambda draws: difference(draws, np.zeros_like(draws)), recordings, resamples, seed
    )
    exact = 2**recordings <= resamples
    return OverRecordings(first, second, observed, interval, float(test.pvalue), exact)


def compare_seeds(first: Sequence[float], second: Sequence[float]) -> OverSeeds:
    """Test whether two systems differ by more than the choice of seeds explains, by Welch's t.

    Seeds are not paired: the same number stands for other initial weights in another model.

    Args:
        first, second: the score of each seed.
    """
    about = [(np.mean(s), np.std(s, ddof=1), len(s)) for s in (first, second) if len(s) > 1]
    p = None
    if len(about) == 2 and max(np.ptp(first), np.ptp(second)) > TIE:
        p = float(stats.ttest_ind_from_stats(*about[0], *about[1], equal_var=False).pvalue)
    means = float(np.mean(first)), float(np.mean(second))
    return OverSeeds(*means, means[0] - means[1], p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number; None stays and does not count.

    S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    known = np.array([p for p in p_values if p is not None])
    order = np.argsort(known)
    steps = known[order] * np.arange(len(known), 0, -1)
    adjusted = np.empty(len(known))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    corrected = iter(adjusted.tolist())
    return [None if p is None else next(corrected) for p in p_values]
