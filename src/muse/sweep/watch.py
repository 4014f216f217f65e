"""The progress bar of a sweep."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from muse import terminal
from muse.cores import cores
from muse.sweep.state import job_folders, state_of

POLL_SECONDS = 0.5


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
            bar = terminal.bar(total=sweeps[0][1], unit="job", desc="sweep")
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
    return min([cores(jobs), *(number for _, number, _ in sweeps)])
