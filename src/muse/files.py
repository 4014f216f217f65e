"""Files: one atomic writer, checksums, CSV rows of predictions and labels."""

import hashlib
import json
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
