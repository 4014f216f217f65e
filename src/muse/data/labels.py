"""The gold standard of a package: a value per frame, or in Sent a class per segment."""

from pathlib import Path

import numpy as np

from muse.config import TaskConfig
from muse.data.cache import CachedTable, load_tables
from muse.data.checks import check_rows
from muse.errors import MuseError


def load_labels(
    folder: Path, target: str, where: list, cache: Path, readers: int
) -> dict[str, CachedTable | None]:
    """Recording id -> label table; None where a test recording has none."""
    home = folder / "label_segments" / target
    if not home.is_dir():
        there = [p.name for p in home.parent.iterdir()] if home.parent.is_dir() else []
        raise MuseError(
            f"{home}: there are no labels of the target {target}; label_segments has "
            f"{', '.join(sorted(there)) or 'nothing'}."
        )
    found = [
        (id_, home / f"{id_}.csv")
        for partition, id_ in where
        if partition != "test" or (home / f"{id_}.csv").exists()
    ]
    tables = load_tables([path for _, path in found], cache, readers, f"labels of {target}")
    labels = dict.fromkeys((id_ for _, id_ in where), None)
    labels.update({id_: table for (id_, _), table in zip(found, tables, strict=True)})
    return labels


def signal_labels(
    partition: str, features: CachedTable, rows: np.ndarray, table: CachedTable | None
) -> np.ndarray | None:
    """A continuous gold standard, one value per frame: (frames,) float32; None without labels."""
    if table is None:
        return None
    values = _column(table, "value")
    if partition == "test" and np.isnan(values).all():
        return None
    if np.isnan(table.timestamps).any():
        raise MuseError(f"{table.path}: no column timestamp; expected timestamp, value.")
    check_rows(features, table)
    values = values[rows]
    if np.isnan(values).any():
        row = rows[np.isnan(values)][0]
        raise MuseError(
            f"{table.path}: row {row + 2}: the label is missing; every frame needs one (only the "
            "labels of a whole test recording may be missing)."
        )
    return values


def class_labels(
    task: TaskConfig,
    partition: str,
    features: CachedTable,
    rows: np.ndarray,
    table: CachedTable | None,
) -> np.ndarray | None:
    """The class of each frame's segment: (frames,) float32; None without labels."""
    if table is None:
        return None
    values = _column(table, "class_id")
    if partition == "test" and np.isnan(values).all():
        return None
    wrong = np.flatnonzero(~np.isin(values, np.arange(task.classes)))
    if len(wrong):
        raise MuseError(
            f"{table.path}: row {wrong[0] + 2}: class_id {values[wrong[0]]:g} is no class of "
            f"{task.title}; expected a whole number from 0 to {task.classes - 1}."
        )
    if np.isnan(table.segments).any():
        raise MuseError(f"{table.path}: expected the columns segment_id and class_id in every row.")
    class_of = dict(zip(table.segments.tolist(), values, strict=True))
    if len(class_of) < len(values):
        raise MuseError(f"{table.path}: a segment_id has more than one row; expected one each.")
    segments = features.segments[rows]
    for segment in set(segments.tolist()) ^ set(class_of):
        if segment in class_of:
            row = np.flatnonzero(table.segments == segment)[0] + 2
            raise MuseError(
                f"{table.path}: row {row}: segment {segment:g} has no frames in {features.path}."
            )
        row = rows[segments == segment][0] + 2
        raise MuseError(f"{features.path}: row {row}: segment {segment:g} is not in {table.path}.")
    return np.array([class_of[segment] for segment in segments.tolist()], dtype=np.float32)


def _column(table: CachedTable, name: str) -> np.ndarray:
    if name not in table.columns:
        raise MuseError(
            f"{table.path}: no column {name!r}; it has {', '.join(table.columns)} beside "
            "timestamp and segment_id."
        )
    return np.asarray(table.values[:, table.columns.index(name)])
