"""Scores of the challenges: CCC, macro F1, UAR, and their confidence intervals.

A score is taken once over all frames (or segments) of a partition, never averaged over windows.
"""

from collections.abc import Sequence

import numpy as np

SEED = 2021  # of the bootstrap: a score and its interval are the same every time


def ccc(prediction: np.ndarray, gold: np.ndarray, variance: str = "sample") -> float:
    """Concordance correlation coefficient (Lin 1989) of two signals, in -1 to 1.

    Args:
        prediction, gold: (frames,), recordings one after another.
        variance: `sample` divides variances and covariance by n - 1 (MuSe 2021), `biased` by n
            (MuSe 2023).

    Returns:
        The CCC; 0 where it is undefined or a signal is constant.
    """
    moments = _moments([prediction], [gold], np.mean(gold, dtype=np.float64))
    return float(_ccc_of(moments, variance)[0])


def ccc_scores(
    predictions: Sequence[np.ndarray],
    golds: Sequence[np.ndarray],
    variance: str = "sample",
    bootstrap: int = 0,
) -> dict:
    """CCC over the concatenated recordings, with the mean per recording and a 95 % interval.

    Args:
        predictions, golds: one (frames,) array per recording.
        bootstrap: number of resamples of recordings (not frames); 0 gives no interval.

    Returns:
        ccc, ccc_per_recording (mean), recordings, frames, interval ([low, high] or None).
    """
    centre = np.mean(np.concatenate(golds), dtype=np.float64)
    moments = _moments(predictions, golds, centre)  # (recordings, 6)
    return {
        "ccc": float(_ccc_of(moments.sum(0, keepdims=True), variance)[0]),
        "ccc_per_recording": float(_ccc_of(moments, variance).mean()),
        "recordings": len(golds),
        "frames": int(moments[:, 0].sum()),
        "interval": _interval(moments, lambda m: _ccc_of(m, variance), bootstrap),
    }


def class_scores(
    predictions: Sequence[np.ndarray],
    golds: Sequence[np.ndarray],
    classes: int,
    bootstrap: int = 0,
) -> dict:
    """Macro F1, UAR and confusion matrix over the segments of all recordings.

    Args:
        predictions, golds: one (segments,) array of classes 0 to ``classes`` - 1 per recording.
        bootstrap: number of resamples of recordings (not segments); 0 gives no interval.

    Returns:
        f1, uar (0 to 1), confusion (rows gold, columns predicted), recordings, segments, interval
        (of f1, or None).
    """
    tables = np.stack(
        [
            np.bincount(np.asarray(g, int) * classes + np.asarray(p, int), minlength=classes**2)
            for p, g in zip(predictions, golds, strict=True)
        ]
    )  # (recordings, classes * classes)
    whole = tables.sum(0).reshape(1, classes, classes)
    return {
        "f1": float(_macro_f1(whole)[0]),
        "uar": float(_uar(whole[0])),
        "confusion": whole[0].tolist(),
        "recordings": len(golds),
        "segments": int(whole.sum()),
        "interval": _interval(
            tables, lambda t: _macro_f1(t.reshape(-1, classes, classes)), bootstrap
        ),
    }


def _moments(predictions: Sequence, golds: Sequence, centre: float) -> np.ndarray:
    """Per recording n, and sums of p, g, pp, gg, pg around ``centre``: (recordings, 6) float64."""
    rows = []
    for prediction, gold in zip(predictions, golds, strict=True):
        p = np.asarray(prediction, np.float64) - centre
        g = np.asarray(gold, np.float64) - centre
        rows.append([len(p), p.sum(), g.sum(), p @ p, g @ g, p @ g])
    return np.array(rows)


def _ccc_of(moments: np.ndarray, variance: str) -> np.ndarray:
    """CCC from sums over frames: (..., 6) -> (...)."""
    n, p, g, pp, gg, pg = np.moveaxis(moments, -1, 0)
    divisor = np.maximum(n - 1, 1) if variance == "sample" else n
    var_p, var_g = (pp - p * p / n) / divisor, (gg - g * g / n) / divisor
    cov = (pg - p * g / n) / divisor
    # the rounding of the sums must not make a constant signal look as if it moved
    floor = 1e-13 * np.maximum(np.maximum(pp, gg) / n, 1e-300)
    constant = (var_p <= floor) | (var_g <= floor)
    below = var_p + var_g + ((p - g) / n) ** 2
    return np.where(constant, 0.0, 2 * cov / np.where(constant, 1.0, below))


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur in gold or prediction: (n, C, C) -> (n,)."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)  # (n, C)
    size = confusion.sum(1) + confusion.sum(2)  # predicted plus gold
    f1 = np.divide(2.0 * hits, size, out=np.zeros(hits.shape), where=size > 0)
    return f1.sum(1) / np.maximum((size > 0).sum(1), 1)


def _uar(confusion: np.ndarray) -> float:
    """Mean recall of the classes that occur in gold: (C, C) -> scalar."""
    gold = confusion.sum(1)
    return float((np.diagonal(confusion)[gold > 0] / gold[gold > 0]).mean())


def _interval(per_recording: np.ndarray, score, bootstrap: int) -> list[float] | None:
    """95 % percentile interval over resamples of recordings, with replacement."""
    if not bootstrap:
        return None
    count = len(per_recording)
    draws = np.random.default_rng(SEED).integers(count, size=(bootstrap, count))
    weights = np.stack([np.bincount(draw, minlength=count) for draw in draws])
    scores = score(weights @ per_recording)
    return [float(limit) for limit in np.percentile(scores, [2.5, 97.5])]
