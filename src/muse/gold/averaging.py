"""Several aligned traces fused to one signal: weighted, plain mean, or DTW barycentre.

DTW barycentre averaging: Petitjean et al., A global averaging method for dynamic time warping,
with applications to clustering, Pattern Recognition 44(3), 2011.
"""

import numpy as np

from muse.errors import MuseError


def weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of traces: (raters, frames) and (raters,), whose sum is 1, -> (frames,)."""
    return np.asarray(weights, np.float64) @ np.asarray(values, np.float64)


def barycentre(values: np.ndarray, window: int, rounds: int = 10) -> np.ndarray:
    """The sequence of least summed squared DTW distance to all traces, started from their mean.

    Args:
        values: (raters, frames).
        window: frames by which DTW may shift a trace at most.
        rounds: of averaging, at most.

    Raises:
        MuseError: dtaidistance is not installed.
    """
    try:
        from dtaidistance.dtw_barycenter import dba_loop
    except ImportError:
        raise MuseError(
            "fuse.method=dba needs dtaidistance, which is not installed: pip install 'muse[dba]'"
        ) from None
    values = np.ascontiguousarray(values, np.float64)
    start = values.mean(0)
    return np.asarray(dba_loop(values, c=start, max_it=rounds, window=window, use_c=True))
