"""Rows with times of their own, and their means at the frames of a grid.

A row stands for a moment, its timestamp; or for the time from `start` to `end` (columns, in ms), as
a word does, which ends at the latest when the next one starts. A frame gets the mean of the moments
within it, or of the words that reach into it. Where there is none, it gets the row in whose own
step its middle lies, as from rows that are slower than the frames; else zeros.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from muse.data.cache import CachedTable
from muse.data.csv_table import format_rows
from muse.errors import MuseError, raise_faults


@dataclass(frozen=True)
class Rows:
    """The rows of a file, each with its time."""

    table: CachedTable
    columns: dict[str, int]  # feature -> its column in the table
    start: np.ndarray  # (rows,) ms, rising
    end: np.ndarray | None  # (rows,) ms, of words; None: rows are moments

    @property
    def step(self) -> float:
        """Usual time from row to row in ms; 0 of a single row."""
        return float(np.median(np.diff(self.start))) if len(self.start) > 1 else 0.0


@dataclass(frozen=True)
class Grid:
    """The frames of a recording; each reaches from `low` to before `high`."""

    times: np.ndarray  # (frames,) ms
    low: np.ndarray  # (frames,) ms
    high: np.ndarray  # (frames,) ms
    segments: np.ndarray  # (frames,) segment_id, NaN outside any

    def split(self, parts: int) -> "Grid":
        """Each frame as so many of equal length, one after another."""
        edges = np.linspace(self.low, self.high, parts + 1)  # (parts + 1, frames)
        low, high = edges[:-1].T.ravel(), edges[1:].T.ravel()
        return Grid((low + high) / 2, low, high, np.repeat(self.segments, parts))

    @property
    def digest(self) -> str:
        """Of all that they are."""
        whole = np.stack([self.times, self.low, self.high, self.segments])
        return hashlib.blake2b(whole.astype("<f8").tobytes(), digest_size=16).hexdigest()


def rows_of(table: CachedTable) -> Rows:
    """The rows of a table with their times.

    Raises MuseError, with file and row, for rows without a time, out of order, or that end before
    they start.
    """
    at = {name: k for k, name in enumerate(table.columns)}
    start, end = table.timestamps, None
    if "end" in at:
        end = np.asarray(table.values[:, at["end"]], dtype=np.float64)
        if "start" in at:
            start = np.asarray(table.values[:, at["start"]], dtype=np.float64)
    if np.isnan(start).any() or (end is not None and np.isnan(end).any()):
        raise MuseError(
            f"{table.path}: expected a column timestamp, or of words start and end, with a time in "
            "ms in each row."
        )
    faults = []
    back = np.flatnonzero(np.diff(start) <= 0) + 1
    if len(back):
        faults.append(
            f"{table.path}: {format_rows(back + 2)}: starts no later than the row before."
        )
    if end is not None:
        short = np.flatnonzero(end < start)
        if len(short):
            faults.append(f"{table.path}: {format_rows(short + 2)}: ends before it starts.")
        end = np.minimum(end, np.append(start[1:], np.inf))
    raise_faults(faults)
    own = {name: k for name, k in at.items() if end is None or name not in ("start", "end")}
    return Rows(table, own, start, end)


def rows_per_frame(columns: list[str]) -> int:
    """How many rows of its own a feature set has in a frame (`align=own`).

    They lie side by side, so as often are its columns there, whose names differ otherwise.
    """
    return columns.count(columns[0])


def row_ranges(rows: Rows, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each frame and one past the last: (frames,) each; equal: there is none."""
    last = np.searchsorted(rows.start, grid.high)
    if rows.end is None:
        first = np.searchsorted(rows.start, grid.low)
    else:
        first = np.searchsorted(rows.end, grid.low, side="right")
    none = first >= last
    middle = (grid.low + grid.high) / 2
    near = nearest(rows.start, middle)
    if rows.end is None:
        covered = np.abs(rows.start[near] - middle) <= rows.step / 2
    else:
        covered = rows.start[near] == middle  # a word without length
    return np.where(none, near, first), np.where(none, near + covered, last)


def mean_of_rows(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Means of the rows from ``first`` to before ``last``, NaN left out: (frames, columns) float32.

    Zeros where there is no row, NaN where no row has a value.
    """
    from scipy.sparse import csr_array  # slow to import, and few runs need it

    lengths = np.maximum(last - first, 0)
    which = np.repeat(first, lengths) + counts(lengths)
    ends = np.append(0, np.cumsum(lengths))
    shape = (len(first), len(values))
    choose = csr_array((np.ones(len(which), np.float32), which, ends), shape=shape)
    missing = np.isnan(values)
    if not missing.any():
        return (choose @ values) / np.maximum(lengths, 1)[:, None].astype(np.float32)
    known = choose @ (~missing).astype(np.float32)
    means = (choose @ np.where(missing, np.float32(0), values)) / np.maximum(known, 1)
    means[(known == 0) & (lengths > 0)[:, None]] = np.nan
    return means


def nearest(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The row whose time is nearest to each of ``at``."""
    after = np.clip(np.searchsorted(times, at), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    return np.where(at - times[before] <= times[after] - at, before, after)


def counts(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ... up to each length in turn."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
