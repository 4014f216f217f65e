"""The folder of annotations: which files in it are ours, and nothing of others is replaced."""

import json
import re
from pathlib import Path

import muse
from muse.errors import MuseError
from muse.files import check_plain, read_regular, write_json
from muse.inference.apply import LoadedRun
from muse.inference.reuse import FEATURES

ABOUT = "annotation.json"  # names all files that the command puts into `out`


def check_out(out: Path, overwrite: bool) -> None:
    """Raise MuseError rather than replace a file that is not ours, or ours without being asked."""
    if out.exists() and not out.is_dir():
        raise MuseError(f"out={out}: is a file; expected a folder.")
    check_plain(out) if out.is_dir() else None
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    ours = {ABOUT, *_written(out)}
    foreign = sorted(name for name in there - ours if not name.startswith(f"{FEATURES}/"))
    if foreign:
        raise MuseError(
            f"out={out}: has files that `muse annotate` has not written, such as {foreign[0]}. "
            "Give a new or empty folder."
        )
    if there & ours and not overwrite:
        raise MuseError(
            f"out={out}: has annotations already. Give another out, or replace them, with all "
            "that was changed in them by hand: overwrite=true"
        )


def _written(out: Path) -> list[str]:
    """The files of earlier annotations in ``out``; none if nothing says which they are."""
    try:
        names = json.loads(read_regular(out / ABOUT))["files"]
        own = r"curves/[^/]+/[^/]+\.csv|[^/]+\.(png|vtt|eaf|html)"
        return [name for name in names if re.fullmatch(own, name, re.DOTALL)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def replace_files(out: Path, used: LoadedRun, ids: list[str], view: bool) -> None:
    """Remove earlier annotations, and say first which files there will be."""
    for name in _written(out):
        (out / name).unlink(missing_ok=True)
    endings = ["png", "vtt", "eaf", *(["html"] if view else [])]
    files = [f"curves/{target}/{id_}.csv" for target in used.targets for id_ in ids]
    files += [f"{id_}.{ending}" for id_ in ids for ending in endings]
    about = {
        "muse": muse.__version__,
        "run": str(used.saved.folder),
        "run_id": used.saved.result["run_id"],
        "targets": used.targets,
        "synthetic": used.saved.result["synthetic"],
        "files": files,
    }
    write_json(out / ABOUT, about)
