"""Raters' traces from CSV files, on the common frames of each recording.

A file has a column `timestamp` and one column per rater. Fields may be empty: raters begin late,
end early, pause. Times are milliseconds from here on.
"""

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from muse.config.fields import path_of
from muse.config.gold import UNITS, GoldConfig
from muse.data.csv_table import parse_table, read_header
from muse.data.layout import ids_in
from muse.errors import Faults, MuseError, did_you_mean, raise_faults
from muse.files import read_bytes
from muse.gold.frames import Frames, frames_like, frames_of, resample, step_of

PLAUSIBLE = (0.005, 5.0)  # seconds from frame to frame; anything else is a wrong unit


@dataclass(frozen=True)
class Traces:
    """The content of a file: the raters' values at the times of its rows."""

    path: Path
    times: np.ndarray  # (rows,) ms, rising
    columns: list[str]  # their names in the file
    names: list[str]  # of the raters: by `ids`, else those of the columns
    values: np.ndarray  # (columns, rows) float64, NaN where there is none


@dataclass(frozen=True)
class Ratings:
    """A recording: its frames, and a value of each rater in each of them."""

    id: str
    frames: Frames
    raters: list[str]
    values: np.ndarray  # (raters, frames) float64, without NaN
    notes: list[str] = field(default_factory=list)  # warnings


def read_ratings(config: GoldConfig) -> list[Ratings]:
    """All recordings of the raters' folder, 2 before 10.

    Raises:
        MuseError: no files, or faults in them: all at once, with file and row.
    """
    folder = path_of(config.raters)
    names = raters_by_id(config.ids)
    faults = Faults(stop=False)
    files: list[Traces] = []
    for id_ in recordings_of(folder):
        with faults.noted():
            path = folder / f"{id_}.csv"
            files.append(_named(read_traces(path, config.unit, config.offset), names))
    raise_faults(faults.found)
    out = config.leave_out or []
    columns = {name for traces in files for name in traces.columns}
    for key, name in [*(("ids", n) for n in names), *(("leave_out", n) for n in out)]:
        if name not in columns | set(names.values()):
            near = did_you_mean(name, sorted(columns))
            raise MuseError(f"{key}: no file has a column {name}.{near}")
    files = [_without(traces, out) for traces in files]
    step = config.step or _common_step(files)
    found = []
    for traces in files:
        with faults.noted():
            found.append(_ratings(config, traces, step))
    raise_faults(faults.found)
    return found


def recordings_of(folder: Path) -> list[str]:
    """Ids of the recordings that have a CSV file in ``folder``, 2 before 10."""
    if folder.is_file():
        raise MuseError(f"raters={folder}: a file; give its folder, {folder.parent}.")
    if not folder.is_dir():
        raise MuseError(f"raters={folder}: there is no such folder.")
    ids = ids_in(folder)
    if not ids:
        inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and ids_in(path))
        hint = f" Its folders {', '.join(inside)} have some; give one of them." if inside else ""
        raise MuseError(f"raters={folder}: no CSV files; expected one per recording.{hint}")
    return ids


def read_traces(path: Path, unit: str, offset: float) -> Traces:
    """Read a CSV file; ``offset``: seconds added to its timestamps, which are in ``unit``.

    Raises:
        MuseError: no such file, no table of numbers, no or falling timestamps, a repeated column.
    """
    data = read_bytes(path, "Expected one for each recording.")
    names = read_header(path, data)
    if "timestamp" not in names:
        raise MuseError(
            f"{path}: no column timestamp; row 1 has the columns {', '.join(names)}. Expected "
            "names, separated by commas: timestamp, then one per rater."
        )
    table = parse_table(path, data)
    times = np.round((table.timestamps * UNITS[unit]) + 1000 * offset, 6)
    return Traces(path, times, table.columns, table.columns, table.values.T.astype(np.float64))


def raters_by_id(ids: dict | str | None) -> dict[str, str]:
    """Column -> rater, from the setting `ids`: a dict, or a CSV file with the columns id, rater."""
    if ids is None or isinstance(ids, dict):
        return {str(column): str(rater) for column, rater in (ids or {}).items()}
    path = path_of(str(ids))
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeError, csv.Error) as error:
        raise MuseError(
            f"ids={path}: cannot be read ({error}). Expected a CSV file with the columns id,rater, "
            "or ids={4:1,7:2}."
        ) from None
    if not rows or [name.strip() for name in rows[0]] != ["id", "rater"]:
        raise MuseError(f"{path}: expected a header id,rater, then a row for each id.")
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or row[0].strip() in found:
            raise MuseError(f"{path}: row {number}: expected an id, each once, and its rater.")
        found[row[0].strip()] = row[1].strip()
    return found


def _named(traces: Traces, names: dict[str, str]) -> Traces:
    """The traces under their raters' names."""
    raters = [names.get(name, name) for name in traces.names]
    for k, rater in enumerate(raters):
        if rater in raters[:k]:
            both = f"{traces.names[raters.index(rater)]} and {traces.names[k]}"
            raise MuseError(
                f"{traces.path}: by ids, the columns {both} are both of the rater {rater}; a "
                "rater has one trace in a recording."
            )
    return replace(traces, names=raters)


def _without(traces: Traces, out: list[str]) -> Traces:
    """The traces without columns, or raters, of these names."""
    both = zip(traces.columns, traces.names, strict=True)
    keep = [k for k, names in enumerate(both) if not set(names) & set(out)]
    return replace(
        traces,
        columns=[traces.columns[k] for k in keep],
        names=[traces.names[k] for k in keep],
        values=traces.values[keep],
    )


def _common_step(files: list[Traces]) -> float:
    """Seconds from frame to frame that all files share."""
    for traces in files:
        if len(traces.times) < 2:
            raise MuseError(f"{traces.path}: a single row; expected two frames or more.")
    steps = [step_of(traces.times) / 1000 for traces in files]
    typical = float(np.median(steps))
    for traces, step in zip(files, steps, strict=True):
        if not 0.99 * typical <= step <= 1.01 * typical:
            raise MuseError(
                f"{traces.path}: a row every {step:g} s, the other files every {typical:g} s. Give "
                f"the step of the labels: step={typical:g}"
            )
    if not PLAUSIBLE[0] <= typical <= PLAUSIBLE[1]:
        raise MuseError(
            f"{files[0].path}: a row every {typical:g} s by the unit of the timestamps. Is the "
            "unit right (ms, s or min)? If it is, give the seconds between frames with step=."
        )
    return round(typical, 6)


def _ratings(config: GoldConfig, traces: Traces, step: float) -> Ratings:
    """Raters with enough values, on common frames, with warnings as notes."""
    id_, notes = traces.path.stem, []
    usual = step_of(traces.times)
    kept: list[int] = []
    for k, name in enumerate(traces.names):
        reason, note = _look_at(traces, k, usual, config.max_gap)
        if reason:
            notes.append(f"{traces.path}: rater {name} {reason}; left out of this recording.")
        else:
            kept.append(k)
            notes += [f"{traces.path}: rater {name}: {note}."] if note else []
    if not kept:
        why = "; ".join(note.split(": ", 1)[1].rstrip(".") for note in notes) or "leave_out"
        raise MuseError(f"{traces.path}: no rater is left ({why}). Expected one with values.")
    spans = [_span(traces, k) for k in kept]
    if config.rows is None:
        frames, cut = frames_of(traces.times, spans, step, config.ends, config.segments, id_)
    else:
        frames, cut = frames_like(path_of(config.rows), id_, spans, config.ends)
    notes += [f"{traces.path}: {cut}"] if cut else []
    if frames.times[0] < 0:
        notes.append(f"{traces.path}: the frames begin at {frames.times[0]:g} ms; is offset right?")
    values = [resample(traces.times, traces.values[k], frames.times) for k in kept]
    raters = [traces.names[k] for k in kept]
    if len(raters) == 1:
        notes.append(f"{traces.path}: rater {raters[0]} is the only one; there is no agreement.")
    return Ratings(id_, frames, raters, np.stack(values), notes)


def _look_at(traces: Traces, k: int, usual: float, max_gap: float) -> tuple[str, str]:
    """Why a trace cannot be used, or a warning about its gaps; each empty if there is none."""
    there = traces.times[~np.isnan(traces.values[k])]
    if len(there) < 2:
        return ("has no values" if not len(there) else "has a single value"), ""
    distances = np.diff(there)
    gaps = distances[distances > 1.5 * usual] / 1000
    if len(gaps) and gaps.max() > max_gap:
        return f"has a gap of {gaps.max():g} s (max_gap={max_gap:g})", ""
    if len(gaps):
        word = "gap is" if len(gaps) == 1 else "gaps are"
        return "", f"{len(gaps)} {word} interpolated, {gaps.max():g} s at most"
    return "", ""


def _span(traces: Traces, k: int) -> tuple[float, float]:
    there = traces.times[~np.isnan(traces.values[k])]
    return float(there[0]), float(there[-1])
