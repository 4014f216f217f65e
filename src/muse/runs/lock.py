"""One process per run folder, also where several machines share it.

The system's lock (flock) ends with the process that holds it. Some shared file systems refuse it,
among them NFS without its lock service, and some (mounts with `local_lock`, `localflock`) keep it
to one machine, which no program can see. The second way needs nothing but files that are made in
one step: one that names host and process is renewed while these train. It is taken over at once
when its process has ended on this machine, and from another machine after LEASE_SECONDS without a
sign of life, by this machine's clock. A process that was stopped for longer and goes on trains the
same numbers beside the new one.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLease, Timeout

from muse.errors import MuseError
from muse.files import remove_drafts

LOCK, LEASE = LOCKS = (".lock", ".lease")  # in checkpoints/: of the first way, and of the second
REFUSED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
LEASE_SECONDS, HEARTBEAT_SECONDS, POLL_SECONDS = 60.0, 3.0, 0.2


class BusyError(MuseError):
    """Another process is training the run."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep the run folder for this process until the end of the block.

    The lock is lifted when a process dies. A process that has it may ask for it again. With
    MUSE_LOCKS=files in the environment the second way (see above) is taken wherever the folder is.
    Raises BusyError if another process has it.
    """
    home = folder / "checkpoints"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = _lock(home)
    except Timeout:
        raise BusyError(f"{folder}: another process is training this run. Wait for it.") from None
    except OSError as error:
        raise MuseError(f"{folder}: cannot be written ({error.strerror}).") from None
    remove_drafts(folder)
    try:
        yield
    finally:
        lock.release()


def _lock(home: Path) -> BaseFileLock:
    """The lock of a folder, taken; Timeout if another process has it."""
    if os.environ.get("MUSE_LOCKS") != "files":
        lock = FileLock(home / LOCK, timeout=0, is_singleton=True, fallback_to_soft=False)
        try:
            lock.acquire()
            return lock
        except OSError as error:  # Timeout is one, too
            if error.errno not in REFUSED:
                raise
    path = home / LEASE
    lease = SoftFileLease(
        path,
        lease_duration=LEASE_SECONDS,
        heartbeat_interval=HEARTBEAT_SECONDS,
        timeout=LEASE_SECONDS + 2 * HEARTBEAT_SECONDS,
        is_singleton=True,
    )
    first = _renewed(path)
    lease.acquire(poll_interval=POLL_SECONDS, cancel_check=lambda: _renewed(path) not in (first, 0))
    return lease


def _renewed(path: Path) -> int:
    """When a lease was last renewed, 0 if there is none.

    The file is opened, since NFS then asks its server and not its memory.
    """
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return 0
