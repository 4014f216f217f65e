"""Sweeps that can be continued: a job that is finished is never trained again.

Each job has its folder below the sweep's, named after its settings, so the same command finds what
it has done before. A job whose numbers are in another finished run below outputs/ refers to it.
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from joblib import Parallel, delayed

from muse import terminal
from muse.config.compose import load_config, sweep_params
from muse.config.train import TrainConfig
from muse.cores import JOB_BYTES, cores, end_with, within_memory
from muse.data.recordings import Package
from muse.files import check_plain, write_json
from muse.runs.identity import settings_key
from muse.runs.lock import BusyError, locked
from muse.runs.read import read_result
from muse.sweep.devices import device_of_job, share_places
from muse.sweep.inputs import OUTPUTS, look_up
from muse.sweep.records import keep_record
from muse.sweep.state import (
    LINK_FILE,
    finished_ids,
    is_finished,
    keep_failure,
    make_room,
    set_aside,
    state_of,
)
from muse.sweep.together import train_together


def expand(words: list[str], params: dict | None = None) -> list[list[str]]:
    """The jobs of a sweep: one list of overrides each, the last axis varying fastest.

    Args:
        words: overrides of the command line; a later one for a key replaces an earlier one.
        params: Hydra's `sweeper.params`, which words replace.
    """
    axes: dict[str, list[str]] = {}
    given = [f"{key}={value}" for key, value in (params or {}).items()] + words
    for override in OverridesParser.create().parse_overrides(given):
        key = override.get_key_element()
        if override.is_sweep_override():
            values = list(override.sweep_string_iterator())
        else:
            values = [override.get_value_element_as_str()]
        axes[key] = [f"{key}={value}" for value in values]
    return [list(job) for job in product(*axes.values())]


def run_sweep(command: str, words: list[str], root: Path) -> list[Path]:
    """Run all jobs of ``words`` below ``root``, several at once; return their folders.

    For commands that train on their own; the command line's `-m` goes through Hydra's launchers.
    """
    jobs = expand(words, sweep_params(command, expand(words)[0]))
    train_together(command, jobs, root)
    count = min(within_memory(cores(-1), JOB_BYTES), len(jobs))
    share_places()
    one = delayed(_compose_and_run)
    running = Parallel(count, return_as="generator")(one(command, job, root, count) for job in jobs)
    return list(terminal.bar(running, f"muse {command}", total=len(jobs), unit="job"))


def _compose_and_run(command: str, words: list[str], root: Path, beside: int) -> Path:
    with terminal.quietly():
        config = load_config(command, words)
        run_job(placed(config, beside), root)
    return root / settings_key(config)


def placed(config: TrainConfig, jobs: int) -> TrainConfig:
    """The settings of one of ``jobs`` that run at once, with its share of the machine."""
    workers = workers_of_job(config.workers, jobs)
    return replace(config, workers=workers, device=device_of_job(config.device, jobs))


def workers_of_job(workers: int, jobs: int) -> int:
    """The setting `workers` for the seeds of one of ``jobs`` that run at once: what these leave."""
    if jobs == 1:
        return workers
    count = cores(workers)
    at_most = count if workers > 0 else within_memory(count, JOB_BYTES, warn=False)
    return max(1, at_most // jobs)


def run_job(
    config: TrainConfig,
    root: Path,
    words: list[str] | None = None,
    setup: str | None = None,
    watch: Callable[[dict], None] | None = None,
) -> float | None:
    """Train one job of the sweep below ``root``, unless that is done.

    What goes wrong stays in the job's folder and never stops the others.

    Args:
        words, setup: by which the job is known to be finished, see `muse.sweep.records`.
        watch: see `muse.training.run.begin_run`; its PrunedError goes on to the caller.

    Returns:
        The devel score, averaged over targets, for whoever optimises it; None if there is none.
    """
    if multiprocessing.current_process().name != "MainProcess":
        end_with(os.getppid())  # a job of a sweep in a worker
    folder = root / settings_key(config)
    if config.rerun == "none" and state_of(folder) == "failed":
        return None
    from muse.training.run import PrunedError  # with torch, which the watching process needs not

    try:
        config, package, data, id_, earlier = look_up(config, root)
        if not earlier:
            result = _train(config, folder, package, id_, watch)
            for above in map(Path.absolute, (root, OUTPUTS)):
                if folder.absolute().is_relative_to(above):
                    finished_ids(above)[id_] = folder.absolute()
        else:
            if earlier.resolve() != folder.resolve():
                write_json(folder / LINK_FILE, {"run": str(earlier.resolve())})
            result = read_result(earlier)
        if words:
            keep_record(folder, words, setup, config, id_, data)
        return devel_score(result)
    except BusyError:
        return None  # another process does it
    except PrunedError:
        raise
    except Exception as error:
        keep_failure(folder, error, config.job.command)
        return None


def _train(
    config: TrainConfig,
    folder: Path,
    package: Package,
    id_: str,
    watch: Callable[[dict], None] | None,
) -> dict:
    """Train a job in its folder, or take what another process has done there meanwhile.

    All that is decided on the folder is decided with its lock: other processes, perhaps of another
    machine, may be at the same sweep. Raises BusyError if one of them is training the job.
    """
    from muse.training.run import begin_run

    check_plain(folder)
    with locked(folder):
        set_aside(folder, id_)
    with locked(folder):  # of a new folder, if there was something to be set aside
        if config.rerun != "all" and is_finished(folder, id_):
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            return read_result(folder)
        make_room(folder, id_)
        return begin_run(config, folder, package, new=False, watch=watch)


def devel_score(result: dict) -> float:
    """The devel score of a run, averaged over its targets."""
    scores = [part["devel"][result["metric"]] for part in result["targets"].values()]
    return sum(scores) / len(scores)
