"""The jobs of a sweep that run at once, over the GPUs of a machine."""

import atexit
import os
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from muse.cores import gpus
from muse.temporary import temporary_folder

PLACES = "MUSE_PLACES"  # in the environment: the folder of `share_places`
_held: list[FileLock] = []  # for as long as this process lives


def device_of_job(device: str, at_once: int) -> str:
    """The setting `device` of a job: one of the GPUs, by turns, where there are several.

    Args:
        device: as the user gave it; a certain one stays.
        at_once: jobs that run at once; a single one is not placed.
    """
    if at_once == 1 or device not in ("auto", "cuda"):
        return device
    there = gpus()
    return device if there < 2 else f"cuda:{_place() % there}"


def on_devices(device: str, per_device: int | None) -> int | None:
    """How many jobs may run at once on the GPUs; None if they set no bound."""
    if per_device is None or device == "cpu":
        return None
    there = min(gpus(), 1) if ":" in device else gpus()
    return there * per_device or None


@cache
def share_places() -> None:
    """Make the folder in which the processes that this one starts find their places.

    It goes when this process ends: its workers stay for its next sweep.
    """
    kept = ExitStack()
    os.environ[PLACES] = str(kept.enter_context(temporary_folder()))
    atexit.register(kept.close)


@cache
def _place() -> int:
    """The number of this process among those that its parent has started: the first free one.

    So no GPU has more than its share of the processes, also when one has ended and another has come
    in its place.
    """
    home = Path(os.environ[PLACES])
    for number in count():
        lock = FileLock(home / f"{number}", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        _held.append(lock)
        return number
