"""How far the jobs of a sweep are, read from their folders, and which runs are finished."""

import json
import logging
import shutil
from collections.abc import Container
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from muse.data.layout import is_name
from muse.errors import MuseError
from muse.files import check_plain, read_regular, write_json, write_text
from muse.runs.finished import run_folders
from muse.runs.folder import log_file
from muse.runs.lock import LOCKS
from muse.runs.read import read_result
from muse.runs.status import read_status

log = logging.getLogger(__name__)

SHOWN = 5  # jobs without a result
LINK_FILE = "same_as.json"  # in the folder of a job whose numbers are in another run
STUDY_FILE = "study.json"  # in the folder of a study of `muse tune`: what it is


def keep_failure(folder: Path, error: Exception, command: str) -> None:
    """Leave the reason in the folder of a job, with the traceback if it is no user's mistake."""
    reason = str(error) if isinstance(error, MuseError) else f"{type(error).__name__}: {error}"
    status = {"status": "failed", "reason": reason, "command": command}
    try:
        check_plain(folder)
        write_json(folder / "status.json", read_status(folder) | status)
        if not isinstance(error, MuseError):
            with log_file(folder):
                log.error("%s", reason, exc_info=error)
    except MuseError as full:  # nothing can be written: the bar has it at least
        log.error("%s; %s", reason, full)


def state_of(folder: Path) -> str:
    """finished, failed, running, interrupted, pruned, or missing."""
    if (folder / "result.json").exists() or (folder / LINK_FILE).exists():
        return "finished"
    return read_status(folder).get("status", "missing")


def is_study(root: Path) -> bool:
    """Whether a folder is that of a study of `muse tune`."""
    return (root / STUDY_FILE).is_file()


def run_of_job(folder: Path) -> Path:
    """The run folder with the numbers of a finished job: its own, or that which it refers to."""
    if (folder / "result.json").exists():
        return folder
    try:
        return Path(json.loads(read_regular(folder / LINK_FILE))["run"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        path = folder / LINK_FILE
        raise MuseError(f"{path}: damaged. Delete it; the sweep writes it again.") from None


def check_finished(folders: list[Path], what: str) -> None:
    """Raise MuseError, with the reasons, if jobs of ``what`` have no result."""
    failed = [folder for folder in folders if state_of(folder) != "finished"]
    if failed:
        reasons = "".join(f"\n{folder}: {reason_of(folder)}" for folder in failed[:SHOWN])
        more = f"\nand {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        raise MuseError(
            f"{what}: {len(failed)} of {len(folders)} jobs have no result:{reasons}{more}\n"
            "The same command goes on where this one stopped."
        )


def reason_of(folder: Path) -> str:
    """Why a job has failed, in the words of its status.json."""
    return read_status(folder).get("reason", "")


def command_of(folder: Path) -> str:
    """The command of a job, from its status.json or the first line of its config.yaml."""
    command = read_status(folder).get("command", "")
    if not command:
        with suppress(OSError):
            first, _, _ = read_regular(folder / "config.yaml").partition(b"\n")
            command = first.decode(errors="replace").removeprefix("# ")
    return command


@lru_cache(maxsize=8)
def finished_ids(root: Path) -> dict[str, Path]:
    """Run id -> folder of the finished runs below a folder, read once per process.

    The jobs that this process finishes add themselves.

    Args:
        root: absolute, since the answer is kept.
    """
    found = {}
    for folder in run_folders(root):
        try:
            found.setdefault(json.loads(read_regular(folder / "result.json"))["run_id"], folder)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # whoever shows the run will say that it is damaged
    return found


def find_finished(roots: list[Path], run_id: str) -> Path | None:
    """The folder of a finished run with this id below one of ``roots``, if it is not damaged."""
    for root in roots:
        folder = finished_ids(root.absolute()).get(run_id)
        if folder and is_finished(folder, run_id):
            return folder
    return None


def is_finished(folder: Path, run_id: str) -> bool:
    """Whether there is a sound result of this run in a folder."""
    try:
        return read_result(folder)["run_id"] == run_id
    except MuseError:
        return False


def set_aside(folder: Path, run_id: str) -> None:
    """Keep a finished run of other data under another name. The folder is locked."""
    result = folder / "result.json"
    if not result.exists():
        return
    try:
        old = str(json.loads(read_regular(result))["run_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        old = "damaged"
    old = old if is_name(old) else "damaged"
    if old != run_id:
        kept = folder.rename(folder.with_name(f"{folder.name}_{old}"))
        shutil.rmtree(kept / "checkpoints", ignore_errors=True)  # the lock has moved with it


def make_room(folder: Path, run_id: str) -> None:
    """Drop what a new training replaces, and checkpoints of other data. The folder is locked."""
    for name in (LINK_FILE, "result.json"):
        (folder / name).unlink(missing_ok=True)
    mark = folder / "checkpoints" / "run_id"
    if not mark.exists() or mark.read_text() != run_id:
        for path in mark.parent.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in LOCKS:
                path.unlink()
        write_text(mark, run_id)


def job_folders(root: Path, without: Container[Path] = ()) -> list[Path]:
    """The folders of the jobs of a sweep, but those that are known already."""
    names = {"status.json", "result.json", LINK_FILE}
    there = sorted(root.iterdir()) if root.is_dir() else []
    folders = [path for path in there if path not in without and path.is_dir()]
    return [folder for folder in folders if names & {path.name for path in folder.iterdir()}]
