"""`muse fuse`: late fusion of finished runs, a run like any other."""

from pathlib import Path

from muse import runs
from muse.commands.train import train_in
from muse.config import FuseConfig
from muse.fusion import load


def run(config: FuseConfig) -> None:
    """Choose the members, begin a run folder and train the fusion in it.

    Raises:
        MuseError: a member that is unfinished, damaged, of another task or without the target;
            predictions that do not match in recordings or frames.
    """
    folder = Path(config.job.folder)
    runs.check_new(folder)
    runs.begin(folder, config)
    train_in(folder, config, load)
