"""Where a run computes: the device, PyTorch's threads, the memory of the C library."""

import ctypes
import os
import platform

import torch

from muse.cores import find_device

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def prepare(device: str, threads: int) -> torch.device:
    """Set PyTorch up for a run and return its device.

    Raises MuseError for a device that does not exist here.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # repeatable matrix products
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # on by default, and off in all other products
    chosen = find_device(device)
    if chosen.type == "cpu":
        keep_memory()
    return chosen


def renew_dropout(device: torch.device) -> None:
    """Seed the dropout of cuDNN's layers from PyTorch's generator of a GPU.

    cuDNN has random numbers of its own. They are seeded whenever the state of that generator is
    set, and no checkpoint holds them. Seeded at the start of each epoch, they are the same in a
    training that was interrupted and goes on.
    """
    if device.type == "cuda":
        torch.cuda.set_rng_state(torch.cuda.get_rng_state(device), device)


def keep_memory() -> bool:
    """Let glibc keep freed memory for the next training step instead of giving it back.

    Without it every step returns its large arrays to the kernel and takes them again, page by
    page. Returns whether the C library has the switch.
    """
    mallopt = _function_of_glibc("mallopt")
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def give_back_memory() -> bool:
    """Give what `keep_memory` has kept back to the system: at the end of a run, before the next.

    That of a GPU, which PyTorch keeps, as well. Returns whether the C library gave something back.
    """
    torch.cuda.empty_cache()  # nothing happens where there is no GPU
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
