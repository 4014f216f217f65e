"""Feature sets with time steps of their own, brought to common frames (`align=`).

Section 4.4 of Stappen et al., MuSe 2020, names both ways, by labels and by words; the limits of
frames and what a frame gets (see `muse.data.rows`) are choices made here.
"""

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np

from muse import terminal
from muse.config.shared import TaskConfig
from muse.data.cache import CachedTable, derived_table
from muse.data.checks import report_lacking
from muse.data.csv_table import Table
from muse.data.heads import head_of
from muse.data.rows import Grid, Rows, counts, mean_of_rows, nearest, row_ranges, rows_of
from muse.errors import Faults, MuseError

log = logging.getLogger(__name__)

RULE = 1  # raise it when the same files give other values
ROWS_OF_WORDS = 5  # in a frame, with `own`: 50 ms each at the 0.25 s of MuSe-CaR
Tables = dict[tuple[str, str], CachedTable | None]  # of feature set and recording id
Labels = dict[str, dict[str, CachedTable | None]]  # target -> recording id -> table


def align_tables(
    task: TaskConfig,
    align: str,
    names: list[str],
    where: list[tuple[str, str]],
    tables: Tables,
    labels: Labels,
    cache: Path,
    storage: str,
    faults: Faults,
) -> tuple[Tables, Labels]:
    """Features, and with `words` labels, at common frames.

    Args:
        align: `labels`: the frames are the rows of the labels. A recording that has none with
            timestamps gets the rows of the first feature set with the step of the task, else the
            multiples of that step with a row of any set. `words`: the frames are the words of the
            first feature set that has `start` and `end`, as far as there are labels. `own`: the
            frames of `labels`, each cut into parts of equal length, as many as rows of the feature
            set come in a step of the task (see `_parts`); a part gets what a frame would get, and
            the parts of a frame lie side by side: (frames, parts * columns).
        names: feature sets.
        where: partition and id of each recording.
        tables: (feature set, id) -> table, without the files that are missing: these sets are zero
            in the recording, which is reported.
        storage: of the aligned values, see `muse.data.cache.load_tables`.

    Returns:
        ``tables`` of all sets and recordings, None for those with a fault, and ``labels``.

    Raises MuseError for rows without a time, and for a recording without any frame.
    """
    signals = {} if head_of(task).per_segment else labels
    labels = {target: dict(of) for target, of in labels.items()}
    first = dict.fromkeys(names) | {name: t for (name, _), t in tables.items() if t}
    aligned = dict.fromkeys((name, id_) for name in names for _, id_ in where)
    parts = _parts(task, names, tables) if align == "own" else dict.fromkeys(names, 1)
    for _, id_ in terminal.bar(where, "aligning", unit="recording"):
        own = {name: tables[name, id_] for name in names if (name, id_) in tables}
        if None in [*own.values(), *first.values()]:
            continue  # a file has a fault, which is known
        with faults.noted():
            rows = {name: rows_of(table) for name, table in own.items()}
            gold = {target: rows_of(of[id_]) for target, of in signals.items() if of[id_]}
            grid = _grid(task, align, id_, rows, list(gold.values()))
            for name in names:
                aligned[name, id_] = (
                    _aligned(rows[name], grid, cache, storage, parts[name])
                    if name in rows
                    else _zeros(rows_of(first[name]), grid, id_, parts[name])
                )
            if align == "words":
                for target, of in gold.items():
                    labels[target][id_] = _aligned(of, grid, cache, "float32")
    for name in names:
        report_lacking(name, [id_ for _, id_ in where if (name, id_) not in tables])
    return aligned, labels


def _parts(task: TaskConfig, names: list[str], tables: Tables) -> dict[str, int]:
    """Feature set -> its rows in a frame: the step of the task by its own, to the nearest number.

    Its own is the median over recordings; words get a fixed number.
    """
    steps: dict[str, list[float]] = {name: [] for name in names}
    for (name, _), table in tables.items():
        with suppress(MuseError):  # of a table with a fault, told when it is aligned
            rows = table and rows_of(table)
            if rows and (rows.end is not None or rows.step):
                words = 1000 * task.step / ROWS_OF_WORDS
                steps[name].append(rows.step if rows.end is None else words)
    parts = {n: max(1, round(1000 * task.step / np.median(s))) if s else 1
             for n, s in steps.items()}  # fmt: skip
    log.info("rows in a frame: %s", ", ".join(f"{name} {k}" for name, k in parts.items()))
    return parts


def _grid(task: TaskConfig, align: str, id_: str, rows: dict[str, Rows], gold: list[Rows]) -> Grid:
    """The frames of a recording, see `align_tables`."""
    if align == "words":
        words = next((found for found in rows.values() if found.end is not None), None)
        if words is None:
            raise MuseError(
                f"align=words: recording {id_} has no words in the features "
                f"{', '.join(rows) or 'named'}; expected a feature set with the columns start and "
                "end (ms), such as fasttext."
            )
        grid = Grid(words.start, words.start, words.end, words.table.segments)
        known = [np.less(*row_ranges(found, grid)) for found in gold]
        kept = np.all(known, axis=0) if known else np.full(len(grid.times), True)
        if not kept.any():
            raise MuseError(
                f"{words.table.path}: no word has a label. Are start, end and the timestamps "
                "of the labels milliseconds?"
            )
        return Grid(*(part[kept] for part in vars(grid).values()))
    if not rows and not gold:
        raise MuseError(
            f"recording {id_} has a file of none of the features, and no labels. Leave it out of "
            "metadata/partition.csv."
        )
    step = 1000 * task.step
    moments = [found for found in rows.values() if found.end is None]
    same = [found for found in moments if np.isclose(found.step, step, rtol=0.01)]
    if gold or same:
        first = (gold or same)[0]
        times, segments, step = first.start, first.table.segments, first.step or step
    else:
        times, segments = _multiples(list(rows.values()), step), np.array([np.nan])
    half = np.minimum(np.diff(times), step) / 2
    low, high = times - np.append(step / 2, half), times + np.append(half, step / 2)
    for found in rows.values():
        if np.isnan(segments).all():
            segments = _segments(found, times, step)
    return Grid(times, low, high, segments)


def _multiples(rows: list[Rows], step: float) -> np.ndarray:
    """The multiples of ``step`` in ms that have a row within half of it: (frames,)."""
    numbers = []
    for found in rows:
        first = last = np.floor(found.start / step + 0.5).astype(int)
        if found.end is not None:
            last = np.maximum(first, np.ceil(found.end / step - 0.5).astype(int))
        numbers.append(np.repeat(first, last - first + 1) + counts(last - first + 1))
    return np.unique(np.concatenate(numbers)) * step


def _segments(rows: Rows, times: np.ndarray, step: float) -> np.ndarray:
    """The segment_id of the row next to each frame, NaN where there is none within a step."""
    near = nearest(rows.start, times)
    away = np.abs(rows.start[near] - times)
    if rows.end is not None:
        away = np.where((rows.start[near] <= times) & (times < rows.end[near]), 0, away)
    return np.where(away <= max(step, rows.step), rows.table.segments[near], np.nan)


def _aligned(rows: Rows, grid: Grid, cache: Path, storage: str, parts: int = 1) -> CachedTable:
    """The table of a file at the frames; the file's own where it has these rows already."""
    table, alike = rows.table, np.array_equal(rows.start, grid.times)
    if parts == 1 and rows.end is None and storage == "float32" and alike:
        return table
    text = f"align {RULE} {table.digest} {grid.digest}" + f" {parts}" * (parts > 1)
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def make() -> Table:
        values = np.asarray(table.values[:, list(rows.columns.values())], dtype=np.float32)
        means = mean_of_rows(values, *row_ranges(rows, grid.split(parts)))
        means = means.reshape(len(grid.times), -1)  # the parts of a frame side by side
        return Table(list(rows.columns) * parts, means, grid.times, grid.segments)

    return derived_table(table.path, digest, make, cache, storage)


def _zeros(other: Rows, grid: Grid, id_: str, parts: int) -> CachedTable:
    """A table of zeros, which takes no memory, in place of a missing file beside ``other``."""
    columns = list(other.columns) * parts
    values = np.broadcast_to(np.zeros(len(columns), np.float32), (len(grid.times), len(columns)))
    path, digest = other.table.path.with_name(f"{id_}.csv"), f"zeros {grid.digest}"
    return CachedTable(columns, values, grid.times, grid.segments, path, digest, 0, None)
