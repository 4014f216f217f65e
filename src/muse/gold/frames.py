"""The frames that a recording's labels have, and traces brought to them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config.fields import path_of
from muse.data.csv_table import format_rows, parse_table
from muse.data.segments import segment_ids, segments_by_limits
from muse.errors import MuseError
from muse.files import read_bytes

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
        The frames, and a warning about what was cut or held; empty if nothing was.

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
    cut = _cut_warning(grid, first, last, step, ends)
    if segments is None:
        return Frames(grid, None, step), cut
    try:
        found = segments_by_limits(path_of(segments) / f"{id_}.csv", grid)
    except MuseError as error:
        more = f" The {cut} ends=hold keeps all." if cut and ends == "trim" else ""
        raise MuseError(f"{error}{more}", [f"{fault}{more}" for fault in error.faults]) from None
    return Frames(grid, segment_ids(found, len(grid)), step), cut


def _cut_warning(
    grid: np.ndarray, first: list[float], last: list[float], step: float, ends: str
) -> str:
    """What was cut or held at the ends; empty if the raters begin and end together."""
    apart = max(max(first) - min(first), max(last) - min(last)) / 1000
    if apart <= step / 2:
        return ""
    words = {
        "trim": f"cut to {grid[0] / 1000:g} to {grid[-1] / 1000:g} s, which all raters have",
        "hold": "the first and last values are held where a rater has none",
    }[ends]
    return f"raters begin or end up to {apart:g} s apart; {words}."


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
    table = parse_table(path, read_bytes(path, "`rows` needs one for each recording."))
    times = table.timestamps
    if np.isnan(times).any() or len(times) < 2:
        raise MuseError(f"{path}: expected a column timestamp and two rows or more.")
    step = step_of(times) / 1000
    start, end = max(span[0] for span in spans), min(span[1] for span in spans)
    outside = np.flatnonzero((times < start - 1000 * step) | (times > end + 1000 * step))
    segments = None if np.isnan(table.segments).all() else table.segments
    if len(outside) and ends == "trim":
        raise MuseError(
            f"{path}: {format_rows(outside + 2)}: not all raters have values there, theirs are "
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
