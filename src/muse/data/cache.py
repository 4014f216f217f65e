"""The cache: every CSV file once as binary numbers, under a name made from its content.

<cache>/v2/ab/abcdef….npy        values: (rows, columns) float32, read as a memory map
                    ….half.npy   the same as float16, if that was asked for, instead
                    ….rows.npy   timestamps and segments: (2, rows) float64
                    ….json       column names, missing values, checksums; written last (….half.json)
                    ….moments_….npy  of the rows that training uses, see muse.data.moments
<cache>/v2/digests/<folder>.json size, times and inode of each file when its digest was taken

Every file is written under another name and moved into place, so two runs that build the cache at
once write the same bytes twice and never see half a file.

What is verified: when a process opens an entry for the first time, the checksums of its rows and,
up to CHECKED_BYTES, of its values; that of its description and of moments whenever they are read.
What is damaged is made again from the CSV file. Of larger values type and shape alone are verified.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse import terminal
from muse.config.fields import path_of
from muse.cores import end_with, start_method
from muse.data.cache_files import known_digest, remember, remembered, to_remember, write_in_cache
from muse.data.csv_table import Table, parse_table
from muse.errors import STOP, Faults, MuseError
from muse.files import digest_of, read_bytes, read_regular

FORMAT = "v2"  # raise it when the same file gives another table, or is refused
KINDS = {"float32": "", "float16": ".half"}  # how values are stored, in the names of the files
MEMORY = 2 * 2**30  # bytes that parsing may take
MEMORY_PER_BYTE = 6  # of text: the text itself, and its numbers in three places
WORTH_PROCESSES = 2**25  # bytes of text that are worth starting processes
CHECKED_BYTES = 2**25  # values larger than this are not read for their checksum
DEAD_SECONDS = 3600.0  # a draft that was not written to for so long is of a process that was killed
LOADING = threading.Lock()


@dataclass(frozen=True)
class CachedTable(Table):
    """A Table whose values are a memory map, with what is known of its content."""

    path: Path
    digest: str  # of the file's bytes
    missing: int  # number of NaN values
    first_missing: tuple[int, str] | None  # row of the file and column of the first NaN


def load_tables(
    paths: Iterable[Path],
    cache: Path,
    readers: int,
    what: str,
    faults: Faults = STOP,
    storage: str = "float32",
) -> list[CachedTable | None]:
    """Return the tables of CSV files in the order of ``paths``, from the cache where it has them.

    What is missing is parsed by at most ``readers`` workers, as many as the memory allows, and
    stored. Raises MuseError for a missing file, a fault in a file or an unwritable cache; where
    ``faults`` only notes that, the table is None.

    Args:
        storage: float32, or float16: half the disk and memory, three digits. A file with values
            above 65504, which float16 does not have, stays float32.
    """
    paths = list(paths)
    home, kind = path_of(str(cache)) / FORMAT, KINDS[storage]
    memory = {folder: remembered(home, folder) for folder in {path.parent for path in paths}}
    tables: dict[Path, CachedTable | None] = dict.fromkeys(paths)
    unread = []
    for path in paths:
        with faults.noted():
            digest = known_digest(path, memory[path.parent])
            tables[path] = _open(home, path, digest, kind) if digest else None
            if tables[path] is None:
                unread.append(path)
    if unread:
        _remove_drafts(home)
        pool = _pool(unread, readers)
        try:
            reading = [pool.submit(_read, home, path, kind) for path in unread]
            bar = terminal.bar(reading, f"reading {what}", unit="file")
            for path, read in zip(unread, bar, strict=True):
                with faults.noted():
                    digest, seen = read.result()
                    tables[path] = _open(home, path, digest, kind)
                    if tables[path] is None:
                        raise MuseError(f"{home}: the cache does not keep what is written to it.")
                    if seen:
                        memory[path.parent][path.name] = seen
        except BrokenProcessPool:
            raise MuseError(
                f"reading {what}: a process was killed from outside, perhaps for want of memory. "
                "Read fewer files at once: data.readers=1."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)  # a fault is told at once, not after the last file
        with suppress(MuseError):  # a cache that may only be read costs time, nothing else
            for folder in {path.parent for path in unread}:
                remember(home, folder, memory[folder])
    return [tables[path] for path in paths]


def derived_table(
    path: Path, digest: str, make: Callable[[], Table], cache: Path, storage: str = "float32"
) -> CachedTable:
    """A table that follows from others, from the cache or else made and stored.

    Args:
        path: the file that it is made from, for messages.
        digest: of all that it follows from.

    Raises MuseError for an unwritable cache.
    """
    home, kind = path_of(str(cache)) / FORMAT, KINDS[storage]
    if (table := _open(home, path, digest, kind)) is None:
        _store(home, digest, make(), kind)
        table = _open(home, path, digest, kind)
    if table is None:
        raise MuseError(f"{home}: the cache does not keep what is written to it.")
    return table


def _load(file, **options) -> np.ndarray:
    """np.load without pickle, one at a time: Python 3.11 may fail if two threads parse headers."""
    with LOADING:
        return np.load(file, allow_pickle=False, **options)


def _pool(paths: list[Path], readers: int) -> Executor:
    """Workers to read files: processes for much text, since Python parses in one thread."""
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    fit = MEMORY // max(1, MEMORY_PER_BYTE * max(sizes, default=0))
    readers = max(1, min(readers, fit, len(paths)))
    if readers > 1 and sum(sizes) > WORTH_PROCESSES and start_method() == "fork":
        context = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(readers, context, _begin, (os.getpid(),))
    return ThreadPoolExecutor(readers)


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks stops this process
    end_with(parent)


def _read(home: Path, path: Path, kind: str) -> tuple[str, list | None]:
    """Read a CSV file, store it if the cache lacks its content; return its digest.

    Also size, times, inode and digest to be remembered, None if the file is too young for that.
    """
    try:
        before = path.stat()
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    data = read_bytes(path)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    if _open(home, path, digest, kind) is None:
        _store(home, digest, parse_table(path, data), kind)
    return digest, to_remember(before, digest)


def _open(home: Path, path: Path, digest: str, kind: str) -> CachedTable | None:
    """The cached content ``digest``; None if it is absent or damaged."""
    stem = home / digest[:2] / digest
    try:
        about = json.loads(read_regular(stem.with_suffix(f"{kind}.json")))
        if about.pop("digest") != digest_of(about) or about["content"] != digest:
            return None
        rows = _load(stem.with_suffix(".rows.npy"))
        half = kind == KINDS["float16"] and not about.get("float32")
        stored = stem.with_suffix(f"{kind}.npy" if half else ".npy")
        values = _load(stored, mmap_mode="r")
        first = tuple(about["first_missing"]) if about["first_missing"] else None
        if values.shape != (rows.shape[1], len(about["columns"])):
            return None
        if values.dtype != (np.float16 if half else np.float32):
            return None
        if stored not in _verified and not _is_whole(about, rows, values):
            return None
        _verified.add(stored)
        return CachedTable(
            about["columns"], values, rows[0], rows[1], path, digest, about["missing"], first
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):
        return None


_verified: set[Path] = set()  # the values that this process has compared with their checksums


def _is_whole(about: dict, rows: np.ndarray, values: np.ndarray) -> bool:
    """Whether rows and values are those that were stored."""
    small = values.nbytes <= CHECKED_BYTES
    return about["rows"] == zlib.crc32(rows) and (
        not small or about["values"] == zlib.crc32(values)
    )


def _store(home: Path, digest: str, table: Table, kind: str) -> None:
    nan = np.isnan(table.values)
    first, values = None, table.values
    if nan.any():
        row, column = np.argwhere(nan)[0]
        first = [int(row) + 2, table.columns[column]]
    about = {"columns": table.columns, "missing": int(nan.sum()), "first_missing": first}
    if kind == KINDS["float16"]:
        if np.nanmax(np.abs(values), initial=0) > np.finfo(np.float16).max:
            about["float32"] = True
        else:
            values = values.astype(np.float16)
    stem = home / digest[:2] / digest
    rows, values = np.stack([table.timestamps, table.segments]), np.ascontiguousarray(values)
    about |= {"content": digest, "rows": zlib.crc32(rows), "values": zlib.crc32(values)}
    about["digest"] = digest_of(about)
    stored = stem.with_suffix(".npy" if about.get("float32") else f"{kind}.npy")
    write_in_cache(stored, lambda file: np.save(file, values))
    write_in_cache(stem.with_suffix(".rows.npy"), lambda file: np.save(file, rows))
    about = json.dumps(about).encode()
    write_in_cache(stem.with_suffix(f"{kind}.json"), lambda file: file.write(about))


def _remove_drafts(home: Path) -> None:
    """Remove what processes that were killed have left."""
    for draft in home.glob("*/.*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > DEAD_SECONDS:
                draft.unlink()
