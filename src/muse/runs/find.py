"""Which runs there are below a folder, finished or not, and which of them is the latest."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muse.config.fields import path_of
from muse.errors import MuseError
from muse.runs.finished import log_unreadable
from muse.runs.read import is_fusion, read_result, read_settings
from muse.runs.status import can_continue, status_of

LATEST = "latest"  # may stand wherever a run folder may
BELOW = Path("outputs")  # where the latest run is looked for


@dataclass(frozen=True)
class ListedRun:
    """A run as `muse runs` lists it."""

    folder: Path
    changed: float  # when its state was last written, in seconds since 1970
    state: str  # see STATES in muse.config.table
    task: str = ""
    targets: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    fusion: bool = False
    synthetic: bool = False
    debug: bool = False
    devel: tuple[float, ...] = ()  # of a finished run, one for each target
    retrained: bool = False  # on train and devel
    folds: int | str | None = None  # of a cross-validation, see muse.runs.folder


def listed_runs(root: Path) -> list[ListedRun]:
    """All runs below a folder, the newest first."""
    return [_listed(folder) for folder in _newest_first(root)]


def run_folder(text: str, finished: bool = True) -> Path:
    """The run folder that is meant: `latest` is the newest run below outputs.

    Args:
        text: a path, or `latest` unless there is a folder of that name.
        finished: the newest finished run, else the newest that can be continued.

    Raises MuseError if there is no such run, or for a file.
    """
    if text != LATEST or Path(text).is_dir():
        if path_of(text).is_file():
            raise MuseError(f"{text}: is a file; expected a run folder. `muse runs` lists them.")
        return path_of(text)
    fits = _is_finished if finished else can_continue
    for folder in _newest_first(BELOW):
        if fits(folder):
            return folder
    what = "finished run" if finished else "run to be continued"
    raise MuseError(f"{LATEST}: there is no {what} below {BELOW}. `muse runs` lists the runs.")


def _newest_first(root: Path) -> Iterator[Path]:
    """The run folders below ``root``; nothing below such a folder is read."""
    found = []
    for folder, folders, files in os.walk(root, onerror=log_unreadable):
        marks = {"result.json", "status.json"} & set(files)
        if "config.yaml" in files and marks:
            found.append((_changed(Path(folder)), Path(folder)))
        if "config.yaml" in files:
            folders.clear()
    return (folder for _, folder in sorted(found, reverse=True))


def _changed(folder: Path) -> float:
    """When the state of a run was last written."""
    files = (folder / name for name in ("status.json", "result.json"))
    return max(file.stat().st_mtime for file in files if file.exists())


def _is_finished(folder: Path) -> bool:
    return (folder / "result.json").exists()


def _listed(folder: Path) -> ListedRun:
    changed = _changed(folder)
    try:
        if not _is_finished(folder):
            config = read_settings(folder)
            return ListedRun(
                folder, changed, status_of(folder)[0], config.task.name, tuple(config.targets),
                tuple(config.features or config.runs or config.select.features), config.fusion,
                retrained=config.retrained is not None,
            )  # fmt: skip
        result = read_result(folder)
    except MuseError:
        return ListedRun(folder, changed, "damaged")
    targets = result["targets"]
    return ListedRun(
        folder, changed, "finished", result["task"], tuple(targets), tuple(result["features"]),
        is_fusion(result), result["synthetic"], result["debug"],
        tuple(part["devel"][result["metric"]] for part in targets.values() if part["devel"]),
        "retrained" in result,
        result.get("folds"),
    )  # fmt: skip
