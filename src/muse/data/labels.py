"""The gold standard of a package: a value per frame, or in Sent a class per segment."""

from pathlib import Path

import numpy as np

from muse.config.shared import TaskConfig
from muse.data.cache import CachedTable, load_tables
from muse.data.checks import check_rows
from muse.data.csv_table import format_rows
from muse.data.heads import head_of
from muse.errors import Faults, MuseError, raise_faults


def load_labels(
    folder: Path, target: str, where: list, cache: Path, readers: int, faults: Faults
) -> dict[str, CachedTable | None]:
    """Recording id -> label table; None where a test recording has none."""
    home = folder / "label_segments" / target
    labels: dict[str, CachedTable | None] = dict.fromkeys((id_ for _, id_ in where), None)
    with faults.noted():
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
        paths = [path for _, path in found]
        tables = load_tables(paths, cache, readers, f"labels of {target}", faults)
        labels |= {id_: table for (id_, _), table in zip(found, tables, strict=True)}
    return labels


def read_labels(
    task: TaskConfig,
    target: str,
    partition: str,
    features: CachedTable,
    rows: np.ndarray,
    table: CachedTable,
) -> np.ndarray | None:
    """The gold standard of each frame as the task's head wants it: (frames,); None without labels.

    Args:
        features: a table of the recording's features, of which ``rows`` (frames,) are used.
        table: the recording's labels of the target.

    Raises MuseError for labels that are missing, or do not correspond to the features.
    """
    if head_of(task).per_segment:
        return segment_labels(task, partition, features, rows, table, task.classes_of(target))
    return frame_labels(partition, features, rows, table)


def frame_labels(
    partition: str, features: CachedTable, rows: np.ndarray, table: CachedTable
) -> np.ndarray | None:
    """A continuous gold standard, one value per frame: (frames,) float32; None without labels."""
    values = _column(table, "value")
    if partition == "test" and np.isnan(values).all():
        return None
    if np.isnan(table.timestamps).any():
        raise MuseError(f"{table.path}: no column timestamp; expected timestamp, value.")
    faults = []
    missing = np.flatnonzero(np.isnan(values))
    missing = missing[np.isin(missing, rows)]
    if len(missing):
        faults.append(
            f"{table.path}: {format_rows(missing + 2)}: the label is missing; every frame needs "
            "one (only the labels of a whole test recording may be missing)."
        )
    try:
        check_rows(features, table)
    except MuseError as error:
        faults = [*error.faults, *faults]
    raise_faults(faults)
    return values[rows]


def segment_labels(
    task: TaskConfig,
    partition: str,
    features: CachedTable,
    rows: np.ndarray,
    table: CachedTable,
    classes: int,
) -> np.ndarray | None:
    """The class of each frame's segment: (frames,) float32; None without labels."""
    # a run folder keeps the classes as it writes predictions: in the column value
    values = _column(table, "value" if "value" in table.columns else "class_id")
    if partition == "test" and np.isnan(values).all():
        return None
    faults = []
    wrong = np.flatnonzero(~np.isin(values, np.arange(classes)))
    if len(wrong):
        faults.append(
            f"{table.path}: {format_rows(wrong + 2)}: class_id {values[wrong[0]]:g} is no class "
            f"of {task.title}; expected a whole number from 0 to {classes - 1}."
        )
    if np.isnan(table.segments).any():
        faults.append(f"{table.path}: expected the columns segment_id and class_id in every row.")
        raise_faults(faults)
    class_of = dict(zip(table.segments.tolist(), values, strict=True))
    if len(class_of) < len(values):
        faults.append(f"{table.path}: a segment_id has more than one row; expected one each.")
    segments = features.segments  # of all rows: of a segment none may be used
    for segment in sorted(set(segments[~np.isnan(segments)].tolist()) ^ set(class_of)):
        if segment in class_of:
            row = np.flatnonzero(table.segments == segment)[0] + 2
            faults.append(
                f"{table.path}: row {row}: segment {segment:g} has no frames in {features.path}."
            )
        else:
            row = np.flatnonzero(segments == segment)[0] + 2
            faults.append(
                f"{features.path}: row {row}: segment {segment:g} is not in {table.path}."
            )
    raise_faults(faults)
    return np.array([class_of[segment] for segment in segments[rows].tolist()], dtype=np.float32)


def _column(table: CachedTable, name: str) -> np.ndarray:
    if name not in table.columns:
        raise MuseError(
            f"{table.path}: no column {name!r}; it has {', '.join(table.columns)} beside "
            "timestamp and segment_id."
        )
    return np.asarray(table.values[:, table.columns.index(name)])
