"""Sweeps that can be continued: a job that is finished is never trained again.

Each job has its folder below the sweep's, named after its settings, so the same command finds what
it has done before. A job whose numbers are in another finished run below outputs/ refers to it.
"""

import hashlib
import json
import logging
import math
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from muse import progress, runs
from muse.config import TrainConfig
from muse.cores import JOB_BYTES, cores, within_memory
from muse.errors import MuseError

log = logging.getLogger(__name__)

ELSEWHERE = "same_as.json"  # in the folder of a job whose numbers are in another run
NO_AXES = ("hydra", "jobs", "rerun", "device", "threads", "tensorboard", "show_test")
POLL_SECONDS = 0.5


def name_of(words: list[str]) -> str:
    """The folder of a sweep, from the words of its command: the same words, the same folder."""
    words = sorted(word for word in words if word.lstrip("+~").split("=")[0].split(".")[0]
                   not in NO_AXES and word[:1] != "-")  # fmt: skip
    values = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    name = values.get("experiment") or values.get("task") or "sweep"
    digest = hashlib.blake2b(" ".join(words).encode(), digest_size=4).hexdigest()
    return f"{name.replace('/', '_').replace(',', '-')}_{digest}"


def run_job(config: TrainConfig, root: Path, load) -> None:
    """Train one job of the sweep below ``root``, unless that is done.

    What goes wrong stays in the job's folder and never stops the others.
    """
    folder = root / runs.settings_key(config)
    if config.rerun == "none" and state_of(folder) == "failed":
        return
    from muse.commands.train import train_in  # with torch, which the watching process needs not
    from muse.training.jobs import id_of

    try:
        config, package = load(config, folder)
        id_ = id_of(config, package)
        if config.rerun != "all":
            earlier = _finished(root, id_)
            if earlier:
                if earlier.resolve() != folder.resolve():
                    runs.write_json(folder / ELSEWHERE, {"run": str(earlier.resolve())})
                return
        _make_room(folder, id_)
        runs.begin(folder, config)
        train_in(folder, config, lambda *_: (config, package))
    except runs.BusyError:
        return  # another process does it
    except Exception as error:
        keep_failure(folder, error, config.job.command)


def keep_failure(folder: Path, error: Exception, command: str) -> None:
    """Leave the reason in the folder of a job, with the traceback if it is no user's mistake."""
    reason = str(error) if isinstance(error, MuseError) else f"{type(error).__name__}: {error}"
    status = {"status": "failed", "reason": reason, "command": command}
    try:
        runs.write_json(folder / "status.json", _status(folder) | status)
        if not isinstance(error, MuseError):
            with runs.log_file(folder):
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
    from muse.saved import read_result

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
        runs.write_text(mark, id_)


class Watch(Callback):
    """Hydra's callback in the process that starts the jobs: notes where they are and how many."""

    def on_multirun_start(self, config: DictConfig, **_) -> None:
        """Note the folder of the sweep and how many jobs its words make."""
        params = config.hydra.sweeper.params or {}
        words = [f"{key}={value}" for key, value in params.items()]
        words += list(config.hydra.overrides.task)
        axes = {}
        for override in OverridesParser.create().parse_overrides(words):
            swept = override.is_sweep_override()
            axes[override.get_key_element()] = (
                len(list(override.sweep_string_iterator())) if swept else 1
            )
        jobs, show_test = math.prod(axes.values()), bool(config.show_test)
        sweeps.append((Path(config.hydra.sweep.dir), jobs, show_test))


sweeps: list[tuple[Path, int, bool]] = []  # of this process: folder, number of jobs, show_test


@contextmanager
def watched() -> Iterator[None]:
    """A bar over the jobs of the sweep that begins inside, if one does."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(stop, time.time()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(stop: threading.Event, started: float) -> None:
    bar = None
    while True:
        ended = stop.is_set()
        if sweeps and bar is None:
            bar = progress.bar(total=sweeps[0][1], unit="job", desc="sweep")
        if bar is not None:
            states = [state_of(folder) for folder in job_folders(sweeps[0][0])]
            done = states.count("finished") + states.count("failed")
            bar.set_postfix(failed=states.count("failed"), refresh=False)
            bar.update(min(done, bar.total) - bar.n)
            bar.refresh()
        if ended:
            break
        stop.wait(POLL_SECONDS)
    if bar is not None:
        bar.close()


def side_by_side(jobs: int) -> int:
    """Jobs of this sweep side by side: no more than there are, the cores are for their seeds."""
    count = min([cores(jobs), *(number for _, number, _ in sweeps)])
    return count if jobs > 0 else within_memory(count, JOB_BYTES)


def processes_of_job(jobs: int, beside: int) -> int:
    """The setting `jobs` for the seeds of one of ``beside`` jobs of a sweep: what these leave."""
    if beside == 1:
        return jobs
    count = cores(jobs)
    at_most = count if jobs > 0 else within_memory(count, JOB_BYTES, warn=False)
    return max(1, at_most // beside)


def job_folders(root: Path) -> list[Path]:
    """The folders of the jobs of a sweep."""
    names = ("status.json", "result.json", ELSEWHERE)
    folders = [p for p in sorted(root.iterdir()) if p.is_dir()] if root.is_dir() else []
    return [folder for folder in folders if any((folder / name).exists() for name in names)]
