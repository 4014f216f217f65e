"""From the signals of a package to classes: the segments of a target, described and sorted."""

import logging
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from muse import terminal
from muse.classes.clusters import (
    Classes,
    Space,
    class_means,
    distinctiveness,
    fit_classes,
    fit_space,
    unlike,
)
from muse.classes.features import PEAKS, feature, segment_features
from muse.config.classes import Recipe
from muse.config.shared import PARTITIONS
from muse.data.recordings import Package, Recording
from muse.data.segments import Segment
from muse.errors import MuseError

log = logging.getLogger(__name__)
SHOWN = 10  # features that the picture has at most
TOLD = 3  # features of a class in the table


@dataclass(frozen=True)
class Described:
    """The segments of all recordings that have labels of a target, in the order of PARTITIONS."""

    target: str
    names: list[str]  # of the segment features
    recordings: list[Recording]  # of each segment
    segments: list[Segment]
    partitions: np.ndarray  # (segments,) text
    features: np.ndarray  # (segments, features) float64
    means: np.ndarray  # (segments,) mean of the signal

    @property
    def train(self) -> np.ndarray:
        """(segments,) bool: of a training recording."""
        return self.partitions == "train"


@dataclass(frozen=True)
class Made:
    """The classes of a target."""

    recipe: Recipe
    found: np.ndarray  # (segments,) int64: class of each segment, 0 the lowest in the signal
    sizes: dict[str, np.ndarray]  # partition -> (classes,) segments; none without labels
    space: Space
    classes: Classes
    agreement: float  # share of the training segments whose class `assign` finds as well
    means: np.ndarray  # (classes, features) of the standardised features, training segments
    distinctive: np.ndarray  # (features,) share of the variance between classes
    signal: np.ndarray  # (classes,) mean of the training segments' means
    told: list[list[int]]  # per class, the features that distinguish it, best first
    shown: list[int]  # features that distinguish the classes, best first

    @property
    def smallest(self) -> float:
        """Share of the smallest class of train, as a multiple of the chance level."""
        sizes = self.sizes["train"]
        return float(sizes.min() / sizes.sum() * len(sizes))


def describe(
    package: Package,
    segments: dict[str, list[Segment]],
    target: str,
    names: list[str],
    peak_support: int,
) -> Described:
    """Features of every segment of the recordings that have labels of the target.

    Raises MuseError for an unknown feature.
    """
    for name in names:
        feature(name, peak_support)
    recordings, chosen, partitions, rows, means = [], [], [], [], []
    labelled = [(partition, recording) for partition in PARTITIONS
                for recording in package.partitions[partition]
                if recording.labels[target] is not None]  # fmt: skip
    for partition, recording in terminal.bar(labelled, f"segments of {target}", unit="file"):
        own = segments[recording.id]
        parts = [recording.labels[target][s.start : s.stop].astype(np.float64) for s in own]
        rows.append(segment_features(parts, names, peak_support))
        means += [part.mean() for part in parts]
        recordings += [recording] * len(own)
        partitions += [partition] * len(own)
        chosen += own
    features = np.concatenate(rows)
    short = sum(s.stop - s.start <= 2 * peak_support for s in chosen)
    if short and PEAKS in names:
        log.warning(
            "%s: %d of %d segments are shorter than the %d frames that a peak needs "
            "(2 * peak_support + 1); they have none.",
            *(target, short, len(chosen), 2 * peak_support + 1),
        )
    return Described(
        target, names, recordings, chosen, np.array(partitions), features, np.array(means)
    )


def make(described: Described, recipe: Recipe, seed: int, starts: int, assign: str) -> Made:
    """Classes of all segments by a recipe, fitted on those of train.

    Raises MuseError, which names the target, where the training segments do not allow them.
    """
    train, count = described.train, recipe.classes
    try:
        with threadpool_limits(1):  # small matrices: more threads only wait for each other
            space = fit_space(described.features[train], recipe.components)
            points = space.project(described.features)
            classes = fit_classes(
                recipe.algorithm, count, points[train], described.means[train], seed, starts
            )
    except MuseError as error:
        raise MuseError(f"{described.target}: {error}") from None
    found = classes.assign(points, described.means, assign)
    agreement = float((found[train] == classes.train).mean())
    found[train] = classes.train
    sizes = {
        partition: np.bincount(found[described.partitions == partition], minlength=count)
        for partition in PARTITIONS
        if (described.partitions == partition).any()
    }
    means = class_means(space, described.features[train], classes.train, count)
    signal = np.bincount(classes.train, described.means[train]) / sizes["train"]
    standard = space.standardise(described.features[train])
    distinctive = distinctiveness(means, sizes["train"])
    told = [unlike(np.argsort(-np.abs(row), kind="stable"), standard, TOLD) for row in means]
    shown = unlike(np.argsort(-distinctive, kind="stable"), standard, SHOWN)
    return Made(recipe, found, sizes, space, classes, agreement, means, distinctive, signal, told,
                shown)  # fmt: skip
