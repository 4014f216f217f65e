"""What a job of a sweep reads, and whether another run has its numbers already."""

from pathlib import Path

from muse.config.train import TrainConfig
from muse.data.layout import find_package, plan_features
from muse.data.recordings import Package
from muse.sweep.records import data_paths, stamps
from muse.sweep.state import find_finished

OUTPUTS = Path("outputs")  # where runs are below, if nobody has said otherwise
KEPT = 4  # packages in memory; wide features are memory maps


def look_up(config: TrainConfig, root: Path) -> tuple[TrainConfig, Package, list, str, Path | None]:
    """All settings of a job below ``root``, its data, and a finished run with its numbers.

    Returns the settings, the data, the stamps of their files from before they were read (see
    `muse.sweep.records`), the run id, and the folder of a finished run with this id.

    With rerun=all no such run is looked for.
    """
    from muse.training.prepare import id_of  # with torch, which the watching process needs not
    from muse.training.run import settle

    config = settle(config)
    package, files = inputs_of(config)
    id_ = id_of(config, package)
    earlier = find_finished([root, OUTPUTS], id_) if config.rerun != "all" else None
    return config, package, files, id_, earlier


_kept: list[tuple[tuple, list, Package]] = []  # of this process: the data of the last jobs


def inputs_of(config: TrainConfig) -> tuple[Package, list]:
    """The data of a job, and the stamps of their files; none of the members of a fusion.

    Jobs often have the same, so those of the last few are kept.
    """
    from muse.training.prepare import load_inputs

    if config.fusion:
        return load_inputs(config), []
    settings, files = _settings_of_data(config), stamps(data_paths(config))
    for known, known_files, package in _kept:
        if (known, known_files) == (settings, files):
            return package, files
    _kept[:] = [(settings, files, load_inputs(config)), *_kept[: KEPT - 1]]
    return _kept[0][2], files


def _settings_of_data(config: TrainConfig) -> tuple:
    """The settings that the data of a job depend on, beside size and times of every file."""
    package = find_package(config.task, config.data.root)
    sets = plan_features(config.features, config.feature_sets, package).read
    settings = (config.missing, config.storage, config.recordings, str(config.task), *sets)
    settings += (config.train_share, bool(config.folds), config.align, str(config.split))
    return (*settings, str(config.data))
