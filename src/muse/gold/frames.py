"""The frames that a recording's labels have, and traces brought to them."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config_parts import path_of
from muse.data.tables import parse_table, rows_in_words
from muse.errors import MuseError

JITTER = 0.1  # share of a step by which the distance of two rows may differ from it
DRIFT = 0.02  # and by which their mean distance may


@dataclass(frozen=True)
class Frames:
    """When the frames are, and to which segment each belongs."""

    times: np.ndarray  # (frames,) ms, rising
    segments: np.ndarray | None  # (frames,) float64, NaN outside any; None: there are no segments
    step: float  # seconds per frame


def step_of(times: np.ndarray) -> float:
    """The usual distance of two rows, in the unit of ``times``; NaN for a single row."""
    return float(np.median(np.diff(times))) if len(times) > 1 else float("nan")


def frames_of(
    times: np.ndarray,
    spans: list[tuple[float, float]],
    step: float,
    ends: str,
    segments: str | None,
    id_: str,
) -> tuple[Frames, str]:
    """Frames every ``step`` seconds, as the rows of a file where these are as regular.

    Args:
        times: (rows,) ms, of the file.
        spans: first and last time with a value, of each rater.
        ends: `trim` to the frames that all raters have, or `hold` first and last values.
        segments: folder of CSV files start, end, segment_id.

    Returns:
        The frames, and what was cut or held, in words.

    Raises:
        MuseError: nothing in common, or faults in the segments.
    """
    pace = 1000 * step
    first, last = [span[0] for span in spans], [span[1] for span in spans]
    start, end = (max(first), min(last)) if ends == "trim" else (min(first), max(last))
    if end < start + pace:
        raise MuseError(
            f"{id_}: the raters share no two frames: one begins at {start / 1000:g} s, one ends "
            f"at {end / 1000:g} s. Leave one of them out, or use ends=hold."
        )
    grid = _grid(times, start, end, pace)
    labels = None if segments is None else _segments(path_of(segments) / f"{id_}.csv", grid)
    odd = max(max(first) - min(first), max(last) - min(last)) / 1000
    if odd <= step / 2:
        return Frames(grid, labels, step), ""
    words = {
        "trim": f"cut to {grid[0] / 1000:g} to {grid[-1] / 1000:g} s, which all raters have",
        "hold": "the first and last values are held where a rater has none",
    }[ends]
    return Frames(grid, labels, step), f"raters begin or end up to {odd:g} s apart; {words}."


def _grid(times: np.ndarray, start: float, end: float, pace: float) -> np.ndarray:
    """Times of frames from ``start`` to ``end``, all in ms, every ``pace``.

    Rows without gaps are the frames. Where rows are missing the frames between are added; rows at
    any times leave the multiples of ``pace``.
    """
    distances = np.diff(times) / pace
    if np.abs(distances - 1).max() <= JITTER and abs(distances.mean() - 1) <= DRIFT:
        return times[(times >= start) & (times <= end)]
    steps = (times - times[0]) / pace
    missing = np.abs(steps - np.round(steps)).max() <= JITTER
    phase, slack = (times[0] % pace, JITTER) if missing else (0.0, 0.5)
    low, high = np.ceil((start - phase) / pace - slack), np.floor((end - phase) / pace + slack)
    return np.round(phase + pace * np.arange(low, high + 1), 6)


def frames_like(
    folder: Path, id_: str, spans: list[tuple[float, float]], ends: str
) -> tuple[Frames, str]:
    """The frames of a feature file, with its segments.

    Raises:
        MuseError: no such file, or rows at which a rater has no value (unless ``ends`` is `hold`).
    """
    path = folder / f"{id_}.csv"
    try:
        table = parse_table(path, path.read_bytes())
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing; rows= needs one per recording.") from None
    times = table.timestamps
    if np.isnan(times).any() or len(times) < 2:
        raise MuseError(f"{path}: expected a column timestamp and two rows or more.")
    step = step_of(times) / 1000
    start, end = max(span[0] for span in spans), min(span[1] for span in spans)
    outside = np.flatnonzero((times < start - 1000 * step) | (times > end + 1000 * step))
    segments = None if np.isnan(table.segments).all() else table.segments
    if len(outside) and ends == "trim":
        raise MuseError(
            f"{path}: {rows_in_words(outside + 2)}: not all raters have values there, theirs are "
            f"from {start / 1000:g} to {end / 1000:g} s. Is offset= right? ends=hold keeps the "
            "first and last values."
        )
    words = f"first and last values are held in {len(outside)} frames." if len(outside) else ""
    return Frames(times, segments, step), words


def resample(times: np.ndarray, values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """A trace at the times of ``frames``; the first and last values are held beyond its ends.

    Linear between values. From a trace of at least twice the rate the mean over each frame is
    taken, half a step to either side, so that nothing faster than the frames comes through.

    Args:
        times, values: (rows,); NaN where there is no value.
        frames: (frames,) in the unit of ``times``.
    """
    there = ~np.isnan(values)
    times, values = times[there], values[there]
    pace = step_of(frames)
    if not step_of(times) <= 0.5 * pace:
        return np.interp(frames, times, values)
    edges = np.append(frames - pace / 2, frames[-1] + pace / 2)
    which = np.searchsorted(edges, times, side="right") - 1
    inside = (which >= 0) & (which < len(frames))
    count = np.bincount(which[inside], minlength=len(frames))
    total = np.bincount(which[inside], values[inside], minlength=len(frames))
    found = count > 0
    return np.interp(frames, frames[found], total[found] / count[found])


def _segments(path: Path, times: np.ndarray) -> np.ndarray:
    """The segment of each frame, NaN outside any, from rows of start, end (ms) and segment_id."""
    limits = read_segments(path)
    found = np.full(len(times), np.nan)
    for k, (row, start, end, segment) in enumerate(limits):
        inside = (times >= start) & (times <= end)
        if not inside.any():
            raise MuseError(
                f"{path}: row {row:g}: segment {segment:g} ({start:g} to {end:g} ms) has no frame; "
                f"the labels go from {times[0]:g} to {times[-1]:g} ms."
            )
        clash = (limits[:k, 1] < end) & (limits[:k, 2] > start)
        if clash.any():
            raise MuseError(
                f"{path}: row {row:g}: segment {segment:g} overlaps that of row "
                f"{limits[:k][clash][0, 0]:g}."
            )
        found[inside & np.isnan(found)] = segment
    return found


def read_segments(path: Path) -> np.ndarray:
    """Rows of a CSV file with start, end (ms) and segment_id: (segments, 4), row number first.

    Other columns are not read. Raises MuseError, with the row, for what is no segment.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing; segments= needs one each.") from None
    except (OSError, UnicodeError, csv.Error) as error:
        raise MuseError(f"{path}: cannot be read ({error}).") from None
    names = [name.strip() for name in lines[0]] if lines else []
    wanted = ("start", "end", "segment_id")
    if not set(wanted) <= set(names):
        raise MuseError(f"{path}: expected the columns start, end (ms) and segment_id.")
    found = []
    for row, fields in enumerate(lines[1:], start=2):
        if not any(field.strip() for field in fields):
            continue
        try:
            start, end, segment = (float(fields[names.index(name)]) for name in wanted)
        except (ValueError, IndexError):
            raise MuseError(f"{path}: row {row}: expected numbers: {', '.join(wanted)}.") from None
        if not start < end:
            raise MuseError(f"{path}: row {row}: the segment ends before it starts.")
        found.append((row, start, end, segment))
    return np.array(found).reshape(-1, 4)
