"""How far the jobs of a sweep are, read from their folders."""

import json
import logging
import shutil
from pathlib import Path

from muse.errors import MuseError
from muse.files import write_json, write_text
from muse.runs.folder import log_file

log = logging.getLogger(__name__)


ELSEWHERE = "same_as.json"  # in the folder of a job whose numbers are in another run


def keep_failure(folder: Path, error: Exception, command: str) -> None:
    """Leave the reason in the folder of a job, with the traceback if it is no user's mistake."""
    reason = str(error) if isinstance(error, MuseError) else f"{type(error).__name__}: {error}"
    status = {"status": "failed", "reason": reason, "command": command}
    try:
        write_json(folder / "status.json", _status(folder) | status)
        if not isinstance(error, MuseError):
            with log_file(folder):
                log.error("%s", reason, exc_info=error)
    except MuseError as full:  # nothing can be written: the bar has it at least
        log.error("%s; %s", reason, full)


def state_of(folder: Path) -> str:
    """finished, failed, running, interrupted, or missing."""
    if (folder / "result.json").exists() or (folder / ELSEWHERE).exists():
        return "finished"
    return _status(folder).get("status", "missing")


def _status(folder: Path) -> dict:
    try:
        status = json.loads((folder / "status.json").read_text())
        return status if isinstance(status, dict) else {}
    except (OSError, ValueError):
        return {}


def _finished(root: Path, id_: str) -> Path | None:
    """The folder of a sound finished run with this id, below the sweep or all of outputs/."""
    from muse.runs.read import read_result

    for path in (*root.rglob("result.json"), *Path("outputs").rglob("result.json")):
        try:
            if id_.encode() in path.read_bytes() and read_result(path.parent)["run_id"] == id_:
                return path.parent
        except (OSError, MuseError):
            continue
    return None


def _make_room(folder: Path, id_: str) -> None:
    """Keep a finished run of other data under another name; drop checkpoints of other data."""
    (folder / ELSEWHERE).unlink(missing_ok=True)
    result = folder / "result.json"
    if result.exists():
        try:
            old = str(json.loads(result.read_text())["run_id"])
        except (ValueError, KeyError, TypeError):
            old = "damaged"
        if old == id_:
            result.unlink()
        else:
            folder.rename(folder.with_name(f"{folder.name}_{old}"))
    mark = folder / "checkpoints" / "run_id"
    if not mark.exists() or mark.read_text() != id_:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        write_text(mark, id_)


def job_folders(root: Path) -> list[Path]:
    """The folders of the jobs of a sweep."""
    names = ("status.json", "result.json", ELSEWHERE)
    folders = [p for p in sorted(root.iterdir()) if p.is_dir()] if root.is_dir() else []
    return [folder for folder in folders if any((folder / name).exists() for name in names)]
