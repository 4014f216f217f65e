"""`muse train`: from a package to a scored model and its run folder."""

from pathlib import Path

from muse.config.train import TrainConfig
from muse.sweep.learning_curve import learning_curve
from muse.training.run import begin_run, settle


def run(config: TrainConfig) -> None:
    """Begin a run folder and train in it; of a learning curve a folder for each share.

    Raises:
        MuseError: as `muse.training.run.begin_run` and `muse.sweep.learning_curve`.
    """
    if config.learning_curve:
        learning_curve(config)
        return
    begin_run(settle(config), Path(config.job.folder))
