"""`muse train`: from a package to a scored model and its run folder."""

from pathlib import Path

from muse.config.train import TrainConfig
from muse.runs.folder import begin, check_new
from muse.training.run import load, train_in


def run(config: TrainConfig) -> None:
    """Begin a run folder and train in it."""
    folder = Path(config.job.folder)
    check_new(folder)
    begin(folder, config)
    train_in(folder, config, load)
