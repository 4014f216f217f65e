"""A package as recordings: features and labels side by side, checked against each other."""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from muse.config.shared import DataConfig, TaskConfig
from muse.cores import cores
from muse.data.cache import CachedTable
from muse.data.checks import (
    check_rows,
    check_segments,
    common_columns,
    reference,
)
from muse.data.feature_tables import Files, read_features
from muse.data.heads import head_of
from muse.data.labels import load_labels, read_labels
from muse.data.layout import (
    LABELS,
    SYNTHETIC_MARK,
    check_not_empty,
    expand_features,
    feature_folder,
    find_package,
    read_partitions,
)
from muse.data.waveform import Waveform
from muse.errors import STOP, Faults, MuseError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One recording: the rows that are used, and what each of them holds."""

    id: str
    rows: np.ndarray  # (frames,) int64: row of the feature files that each frame is
    timestamps: np.ndarray  # (frames,) float64, ms
    segments: np.ndarray  # (frames,) float64, NaN outside any segment
    # per feature set: (all rows, columns) memory map, see storage; of sound the samples of each row
    features: list[np.ndarray | Waveform]
    labels: dict[str, np.ndarray | None]  # target -> (frames,) float32; class per frame in Sent
    samples: np.ndarray  # (samples, 2) int64: start and length of what is predicted as one
    missing: list[int]  # per feature set: NaN values

    def __getstate__(self) -> dict:
        """For another process: memory maps as the names of their files, not as copies."""
        features = [Path(x.filename) if isinstance(x, np.memmap) else x for x in self.features]
        return self.__dict__ | {"features": features}

    def __setstate__(self, state: dict) -> None:
        features = [
            np.load(x, mmap_mode="r", allow_pickle=False) if isinstance(x, Path) else x
            for x in state["features"]
        ]
        self.__dict__.update(state | {"features": features})


@dataclass(frozen=True)
class Package:
    """What training reads of a challenge package."""

    folder: Path
    features: list[str]  # feature sets, aliases expanded, side by side in this order
    columns: dict[str, list[str]]  # feature set -> names of its columns
    partitions: dict[str, list[Recording]]
    digests: dict[str, str]  # of each partition's features and labels
    synthetic: bool  # whether `muse synth` has made the data
    autoencoders: dict[str, Any] = field(default_factory=dict)  # difficulty indicator -> its model

    @property
    def digest(self) -> str:
        """Of all partitions that were read: equal digests, equal numbers."""
        return hashlib.blake2b(repr(self.digests).encode(), digest_size=16).hexdigest()

    def labelled(self, partition: str, target: str) -> bool:
        """Whether every recording of the partition has labels of the target."""
        return all(r.labels[target] is not None for r in self.partitions[partition])


def load_package(
    task: TaskConfig,
    targets: list[str],
    features: list[str],
    feature_sets: dict,
    data: DataConfig,
    missing: str = "zero",
    ids: dict[str, list[str]] | None = None,
    recordings: int | None = None,
    faults: Faults = STOP,
    storage: str = "float32",
    align: str | None = None,
    tokenizer: str | None = None,
    length: int | None = None,
) -> Package:
    """Read partitions, features and labels of a package and check them against each other.

    Args:
        targets: whose labels are read; none of them: a package that has no labels.
        features: feature sets and aliases, side by side in this order.
        feature_sets: feature-set metadata, for the aliases.
        missing: `zero` reports NaN features, `error` refuses them, `keep` says nothing; `drop`
            leaves such frames of train and devel out, and those without a label.
        ids: the recordings of each partition to read; None: those of metadata/partition.csv. Each
            partition must have a recording.
        recordings: only the first so many of each partition.
        storage: of the features in the cache, see `muse.data.cache.load_tables`.
        faults: what to do with a fault; the default stops at the first. Where faults are only
            noted, the package lacks the recordings that have one.
        align: None: rows of all files correspond one to one; `labels`, `words` or `own` bring them
            to common frames, see `muse.data.align`.
        tokenizer: of transcripts, the frames of which are tokens, at most ``length`` of a segment,
            see `muse.data.transcript`; None: features are numbers.

    Raises MuseError for every fault: a missing package, file or feature set, rows that do not
    correspond, values that are no numbers.
    """
    folder = find_package(task, data.root)
    ids = read_partitions(folder, faults) if ids is None else ids
    ids = {partition: read[:recordings] for partition, read in ids.items()}
    with faults.noted():
        check_not_empty(folder / "metadata" / "partition.csv", ids)
    names = expand_features(features, feature_sets, folder)
    _refuse_leak(folder, names, targets)
    where = [(partition, name) for partition in ids for name in ids[partition]]
    cache, readers = Path(data.cache), data.readers or cores(-1)
    labels = {t: load_labels(folder, t, where, cache, readers, faults) for t in targets}
    files = Files(folder, where, data, faults, storage, align, tokenizer, length)
    tables, labels = read_features(task, files, names, labels, missing)
    columns = {}
    for name in names:
        with faults.noted():
            read = [tables[name, id_] for _, id_ in where]
            columns[name] = common_columns([table for table in read if table])
    loaded: dict[str, list[Recording]] = {partition: [] for partition in ids}
    for partition, id_ in where:
        sets = [tables[name, id_] for name in names]
        gold = {target: labels[target][id_] for target in targets}
        recording = _checked(task, partition, id_, sets, gold, faults, missing == "drop")
        if recording:
            loaded[partition].append(recording)
    if align != "words" and not tokenizer:
        _check_step(task, loaded)
    digests = {p: digest_of_tables(p, ids[p], names, tables, labels) for p in ids}
    synthetic = (folder / SYNTHETIC_MARK).is_file()
    return Package(folder, names, columns, loaded, digests, synthetic)


def _checked(
    task: TaskConfig,
    partition: str,
    id_: str,
    sets: list[CachedTable | None],
    gold: dict[str, CachedTable | None],
    faults: Faults,
    drop: bool,
) -> Recording | None:
    """The recording, see `build_recording`; None if a file of it has a fault that is noted."""
    readable = [table for table in sets if table]
    if not readable and not head_of(task).per_segment:
        # labels of frames can at least be checked by themselves
        readable = [table for table in gold.values() if table][:1]
    recording = None
    if readable:
        with faults.noted():
            recording = build_recording(task, partition, id_, readable, gold, faults, drop)
    return recording if all(sets) else None


def _refuse_leak(folder: Path, names: list[str], targets: list[str]) -> None:
    """Raise MuseError if the labels of a target are among the features."""
    for target in targets:
        if folder / "label_segments" / target in (feature_folder(folder, n) for n in names):
            raise MuseError(
                f"features: {LABELS}{target} are the labels of the target {target} itself. Leave "
                "them out, or give another target=."
            )


def build_recording(
    task: TaskConfig,
    partition: str,
    id_: str,
    tables: list[CachedTable],
    gold: dict[str, CachedTable | None],
    faults: Faults = STOP,
    drop: bool = False,
) -> Recording:
    """A recording of its feature tables and label tables (target -> table).

    With ``drop`` the frames of train and devel that lack a feature or a label are not used.

    Raises MuseError where they do not correspond row by row.
    """
    per_segment = head_of(task).per_segment  # a segment is a sample: frames outside any are none
    signals = [] if per_segment else [table for table in gold.values() if table]
    first = reference([*tables, *(t for t in signals if not np.isnan(t.timestamps).any())])
    for table in tables:
        with faults.noted():
            check_rows(first, table)
        with faults.noted():
            check_segments(first, table)
    rows = np.arange(len(first.timestamps))
    outside = np.isnan(first.segments)
    if per_segment or (task.outside_segments == "drop" and partition != "test"):
        rows = rows[~outside]
    if drop and partition != "test":
        rows = _complete(first, rows, [*tables, *signals])
    if not len(rows):
        raise MuseError(
            f"{first.path}: no row has a segment_id, but {task.title} uses the frames of segments "
            "only. Number the segments in the column segment_id."
        )
    timestamps, segments = first.timestamps[rows], first.segments[rows]
    labels: dict[str, np.ndarray | None] = dict.fromkeys(gold)
    for target, table in gold.items():
        with faults.noted():
            if table is not None:
                labels[target] = read_labels(task, target, partition, first, rows, table)
    samples = _segments(first, rows) if per_segment else np.array([[0, len(rows)]])
    features = [table.values for table in tables]
    missing = [table.missing for table in tables]
    return Recording(id_, rows, timestamps, segments, features, labels, samples, missing)


def _complete(first: CachedTable, rows: np.ndarray, tables: list[CachedTable]) -> np.ndarray:
    """The rows without a missing value. Raises MuseError if there are none."""
    complete = np.ones(len(first.timestamps), dtype=bool)
    for table in tables:
        if table.missing and len(table.timestamps) == len(complete):  # else told when compared
            complete &= ~np.isnan(table.values).any(axis=1)
    if len(rows) and not complete[rows].any():
        raise MuseError(
            f"{first.path}: no frame of the recording has all features and labels. Use "
            "missing=zero, or leave the recording out of metadata/partition.csv."
        )
    return rows[complete[rows]]


def _segments(features: CachedTable, rows: np.ndarray) -> np.ndarray:
    """Start and length of each segment among the used rows: (segments, 2) int64."""
    segments = features.segments[rows]
    starts = np.flatnonzero(np.r_[True, segments[1:] != segments[:-1]])
    first = dict(zip(segments[starts][::-1], starts[::-1], strict=True))
    for start in starts:
        if first[segments[start]] != start:
            raise MuseError(
                f"{features.path}: row {rows[start] + 2}: segment {segments[start]:g} begins "
                "again; the frames of a segment must follow one another."
            )
    return np.stack([starts, np.diff(starts, append=len(segments))], axis=1)


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


def digest_of_tables(
    partition: str, ids: list[str], names: list[str], tables: dict, labels: dict
) -> str:
    """One digest over a partition's features and labels, wherever the files lie."""
    whole = hashlib.blake2b(digest_size=16)

    def of(table: CachedTable | None) -> str:
        return table.digest if table else "-"

    for id_ in ids:
        parts = [partition, id_, *(f"{name}:{of(tables[name, id_])}" for name in names)]
        parts += [f"{target}:{of(table[id_])}" for target, table in labels.items()]
        # names of files may have bytes that are no text
        whole.update(("\t".join(parts) + "\n").encode(errors="surrogateescape"))
    return whole.hexdigest()
