"""Scores of the challenges, and their confidence intervals.

A score is taken once over all frames (or segments) of a partition, never averaged over windows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SEED = 2021  # of the bootstrap: a score and its interval are the same every time
TITLES = {
    **{"ccc": "CCC", "pearson": "Pearson's r"},
    **{"f1": "macro F1", "micro_f1": "micro F1", "uar": "UAR", "auc": "AUC"},
}


@dataclass(frozen=True)
class Measure:
    """The metrics of any drawing of recordings, from what each recording adds to them.

    ``of`` maps a metric and draws (B, recordings), how often each recording counts, to (B,); draws
    are None where each counts once, which gives (1,).
    """

    metric: str | dict[str, float]  # the one that is asked for, or the weight of each
    of: Callable[[str, np.ndarray | None], np.ndarray]

    @property
    def weights(self) -> dict[str, float]:
        """The metrics in the one that is asked for."""
        return self.metric if isinstance(self.metric, dict) else {self.metric: 1.0}

    def __call__(self, draws: np.ndarray | None = None) -> np.ndarray:
        """The metric that is asked for, of each drawing: (B,)."""
        return sum(weight * self.of(name, draws) for name, weight in self.weights.items())


def metric_name(metric: str | dict[str, float]) -> str:
    """The key of a task's metric among its scores: `f1`, or `0.66*micro_f1+0.34*uar`."""
    if isinstance(metric, str):
        return metric
    return "+".join(f"{weight!r}*{name}" for name, weight in metric.items())


def metric_title(name: str) -> str:
    """A metric's name as tables print it: `macro F1`, or `0.66 micro F1 + 0.34 UAR`."""
    parts = [part.rpartition("*") for part in name.split("+")]
    return " + ".join(f"{weight} {TITLES[name]}".lstrip() for weight, _, name in parts)


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
    return float(_ccc(moments, variance)[0])


def auc(probabilities: np.ndarray, gold: np.ndarray) -> float:
    """Area under the ROC curve of each class against the rest, averaged over the classes, 0 to 1.

    By its equality with the Mann-Whitney statistic; equal probabilities count as half.

    Args:
        probabilities: (segments, classes), or anything that rises with them.
        gold: (segments,) classes.

    Returns:
        The mean over the classes that some, but not all segments have; 0.5 if there are none.
    """
    from scipy.stats import rankdata  # slow to import, and few tasks need it

    own = gold[:, None] == np.arange(probabilities.shape[1])  # (segments, classes)
    size, others = own.sum(0), (~own).sum(0)
    above = (rankdata(probabilities, axis=0) * own).sum(0) - size * (size + 1) / 2
    defined = (size > 0) & (others > 0)
    areas = above[defined] / (size * others)[defined]
    return float(areas.mean()) if len(areas) else 0.5


def regression_scores(
    predictions: Sequence[np.ndarray],
    golds: Sequence[np.ndarray],
    variance: str = "sample",
    bootstrap: int = 0,
    metric: str | dict[str, float] = "ccc",
    groups: Sequence[str] | None = None,
) -> dict:
    """Scores over the concatenated recordings, with the mean CCC per recording.

    Args:
        predictions, golds: one (frames,) array per recording.
        variance: of the CCC, see `ccc`.
        bootstrap: number of resamples of recordings (not frames); 0 gives no interval.
        metric: ccc or pearson, or the weight of each.
        groups: of each recording, such as its person; whole groups are resampled then.

    Returns:
        ccc, pearson, ccc_per_recording (mean), recordings, frames, interval (95 %, of the metric:
        [low, high] or None), and the weighted sum under `metric_name`.
    """
    measure = regression_measure(predictions, golds, variance, metric)
    alone = np.eye(len(golds))  # each recording by itself
    return {
        **_scores(measure, ("ccc", "pearson"), bootstrap, len(golds), groups),
        "ccc_per_recording": float(measure.of("ccc", alone).mean()),
        "recordings": len(golds),
        "frames": sum(map(len, golds)),
    }


def regression_measure(
    predictions: Sequence[np.ndarray],
    golds: Sequence[np.ndarray],
    variance: str,
    metric: str | dict[str, float],
) -> Measure:
    """The metrics of any drawing of recordings; arguments as of `regression_scores`."""
    centre = np.mean(np.concatenate(golds), dtype=np.float64)
    moments = _moments(predictions, golds, centre)  # (recordings, 6)

    def of(name: str, draws: np.ndarray | None) -> np.ndarray:
        sums = moments.sum(0, keepdims=True) if draws is None else draws @ moments
        return _ccc(sums, variance) if name == "ccc" else _pearson(sums)

    return Measure(metric, of)


def class_scores(
    predictions: Sequence[np.ndarray],
    golds: Sequence[np.ndarray],
    classes: int,
    bootstrap: int = 0,
    metric: str | dict[str, float] = "f1",
    probabilities: Sequence[np.ndarray] = (),
    groups: Sequence[str] | None = None,
) -> dict:
    """Scores and confusion matrix over the segments of all recordings.

    Args:
        predictions, golds: one (segments,) array of classes 0 to ``classes`` - 1 per recording.
        bootstrap: number of resamples of recordings (not segments); 0 gives no interval.
        metric: f1 (macro), uar, micro_f1 or auc, or the weight of each.
        probabilities: one (segments, classes) array per recording, only needed for auc.
        groups: of each recording, such as its person; whole groups are resampled then.

    Returns:
        f1, uar, micro_f1 (0 to 1), confusion (rows gold, columns predicted), recordings, segments,
        interval (95 %, of the metric: [low, high] or None), auc if the metric asks for it, and the
        weighted sum under `metric_name`.
    """
    measure = class_measure(predictions, golds, classes, metric, probabilities)
    confusion = _confusion(np.concatenate(predictions), np.concatenate(golds), classes)
    return {
        **_scores(measure, tuple(CONFUSION_METRICS), bootstrap, len(golds), groups),
        "confusion": confusion.reshape(classes, classes).tolist(),
        "recordings": len(golds),
        "segments": int(confusion.sum()),
    }


def class_measure(
    predictions: Sequence[np.ndarray],
    golds: Sequence[np.ndarray],
    classes: int,
    metric: str | dict[str, float],
    probabilities: Sequence[np.ndarray] = (),
) -> Measure:
    """The metrics of any drawing of recordings; arguments as of `class_scores`."""
    pairs = zip(predictions, golds, strict=True)
    tables = np.stack([_confusion(*pair, classes) for pair in pairs])

    def of(name: str, draws: np.ndarray | None) -> np.ndarray:
        if name == "auc":
            return _auc(probabilities, golds, draws)
        drawn = tables.sum(0) if draws is None else draws @ tables
        return CONFUSION_METRICS[name](drawn.reshape(-1, classes, classes))

    return Measure(metric, of)


def bootstrap_interval(
    measure: Callable[[np.ndarray], np.ndarray],
    recordings: int,
    resamples: int,
    seed: int = SEED,
    groups: Sequence[str] | None = None,
) -> list[float] | None:
    """95 % percentile interval over resamples of recordings, or of groups of them: [low, high].

    Args:
        measure: draws (B, recordings), how often each recording counts -> (B,).
        groups: of each recording; those of one group are drawn together. None: each by itself.

    Returns:
        None without resamples, and with one recording or group, which says nothing of how they
        differ.
    """
    owner = np.arange(recordings) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = len(set(owner.tolist()))
    if not resamples or count < 2:
        return None
    picked = np.random.default_rng(seed).integers(count, size=(resamples, count))
    draws = np.stack([np.bincount(row, minlength=count) for row in picked])[:, owner]
    return np.percentile(measure(draws), [2.5, 97.5]).tolist()


def _scores(
    measure: Measure,
    names: tuple[str, ...],
    bootstrap: int,
    recordings: int,
    groups: Sequence[str] | None,
) -> dict:
    """The metrics ``names``, the one that is asked for, and its 95 % percentile interval."""
    found = {name: measure.of(name, None) for name in dict.fromkeys([*names, *measure.weights])}
    found[metric_name(measure.metric)] = measure()
    scores = {name: float(score[0]) for name, score in found.items()}
    interval = bootstrap_interval(measure, recordings, bootstrap, groups=groups)
    return scores | {"interval": interval}


def _confusion(prediction: np.ndarray, gold: np.ndarray, classes: int) -> np.ndarray:
    """How often each gold class (row) is predicted as each: (classes * classes,)."""
    cells = np.asarray(gold, int) * classes + np.asarray(prediction, int)
    return np.bincount(cells, minlength=classes**2)


def _moments(predictions: Sequence, golds: Sequence, centre: float) -> np.ndarray:
    """Per recording n, and sums of p, g, pp, gg, pg around ``centre``: (recordings, 6) float64."""
    rows = []
    for prediction, gold in zip(predictions, golds, strict=True):
        p = np.asarray(prediction, np.float64) - centre
        g = np.asarray(gold, np.float64) - centre
        rows.append([len(p), p.sum(), g.sum(), p @ p, g @ g, p @ g])
    return np.array(rows)


def _covariances(moments: np.ndarray, variance: str) -> tuple[np.ndarray, ...]:
    """From sums over frames (..., 6): variances of p and g, covariance, difference of the means,
    and whether p or g is constant; (...) each."""
    n, p, g, pp, gg, pg = np.moveaxis(moments, -1, 0)
    divisor = np.maximum(n - 1, 1) if variance == "sample" else n
    var_p, var_g = (pp - p * p / n) / divisor, (gg - g * g / n) / divisor
    cov = (pg - p * g / n) / divisor
    # the rounding of the sums must not make a constant signal look as if it moved
    floor = 1e-13 * np.maximum(np.maximum(pp, gg) / n, 1e-300)
    return var_p, var_g, cov, (p - g) / n, (var_p <= floor) | (var_g <= floor)


def _ccc(moments: np.ndarray, variance: str) -> np.ndarray:
    """CCC from sums over frames: (..., 6) -> (...)."""
    var_p, var_g, cov, bias, constant = _covariances(moments, variance)
    below = var_p + var_g + bias**2
    return np.where(constant, 0.0, 2 * cov / np.where(constant, 1.0, below))


def _pearson(moments: np.ndarray) -> np.ndarray:
    """Pearson's correlation from sums over frames, 0 for constant signals: (..., 6) -> (...)."""
    var_p, var_g, cov, _, constant = _covariances(moments, "biased")
    return np.where(constant, 0.0, cov / np.sqrt(np.where(constant, 1.0, var_p * var_g)))


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur in gold or prediction: (n, C, C) -> (n,)."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)  # (n, C)
    size = confusion.sum(1) + confusion.sum(2)  # predicted plus gold
    return _mean_ratio(2.0 * hits, size)


def _uar(confusion: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that occur in gold: (n, C, C) -> (n,)."""
    return _mean_ratio(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(2))


def _mean_ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Mean of part / whole over the classes where whole is above 0: (n, C), (n, C) -> (n,)."""
    ratio = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratio.sum(1) / np.maximum((whole > 0).sum(1), 1)


def _micro_f1(confusion: np.ndarray) -> np.ndarray:
    """F1 over all segments; with one class each it is the accuracy: (n, C, C) -> (n,)."""
    return np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2))


CONFUSION_METRICS = {"f1": _macro_f1, "uar": _uar, "micro_f1": _micro_f1}


def _auc(probabilities: Sequence, golds: Sequence, draws: np.ndarray | None) -> np.ndarray:
    """`auc` over all recordings, as often as each of ``draws`` (B, recordings) counts them."""
    whole, gold = np.concatenate(probabilities), np.concatenate(golds)
    if draws is None:
        return np.array([auc(whole, gold)])
    owner = np.repeat(np.arange(len(golds)), [len(g) for g in golds])
    rows = (np.repeat(np.arange(len(gold)), draw[owner]) for draw in draws)
    return np.array([auc(whole[drawn], gold[drawn]) for drawn in rows])
