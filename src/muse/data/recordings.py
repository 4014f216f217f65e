"""A package as recordings: features and labels side by side, checked against each other."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config import PARTITIONS, TaskConfig
from muse.data.cache import CachedTable, load_tables
from muse.data.checks import check_rows, check_segments, common_columns, report_missing
from muse.data.labels import class_labels, load_labels, signal_labels
from muse.data.layout import SYNTHETIC_MARK, expand_features, find_package, read_partitions
from muse.errors import MuseError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One recording: the rows that are used, and what each of them holds."""

    id: str
    rows: np.ndarray  # (frames,) int64: row of the feature files that each frame is
    timestamps: np.ndarray  # (frames,) float64, ms
    segments: np.ndarray  # (frames,) float64, NaN outside any segment
    features: list[np.ndarray]  # per feature set: (all rows, columns) float32 memory map
    labels: dict[str, np.ndarray | None]  # target -> (frames,) float32; class per frame in Sent
    samples: np.ndarray  # (samples, 2) int64: first frame and end of what is predicted as one


@dataclass(frozen=True)
class Package:
    """What training reads of a challenge package."""

    folder: Path
    features: list[str]  # feature sets, aliases expanded, side by side in this order
    columns: dict[str, list[str]]  # feature set -> names of its columns
    partitions: dict[str, list[Recording]]
    digest: str  # of partitions, features and labels: equal digests, equal numbers

    @property
    def synthetic(self) -> bool:
        """Whether `muse synth` has made the package."""
        return (self.folder / SYNTHETIC_MARK).is_file()

    def labelled(self, partition: str, target: str) -> bool:
        """Whether every recording of the partition has labels of the target."""
        return all(r.labels[target] is not None for r in self.partitions[partition])


def load_package(
    task: TaskConfig,
    targets: list[str],
    features: list[str],
    known: dict,
    root: str,
    cache: str,
    readers: int | None = None,
    missing: str = "zero",
) -> Package:
    """Read partitions, features and labels of a package and check them against each other.

    ``known`` is what is known of feature sets (aliases). Raises MuseError for every fault: a
    missing package, file or feature set, rows that do not correspond, values that are no numbers.
    """
    folder = find_package(task, root)
    partitions = read_partitions(folder)
    names = expand_features(features, known, folder)
    where = [(partition, name) for partition in PARTITIONS for name in partitions[partition]]
    cached, readers = Path(cache), readers or os.cpu_count() or 1
    tables = {}  # (feature set, recording id) -> table
    for name in names:
        paths = [folder / "feature_segments" / name / f"{id_}.csv" for _, id_ in where]
        for (_, id_), table in zip(where, load_tables(paths, cached, readers, name), strict=True):
            tables[name, id_] = table
    columns = {name: common_columns([tables[name, id_] for _, id_ in where]) for name in names}
    report_missing(names, [tables[name, id_] for name in names for _, id_ in where], missing)
    labels = {t: load_labels(folder, t, where, cached, readers) for t in targets}
    loaded: dict[str, list[Recording]] = {partition: [] for partition in PARTITIONS}
    for partition, id_ in where:
        features_ = [tables[name, id_] for name in names]
        gold = {target: labels[target][id_] for target in targets}
        loaded[partition].append(_recording(task, partition, id_, features_, gold))
    _check_step(task, loaded)
    digest = _digest(where, names, tables, labels)
    return Package(folder, names, columns, loaded, digest)


def _recording(
    task: TaskConfig,
    partition: str,
    id_: str,
    tables: list[CachedTable],
    gold: dict[str, CachedTable | None],
) -> Recording:
    first = tables[0]
    for table in tables[1:]:
        check_rows(first, table)
        check_segments(first, table)
    rows = np.arange(len(first.timestamps))
    outside = np.isnan(first.segments)
    classes = task.classes > 0  # a segment is a sample, so frames outside any are none
    if classes or (task.outside_segments == "drop" and partition != "test"):
        rows = rows[~outside]
    if not len(rows):
        raise MuseError(
            f"{first.path}: no row has a segment_id, but {task.title} uses the frames of segments "
            "only. Number the segments in the column segment_id."
        )
    timestamps, segments = first.timestamps[rows], first.segments[rows]
    labels: dict[str, np.ndarray | None] = {}
    for target, table in gold.items():
        if classes:
            labels[target] = class_labels(task, partition, first, rows, table)
        else:
            labels[target] = signal_labels(partition, first, rows, table)
    spans = _segment_spans(first, rows) if classes else np.array([[0, len(rows)]])
    features = [table.values for table in tables]
    return Recording(id_, rows, timestamps, segments, features, labels, spans)


def _segment_spans(features: CachedTable, rows: np.ndarray) -> np.ndarray:
    """First frame and end of each segment among the used rows: (segments, 2) int64."""
    segments = features.segments[rows]
    starts = np.flatnonzero(np.r_[True, segments[1:] != segments[:-1]])
    first = dict(zip(segments[starts][::-1], starts[::-1], strict=True))
    for start in starts:
        if first[segments[start]] != start:
            raise MuseError(
                f"{features.path}: row {rows[start] + 2}: segment {segments[start]:g} begins "
                "again; the frames of a segment must follow one another."
            )
    return np.stack([starts, np.r_[starts[1:], len(segments)]], axis=1)


def _check_step(task: TaskConfig, partitions: dict[str, list[Recording]]) -> None:
    """Warn when the frame step is not that of the task: windows count frames."""
    recordings = [r for group in partitions.values() for r in group if len(r.timestamps) > 1]
    steps = [np.median(np.diff(recording.timestamps)) for recording in recordings]
    if steps and not np.isclose(np.median(steps), 1000 * task.step):
        log.warning(
            "The frame step is %g ms, that of %s is %g ms; a window counts frames. "
            "For your own data set task.step.",
            np.median(steps),
            task.title,
            1000 * task.step,
        )


def _digest(where: list, names: list[str], tables: dict, labels: dict) -> str:
    """One digest over partitions, features and labels, independent of where the files lie."""
    whole = hashlib.blake2b(digest_size=16)
    for partition, id_ in where:
        parts = [partition, id_, *(f"{name}:{tables[name, id_].digest}" for name in names)]
        parts += [f"{t}:{table[id_].digest if table[id_] else '-'}" for t, table in labels.items()]
        whole.update(("\t".join(parts) + "\n").encode())
    return whole.hexdigest()
