"""`muse fuse`: late fusion of finished runs, a run like any other."""

from pathlib import Path

from muse.config.train import FuseConfig
from muse.fusion.members import load
from muse.runs.folder import begin, check_new
from muse.training.run import train_in


def run(config: FuseConfig) -> None:
    """Choose the members, begin a run folder and train the fusion in it.

    Raises:
        MuseError: a member that is unfinished, damaged, of another task or without the target;
            predictions that do not match in recordings or frames.
    """
    folder = Path(config.job.folder)
    check_new(folder)
    begin(folder, config)
    train_in(folder, config, load)
