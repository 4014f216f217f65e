"""Synthetic packages: the layout and size of the official ones, with simulated contents.

A package grows: feature sets asked for later are added to it, since every file follows from the
seed alone. SYNTHETIC.txt marks a package as made here; nothing without it is ever replaced.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from muse import __version__
from muse.config.fields import path_of
from muse.config.shared import FeatureSet, TaskConfig
from muse.data.layout import SYNTHETIC_MARK
from muse.errors import MuseError
from muse.files import write_json
from muse.synthetic.files import BYTES, count_values, home_of, write_labels, write_sets
from muse.synthetic.plan import choose_sets, plan_recordings

MAKER = 1  # raise it when the same seed gives other files: sets of two makers must not mix
MANIFEST = ".synthetic.json"  # of a package: its files and their sizes
log = logging.getLogger(__name__)


def write_package(
    task: TaskConfig,
    out: Path,
    scale: float,
    feature_sets: dict[str, FeatureSet],
    features: list[str] | None,
    seed: int,
    overwrite: bool,
    processes: int | None = None,
    own_steps: bool = False,
) -> Path:
    """Write a synthetic package, or add feature sets to one made with the same settings.

    Nothing is to be seen of the package, or of a set added to it, before it is complete. The
    same arguments give the same bytes, whichever sets are written and on any number of cores.

    Args:
        task: the sub-challenge; its `size` gives recordings, seconds and classes.
        out: the package becomes `out/<task.folder>`.
        scale: share of the published number of recordings; at least two a partition.
        feature_sets: name -> its metadata.
        features: sets or aliases to write; None writes all of `task.size.features`.
        seed: seed of all contents.
        overwrite: replace a synthetic package that is there already.
        processes: processes that write side by side; None takes the cores if it pays.
        own_steps: feature sets at their own time steps, see `muse.synthetic.signals.own_rows`.

    Returns:
        The package folder.

    Raises:
        MuseError: for an unknown feature set, too little space, a folder that is no synthetic
            package, or a synthetic package with other settings and no `overwrite`.
    """
    sets = choose_sets(task, feature_sets, features)
    task = replace(task, targets=list(dict.fromkeys([*task.targets, *task.size.labels])))
    folder = path_of(str(out)) / task.folder
    home = folder.resolve()
    marker = _marker(task, scale, seed, own_steps)
    adding = os.path.lexists(folder) and _grows(folder, marker, overwrite)
    if adding:
        sets = {n: s for n, s in sets.items() if not home_of(home, n, s).exists()}
        if not sets:
            log.info(f"{folder}: all of these feature sets are there already, nothing to write.")
            return folder
    recordings = plan_recordings(task, scale, seed)
    with _staging(home, count_values(task, recordings, sets, own_steps)) as staging:
        new = staging / "new"
        write_sets(new, task, recordings, sets, seed, processes, own_steps)
        if adding:
            written = json.loads((home / MANIFEST).read_text()) | _manifest(new)
            write_json(home / MANIFEST, dict(sorted(written.items())))
            (home / "feature_segments").mkdir(exist_ok=True)
            for name, known in sorted(sets.items()):
                _move(home_of(new, name, known), home_of(home, name, known))
            return folder
        write_labels(new, task, recordings, seed)
        (new / SYNTHETIC_MARK).write_text(marker, encoding="utf-8")
        write_json(new / MANIFEST, _manifest(new))
        if home.exists():
            home.rename(staging / "old")
        _move(new, home)
    return folder


def _marker(task: TaskConfig, scale: float, seed: int, own_steps: bool) -> str:
    """The text of SYNTHETIC.txt: for people, then `key: value` for the next call."""
    size = task.size
    settings = [task.corpus, task.targets, task.classes, task.step, size.recordings, size.seconds,
                size.segments, size.shares, *["own steps"] * own_steps]  # fmt: skip
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return (
        "SYNTHETIC: simulated signals in the layout of an official package, made by muse.\n"
        "Nothing in here was recorded from a person; a score on it is no finding about emotion.\n"
        f"muse: {__version__}\ntask: {task.name}\nscale: {float(scale)!r}\nseed: {seed}\n"
        f"maker: {MAKER}\nsettings: {digest}\n"
    )


def _grows(folder: Path, marker: str, overwrite: bool) -> bool:
    """Whether sets are added to the package (not: it is replaced); raise if neither may be."""
    there = _read_marker(folder / SYNTHETIC_MARK)
    if there is None:
        raise MuseError(
            f"{folder} exists and is no synthetic package (it has no valid {SYNTHETIC_MARK}), so "
            "it is left alone, overwrite or not. Give another out=."
        )
    if overwrite:
        _check_ours(folder)
        return False
    asked = _fields(marker)
    differ = [key for key in asked if key != "muse" and there[key] != asked[key]]
    if differ:
        what = ", ".join(f"{key} {there[key]} (asked for: {asked[key]})" for key in differ)
        raise MuseError(
            f"{folder} is a synthetic package with {what}. Give another out=, or overwrite=true "
            "to replace it; feature sets are added only with the same settings."
        )
    return True


def _check_ours(folder: Path) -> None:
    """Raise MuseError if the package has a file that muse has not written, or not like that."""
    try:
        written = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        written = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name in (MANIFEST, f".{MANIFEST}.draft"):  # a draft: writing it was interrupted
            continue
        if path.is_file() and path.stat().st_size != written.get(name):
            raise MuseError(
                f"{path} was not written by `muse synth`, so {folder} is left alone. Move your "
                "files elsewhere, or give another out=."
            )


def _manifest(folder: Path) -> dict[str, int]:
    """Path -> bytes of each file of a package."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.stat().st_size for name, path in sorted(files.items()) if path.is_file()}


def _fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def _read_marker(path: Path) -> dict[str, str] | None:
    """The fields of a marker; None if it is missing or not one of ours."""
    try:
        fields = _fields(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    keys = {"SYNTHETIC", "muse", "task", "scale", "seed", "maker", "settings"}
    return fields if keys <= set(fields) else None


@contextmanager
def _staging(home: Path, size: int) -> Iterator[Path]:
    """A hidden folder beside `home`, gone in the end; raise if `size` values do not fit."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    except OSError as error:
        raise MuseError(
            f"out={home.parent}: no package can be written there ({error.strerror})."
        ) from error
    try:
        free = shutil.disk_usage(staging).free
        if size * BYTES > free:
            raise MuseError(
                f"out={home.parent}: the feature sets need about {size * BYTES / 1e6:.0f} MB, "
                f"{free / 1e6:.0f} MB are free. Give a smaller scale= or fewer features=[...]."
            )
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise MuseError(
            f"{target} could not be put in place ({error}); was it written by another process at "
            "the same time? Look at it, then run again."
        ) from error
