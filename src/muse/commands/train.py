"""`muse train`: from a package to a scored model and its run folder."""

from pathlib import Path

from muse.config.train import TrainConfig
from muse.training.run import begin_run


def run(config: TrainConfig) -> None:
    """Begin a run folder and train in it.

    Raises:
        MuseError: as `muse.training.run.begin_run`.
    """
    begin_run(config, Path(config.job.folder))
