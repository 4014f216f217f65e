"""What a signal does within a segment, as numbers that do not grow with the segment's length.

The features of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 2.2,
as tsfresh defines them (Christ et al., Neurocomputing 307, 2018); `relative` is divided by the
number of frames. Each function takes the values of a segment, (frames,) with at least one frame,
and is finite for every one of them: a segment of one frame or of one value has deviation 0, no
change, no peak and no frame beside its mean.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import argrelmax

from muse.config.fields import one_of
from muse.errors import MuseError


def mean(values: np.ndarray) -> float:
    """Arithmetic mean; of a constant signal its value to the last bit."""
    return float(np.clip(values.mean(), values.min(), values.max()))


def median(values: np.ndarray) -> float:
    """Middle value, of an even number of frames the mean of the two in the middle."""
    return float(np.median(values))


def standard_deviation(values: np.ndarray) -> float:
    """Standard deviation over n."""
    return float(np.sqrt(np.mean((values - mean(values)) ** 2)))


def percentile(values: np.ndarray, rank: float) -> float:
    """The value that ``rank`` % of the frames do not exceed, linear between frames."""
    return float(np.percentile(values, rank))


def relative_energy(values: np.ndarray) -> float:
    """Mean of the squared values."""
    return float(values @ values) / len(values)


def relative_sum_of_changes(values: np.ndarray) -> float:
    """Sum of the absolute differences from frame to frame, over the number of frames."""
    return float(np.abs(np.diff(values)).sum()) / len(values)


def relative_number_of_peaks(values: np.ndarray, support: int) -> float:
    """Share of the frames that are above each of the ``support`` frames before and after them.

    A frame closer than that to an end is no peak, so a segment needs 2 * support + 1 frames.
    """
    peaks = argrelmax(values, order=support)[0]
    inside = (peaks >= support) & (peaks < len(values) - support)
    return int(inside.sum()) / len(values)


def relative_longest_strike_below_mean(values: np.ndarray) -> float:
    """Longest run of frames below the mean, over the number of frames."""
    return _longest_run(values < mean(values)) / len(values)


def relative_longest_strike_above_mean(values: np.ndarray) -> float:
    """Longest run of frames above the mean, over the number of frames."""
    return _longest_run(values > mean(values)) / len(values)


def relative_count_below_mean(values: np.ndarray) -> float:
    """Share of the frames below the mean."""
    return int((values < mean(values)).sum()) / len(values)


def reoccurring_share(values: np.ndarray) -> float:
    """Share of the frames whose value occurs more than once (0 to 1)."""
    _, counts = np.unique(values, return_counts=True)
    return int(counts[counts > 1].sum()) / len(values)


def _longest_run(inside: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.r_[0, inside.astype(np.int8), 0]))
    return int(np.diff(edges)[::2].max(initial=0))


PLAIN: dict[str, Callable[[np.ndarray], float]] = {
    function.__name__: function
    for function in (
        mean,
        median,
        standard_deviation,
        relative_energy,
        relative_sum_of_changes,
        relative_longest_strike_below_mean,
        relative_longest_strike_above_mean,
        relative_count_below_mean,
        reoccurring_share,
    )
}
PEAKS = "relative_number_of_peaks"
KNOWN = (*PLAIN, PEAKS, "percentile_P")


def segment_features(
    segments: Sequence[np.ndarray], names: Sequence[str], peak_support: int
) -> np.ndarray:
    """Features of each segment: (segments, features) float64.

    Args:
        segments: the values of each, (frames,).
        names: those of KNOWN; P is any rank from 0 to 100, `percentile_25`.
        peak_support: frames on each side that a peak exceeds.

    Raises MuseError for an unknown name and for a segment without a frame or with a value that is
    not finite.
    """
    functions = [feature(name, peak_support) for name in names]
    rows = np.empty((len(segments), len(names)))
    for k, segment in enumerate(segments):
        values = np.asarray(segment, np.float64)
        if not len(values) or not np.isfinite(values).all():
            raise MuseError(
                f"segment {k} has {len(values)} frames, {int((~np.isfinite(values)).sum())} of "
                "them without a finite value; expected one frame or more, each with a value."
            )
        rows[k] = [function(values) for function in functions]
    return rows


def feature(name: str, peak_support: int) -> Callable[[np.ndarray], float]:
    """The function of a feature's name; MuseError if there is none."""
    rank = re.fullmatch(r"percentile_(\d+(?:\.\d+)?)", name)
    if rank and float(rank[1]) <= 100:
        return lambda values: percentile(values, float(rank[1]))
    if name == PEAKS:
        return lambda values: relative_number_of_peaks(values, peak_support)
    one_of("segment_features", name, KNOWN)
    if name not in PLAIN:
        raise MuseError(f"segment_features={name}: P is a number from 0 to 100: percentile_25.")
    return PLAIN[name]
