"""The cache: every CSV file once as float32, under a name made from its content.

<cache>/v1/ab/abcdef….npy        values: (rows, columns) float32, read as a memory map
                    ….rows.npy   timestamps and segments: (2, rows) float64
                    ….json       column names and the missing values; written last
<cache>/v1/digests/<folder>.json size, time and inode of each file when its digest was taken

Every file is written under another name and moved into place, so two runs that build the cache at
once write the same bytes twice and never see half a file.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse import progress
from muse.config_parts import path_of
from muse.data.tables import Table, parse_table
from muse.errors import STOP, Faults, MuseError

FORMAT = "v1"
RACY_SECONDS = 2.0  # a file this young may change again within the same time stamp


@dataclass(frozen=True)
class CachedTable(Table):
    """A Table whose values are a memory map, with what is known of its content."""

    path: Path
    digest: str  # of the file's bytes
    missing: int  # number of NaN values
    first_missing: tuple[int, str] | None  # row of the file and column of the first NaN


def load_tables(
    paths: Iterable[Path], cache: Path, readers: int, what: str, faults: Faults = STOP
) -> list[CachedTable | None]:
    """Return the tables of CSV files in the order of ``paths``, from the cache where it has them.

    What is missing is parsed by ``readers`` threads (pandas' C reader lets them run side by side)
    and stored. Raises MuseError for a missing file, a fault in a file or an unwritable cache;
    where ``faults`` only notes that, the table is None.
    """
    paths = list(paths)
    home = path_of(str(cache)) / FORMAT
    memory = {folder: _remembered(home, folder) for folder in {path.parent for path in paths}}
    tables: dict[Path, CachedTable | None] = dict.fromkeys(paths)
    unread = []
    for path in paths:
        with faults.noted():
            digest = _known_digest(path, memory[path.parent])
            tables[path] = _open(home, path, digest) if digest else None
            if tables[path] is None:
                unread.append(path)
    if unread:
        pool = ThreadPoolExecutor(readers)
        try:
            reading = [pool.submit(_read, home, path, memory[path.parent]) for path in unread]
            bar = progress.bar(reading, f"reading {what}", unit="file")
            for path, read in zip(unread, bar, strict=True):
                with faults.noted():
                    tables[path] = read.result()
        finally:
            pool.shutdown(cancel_futures=True)  # a fault is told at once, not after the last file
        for folder in {path.parent for path in unread}:
            _remember(home, folder, memory[folder])
    return [tables[path] for path in paths]


def _read(home: Path, path: Path, memory: dict) -> CachedTable:
    """Read a CSV file, store it if the cache lacks its content, remember its digest."""
    try:
        before = path.stat()
        data = path.read_bytes()
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    table = _open(home, path, digest)
    if table is None:
        _store(home, digest, parse_table(path, data))
        table = _open(home, path, digest)
        if table is None:
            raise MuseError(f"{home}: the cache does not keep what is written to it.")
    if time.time() - before.st_mtime > RACY_SECONDS:
        memory[path.name] = [before.st_size, before.st_mtime_ns, before.st_ino, digest]
    return table


def _known_digest(path: Path, memory: dict) -> str | None:
    """The digest taken when the file had the size, time and inode that it has now."""
    try:
        now = path.stat()
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing. Copy it from the package.") from None
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    entry = memory.get(path.name)
    return entry[3] if entry and entry[:3] == [now.st_size, now.st_mtime_ns, now.st_ino] else None


def _open(home: Path, path: Path, digest: str) -> CachedTable | None:
    """The cached content ``digest``; None if it is absent or damaged."""
    stem = home / digest[:2] / digest
    try:
        about = json.loads(stem.with_suffix(".json").read_text())
        rows = np.load(stem.with_suffix(".rows.npy"), allow_pickle=False)
        values = np.load(stem.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        first = tuple(about["first_missing"]) if about["first_missing"] else None
        if values.shape != (rows.shape[1], len(about["columns"])) or values.dtype != np.float32:
            return None
        return CachedTable(
            about["columns"], values, rows[0], rows[1], path, digest, about["missing"], first
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _store(home: Path, digest: str, table: Table) -> None:
    nan = np.isnan(table.values)
    first = None
    if nan.any():
        row, column = np.argwhere(nan)[0]
        first = [int(row) + 2, table.columns[column]]
    about = {"columns": table.columns, "missing": int(nan.sum()), "first_missing": first}
    stem = home / digest[:2] / digest
    rows = np.stack([table.timestamps, table.segments])
    _write(stem.with_suffix(".npy"), lambda file: np.save(file, table.values))
    _write(stem.with_suffix(".rows.npy"), lambda file: np.save(file, rows))
    _write(stem.with_suffix(".json"), lambda file: file.write(json.dumps(about).encode()))


def _write(path: Path, write: Callable) -> None:
    """Write a file under another name, then move it into place."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            write(file)
        draft.replace(path)
    except OSError as error:
        raise MuseError(
            f"{path.parent}: the cache cannot be written ({error.strerror}). Free space there, or "
            "give another folder with data.cache=FOLDER or MUSE_CACHE."
        ) from None
    finally:
        with suppress(OSError):  # there is a draft only after an error
            draft.unlink(missing_ok=True)


def _memory_file(home: Path, folder: Path) -> Path:
    name = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=16).hexdigest()
    return home / "digests" / f"{name}.json"


def _remembered(home: Path, folder: Path) -> dict:
    try:
        memory = json.loads(_memory_file(home, folder).read_text())
        return memory if isinstance(memory, dict) else {}
    except (OSError, ValueError):
        return {}


def _remember(home: Path, folder: Path, memory: dict) -> None:
    """Add to what others may have remembered meanwhile; a lost entry costs one more reading."""
    merged = _remembered(home, folder) | memory
    text = json.dumps(merged).encode()
    _write(_memory_file(home, folder), lambda file: file.write(text))
