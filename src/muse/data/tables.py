"""One CSV file of a package: parsed, checked row by row, as float32.

Row numbers in messages are lines of the file: the header is row 1.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from muse.errors import MuseError

SHOWN = 40  # characters of a wrong value that a message repeats


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file: one per frame, or one per segment in the class labels of Sent."""

    columns: list[str]  # names of the value columns
    values: np.ndarray  # (rows, columns) float32, NaN where the file has no value
    timestamps: np.ndarray  # (rows,) float64 in ms, rising; all NaN if the file has none
    segments: np.ndarray  # (rows,) float64, NaN outside any segment


def parse_table(path: Path, data: bytes) -> Table:
    """Parse the content ``data`` of the CSV file ``path``.

    The columns `timestamp` and `segment_id` are found by name and may be absent; all others are
    values. Raises MuseError, with file and row, for anything that is not a table of finite
    numbers with rising timestamps.
    """
    frame = _parse(path, data)
    _check_row_lengths(path, data, frame)
    columns = [name for name in frame.columns if name not in ("timestamp", "segment_id")]
    if not columns:
        raise MuseError(f"{path}: no column beside timestamp and segment_id; expected values.")
    wide = {name: _numbers(path, frame, name) for name in frame.columns}
    values = _float32(path, columns, wide)
    missing = np.full(len(frame), np.nan)
    timestamps = wide.get("timestamp", missing)
    if "timestamp" in wide:
        _check_rising(path, timestamps)
    return Table(columns, values, timestamps, wide.get("segment_id", missing))


def _parse(path: Path, data: bytes) -> pd.DataFrame:
    if not data.strip():
        raise MuseError(f"{path}: the file is empty. Copy it again from the package.")
    try:
        frame = pd.read_csv(io.BytesIO(data), low_memory=False, skip_blank_lines=False)
    except (ValueError, UnicodeError, OverflowError) as error:  # ParserError is a ValueError
        reason = str(error).replace("Error tokenizing data. C error: ", "").strip()
        raise MuseError(
            f"{path}: not a table of comma-separated values ({reason}). Copy it again from the "
            "package."
        ) from None
    if not isinstance(frame.index, pd.RangeIndex):
        fields = len(frame.columns) + frame.index.nlevels
        raise MuseError(
            f"{path}: row 2 has {fields} fields, the header has {len(frame.columns)}. Each row "
            "needs one field per column."
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    if frame.empty:
        raise MuseError(f"{path}: a header and no rows. Copy it again from the package.")
    return frame


def _check_row_lengths(path: Path, data: bytes, frame: pd.DataFrame) -> None:
    """Raise if a row is shorter than the header (pandas fills it up) or the last one is cut."""
    suspects = np.flatnonzero(frame.iloc[:, -1].isna().to_numpy())
    if len(suspects) or not data.endswith(b"\n"):
        lines = data.decode("utf-8", "replace").splitlines()
        for row in suspects:
            fields = len(next(csv.reader([lines[row + 1]]), [])) if row + 1 < len(lines) else 0
            if fields < len(frame.columns):
                raise MuseError(
                    f"{path}: row {row + 2} has {fields} of {len(frame.columns)} fields. "
                    + ("The last line is truncated. " if row + 2 == len(lines) else "")
                    + "Copy the file again from the package."
                )
    if not data.endswith(b"\n"):
        raise MuseError(
            f"{path}: row {len(frame) + 1}, the last line, has no end of line, so its last value "
            f"may be truncated. Copy the file again; if it is complete, add the end of line: "
            f"echo >> '{path}'"
        )


def _numbers(path: Path, frame: pd.DataFrame, name: str) -> np.ndarray:
    """One column as float64. Raises MuseError at the first text or infinite value."""
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise MuseError(f"{path}: two columns are called {name!r}; column names must differ.")
    if column.dtype.kind not in "iuf":
        text = column.map(str, na_action="ignore")  # True and False are text as well
        numbers = pd.to_numeric(text, errors="coerce")
        wrong = np.flatnonzero((numbers.isna() & column.notna()).to_numpy())
        if len(wrong):
            value = str(column.iloc[wrong[0]])[:SHOWN]
            raise MuseError(
                f"{path}: row {wrong[0] + 2}, column {name}: {value!r} is not a number."
            )
        column = numbers
    numbers = column.to_numpy(dtype=np.float64)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise MuseError(
            f"{path}: row {infinite[0] + 2}, column {name}: the value is infinite; expected a "
            "finite number, or an empty field where there is none."
        )
    return numbers


def _float32(path: Path, columns: list[str], wide: dict[str, np.ndarray]) -> np.ndarray:
    """The value columns side by side: (rows, columns) float32."""
    values = np.empty((len(wide[columns[0]]), len(columns)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for k, name in enumerate(columns):
            values[:, k] = wide[name]
    if np.isinf(values).any():
        row, k = np.argwhere(np.isinf(values))[0]
        raise MuseError(
            f"{path}: row {row + 2}, column {columns[k]}: {wide[columns[k]][row]:g} does not fit "
            "into 32 bits (at most 3.4e38)."
        )
    return values


def _check_rising(path: Path, timestamps: np.ndarray) -> None:
    missing = np.flatnonzero(np.isnan(timestamps))
    if len(missing):
        raise MuseError(f"{path}: row {missing[0] + 2} has no timestamp; expected milliseconds.")
    back = np.flatnonzero(np.diff(timestamps) <= 0)
    if len(back):
        row = back[0] + 1
        word = "repeats" if timestamps[row] == timestamps[row - 1] else "runs backwards from"
        raise MuseError(
            f"{path}: row {row + 2}: timestamp {timestamps[row]:g} {word} "
            f"{timestamps[row - 1]:g} of the row before. Frames must be in order of time."
        )
