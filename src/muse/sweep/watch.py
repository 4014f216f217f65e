"""What is seen of a sweep while it runs: a progress bar, or lines where nobody looks."""

import logging
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from muse import terminal
from muse.config.overrides import quoted_list
from muse.cores import JOB_BYTES, cores, within_memory
from muse.sweep.devices import on_devices, share_places
from muse.sweep.jobs import expand
from muse.sweep.records import left_to_do
from muse.sweep.state import job_folders, state_of
from muse.sweep.together import train_together

POLL_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass
class Sweep:
    """A sweep that this process has started."""

    root: Path
    jobs: int
    show_test: bool  # of all jobs in the leaderboard
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self) -> None:
        """Show how many jobs are done, from now on."""
        self._thread = threading.Thread(target=_watch, args=(self, self._ended), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Show the last state."""
        self._ended.set()
        if self._thread:
            self._thread.join()


current: Sweep | None = None  # Hydra makes the callback, so this is where it leaves the sweep


class Watch(Callback):
    """Hydra's callback, of the process that starts the jobs of a sweep and of these."""

    def on_multirun_start(self, config: DictConfig, **_) -> None:
        """Begin to watch; the launcher asks `${cores:N}` how many jobs run at once."""
        global current
        jobs = expand(list(config.hydra.overrides.task), config.hydra.sweeper.params)
        root = Path(config.hydra.sweep.dir)
        current = Sweep(root, len(jobs), bool(config.show_test))
        share_places()
        bound = on_devices(str(config.device), config.jobs_per_device)
        most = min(len(jobs), bound or len(jobs))
        OmegaConf.register_new_resolver(
            "cores", lambda count: at_once(count, most), use_cache=True, replace=True
        )
        launched, swept = config.hydra.launcher._target_, config.hydra.sweeper._target_
        if "submitit" not in launched and swept.endswith(("BasicSweeper", "MuseSweeper")):
            left = _with_folders(config, left_to_do(jobs, config))
            train_together(config.hydra.job.name, left, root)
        current.watch()

    def on_job_end(self, job_return: JobReturn, **_) -> None:
        """Hand over no settings, which nobody reads.

        The system writes a message of less than PIPE_BUF (4096 bytes on Linux) into a pipe whole or
        not at all. Of a longer one a worker that is killed may leave a part, for the rest of which
        the sweep would wait for ever.
        """
        job_return.cfg = job_return.hydra_cfg = None


def _with_folders(config: DictConfig, jobs: list[list[str]]) -> list[list[str]]:
    """The jobs, with the folders of --config-dir that they are composed of."""
    sources = config.hydra.runtime.config_sources
    folders = [source.path for source in sources if source.provider == "command-line"]
    return [[*job, f"hydra.searchpath={quoted_list(folders)}"] for job in jobs] if folders else jobs


def at_once(count: int, jobs: int) -> int:
    """Jobs that run at once: no more than there are, since the cores left are for their seeds.

    With -1 no more than the free memory is good for.
    """
    bound = min(cores(count), jobs)
    return bound if count > 0 else within_memory(bound, JOB_BYTES)


def _watch(sweep: Sweep, ended: threading.Event) -> None:
    """A bar over the jobs; a line for each that has ended where the output is no terminal."""
    seen = sys.stderr.isatty()
    finished: set[Path] = set()  # these are not looked at again
    before = None
    with terminal.bar(total=sweep.jobs, unit="job", desc="sweep") as bar:
        last = False
        while not last:
            last = ended.is_set()
            states = {folder: state_of(folder) for folder in job_folders(sweep.root, finished)}
            finished |= {folder for folder, state in states.items() if state == "finished"}
            failed = sum(state == "failed" for state in states.values())
            done = min(len(finished) + failed, sweep.jobs)
            if before is None and finished:
                text = f"{len(finished)} of {sweep.jobs} jobs were done before"
                bar.write(text) if seen else print(text, file=sys.stderr, flush=True)
            if not seen and before not in (None, done):
                print(f"{done} of {sweep.jobs} jobs, {failed} failed", file=sys.stderr, flush=True)
            before = done
            bar.set_postfix(failed=failed, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()
            if not last:
                ended.wait(POLL_SECONDS)
