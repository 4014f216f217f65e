"""What this process may use of the machine, cores, memory and device, and for how long."""

import logging
import os
import sys
import threading
import time
from pathlib import Path

from muse.errors import MuseError

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
STEP_BYTES = 2**30  # what a training step may take for the frames that go through a model at once
PROCESS_BYTES = 400 * 2**20  # an interpreter with PyTorch, at its start
JOB_BYTES = PROCESS_BYTES + STEP_BYTES  # a job of a sweep before its data are known
CONTEXT_BYTES = 500 * 2**20  # what CUDA takes of a GPU for each process, about
OUT_OF_MEMORY = "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED"  # in errors of CUDA
V1_FILES = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
V2_FILES = "memory.max", "memory.current", "inactive_file"


def cores(jobs: int) -> int:
    """``jobs`` processes, but never more than the cores that this process may use; -1: these."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return count if jobs < 1 else min(jobs, count)


def find_device(name: str):
    """auto, cpu, cuda or cuda:N -> a torch.device that exists, or MuseError."""
    import torch  # which not every command needs

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
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def free_on_gpu(device) -> int:
    """Bytes of a GPU that this process can still use, with those that PyTorch holds unused."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def within_gpu(count: int, device: str, expected: int) -> int:
    """As many of ``count`` processes as fit into the free memory of a GPU, at least one.

    Args:
        device: as the user gave it; all processes where it is the CPU.
        expected: bytes that each will take, beside those of CUDA itself.
    """
    found = find_device(device)
    if found.type == "cpu":
        return count
    return max(1, min(count, free_on_gpu(found) // (CONTEXT_BYTES + expected)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU is full.

    PyTorch's own allocator raises OutOfMemoryError; cuBLAS, cuDNN, the driver and pinned memory
    have other errors for it.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in OUT_OF_MEMORY)


def start_method() -> str:
    """How processes start: a fork where only this program decides on threads, which is on Linux."""
    return "fork" if sys.platform == "linux" else "spawn"


_watched: set[int] = set()  # the processes whose parent is watched; a fork inherits the set


def end_with(parent: int) -> None:
    """End this process soon after the one that has started it.

    One that was killed cannot end its workers, and no pipe to it closes while they share both ends.
    The kernel's death signal (prctl) is no way: it comes when the starting thread ends.

    Args:
        parent: id of the process that has started this one.
    """
    if os.getpid() in _watched:
        return
    _watched.add(os.getpid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def within_memory(count: int, expected: int, warn: bool = True) -> int:
    """As many of ``count`` processes as the free memory is good for, at least one.

    Args:
        expected: bytes that each will take.
        warn: log a line with the numbers if they are fewer.
    """
    free = free_memory()
    room = count if free is None else max(1, free // expected)
    if warn and room < count:
        log.warning(
            "%d process%s at a time, not %d: each may take %.1f GB, and %.1f GB of memory are "
            "free. workers=%d starts as many all the same.",
            *(room, "es" * (room > 1), count, expected / 1e9, free / 1e9, count),
        )
    return min(count, room)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process can still take, None if the system does not say.

    On Linux the least of what the machine has available and what the control groups of this process
    (versions 1 and 2, their parents included) leave of their limits. Pages of files that were not
    used lately count as free, since the system drops them when memory is needed.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    mounted = root / "sys/fs/cgroup"
    for line in groups:  # number:controllers:/path
        _, controllers, path = line.split(":", 2)
        if not controllers:
            available += _left(mounted, path, V2_FILES)
        elif "memory" in controllers.split(","):
            available += _left(mounted / "memory", path, V1_FILES)
    return max(0, min(available)) if available else None


def _left(mounted: Path, path: str, names: tuple[str, str, str]) -> list[int]:
    """Bytes left in a control group and in each of its parents that has a limit.

    In a container the path is often that of the host, and the group itself is what is mounted.
    """
    limit_file, usage_file, inactive = names
    group, left = mounted / path.strip("/"), []
    for folder in [group, *group.parents]:
        if not folder.is_relative_to(mounted):
            break
        try:
            limit = (folder / limit_file).read_text().strip()
            used = int((folder / usage_file).read_text())
            stat = (folder / "memory.stat").read_text().splitlines()
        except OSError:
            continue
        if limit != "max":
            files = next(int(line.split()[1]) for line in stat if line.split()[0] == inactive)
            left.append(int(limit) - used + files)
    return left
