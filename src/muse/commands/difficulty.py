"""`muse difficulty`: difficulty indicators as feature sets, in the layout of a package."""

from contextlib import ExitStack
from dataclasses import asdict
from functools import reduce
from pathlib import Path

import numpy as np

import muse
from muse.config.compose import from_data
from muse.config.difficulty import DifficultyConfig
from muse.config.fields import path_of
from muse.config.shared import INDICATOR, PARTITIONS
from muse.config.train import TrainConfig
from muse.data.cache import load_tables
from muse.data.layout import expand_features, find_package
from muse.data.moments import Moments, moments_of
from muse.data.recordings import Package, load_package
from muse.files import check_free, new_folder, write_json, write_rows
from muse.plots import draw_over_time, save_figure
from muse.runs.weights import LoadedModel
from muse.terminal import heading, in_columns
from muse.training.device import prepare
from muse.training.difficulty import (
    PROVENANCE,
    add_indicators,
    fit_autoencoders,
    select_sets,
)


def run(config: DifficultyConfig) -> None:
    """Write feature_segments/difficulty_X/ID.csv below `out`; print a table.

    Beside the CSV files are difficulty.json, which says how they were made, and difficulty.png.

    Raises:
        MuseError: no such feature set; an indicator that is in `out` already; a feature set that is
            standardised for some of the targets only.
    """
    folder = find_package(config.task, config.data.root)
    computed = {
        f"{INDICATOR}{name}": expand_features([name], config.feature_sets, folder)
        for name in config.features
    }
    homes = {name: path_of(config.out) / "feature_segments" / name for name in computed}
    for home in homes.values():
        check_free(home)
    sets = list(dict.fromkeys(s for members in computed.values() for s in members))
    package = load_package(
        config.task,
        [],
        sets,
        {},
        config.data,
        config.missing,
        recordings=config.recordings,
        storage=config.storage,
    )
    device = prepare(config.device, config.threads)
    training = _training(config, sets)
    with ExitStack() as stack:  # whether it can be written is known before the training
        drafts = {name: stack.enter_context(new_folder(home)) for name, home in homes.items()}
        models = fit_autoencoders(training, config.difficulty, package, computed, device)
        whole = add_indicators(package, [*sets, *models], models, device)
        print(heading(config.task.title, "difficulty indicators", package.synthetic))
        print(in_columns(_rows(whole)))
        print()
        for name, draft in drafts.items():
            _write(config, whole, name, draft)
    for home in homes.values():
        print(home)


def _training(config: DifficultyConfig, sets: list[str]) -> TrainConfig:
    """The settings of a training on these feature sets; those not given here are of no effect."""
    own = {name: value for name, value in asdict(config).items() if name not in ("out", "job")}
    own |= {"features": sets, "model": {"_target_": "-"}, "loss": config.task.loss, "lr": 1.0}
    return from_data("train", own, Path("muse difficulty"), config.job)


def _rows(package: Package) -> list[list[str]]:
    """Header, and for each indicator and partition its moments over the frames that are used."""
    rows = [["", "", "mean", "deviation", "share of the variance", "epoch"]]
    for name, model in package.autoencoders.items():
        variance = _variance(package, model)
        epoch = "{best_epoch} of {epochs}".format(**model.about)
        for partition, values in _values(package, name).items():
            whole = np.concatenate(values).astype(np.float64)
            share = f"{whole.mean() / variance:.4f}" if variance else ""
            first = [name, epoch] if partition == PARTITIONS[0] else ["", ""]
            numbers = [f"{whole.mean():.6g}", f"{whole.std():.6g}", share]
            rows.append([first[0], partition, *numbers, first[1]])
    return rows


def _values(package: Package, name: str) -> dict[str, list[np.ndarray]]:
    """Partition -> the indicator of each recording, (frames,) of the frames that are used."""
    k = package.features.index(name)
    return {
        partition: [recording.features[k][recording.rows, 0] for recording in recordings]
        for partition, recordings in package.partitions.items()
    }


def _variance(package: Package, model: LoadedModel) -> float:
    """Of the auto-encoder's inputs over the frames of train, mean over features.

    It is the error of a reconstruction that is the mean of train in every frame.
    """
    train = select_sets(package, list(model.features)).partitions["train"]
    parts = []
    for k in range(len(model.features)):
        moments = reduce(Moments.merge, (moments_of(r.features[k], r.rows) for r in train))
        parts.append(moments.squares / np.maximum(moments.count, 1))
    return float(np.mean(np.concatenate(parts) / model.scaling.scale.astype(np.float64) ** 2))


def _write(config: DifficultyConfig, package: Package, name: str, home: Path) -> None:
    """The CSV files of an indicator, a row for each of the feature set's; 0 where none is used."""
    model, k = package.autoencoders[name], package.features.index(name)
    source = package.folder / "feature_segments" / next(iter(model.features))
    recordings = [recording for group in package.partitions.values() for recording in group]
    paths = [source / f"{recording.id}.csv" for recording in recordings]
    tables = load_tables(paths, config.data.cache, 1, source.name, storage=config.storage)
    title = heading(config.task.title, name, package.synthetic)
    drawn = [
        (recording.id, recording.timestamps, recording.features[k][recording.rows, 0])
        for recording in package.partitions["devel"]
    ]
    for recording, table in zip(recordings, tables, strict=True):
        path = home / f"{recording.id}.csv"
        write_rows(path, table.timestamps, table.segments, {name: recording.features[k][:, 0]})
    save_figure(draw_over_time(f"{title}, devel", "squared error", drawn), home / "difficulty.png")
    about = {
        "muse": muse.__version__,
        "command": config.job.command,
        "task": config.task.name,
        "synthetic": package.synthetic,
        "data": {"folder": str(package.folder.absolute()), "partitions": package.digests},
        "window": config.window,
        "hop": config.hop,
        "standardise_over": config.standardise_over,
        "missing": config.missing,
        "recordings": config.recordings,
    }
    about |= {n: v for n, v in model.about.items() if n not in ("task", "targets", "classes")}
    write_json(home / PROVENANCE, about)
