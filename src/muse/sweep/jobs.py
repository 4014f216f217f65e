"""Sweeps that can be continued: a job that is finished is never trained again.

Each job has its folder below the sweep's, named after its settings, so the same command finds what
it has done before. A job whose numbers are in another finished run below outputs/ refers to it.
"""

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from joblib import Parallel, delayed

from muse import terminal
from muse.config.compose import load_config, sweep_params
from muse.config.fields import path_of
from muse.config.train import TrainConfig
from muse.cores import JOB_BYTES, cores, end_with, within_memory
from muse.data.layout import feature_folder, find_package, plan_features
from muse.data.recordings import Package
from muse.files import write_json
from muse.runs.folder import BusyError
from muse.runs.identity import settings_key
from muse.runs.read import read_result
from muse.sweep.state import (
    LINK_FILE,
    find_finished,
    finished_ids,
    keep_failure,
    make_room,
    state_of,
)

OUTPUTS = Path("outputs")  # where runs are below, if nobody has said otherwise
KEPT = 4  # packages in memory; wide features are memory maps


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
    count = min(within_memory(cores(-1), JOB_BYTES), len(jobs))
    one = delayed(_compose_and_run)
    running = Parallel(count, return_as="generator")(one(command, job, root, count) for job in jobs)
    return list(terminal.bar(running, f"muse {command}", total=len(jobs), unit="job"))


def _compose_and_run(command: str, words: list[str], root: Path, beside: int) -> Path:
    with terminal.quietly():
        config = load_config(command, words)
        run_job(replace(config, workers=workers_of_job(config.workers, beside)), root)
    return root / settings_key(config)


def workers_of_job(workers: int, jobs: int) -> int:
    """The setting `workers` for the seeds of one of ``jobs`` that run at once: what these leave."""
    if jobs == 1:
        return workers
    count = cores(workers)
    at_most = count if workers > 0 else within_memory(count, JOB_BYTES, warn=False)
    return max(1, at_most // jobs)


def run_job(
    config: TrainConfig, root: Path, watch: Callable[[dict], None] | None = None
) -> float | None:
    """Train one job of the sweep below ``root``, unless that is done.

    What goes wrong stays in the job's folder and never stops the others.

    Args:
        watch: see `muse.training.run.begin_run`; its PrunedError goes on to the caller.

    Returns:
        The devel score, averaged over targets, for whoever optimises it; None if there is none.
    """
    if multiprocessing.current_process().name != "MainProcess":
        end_with(os.getppid())  # a job of a sweep in a worker
    folder = root / settings_key(config)
    if config.rerun == "none" and state_of(folder) == "failed":
        return None
    from muse.training.prepare import id_of  # with torch, which the watching process needs not
    from muse.training.run import PrunedError, begin_run, settle

    try:
        config = settle(config)
        package = _inputs(config)
        id_ = id_of(config, package)
        roots = [root, OUTPUTS]
        earlier = find_finished(roots, id_) if config.rerun != "all" else None
        if not earlier:
            make_room(folder, id_)
            result = begin_run(config, folder, package, new=False, watch=watch)
            for above in map(Path.absolute, roots):
                if folder.absolute().is_relative_to(above):
                    finished_ids(above)[id_] = folder.absolute()
            return devel_score(result)
        if earlier.resolve() != folder.resolve():
            write_json(folder / LINK_FILE, {"run": str(earlier.resolve())})
        return devel_score(read_result(earlier))
    except BusyError:
        return None  # another process does it
    except PrunedError:
        raise
    except Exception as error:
        keep_failure(folder, error, config.job.command)
        return None


def devel_score(result: dict) -> float:
    """The devel score of a run, averaged over its targets."""
    scores = [part["devel"][result["metric"]] for part in result["targets"].values()]
    return sum(scores) / len(scores)


_kept: list[tuple[tuple, Package]] = []  # of this process: the data of the last jobs


def _inputs(config: TrainConfig) -> Package:
    """The data of a job; jobs often have the same, so those of the last few are kept."""
    from muse.training.run import load_inputs

    if config.fusion:
        return load_inputs(config)
    state = _state_of_files(config)
    for known, package in _kept:
        if known == state:
            return package
    _kept[:] = [(state, load_inputs(config)), *_kept[: KEPT - 1]]
    return _kept[0][1]


def _state_of_files(config: TrainConfig) -> tuple:
    """What the data of a job depend on: settings, and size and times of every file."""
    package = find_package(config.task, config.data.root)
    sets = plan_features(config.features, config.feature_sets, package).read
    homes = [package / "metadata", *(feature_folder(package, name) for name in sets)]
    homes += [package / "label_segments" / target for target in config.targets]
    paths = [path for home in homes if home.is_dir() for path in sorted(home.iterdir())]
    paths += [path_of(config.groups)] if config.groups else []
    files = []
    for path in paths:
        now = path.stat()
        files.append((path, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino))
    settings = (config.missing, config.storage, config.recordings, str(config.task), *sets)
    settings += (config.train_share, bool(config.folds), config.align, str(config.split))
    return (*settings, str(config.data), *files)
