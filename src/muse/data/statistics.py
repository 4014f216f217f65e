"""What is in a package: the figures of Tables 1 and 2 of the MuSe 2021 paper, and oddities.

Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, sections 2.1 to 2.4.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from muse.config.shared import FeatureSet, TaskConfig
from muse.data.heads import head_of
from muse.data.layout import feature_folder
from muse.data.recordings import Package, Recording
from muse.data.rows import rows_per_frame
from muse.data.waveform import Waveform

NAMED = 3  # examples in a note
UNUSED = 20  # frames of sound after the last one that are worth a note


@dataclass(frozen=True)
class FeatureStatistics:
    """A feature set in a partition, all rows of its files."""

    columns: int
    frames: int
    missing: int  # values
    zero_frames: int  # all features of the frame are 0
    constant: list[str]  # columns with one value throughout
    low: float
    high: float
    contents: dict[str, str]  # recording -> digest of its values, if they are not all 0


def size_of(recordings: list[Recording], step: float) -> dict[str, float]:
    """Size of a partition (Table 1): frames are those in the files, used those of training.

    Args:
        step: seconds from frame to frame.
    """
    frames = sum(len(r.features[0]) for r in recordings)
    return {
        "recordings": len(recordings),
        "seconds": frames * step,
        "frames": frames,
        "used": sum(len(r.rows) for r in recordings),
        "segments": sum(len(np.unique(r.segments[~np.isnan(r.segments)])) for r in recordings),
    }


def summary_of(labels: np.ndarray, classes: int) -> dict:
    """All labels of a target in a partition in figures: counts of classes, or moments."""
    if classes:
        counts = np.bincount(labels.astype(int), minlength=classes)
        return {"count": len(labels), "classes": counts.tolist()}
    wide = labels.astype(np.float64)
    return {"count": len(wide), "mean": wide.mean(), "deviation": wide.std(),
            "lowest": wide.min(), "highest": wide.max()}  # fmt: skip


def frame_step(package: Package) -> float | None:
    """Median time from a frame to the next in seconds; None if no recording has two frames."""
    steps = [np.diff(r.timestamps) for r in _all(package) if len(r.timestamps) > 1]
    return float(np.median(np.concatenate(steps))) / 1000 if steps else None


def features_of(
    package: Package, partition: str, k: int, on_recording: Callable[[], object]
) -> FeatureStatistics:
    """Statistics of the k-th feature set, one recording in memory at a time."""
    columns = _own_columns(package, package.features[k])
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    frames = missing = zero = 0
    contents = {}
    for recording in package.partitions[partition]:
        values = np.asarray(recording.features[k]).reshape(-1, len(columns))  # (rows, columns)
        frames += len(values)
        missing += int(np.isnan(values).sum())
        zero += int((~values.any(axis=1)).sum())
        low = np.fmin(low, np.fmin.reduce(values, axis=0))
        high = np.fmax(high, np.fmax.reduce(values, axis=0))
        if values.any():
            contents[recording.id] = hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()
        on_recording()
    constant = [name for name, a, b in zip(columns, low, high, strict=True) if a >= b]
    limits = float(low.min()), float(high.max())
    return FeatureStatistics(len(columns), frames, missing, zero, constant, *limits, contents)


def _own_columns(package: Package, name: str) -> list[str]:
    """Of a feature set, once, however many rows of it are in a frame."""
    columns = package.columns[name]
    return columns[: len(columns) // rows_per_frame(columns)]


def labels_of(task: TaskConfig, package: Package, partition: str, target: str) -> np.ndarray | None:
    """All labels of a partition, one per frame or, with classes, per segment; None without any."""
    parts = []
    for recording in package.partitions[partition]:
        gold = recording.labels[target]
        if gold is not None:
            parts.append(head_of(task).labels(gold, recording.samples))
    return np.concatenate(parts) if parts else None


def notes_on(
    task: TaskConfig,
    package: Package,
    features: dict[str, dict[str, FeatureStatistics]],
    feature_sets: dict[str, FeatureSet],
    listed: set[str],
) -> Iterator[str]:
    """What is no fault but may be a mistake, a sentence each.

    Args:
        features: feature set -> partition -> statistics.
        feature_sets: published feature-set metadata.
        listed: recordings in metadata/partition.csv.
    """
    folders = [feature_folder(package.folder, name) for name in package.features]
    folders += [package.folder / "label_segments" / target for target in task.targets]
    for folder in folders:
        files = [path for path in folder.glob("*.*") if path.suffix in (".csv", ".wav")]
        more = sorted(path.name for path in files if path.stem not in listed)
        if more:
            yield f"{folder}: not in partition.csv and never read: {_some(more)}"
    yield from _equal_recordings(features)
    for name in package.features:
        published = feature_sets[name].dimension.get(task.corpus) if name in feature_sets else None
        columns = len(_own_columns(package, name))
        if published and columns != published:
            yield f"{name} has {columns} columns, the published feature set {published}"
    for k, name in enumerate(package.features):
        long = [r.id for r in _all(package) if _goes_on(r.features[k])]
        if long:
            yield f"{name} goes on for more than {UNUSED} frames after the last of {_some(long)}"
    per_segment = head_of(task).per_segment
    uneven = [r.id for r in _all(package) if len(np.unique(np.diff(r.timestamps))) > 1]
    if uneven and not per_segment:  # between segments time may jump
        yield f"the frame step changes within recording {_some(uneven)}"
    for target in task.targets:
        flat = [r.id for r in _all(package) if _is_flat(r.labels[target])]
        if flat and not per_segment:
            yield f"{target} is the same in every frame (its CCC is 0) of recording {_some(flat)}"
        train = labels_of(task, package, "train", target)
        absent = set(range(task.classes_of(target))) - set(train.astype(int).tolist())
        if absent:
            yield f"{target}: no training segment has class {_some(sorted(map(str, absent)))}"


def _equal_recordings(features: dict[str, dict[str, FeatureStatistics]]) -> Iterator[str]:
    """Recordings with equal features: a copy in train and in test makes scores worthless."""
    groups: dict[tuple[str, ...], list[str]] = {}  # recordings -> feature sets
    for name, partitions in features.items():
        alike: dict[str, list[str]] = {}
        for partition, statistics in partitions.items():
            for id_, content in statistics.contents.items():
                alike.setdefault(content, []).append(f"{id_} ({partition})")
        for recordings in alike.values():
            if len(recordings) > 1:
                groups.setdefault(tuple(recordings), []).append(name)
    for recordings, names in groups.items():
        yield f"recordings with the same values in {_some(names)}: {_some(list(recordings))}"


def _is_flat(labels: np.ndarray | None) -> bool:
    return labels is not None and bool((labels == labels[0]).all())


def _goes_on(values: np.ndarray | Waveform) -> bool:
    if not isinstance(values, Waveform):
        return False
    return len(values.sound) > values.starts[-1] + (1 + UNUSED) * values.width


def _all(package: Package) -> list[Recording]:
    return [recording for group in package.partitions.values() for recording in group]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
