"""The folder of the cache: its one writer, and the digests of the files that were read before."""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from muse import terminal
from muse.errors import Faults, MuseError

RACY_SECONDS = 2.0  # a file this young may change again within the same time stamp


def write_in_cache(path: Path, write: Callable) -> None:
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


def stamp(now: os.stat_result) -> list[int]:
    """What changes with the content of a file: a copy may keep size and st_mtime, not st_ctime."""
    return [now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino]


def to_remember(before: os.stat_result, digest: str) -> list | None:
    """Stamp and digest of a file, by what it was before it was read; None if it is too young."""
    old = time.time() - before.st_mtime > RACY_SECONDS
    return [*stamp(before), digest] if old else None


def known_digest(path: Path, memory: dict) -> str | None:
    """The digest taken when the file had the size, times and inode that it has now."""
    try:
        now = path.stat()
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing. Copy it from the package.") from None
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    entry = memory.get(path.name)
    known = isinstance(entry, list) and entry[:-1] == stamp(now)
    return entry[-1] if known else None


def _memory_file(home: Path, folder: Path) -> Path:
    name = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=16).hexdigest()
    return home / "digests" / f"{name}.json"


def remembered(home: Path, folder: Path) -> dict:
    try:
        memory = json.loads(_memory_file(home, folder).read_text())
        return memory if isinstance(memory, dict) else {}
    except (OSError, ValueError):
        return {}


def remember(home: Path, folder: Path, memory: dict) -> None:
    """Add to what others may have remembered meanwhile; a lost entry costs one more reading."""
    merged = remembered(home, folder) | memory
    text = json.dumps(merged).encode()
    write_in_cache(_memory_file(home, folder), lambda file: file.write(text))


def file_digests(home: Path, paths: list[Path], what: str, faults: Faults) -> list[str | None]:
    """Digests of the bytes of files of one folder, remembered from when they were read before.

    None for a file that cannot be read, which is a fault.
    """
    memory = remembered(home, paths[0].parent) if paths else {}
    digests: list[str | None] = []
    for path in terminal.bar(paths, f"reading {what}", unit="file"):
        digests.append(None)
        with faults.noted():
            digests[-1] = known_digest(path, memory)
            if digests[-1] is None:
                digests[-1], seen = _read_digest(path)
                memory |= {path.name: seen} if seen else {}
    with suppress(MuseError):  # a cache that may only be read costs time, nothing else
        if paths:
            remember(home, paths[0].parent, memory)
    return digests


def _read_digest(path: Path) -> tuple[str, list | None]:
    """The digest of a file, and what is to be remembered of it; None of one that is too young."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    return digest, to_remember(before, digest)
