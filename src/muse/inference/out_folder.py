"""The folder `out` of a command: which files muse has written there; no others are replaced."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from muse.errors import MuseError
from muse.files import check_plain, read_regular


class Output(NamedTuple):
    """What a command writes into `out`."""

    command: str
    what: str  # in the plural
    about: str  # a file that names all others, JSON with `files`
    own: str  # a regular expression of their names; what is named beside these is not ours
    kept: tuple[str, ...] = ()  # beginnings of names of files that stay as they are


def check_out(out: Path, output: Output, overwrite: bool, *beside: Path) -> None:
    """Raise MuseError rather than replace a file that is not ours, or ours without being asked.

    Args:
        beside: files elsewhere that are to be written as well.
    """
    if out.exists() and not out.is_dir():
        raise MuseError(f"out={out}: is a file; expected a new or empty folder.")
    check_plain(out) if out.is_dir() else None
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    ours = {output.about, *_written(out, output)}
    foreign = sorted(name for name in there - ours if not name.startswith(output.kept))
    if foreign:
        raise MuseError(
            f"out={out}: has files that `muse {output.command}` has not written, such as "
            f"{foreign[0]}. Give a new or empty folder."
        )
    taken = [out] * bool(there & ours) + [path for path in beside if path.exists()]
    if taken and not overwrite:
        raise MuseError(
            f"{taken[0]}: {output.what} are there already. Give another out, or replace them, with "
            "all that was changed in them by hand: overwrite=true"
        )


def remove_written(out: Path, output: Output) -> None:
    """Remove the files of an earlier call, and folders that are then empty."""
    for name in _written(out, output):
        (out / name).unlink(missing_ok=True)
        with suppress(OSError):  # a folder in which there is more
            os.removedirs((out / name).parent)


def _written(out: Path, output: Output) -> list[str]:
    """The files of an earlier call in ``out``; none if nothing says which they are."""
    try:
        names = json.loads(read_regular(out / output.about))["files"]
        own = [name for name in names if re.fullmatch(output.own, name, re.DOTALL)]
        return [name for name in own if ".." not in name.split("/")]
    except (OSError, ValueError, KeyError, TypeError):
        return []
