"""CSV files: tables of numbers, checked row by row, as float32; and short lists of texts.

Row numbers in messages are lines of the file: the header is row 1.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from muse.data.formats import refuse_other_formats
from muse.errors import MuseError, raise_faults
from muse.files import read_bytes

SHOWN = 40  # characters of a wrong value that a message repeats
LISTED = 5  # rows that a message names
RESERVED = {"timestamp": "timestamp", "segmentid": "segment_id"}  # letters of a name -> the name
# pandas' fast parser stops after 17 digits and counts the zeros before the first other one: numbers
# below 1e-5 of more than 17 digits. The text that comes first and never varies is found quickly.
SMALL = re.compile(rb"\.00000(?<![1-9]\.00000)(?<![0-9]0\.00000)(?=[0-9]{11})0*[1-9]")


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
    values. Raises MuseError, with file and row and all faults of the file, for anything that is
    not a table of finite numbers with rising timestamps.
    """
    names = read_header(path, data)
    frame = parse_frame(path, data, names=names)
    if {"start", "segment_id"} <= set(names) and {"word", "text"} & set(names):
        raise MuseError(
            f"{path}: words, not numbers; expected tokenizer=FOLDER for a transcript, and a model "
            "that reads tokens: +experiment=muse2020/albert model.weights=FOLDER"
        )
    faults = row_length_faults(path, data, frame)
    columns = [name for name in names if name not in ("timestamp", "segment_id")]
    if not columns:
        faults.append(f"{path}: no column beside timestamp and segment_id; expected values.")
    values = _values(frame, columns)
    looked_at = names if values is None else [name for name in names if name not in columns]
    wide = {name: column_numbers(path, frame, name, faults) for name in looked_at}
    if values is None:  # a fault is in a column: look at each
        values = _float32(path, columns, wide, len(frame), faults)
    missing = np.full(len(frame), np.nan)
    timestamps = wide.get("timestamp", missing)
    if "timestamp" in wide and np.isnan(timestamps).sum() == frame["timestamp"].isna().sum():
        faults += _order_faults(path, timestamps)  # else a text is among them, told already
    raise_faults(faults)
    return Table(columns, values, timestamps, wide.get("segment_id", missing))


def format_rows(rows: np.ndarray) -> str:
    """Row numbers of a file for a message: `row 4`, or `rows 4, 7, 9, 12 and 30 more`."""
    if len(rows) == 1:
        return f"row {rows[0]}"
    first, more = ", ".join(map(str, rows[:LISTED])), len(rows) - LISTED
    return f"rows {first}" + (f" and {more} more" if more > 0 else "")


def read_rows(path: Path, advice: str) -> list[tuple[int, list[str]]]:
    """The header and the rows of a CSV file of texts: row number, fields without outer spaces.

    Rows without any text are left out. Raises MuseError, with ``advice`` on what the file should
    be, for a file that is missing, empty or no text.
    """
    data = read_bytes(path, advice)
    refuse_other_formats(path, data)
    try:
        text = data.decode("utf-8-sig")
        rows = list(csv.reader(text.splitlines()))
    except (UnicodeError, csv.Error) as error:
        raise MuseError(f"{path}: cannot be read ({error}). {advice}") from None
    fields = ([field.strip() for field in row] for row in rows)
    found = [(number, row) for number, row in enumerate(fields, start=1) if any(row)]
    if not found:
        raise MuseError(f"{path}: the file is empty. {advice}")
    return found


def parse_frame(
    path: Path, data: bytes, text: str | None = None, names: list[str] | None = None
) -> pd.DataFrame:
    """The columns of a CSV file as pandas reads them.

    Args:
        text: the column to be read as the text that it is.
        names: what the columns are called, if not as the header says: pandas renames the second
            of two columns with one name.

    Raises MuseError for an empty file and for what is no table.
    """
    _refuse_empty(path, data)
    refuse_other_formats(path, data)
    try:
        frame = pd.read_csv(
            io.BytesIO(data),
            names=names,
            header=0,
            low_memory=False,
            skip_blank_lines=False,
            dtype={text: str} if text else None,
            float_precision="round_trip" if _has_small_numbers(data) else None,
        )
    except (ValueError, UnicodeError, OverflowError) as error:  # ParserError is a ValueError
        raise _no_table(path, error) from None
    if not isinstance(frame.index, pd.RangeIndex):
        fields = len(frame.columns) + frame.index.nlevels
        raise MuseError(
            f"{path}: row 2 has {fields} fields, the header has {len(frame.columns)}. Each row "
            "needs one field per column."
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    if frame.empty:
        raise MuseError(f"{path}: a header and no rows. Copy it again from its source.")
    return frame


def _has_small_numbers(data: bytes) -> bool:
    """Whether a table has to be read by the exact parser, which takes more than twice as long."""
    return b".00000" in data and SMALL.search(data) is not None


def read_header(path: Path, data: bytes) -> list[str]:
    """The column names of a table; what pandas would rename, or read as values, is refused."""
    _refuse_empty(path, data)
    refuse_other_formats(path, data)
    line = data.partition(b"\n")[0].decode("utf-8-sig", "replace")
    try:
        names = [name.strip() for name in next(csv.reader(line.splitlines()), [])]
    except csv.Error as error:
        raise _no_table(path, error) from None
    if names and all(map(_is_number, names)):
        raise MuseError(
            f"{path}: row 1 has numbers only ({line.strip()[:SHOWN]}); expected the names of the "
            "columns. Put a header above it."
        )
    faults = []
    for number, name in enumerate(names, start=1):
        meant = RESERVED.get(re.sub("[^a-z0-9]", "", name.lower()), name)
        if not name:
            faults.append(
                f"{path}: column {number} has no name. If it is the number of the row, take it out "
                "(pandas: to_csv(index=False)); otherwise name it in row 1."
            )
        elif meant != name:
            faults.append(
                f"{path}: column {number} is called {name!r} and would be read as values; expected "
                f"{meant}, in exactly this spelling. Rename it in row 1."
            )
        elif name in names[: number - 1]:
            faults.append(
                f"{path}: two columns are called {name!r} (the second is column {number}); column "
                "names must differ."
            )
    raise_faults(faults)
    return names


def _refuse_empty(path: Path, data: bytes) -> None:
    if not data.strip():
        raise MuseError(f"{path}: the file is empty. Copy it again from its source.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_table(path: Path, error: Exception) -> MuseError:
    reason = str(error).replace("Error tokenizing data. C error: ", "").strip()
    advice = "Copy it again from its source."
    if isinstance(error, UnicodeError):  # a letter in Latin-1, most likely
        advice = "Save it as UTF-8."
    return MuseError(f"{path}: not a table of comma-separated values ({reason}). {advice}")


def row_length_faults(path: Path, data: bytes, frame: pd.DataFrame) -> list[str]:
    """Rows shorter than the header (pandas fills them up), and a last line that is cut."""
    faults = []
    suspects = np.flatnonzero(frame.iloc[:, -1].isna().to_numpy())
    if len(suspects) or not data.endswith(b"\n"):
        lines = data.decode("utf-8", "replace").splitlines()
        short = []  # row of the file, fields
        for row in suspects:
            fields = len(next(csv.reader([lines[row + 1]]), [])) if row + 1 < len(lines) else 0
            if fields < len(frame.columns):
                short.append((int(row) + 2, fields))
        if short:
            row, fields = short[0]
            also = np.array([row for row, _ in short[1:]])
            faults.append(
                f"{path}: row {row} has {fields} of {len(frame.columns)} fields. "
                + (f"Too short as well: {format_rows(also)}. " if len(also) else "")
                + ("The last line is truncated. " if short[-1][0] == len(lines) else "")
                + "Copy the file again from its source."
            )
    if not data.endswith(b"\n") and not faults:
        faults.append(
            f"{path}: row {len(frame) + 1}, the last line, has no end of line, so its last value "
            f"may be truncated. Copy the file again; if it is complete, add the end of line: "
            f"echo >> '{path}'"
        )
    return faults


def column_numbers(path: Path, frame: pd.DataFrame, name: str, faults: list[str]) -> np.ndarray:
    """One column as float64, NaN where it is no number; texts and infinite values are faults."""
    column = frame[name]
    if column.dtype.kind not in "iuf":
        text = column.map(str, na_action="ignore")  # True and False are text as well
        numbers = pd.to_numeric(text, errors="coerce")
        wrong = np.flatnonzero((numbers.isna() & column.notna()).to_numpy())
        if len(wrong):
            value = str(column.iloc[wrong[0]])[:SHOWN]
            faults.append(
                f"{path}: {format_rows(wrong + 2)}, column {name}: {value!r} is not a number."
            )
        # one number that the exact parser leaves as text, such as one of 80 digits, makes texts of
        # all, and `to_numeric` does not read these to the last digit
        column = text[numbers.notna()].map(float).reindex(text.index)
    numbers = column.to_numpy(dtype=np.float64)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        faults.append(
            f"{path}: {format_rows(infinite + 2)}, column {name}: the value is infinite; "
            "expected a finite number, or an empty field where there is none."
        )
    return numbers


def _values(frame: pd.DataFrame, columns: list[str]) -> np.ndarray | None:
    """The value columns as (rows, columns) float32; None unless all are numbers that fit."""
    if any(kind not in "iuf" for kind in (dtype.kind for dtype in frame.dtypes)):
        return None
    with np.errstate(over="ignore"):
        values = frame[columns].to_numpy(np.float32)
    return None if np.isinf(values).any() else np.ascontiguousarray(values)


def _float32(
    path: Path, columns: list[str], wide: dict[str, np.ndarray], rows: int, faults: list[str]
) -> np.ndarray:
    """The value columns side by side: (rows, columns) float32."""
    values = np.empty((rows, len(columns)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for k, name in enumerate(columns):
            values[:, k] = wide[name]
            large = np.flatnonzero(np.isinf(values[:, k]) & np.isfinite(wide[name]))
            if len(large):
                faults.append(
                    f"{path}: {format_rows(large + 2)}, column {name}: {wide[name][large[0]]:g} "
                    "does not fit into 32 bits (at most 3.4e38)."
                )
    return values


def _order_faults(path: Path, timestamps: np.ndarray) -> list[str]:
    missing = np.flatnonzero(np.isnan(timestamps))
    if len(missing):
        has = "has" if len(missing) == 1 else "have"
        return [f"{path}: {format_rows(missing + 2)} {has} no timestamp; expected one in each row."]
    faults = []
    for row in np.flatnonzero(np.diff(timestamps) <= 0)[:LISTED] + 1:
        word = "repeats" if timestamps[row] == timestamps[row - 1] else "runs backwards from"
        faults.append(
            f"{path}: row {row + 2}: timestamp {timestamps[row]:g} {word} "
            f"{timestamps[row - 1]:g} of the row before. Frames must be in order of time."
        )
    return faults
