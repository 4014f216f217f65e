"""`muse retrain`: a finished run trained again on train and devel together."""

from pathlib import Path

from muse.config.use import RetrainConfig
from muse.training.retrain import settings_to_retrain
from muse.training.run import begin_run


def run(config: RetrainConfig) -> None:
    """Begin a run folder of its own, with the settings of the finished run, and train in it.

    Raises:
        MuseError: as `muse.training.retrain.settings_to_retrain` and `begin_run`; other data than
            those of the run.
    """
    begin_run(settings_to_retrain(config), Path(config.job.folder))
