"""From the signals of a package to classes: the segments of a target, described and sorted."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from muse import terminal
from muse.classes.clusters import (
    Classes,
    Space,
    class_means,
    distinctiveness,
    drop_correlated,
    fit_classes,
    fit_space,
)
from muse.classes.features import PEAKS, feature, segment_features
from muse.classes.package import number_text
from muse.classes.signals import load_segments, load_signals
from muse.config.classes import ClassesConfig, Recipe
from muse.config.fields import path_of
from muse.config.shared import PARTITIONS
from muse.data.layout import expand_features, feature_names
from muse.data.recordings import Package
from muse.data.segments import Segment
from muse.errors import MuseError
from muse.terminal import counted

log = logging.getLogger(__name__)
IN_FIGURE = 10  # features in the figure of a target
PER_CLASS = 3  # features of a class in the table


@dataclass(frozen=True)
class SegmentTable:
    """The segments of all recordings that have labels of a target, in the order of PARTITIONS."""

    target: str
    names: list[str]  # of the segment features
    # a row per segment: recording, partition, segment_id, first_timestamp, last_timestamp, frames
    rows: pd.DataFrame
    features: np.ndarray  # (segments, features) float64
    means: np.ndarray  # (segments,) mean of the signal

    def of(self, partition: str) -> np.ndarray:
        """(segments,) bool: of a recording of the partition."""
        return (self.rows["partition"] == partition).to_numpy()


@dataclass(frozen=True)
class Source:
    """A package of signals, cut into segments."""

    package: Package
    feature_sets: list[str]  # those that the new package gets
    segments: dict[str, list[Segment]]  # recording -> its segments
    tables: dict[str, SegmentTable]  # target -> its segments with their features


@dataclass(frozen=True)
class ClassResult:
    """The classes of a target."""

    recipe: Recipe
    found: np.ndarray  # (segments,) int64: class of each segment, 0 the lowest in the signal
    sizes: dict[str, np.ndarray]  # partition -> (classes,) segments; none without labels
    space: Space
    classes: Classes
    silhouette_all: float  # of the segments of all partitions, in the space of the components
    agreement: float  # share of the training segments that `assign` puts into their own class
    means: np.ndarray  # (classes, features) of the standardised features, training segments
    distinctive: np.ndarray  # (features,) share of the variance between classes
    signal: np.ndarray  # (classes,) mean of the training segments' means
    top_of_class: list[list[int]]  # per class, the features that distinguish it, best first
    top: list[int]  # features that distinguish the classes, best first

    @property
    def smallest(self) -> float:
        """Share of the smallest class of train, as a multiple of the chance level."""
        sizes = self.sizes["train"]
        return float(sizes.min() / sizes.sum() * len(sizes))


def load_source(config: ClassesConfig) -> Source:
    """Read the package of signals and describe its segments, target by target.

    Raises MuseError if there is no package, or no segments or labels to make classes from.
    """
    package = load_signals(
        config.signals, config.targets, config.feature_sets, config.data, config.align
    )
    sets = feature_names(package.folder) if package.features else []
    if config.features:
        sets = expand_features(config.features, config.feature_sets, package.folder)
    segments = load_segments(package, path_of(config.segments) if config.segments else None)
    number = counted(sum(map(len, segments.values())), "segment")
    log.info("%s: %s in %s", package.folder, number, counted(len(segments), "recording"))
    tables = {
        t: describe(package, segments, t, config.candidates(t)[0].features, config.peak_support)
        for t in config.targets
    }
    return Source(package, sets, segments, tables)


def describe(
    package: Package,
    segments: dict[str, list[Segment]],
    target: str,
    names: list[str],
    peak_support: int,
) -> SegmentTable:
    """Features of every segment of the recordings that have labels of the target.

    Raises MuseError for an unknown feature.
    """
    for name in names:
        feature(name, peak_support)
    rows, features, means = [], [], []
    labelled = [(partition, recording) for partition in PARTITIONS
                for recording in package.partitions[partition]
                if recording.labels[target] is not None]  # fmt: skip
    for partition, recording in terminal.bar(labelled, f"segments of {target}", unit="file"):
        own, times = segments[recording.id], recording.timestamps
        parts = [recording.labels[target][s.start : s.stop].astype(np.float64) for s in own]
        features.append(segment_features(parts, names, peak_support))
        means += [part.mean() for part in parts]
        for s in own:
            numbers = map(number_text, (s.id, times[s.start], times[s.stop - 1]))
            rows.append((recording.id, partition, *numbers, s.stop - s.start))
    columns = [
        "recording",
        "partition",
        "segment_id",
        "first_timestamp",
        "last_timestamp",
        "frames",
    ]
    table = pd.DataFrame(rows, columns=columns)
    short = int((table["frames"] <= 2 * peak_support).sum())
    if short and PEAKS in names:
        log.warning(
            "%s: %d of %d segments are shorter than the %d frames that a peak needs "
            "(2 * peak_support + 1) and have no peak; a smaller peak_support= may suit them.",
            *(target, short, len(table), 2 * peak_support + 1),
        )
    return SegmentTable(target, names, table, np.concatenate(features), np.array(means))


def make_classes(config: ClassesConfig, table: SegmentTable, recipe: Recipe) -> ClassResult:
    """Classes of all segments by a recipe, fitted on those of train.

    Raises MuseError, which names the target, where the training segments do not allow them.
    """
    train, count = table.of("train"), recipe.classes
    try:
        with threadpool_limits(1):  # small matrices: more threads only wait for each other
            space = fit_space(table.features[train], recipe.components, config.rescale)
            points = space.project(table.features)
            classes = fit_classes(recipe.algorithm, count, points[train], table.means[train],
                                  config.seed, config.starts)  # fmt: skip
    except MuseError as error:
        raise MuseError(f"{table.target}: {error}") from None
    found = classes.assign(points, table.means, config.assign)
    agreement = float((found[train] == classes.train).mean())
    found[train] = classes.train
    sizes = {
        partition: np.bincount(found[table.of(partition)], minlength=count)
        for partition in table.rows["partition"].unique()
    }
    means = class_means(space, table.features[train], classes.train, count)
    distinctive = distinctiveness(means, sizes["train"])
    standard = space.standardise(table.features[train])
    return ClassResult(
        recipe=recipe,
        found=found,
        sizes=sizes,
        space=space,
        classes=classes,
        silhouette_all=float(silhouette_score(points, found)),
        agreement=agreement,
        means=means,
        distinctive=distinctive,
        signal=np.bincount(classes.train, table.means[train]) / sizes["train"],
        top_of_class=[drop_correlated(np.argsort(-np.abs(row), kind="stable"), standard, PER_CLASS)
                      for row in means],
        top=drop_correlated(np.argsort(-distinctive, kind="stable"), standard, IN_FIGURE),
    )  # fmt: skip
