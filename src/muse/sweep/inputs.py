"""What a job of a sweep reads, and whether another run has its numbers already."""

from pathlib import Path

from muse.config.fields import path_of
from muse.config.train import TrainConfig
from muse.data.layout import feature_folder, find_package, plan_features
from muse.data.recordings import Package
from muse.sweep.state import find_finished

OUTPUTS = Path("outputs")  # where runs are below, if nobody has said otherwise
KEPT = 4  # packages in memory; wide features are memory maps


def look_up(config: TrainConfig, root: Path) -> tuple[TrainConfig, Package, str, Path | None]:
    """All settings of a job below ``root``, its data, its run id, and a finished run with this id.

    With rerun=all no such run is looked for.
    """
    from muse.training.prepare import id_of  # with torch, which the watching process needs not
    from muse.training.run import settle

    config = settle(config)
    package = inputs_of(config)
    id_ = id_of(config, package)
    earlier = find_finished([root, OUTPUTS], id_) if config.rerun != "all" else None
    return config, package, id_, earlier


_kept: list[tuple[tuple, Package]] = []  # of this process: the data of the last jobs


def inputs_of(config: TrainConfig) -> Package:
    """The data of a job; jobs often have the same, so those of the last few are kept."""
    from muse.training.run import load_inputs

    if config.fusion:
        return load_inputs(config)
    state = _state_of_files(config)
    for known, package in _kept:
        if known == state:
            return package
    _kept[:] = [(state, load_inputs(config)), *_kept[: KEPT - 1]]
    return _kept[0][1]


def _state_of_files(config: TrainConfig) -> tuple:
    """What the data of a job depend on: settings, and size and times of every file."""
    package = find_package(config.task, config.data.root)
    sets = plan_features(config.features, config.feature_sets, package).read
    homes = [package / "metadata", *(feature_folder(package, name) for name in sets)]
    homes += [package / "label_segments" / target for target in config.targets]
    paths = [path for home in homes if home.is_dir() for path in sorted(home.iterdir())]
    paths += [path_of(config.groups)] if config.groups else []
    files = []
    for path in paths:
        now = path.stat()
        files.append((path, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino))
    settings = (config.missing, config.storage, config.recordings, str(config.task), *sets)
    settings += (config.train_share, bool(config.folds), config.align, str(config.split))
    return (*settings, str(config.data), *files)
