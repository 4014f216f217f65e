"""The jobs of a sweep as jobs of Slurm: `hydra/launcher=slurm`, on top of hydra-submitit-launcher.

What is different from the launcher of that package: a job that has failed ends with another exit
status than 0; one that failed or was killed does not end the sweep, which waits for the others; a
job whose time is over, or that is cancelled, stops in order and goes on from its checkpoint later.

Hydra imports this file at the start of every command: nothing heavy belongs at its top.
"""

import signal
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
except ImportError:  # muse[slurm] is not installed, see muse.cli.arguments
    BaseSubmititLauncher = object

OF_ALL = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node",
          "tasks_per_node", "stderr_to_stdout")  # parameters that every executor has  # fmt: skip


class SlurmLauncher(BaseSubmititLauncher):
    """An array of jobs, one for each job of the sweep.

    Args:
        cluster: slurm, or local for processes of this machine.
        submitit_folder: where submitit keeps logs and pickles.
        max_num_timeout: how often a job whose time is over is queued again at once.
        params: of `sbatch`; null: not given.
    """

    def __init__(self, cluster: str, submitit_folder: str, max_num_timeout: int, **params: Any):
        super().__init__(**params)
        self.cluster, self.folder, self.max_num_timeout = cluster, submitit_folder, max_num_timeout

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Submit the jobs and wait for all of them; Ctrl-C cancels them."""
        import submitit

        retries = {f"{self.cluster}_max_num_timeout": self.max_num_timeout}
        executor = submitit.AutoExecutor(self.folder, cluster=self.cluster, **retries)
        given = {key: value for key, value in self.params.items() if value is not None}
        executor.update_parameters(**{
            key if key in OF_ALL else f"slurm_{key}": value for key, value in given.items()
        })  # fmt: skip
        state = Singleton.get_state()
        arguments = [
            (list(words), "hydra.sweep.dir", number, "", state)
            for number, words in enumerate(job_overrides, initial_job_idx)
        ]
        jobs = executor.map_array(self, *zip(*arguments, strict=True))
        try:
            return [_outcome(job) for job in jobs]
        except KeyboardInterrupt:
            for job in jobs:
                job.cancel(check=False)
            raise

    def __call__(self, *arguments: Any) -> JobReturn:
        """One job, in its process; an error is raised, so that the exit status tells of it."""
        import submitit

        soon = submitit.JobEnvironment._usr_sig()  # sent before the time is over
        queue_again = signal.getsignal(soon)
        caught = []

        def stop(number: int, _: Any) -> None:
            caught.append(number)
            raise KeyboardInterrupt

        for number in (soon, signal.SIGTERM):
            signal.signal(number, stop)
        try:
            done = super().__call__(*arguments)
        except KeyboardInterrupt:
            if soon in caught:
                queue_again(soon, None)  # exits, or raises if there is no time left
            sys.exit(1)
        if done.status == JobStatus.FAILED:
            raise done._return_value
        return done


def _outcome(job: Any) -> JobReturn:
    """What a job has returned; nothing if it failed or was killed, which its folder tells."""
    from submitit.core.utils import UncompletedJobError

    try:
        return job.results()[0]
    except UncompletedJobError:
        done = JobReturn(status=JobStatus.COMPLETED)
        done.return_value = None
        return done
