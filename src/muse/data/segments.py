"""Segments of a recording: from its column segment_id, or from limits in a CSV file."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from muse.data.csv_table import read_rows
from muse.data.recordings import Recording
from muse.errors import MuseError, raise_faults


@dataclass(frozen=True)
class Segment:
    """Frames of a recording that belong together."""

    id: float  # segment_id; whole numbers in the official packages
    start: int  # first frame of those in use
    stop: int  # one past the last


@dataclass(frozen=True)
class Limits:
    """A row of a file of segment limits: start <= t < end, in ms."""

    row: int
    start: float
    end: float
    id: float


def segments_by_id(package: Path, recording: Recording) -> list[Segment]:
    """The runs of equal segment_id; frames without one are in no segment.

    Raises MuseError if there is none, or a segment begins again after another.
    """
    ids = recording.segments
    if np.isnan(ids).all():
        raise MuseError(
            f"{package}: recording {recording.id} has no segment_id in any row. Give the limits of "
            "its segments: segments=FOLDER, with start,end,segment_id (ms) in a CSV file per "
            "recording."
        )
    change = (ids[1:] != ids[:-1]) & ~(np.isnan(ids[1:]) & np.isnan(ids[:-1]))
    starts = np.flatnonzero(np.r_[True, change])
    stops = np.r_[starts[1:], len(ids)]
    found = [Segment(float(ids[a]), int(a), int(b))
             for a, b in zip(starts, stops, strict=True) if not np.isnan(ids[a])]  # fmt: skip
    seen: set[float] = set()
    for segment in found:
        if segment.id in seen:
            raise MuseError(
                f"{package}: recording {recording.id}, row {recording.rows[segment.start] + 2}: "
                f"segment {segment.id:g} begins again; its frames must follow one another."
            )
        seen.add(segment.id)
    return found


def read_limits(path: Path) -> list[Limits]:
    """Read start,end,segment_id of a CSV file, further columns ignored; in order of time.

    Raises MuseError with all faults of the file: columns that are missing, fields that are no
    numbers, ends before their start, a segment_id that occurs twice, segments that overlap.
    """
    (first, header), *rows = read_rows(
        path, "Every recording needs its segments: start,end,segment_id, times in ms."
    )
    for name in ("start", "end", "segment_id"):
        if header.count(name) != 1:
            raise MuseError(
                f"{path}: row {first} has the columns {', '.join(header)}; expected one column "
                f"{name} of start,end,segment_id, times in ms."
            )
    faults: list[str] = []
    limits = []
    for number, row in rows:
        limit = _row(path, number, dict(zip(header, row, strict=False)), faults)
        limits += [limit] if limit else []
    limits.sort(key=lambda limit: (limit.start, limit.end))
    seen: dict[float, int] = {}
    for limit in limits:
        if limit.id in seen:
            faults.append(f"{path}: row {limit.row}: segment_id {limit.id:g} is also that of row "
                          f"{seen[limit.id]}; number the segments of a recording.")  # fmt: skip
        seen[limit.id] = limit.row
    for one, two in pairwise(limits):
        if two.start < one.end:
            faults.append(
                f"{path}: row {two.row}: the segment from {two.start:g} ms begins before that of "
                f"row {one.row} ends ({one.end:g} ms). Segments must not overlap."
            )
    if not limits and not faults:
        faults.append(f"{path}: no segments; expected rows of start,end,segment_id.")
    raise_faults(faults)
    return limits


def _row(path: Path, number: int, row: dict[str, str], faults: list[str]) -> Limits | None:
    values = []
    for name in ("start", "end", "segment_id"):
        text = row.get(name, "")
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            faults.append(f"{path}: row {number}, column {name}: {text!r} is not a number.")
            return None
        values.append(value)
    start, end, id_ = values
    if end <= start:
        faults.append(
            f"{path}: row {number}: the segment ends at {end:g} ms and starts at {start:g} ms; "
            "expected an end after the start."
        )
        return None
    return Limits(number, start, end, id_)


def segments_by_limits(path: Path, times: np.ndarray) -> list[Segment]:
    """The frames with start <= timestamp < end of each row of ``path``, see `read_limits`.

    Limits may reach over the first and the last frame by one frame step.

    Args:
        path: the limits of one recording, ID.csv.
        times: (frames,) ms, rising.

    Raises MuseError with all segments that lie outside the recording or have no frame.
    """
    limits = read_limits(path)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    faults, found = [], []
    for limit in limits:
        where = f"{path}: row {limit.row}: the segment from {limit.start:g} to {limit.end:g} ms"
        start, stop = np.searchsorted(times, [limit.start, limit.end])
        if limit.start < times[0] - step or limit.end > times[-1] + step:
            faults.append(
                f"{where} lies outside recording {path.stem}, which has frames from "
                f"{times[0]:g} to {times[-1]:g} ms. Correct the limits; they are milliseconds."
            )
        elif start == stop:
            faults.append(
                f"{where} has no frame of recording {path.stem} (a frame every {step:g} ms). "
                "Limits are milliseconds; are these seconds? Or leave the segment out."
            )
        else:
            found.append(Segment(limit.id, int(start), int(stop)))
    raise_faults(faults)
    return found


def segment_ids(segments: list[Segment], frames: int) -> np.ndarray:
    """The segment_id of every frame, NaN outside any: (frames,) float64."""
    ids = np.full(frames, np.nan)
    for segment in segments:
        ids[segment.start : segment.stop] = segment.id
    return ids
