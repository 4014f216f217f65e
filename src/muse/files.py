"""Files: careful readers, one atomic writer, checksums, CSV rows of predictions and labels.

A run folder may come from a stranger. Nothing is written through a link in it, and nothing is read
but regular files.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from muse.errors import MuseError

DEAD_SECONDS = 60.0  # a draft that was not written to for so long is of a process that was killed
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has neither
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # for the other end of a FIFO


def checksum(data: bytes) -> str:
    """The checksum by which a changed file is found."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def checksum_of(path: Path, *more: bytes) -> str:
    """The checksum of a file's content, of any size, with ``more`` behind it.

    Raises MuseError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=8))
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    for part in more:
        digest.update(part)
    return digest.hexdigest()


def digest_of(content: dict) -> str:
    """Checksum of a JSON object, whatever the order of its keys."""
    return checksum(json.dumps(content, sort_keys=True).encode())


def read_bytes(path: Path, advice: str = "Copy it again from its source.") -> bytes:
    """The content of a regular file: a pipe would be waited for, a device has no end.

    Raises MuseError, with ``advice`` on where the file comes from, if there is no such file.
    """
    check_regular(path, advice)
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise MuseError(
            f"{path}: cannot be read ({error.strerror}). The right to read it can be given by its "
            "owner (chmod)."
        ) from None
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}). {advice}") from None


def check_regular(path: Path, advice: str) -> None:
    """Raise MuseError, with ``advice``, unless there is a regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MuseError(f"{path}: not a regular file, but a folder, pipe or device. {advice}")
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
    """Let ``write`` fill a draft, then move it to ``path``; MuseError if the system refuses.

    The name of the draft cannot be known before, and is short enough wherever that of ``path`` is.
    A link at ``path`` is replaced, not followed.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("x") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        write(draft)
        draft.chmod(mode)  # safetensors puts a file of its own there
        draft.replace(path)
    except OSError as error:
        raise MuseError(f"{path}: cannot be written ({error.strerror or error}).") from None
    finally:
        with suppress(OSError):  # there is a draft only after an error
            draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what `write_file` has left below a folder in processes that were killed."""
    for draft in folder.rglob(".*.draft"):
        with suppress(OSError):
            if time.time() - draft.lstat().st_mtime > DEAD_SECONDS:
                draft.unlink()


def check_free(folder: Path) -> None:
    """Raise MuseError if there is something where a new file or folder is to be."""
    if os.path.lexists(folder):
        raise MuseError(
            f"{folder} is there already, and nothing is replaced. Give another out=, or remove it."
        )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder that becomes ``folder`` when all is written, and goes if anything fails."""
    check_free(folder)
    try:
        draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        draft.mkdir(parents=True)
    except OSError as error:
        raise MuseError(f"{folder.parent}: cannot be written ({error.strerror}).") from None
    try:
        yield draft
        check_free(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_regular(path: Path, mode: str = "rb") -> IO:
    """Open a regular file.

    Raises OSError for a link, which might lead anywhere, and for a FIFO or device, which might
    never end.
    """

    def opener(name: str, flags: int) -> int:
        try:
            number = os.open(name, flags | NO_LINK | NO_WAIT, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a FIFO that nobody reads
                raise OSError(error.errno, "not a regular file", name) from None
            raise
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return number

    return open(path, mode, encoding=None if "b" in mode else "utf-8", opener=opener)


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def check_plain(folder: Path) -> None:
    """Raise MuseError if a run folder is a link, or has links or special files anywhere in it.

    muse makes none in a run folder; what is written through one ends up outside.
    """
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # a draft, moved meanwhile
            kind = stat.S_IFMT(path.lstat().st_mode)
            if kind not in (stat.S_IFDIR, stat.S_IFREG):
                what = "a link" if kind == stat.S_IFLNK else "neither a file nor a folder"
                raise MuseError(
                    f"{path}: {what}; a run folder has regular files and folders only. Nothing was "
                    "written. Give the run folder itself, or remove what does not belong to it."
                )


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
