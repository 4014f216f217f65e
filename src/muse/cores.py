"""How many processes work side by side."""

import os
import sys


def cores(jobs: int) -> int:
    """``jobs`` processes, but never more than the cores that this process may use; -1: these."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return count if jobs < 1 else min(jobs, count)


def start_method() -> str:
    """How processes start: a fork where only this program decides on threads, which is on Linux."""
    return "fork" if sys.platform == "linux" else "spawn"
