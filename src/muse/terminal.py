"""The terminal: columns, counted things, progress bars."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

# bars are drawn by threads of one process; tqdm's own lock is a semaphore of the system, and a
# worker of a sweep that is killed leaves it behind
tqdm.set_lock(threading.RLock())


def in_columns(rows: list[list[str]]) -> str:
    """Rows of text as aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def counted(number: int, thing: str) -> str:
    """A number and what it counts: `1 file`, `2 files`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def first_of(messages: list[str], shown: int = 3) -> str:
    """Messages of one kind as one: the first few, and how many there are besides."""
    more = len(messages) - shown
    return "\n".join([*messages[:shown], *([f"and {more} more like these"] if more > 0 else [])])


def format_interval(scores: dict | None) -> str:
    """The 95 % interval of a score, empty if there is none."""
    limits = scores and scores["interval"]
    return f"{limits[0]:.3f} to {limits[1]:.3f}" if limits else ""


def format_spread(over: dict) -> str:
    """A mean and its deviation, if there is one."""
    spread = "" if over["deviation"] is None else f" ± {over['deviation']:.4f}"
    return f"{over['mean']:.4f}{spread}"


def heading(title: str, inputs: str, synthetic: bool) -> str:
    """Task and inputs; a synthetic package is never without its mark."""
    return f"{title}, {inputs}{', SYNTHETIC data' if synthetic else ''}"


def printable(text: str) -> str:
    """Text in which a terminal finds no commands: control characters as they stand in Python.

    Lines and tabs stay. Text of files, such as a title or an id, may come from a stranger.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


class PrintableStream:
    """A stream of text to which everything is written as `printable`."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


quiet = False  # of this process, see `quietly`


@contextmanager
def quietly() -> Iterator[None]:
    """Neither bars nor log lines: for the jobs of a sweep, which have log files of their own."""
    global quiet
    root = logging.getLogger()
    before, handlers = quiet, root.handlers[:]
    quiet = True
    root.handlers.clear()
    try:
        yield
    finally:
        quiet, root.handlers[:] = before, handlers


def bar(*arguments: Any, **options: Any) -> tqdm:
    """A tqdm bar; nothing is drawn where nobody looks (no terminal, or inside a sweep)."""
    return tqdm(*arguments, disable=True if quiet else None, **options)
