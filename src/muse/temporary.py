"""Temporary folders, which do not stay for ever where a process was killed."""

import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from muse.files import DEAD_SECONDS

PREFIX = "muse_temporary_"
LOCK = ".lock"  # held by the process; the system lifts it when that dies, however it dies


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that only this user can read, until the end of the block.

    Those of this user's processes that were killed are removed first.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        home = Path(name)
        with FileLock(home / LOCK):
            _remove_left(home)
            inner = home / "files"
            inner.mkdir()
            yield inner


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
