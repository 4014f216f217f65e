"""The models of a finished run, applied to a package."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from muse.config.train import TrainConfig
from muse.config.use import UseConfig
from muse.data.heads import head_of
from muse.data.layout import find_package, read_partitions
from muse.data.recordings import Package, load_package
from muse.data.windows import Frames, to_frames
from muse.errors import MuseError
from muse.fusion.members import load_members
from muse.models import check_trusted
from muse.runs.find import run_folder
from muse.runs.read import SavedRun, read_run, settings_here
from muse.runs.weights import LoadedModel, load_model_file
from muse.training.device import prepare
from muse.training.loop import predict


@dataclass(frozen=True)
class Applied:
    """What a model says of one partition."""

    target: str
    partition: str
    index: int  # of the target among those of the model
    frames: Frames
    output: np.ndarray  # (frames, outputs of the model)
    values: np.ndarray  # (frames,) predictions, or (frames, classes) logits


@dataclass(frozen=True)
class LoadedRun:
    """A finished run with its models, ready to be applied here."""

    saved: SavedRun
    config: TrainConfig  # the run's, with the data and the device of the command
    device: torch.device
    models: list[LoadedModel]

    @property
    def features(self) -> list[str]:
        """The feature sets that the models read."""
        return list(self.models[0].features)

    def recordings(self) -> dict[str, list[str]]:
        """Partition -> recording ids of the package, without the partitions that are empty."""
        if self.config.fusion:
            package = load_members(self.config)
            return {p: [r.id for r in group] for p, group in package.partitions.items()}
        folder = find_package(self.config.task, self.config.data.root)
        return {partition: ids for partition, ids in read_partitions(folder).items() if ids}

    def package(self, targets: list[str], ids: dict[str, list[str]]) -> Package:
        """Read recordings, with the labels of ``targets``.

        Raises MuseError as `load_package`, and for columns that are not those of the training.
        """
        config = self.config
        if config.fusion:
            package = load_members(self.config)
            return replace(package, partitions={p: package.partitions[p] for p in ids})
        package = load_package(
            config.task,
            targets,
            self.features,
            {},
            config.data,
            config.missing,
            ids,
            config.recordings,
            storage=config.storage,
            align=config.align,
        )
        for name, columns in self.models[0].features.items():
            _check_columns(package, name, columns)
        return package

    def apply(self, package: Package) -> Iterator[Applied]:
        """Predict each partition with each model: an element per target and partition."""
        for loaded in self.models:
            for partition in package.partitions:
                labels = [t for t in loaded.targets if t in _targets(package)]
                frames = to_frames(package, partition, labels, loaded.scaling, self.device)
                output = predict(loaded.model, frames)
                for k, target in enumerate(loaded.targets):
                    values = head_of(self.config.task, targets=loaded.targets).values(output, k)
                    yield Applied(target, partition, k, frames, output, values)


def load_run(use: UseConfig, folder: str) -> LoadedRun:
    """Read a finished run, that of a folder or the `latest`, and build its models.

    Raises MuseError for a run folder that cannot be trusted, see `muse.runs.read.read_run` and
    `muse.runs.weights.load_model_file`.
    """
    saved = read_run(str(run_folder(folder)))
    config = settings_here(saved.config, use)
    path = saved.folder / "config.yaml"
    check_trusted(path, str(config.model["_target_"]), use.trust)
    device = prepare(config.device, config.threads)
    models = {}
    for target, part in saved.result["targets"].items():
        name = part["weights"]
        if name not in models:
            models[name] = load_model_file(saved.file(name), use.trust, device)
        if target not in models[name].targets:
            raise MuseError(
                f"{saved.folder / name}: a model of {', '.join(models[name].targets)}, but "
                f"result.json names it for {target}. Copy the run folder again."
            )
    return LoadedRun(saved, config, device, list(models.values()))


def _targets(package: Package) -> set[str]:
    """Targets whose labels were read."""
    return {target for group in package.partitions.values() for r in group for target in r.labels}


def _check_columns(package: Package, name: str, columns: list[str]) -> None:
    found = package.columns[name]
    if found == columns:
        return
    what = f"{len(found)} columns, the model was trained on {len(columns)}"
    if len(found) == len(columns):
        k = next(k for k in range(len(columns)) if found[k] != columns[k])
        what = f"column {found[k]!r} where the model was trained on {columns[k]!r}"
    raise MuseError(
        f"{package.folder / 'feature_segments' / name}: {what}. Give the feature set of the run."
    )
