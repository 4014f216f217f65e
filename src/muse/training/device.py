"""Where a run computes: the device, PyTorch's threads, the memory of the C library."""

import ctypes
import os
import platform

import torch

from muse.errors import MuseError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def prepare(device: str, threads: int) -> torch.device:
    """Set PyTorch up for a run and return its device.

    Raises MuseError for a device that does not exist here.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # repeatable matrix products
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    chosen = find_device(device)
    if chosen.type == "cpu":
        keep_memory()
    return chosen


def find_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N -> a device that exists, or MuseError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise MuseError(f"device={name}: expected auto, cpu, cuda or cuda:N.")
    if kind == "cuda":
        count = gpus()
        if int(number or 0) >= count:
            there = ", ".join(["cpu", *(f"cuda:{k}" for k in range(count))])
            raise MuseError(f"device={name}: not available; this machine has {there}.")
        return torch.device("cuda", int(number or 0))
    return torch.device("cpu")


def gpus() -> int:
    """The number of GPUs that this process may use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def keep_memory() -> bool:
    """Let glibc keep freed memory for the next training step instead of giving it back.

    Without it every step returns its large arrays to the kernel and takes them again, page by
    page. Returns whether the C library has the switch.
    """
    mallopt = _function_of_glibc("mallopt")
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def give_back_memory() -> bool:
    """Give what `keep_memory` has kept back to the system: at the end of a run, before the next.

    Returns whether there was something to give back.
    """
    trim = _function_of_glibc("malloc_trim")
    return bool(trim and trim(0))


def _function_of_glibc(name: str):
    """A function of the C library, None where that is not glibc's."""
    if platform.system() != "Linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
