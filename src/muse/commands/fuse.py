"""`muse fuse`: late fusion of finished runs, a run like any other."""

from pathlib import Path

from muse.config.train import FuseConfig
from muse.training.run import begin_run, settle


def run(config: FuseConfig) -> None:
    """Choose the members, begin a run folder and train the fusion in it.

    Raises:
        MuseError: a member that is unfinished, damaged, of another task or without the target;
            predictions that do not match in recordings or frames.
    """
    begin_run(settle(config), Path(config.job.folder))
