"""Temporary folders, which do not stay for ever where a process was killed."""

import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from muse.errors import MuseError
from muse.files import DEAD_SECONDS

# with the machine: several may share the folder, and not see each other's locks
PREFIX = f"muse_temporary_{platform.node()}_"
LOCK = ".lock"  # held by the process; the system lifts it when that dies, however it dies


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that only this user can read, until the end of the block.

    Those that killed processes of this user have left on this machine are removed first. Where the
    file system has no locks, such a folder stays. Raises MuseError if none can be made.
    """
    try:  # another process may remove it as well, once it is not locked any more
        made = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise MuseError(
            f"no temporary folder can be made ({error.strerror}). Set TMPDIR to a folder that can "
            "be written."
        ) from None
    with made as name:
        home = Path(name)
        lock = FileLock(home / LOCK, fallback_to_soft=False)
        with suppress(OSError):  # no locks: then nobody else can lock it either, and remove it
            lock.acquire()
        try:
            _remove_left(home)
            inner = home / "files"
            inner.mkdir()
            yield inner
        finally:
            lock.release()


def _remove_left(own: Path) -> None:
    """Remove the folders of dead processes beside ``own``, of the same user."""
    for home in own.parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process is removing it; a Timeout is an OSError as well
            about = home.lstat()
            if (
                stat.S_ISDIR(about.st_mode)
                and about.st_uid == own.lstat().st_uid
                and time.time() - about.st_mtime > DEAD_SECONDS  # its process has had time to lock
                and stat.S_ISREG((home / LOCK).lstat().st_mode)
            ):
                with FileLock(home / LOCK, timeout=0, fallback_to_soft=False):
                    shutil.rmtree(home)
