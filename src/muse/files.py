"""Files: one reader, one atomic writer, checksums, CSV rows of predictions and labels."""

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from muse.errors import MuseError


def checksum(data: bytes) -> str:
    """The checksum by which a changed file is found."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def digest_of(content: dict) -> str:
    """Checksum of a JSON object, whatever the order of its keys."""
    return checksum(json.dumps(content, sort_keys=True).encode())


def read_bytes(path: Path, advice: str = "Copy it again from its source.") -> bytes:
    """The content of a regular file: a pipe would be waited for, a device has no end.

    Raises MuseError, with ``advice`` on where the file comes from, if there is no such file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MuseError(f"{path}: not a regular file, but a folder, pipe or device. {advice}")
        return path.read_bytes()
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing. {advice}") from None
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}). {advice}") from None


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file in one step: it is there whole, or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    write_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a draft, then move it to ``path``; MuseError if the system refuses."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        draft.replace(path)
    except OSError as error:
        raise MuseError(f"{path}: cannot be written ({error.strerror}).") from None


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV: names in one line each, and none that a spreadsheet takes for a formula.

    Such a text gets an apostrophe in front, by which spreadsheets know a text; numbers stay.
    """
    return table.map(_plain).to_csv(index=False, lineterminator="\n")


def _plain(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    text = " ".join(str(value).splitlines())
    if not text.startswith(("=", "+", "-", "@", "\t")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def write_rows(
    path: Path, timestamps: np.ndarray, segments: np.ndarray | None, columns: dict[str, np.ndarray]
) -> None:
    """Write predictions or labels as CSV: timestamp, segment_id (empty outside any), values.

    Without ``segments`` there is no such column. Numbers are written so that reading them as
    float32 gives the same bits.
    """
    if (timestamps == np.round(timestamps)).all():
        timestamps = timestamps.astype(np.int64)
    frame = pd.DataFrame({"timestamp": timestamps, **columns})
    if segments is not None:
        numbers = pd.array(segments, dtype="Float64")
        if (np.isnan(segments) | (segments == np.round(segments))).all():
            numbers = pd.array([None if np.isnan(s) else int(s) for s in segments], dtype="Int64")
        frame.insert(1, "segment_id", numbers)
    write_file(path, lambda draft: frame.to_csv(draft, index=False))
