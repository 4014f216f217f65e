"""The continuous labels of a package with their segments: what classes are made from."""

import os
from math import inf
from pathlib import Path

import numpy as np

from muse.config.shared import DataConfig, FeatureSet, TaskConfig
from muse.data.cache import CachedTable
from muse.data.labels import load_labels
from muse.data.layout import SYNTHETIC_MARK, check_not_empty, find_package, read_partitions
from muse.data.recordings import Package, build_recording, digest_of_tables, load_package
from muse.data.segments import Segment, segments_by_id, segments_by_limits
from muse.errors import STOP, MuseError


def load_signals(
    task: TaskConfig,
    targets: list[str],
    feature_sets: dict[str, FeatureSet],
    data: DataConfig,
    align: str | None = None,
) -> Package:
    """Read the labels of a package and check them against its features, if it has any.

    Times and segments are those of one feature set, the lightest. Of a package without features
    they are those of the label files; test recordings without labels are left out then.

    Args:
        align: see `muse.data.recordings.load_package`; with `labels` times and segments are those
            of the labels, where there are some.

    Raises MuseError as `muse.data.recordings.load_package`.
    """
    folder = find_package(task, data.root)
    ids = read_partitions(folder)
    check_not_empty(folder / "metadata" / "partition.csv", ids)
    lightest = _lightest(folder, ids["train"][0])
    if lightest:
        return load_package(
            task, targets, [lightest], feature_sets, data, missing="keep", ids=ids, align=align
        )
    where = [(partition, id_) for partition in ids for id_ in ids[partition]]
    cache, readers = Path(data.cache), data.readers or os.cpu_count() or 1
    labels = {t: load_labels(folder, t, where, cache, readers, STOP) for t in targets}
    loaded: dict = {partition: [] for partition in ids}
    for partition, id_ in where:
        gold = {target: labels[target][id_] for target in targets}
        tables = [_with_times(table) for table in gold.values() if table]
        if tables:
            loaded[partition].append(build_recording(task, partition, id_, tables, gold))
    digests = {p: digest_of_tables(p, ids[p], [], {}, labels) for p in ids}
    return Package(folder, [], {}, loaded, digests, (folder / SYNTHETIC_MARK).is_file())


def _lightest(folder: Path, id_: str) -> str | None:
    """The feature set with the smallest file of a recording; None if there is no set."""
    home = folder / "feature_segments"
    sets = [path for path in home.iterdir() if path.is_dir()] if home.is_dir() else []
    sizes = {p.name: f.stat().st_size if (f := p / f"{id_}.csv").is_file() else inf for p in sets}
    return min(sizes, key=lambda name: (sizes[name], name)) if sizes else None


def _with_times(table: CachedTable) -> CachedTable:
    if np.isnan(table.timestamps).any():
        raise MuseError(
            f"{table.path}: no column timestamp; expected timestamp, segment_id, value, since the "
            "package has no features with timestamps."
        )
    return table


def load_segments(package: Package, limits: Path | None) -> dict[str, list[Segment]]:
    """Recording id -> its segments, in order of time.

    Args:
        limits: folder of a CSV file per recording with start, end (ms) and segment_id; None: the
            segments are those of the column segment_id of the package.

    Raises MuseError for a recording without segments, and for limits as
    `muse.data.segments.segments_by_limits`.
    """
    found = {}
    for recordings in package.partitions.values():
        for recording in recordings:
            if limits is None:
                found[recording.id] = segments_by_id(package.folder, recording)
            else:
                path = limits / f"{recording.id}.csv"
                found[recording.id] = segments_by_limits(path, recording.timestamps)
    return found
