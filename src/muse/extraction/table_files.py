"""Long CSV files of one's own: rows in order of time, with or without a column of the recording."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from muse import terminal
from muse.config.fields import path_of
from muse.config.gold import UNITS
from muse.config.importing import ImportConfig
from muse.data.csv_table import LISTED, column_numbers, parse_frame, row_length_faults
from muse.data.layout import ids_in, is_name
from muse.errors import Faults, MuseError, did_you_mean, raise_faults
from muse.files import read_bytes

RESERVED = ("timestamp", "segment_id")  # names of columns in the package, which are no features


@dataclass(frozen=True)
class Trace:
    """What the files say of a recording."""

    where: str  # file and recording, for messages
    times: np.ndarray  # (rows,) ms, rising
    values: np.ndarray  # (rows, columns) float64, NaN where a field is empty


def read_traces(config: ImportConfig) -> tuple[list[str], dict[str, Trace]]:
    """Read the files of ``config.source``.

    Returns:
        The names of the value columns, and recording id -> its rows, 2 before 10.

    Raises:
        MuseError: all faults of the files, with row.
    """
    faults = Faults(stop=False)
    columns: list[str] = []
    traces: dict[str, Trace] = {}
    for path in terminal.bar(_files(config.source), "files", unit="file"):
        with faults.noted():
            data = read_bytes(path)
            frame = parse_frame(path, data, config.id)
            columns = _columns(path, data, frame, config, columns)
            raise_faults(row_length_faults(path, data, frame))
            for id_, trace in _traces(path, frame, config, columns).items():
                if id_ in traces:
                    raise MuseError(
                        f"{path}: recording {id_} is in {traces[id_].where} as well; a recording "
                        "must be in one file."
                    )
                traces[id_] = trace
    raise_faults(faults.found)
    return columns, dict(sorted(traces.items(), key=lambda item: (len(item[0]), item[0])))


def shortened(names: list[str]) -> str:
    """The first names of a list and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _files(source: list[str]) -> list[Path]:
    files = []
    for path in map(path_of, source):
        files += [path / f"{id_}.csv" for id_ in ids_in(path)] if path.is_dir() else [path]
    missing = [f"{path}: there is no such file." for path in files if not path.is_file()]
    raise_faults(missing if files else [f"source={', '.join(source)}: no CSV files in it."])
    return files


def _columns(
    path: Path, data: bytes, frame: pd.DataFrame, config: ImportConfig, before: list[str]
) -> list[str]:
    """The value columns, which must be those ``before`` if there are any."""
    names = [str(name) for name in frame.columns]
    header = next(csv.reader(data.decode("utf-8-sig", "replace").splitlines()[:1]))
    wanted = [config.time, *([config.id] if config.id else []), *(config.value or [])]
    columns = config.value or [name for name in names if name not in (*RESERVED, *wanted)]
    faults = [
        f"{path}: no column {name}; it has {shortened(names)}.{did_you_mean(name, names)}"
        for name in wanted
        if name not in names
    ]
    twice = sorted({name for name in header if header.count(name) > 1})
    faults += [f"{path}: two columns are called {name!r}; names must differ." for name in twice]
    if config.features is not None and set(columns) & set(RESERVED):
        faults.append(f"value={shortened(columns)}: {' and '.join(RESERVED)} are no features.")
    if not columns:
        faults.append(f"{path}: no column beside {' and '.join(wanted)}; expected features.")
    elif before and columns != before:
        faults.append(
            f"{path}: columns {shortened(columns)}; the files before have {shortened(before)}."
        )
    raise_faults(faults)
    return columns


def _traces(
    path: Path, frame: pd.DataFrame, config: ImportConfig, columns: list[str]
) -> dict[str, Trace]:
    """Recording id -> its rows of the file."""
    faults: list[str] = []
    times = column_numbers(path, frame, config.time, faults)
    values = [column_numbers(path, frame, name, faults) for name in columns]
    for name, column in zip(columns, values, strict=True):
        large = np.flatnonzero(np.abs(column) > np.finfo(np.float32).max) + 2
        faults += [f"{path}: row {row}, column {name}: does not fit into 32 bits."
                   for row in large[:LISTED]]  # fmt: skip
    groups, where = {path.stem: np.arange(len(frame))}, str(path)
    if config.id is not None:
        ids = frame[config.id].fillna("").str.strip()
        groups, where = ids.groupby(ids).indices, f"{path}: recording {{}}"
    for id_, rows in groups.items():
        if not is_name(id_):
            faults.append(f"{path}: row {rows[0] + 2}: {id_!r} cannot be the name of a recording.")
        empty = rows[np.isnan(times[rows])] + 2
        faults += [f"{path}: row {row}: no {config.time}." for row in empty[:LISTED]]
        back = rows[1:][np.diff(times[rows]) <= 0]
        faults += [
            f"{path}: row {row + 2}: {config.time} {times[row]:g} is not after that of the row "
            f"before of recording {id_}. Rows must be in order of time."
            for row in back[:LISTED]
        ]
    raise_faults(faults)
    matrix = np.stack(values, axis=1)
    return {
        id_: Trace(where.replace("{}", id_), times[rows] * UNITS[config.unit], matrix[rows])
        for id_, rows in groups.items()
    }
