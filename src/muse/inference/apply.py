"""The models of a finished run, applied to a package."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from muse.config.train import TrainConfig
from muse.config.use import UseConfig
from muse.data.heads import head_of
from muse.data.layout import FeaturePlan, feature_folder, find_package, read_partitions
from muse.data.recordings import Package, Recording, load_package
from muse.data.rows import rows_per_frame
from muse.data.split import split_test
from muse.data.windows import to_frames
from muse.errors import MuseError
from muse.fusion.members import load_members
from muse.models import check_trusted
from muse.runs.find import run_folder
from muse.runs.read import SavedRun, read_run, settings_here
from muse.runs.result_checks import weights_of
from muse.runs.weights import LoadedModel, load_model_file
from muse.training.device import prepare
from muse.training.difficulty import add_indicators
from muse.training.model import predict
from muse.training.scores import split_frames

log = logging.getLogger(__name__)

Model = tuple[LoadedModel, dict[str, LoadedModel]]  # with the auto-encoders of its indicators


@dataclass(frozen=True)
class Applied:
    """What a model says of one partition."""

    target: str
    partition: str
    values: np.ndarray  # (frames,) predictions, or (frames, classes) logits


@dataclass(frozen=True)
class LoadedRun:
    """A finished run with its models, ready to be applied here."""

    saved: SavedRun
    config: TrainConfig  # the run's, with the data and the device of the command
    device: torch.device
    # one for each fold; a single one of a run without folds, or with that of train alone if it was
    # fitted on train and devel
    models: list[list[LoadedModel]]
    # for each fold those of the difficulty indicators that the run computes
    autoencoders: list[dict[str, LoadedModel]]
    general: list[LoadedModel]  # of a personalised run, for all that is no subject's; else empty
    label: str  # what was loaded, in words of the user: the run folder, or an archive of it

    @property
    def features(self) -> list[str]:
        """The feature sets that the models read."""
        return list(self.models[0][0].features)

    @property
    def targets(self) -> list[str]:
        """The targets of all models."""
        return [target for models in self.models for target in models[0].targets]

    @property
    def folds(self) -> list[list[str]]:
        """The recordings that each fold has held out; empty for a run without folds."""
        part = next(iter(self.saved.result["targets"].values()))
        return [row["recordings"] for row in part.get("folds", [])]

    @property
    def nameless(self) -> bool:
        """Whether it has folds and does not say what they held out, as `muse export` leaves it."""
        return bool(self.folds) and not any(self.folds)

    def groups(self, recordings: list[Recording]) -> dict[str, str] | None:
        """The group of each recording; None unless all were in groups of a cross-validation."""
        group_of = self.saved.result.get("groups", {})
        return group_of if all(recording.id in group_of for recording in recordings) else None

    @property
    def refitted(self) -> bool:
        """Whether the run was fitted on train and devel, see muse.training.fit."""
        return any("without_devel" in part for part in self.saved.result["targets"].values())

    @property
    def read(self) -> list[str]:
        """The feature sets that are read from files."""
        computed = {name: list(model.features) for name, model in self.autoencoders[0].items()}
        return FeaturePlan(self.features, computed).read

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
            self.read,
            {},
            config.data,
            config.missing,
            ids,
            config.recordings,
            storage=config.storage,
            align=config.align,
            tokenizer=config.tokenizer,
            length=config.window,
        )
        package = split_test(config.split, package)
        for model in (self.models[0][0], *self.autoencoders[0].values()):
            for name, columns in model.features.items():
                if name not in self.autoencoders[0]:
                    _check_columns(package, name, columns)
        return package

    def apply(self, package: Package, out_of_fold: bool = False) -> Iterator[Applied]:
        """Predict each partition for each target; of folds the mean of all models.

        Of a personalised run each recording of a subject, who is known by its name, is predicted by
        the subject's model, all others by the general one.

        Args:
            out_of_fold: recordings that a fold has held out are predicted by the model of that fold
                alone. It has not seen them, if their data are those of the training. Of a run that
                was fitted on train and devel, these are predicted by the model of train alone.
        """
        for number, of_folds in enumerate(self.models):
            head = head_of(self.config.task, targets=of_folds[0].targets)
            models = list(zip(of_folds, self.autoencoders, strict=True))
            own = {}
            if self.general or (out_of_fold and (self.folds or self.refitted)):
                own = self._out_of_fold(models, package)
            models = models[:1] if self.refitted else models
            others = [(self.general[number], {})] if self.general else models
            for partition, recordings in package.partitions.items():
                left = [r for r in recordings if r.id not in own]
                found = own | self._mean(others, package, left)
                output = np.concatenate([found[recording.id] for recording in recordings])
                for k, target in enumerate(of_folds[0].targets):
                    yield Applied(target, partition, head.values(output, k))

    def _out_of_fold(self, models: list[Model], package: Package) -> dict[str, np.ndarray]:
        """Recording id -> what the model of the fold says that has held the recording out.

        Of a run that was fitted on train and devel what the model of train says of both.
        """
        there = {r.id: r for p in package.partitions
                 if self.general or self.same_data(package, p)
                 for r in package.partitions[p]}  # fmt: skip
        held = self.folds
        if self.refitted:
            known = [package.partitions.get(part, []) for part in ("train", "devel")]
            held = [[], [recording.id for group in known for recording in group]]
        found = {}
        for model, ids in zip(models, held, strict=True):
            held_out = [there[id_] for id_ in ids if id_ in there]
            found |= self._mean([model], package, held_out)
        return found

    def _mean(
        self, models: list[Model], package: Package, recordings: list[Recording]
    ) -> dict[str, np.ndarray]:
        """Recording id -> mean output of models, (frames, outputs)."""
        if not recordings:
            return {}
        alone = replace(package, partitions={"": recordings})
        outputs = []
        for loaded, autoencoders in models:
            whole = alone
            if autoencoders:
                whole = add_indicators(alone, self.features, autoencoders, self.device)
            frames = to_frames(whole, "", [], loaded.scaling, self.device)
            outputs.append(predict(loaded.model, frames))
        output = np.mean(outputs, axis=0) if len(outputs) > 1 else outputs[0]
        own = split_frames(recordings, output)
        return {r.id: values for r, values in zip(recordings, own, strict=True)}

    def same_data(self, package: Package, partition: str) -> bool:
        """Whether a partition is that of the training, to the last value."""
        before = self.saved.result["data"]["partitions"].get(partition)
        return before == package.digests[partition]


def load_run(use: UseConfig, folder: str, label: str | None = None) -> LoadedRun:
    """Read a finished run, that of a folder or the `latest`, and build its models.

    Args:
        label: what the run is called, if that is not its folder.

    Raises MuseError for a run folder that cannot be trusted, see `muse.runs.read.read_run` and
    `muse.runs.weights.load_model_file`.
    """
    saved = read_run(str(run_folder(folder)))
    label = label or str(saved.folder)
    config = settings_here(saved.config, use)
    path = saved.folder / "config.yaml"
    check_trusted(path, str(config.model["_target_"]), use.trust)
    if "retrained" in saved.result:
        log.info("%s was retrained: it was trained on train and devel.", label)
    device = prepare(config.device, config.threads)
    kept = [saved.file(n) for n in saved.result["files"] if n.startswith("weights/pretrained/")]
    pretrained = kept[0].parent if kept else None
    if config.tokenizer and pretrained:
        config = replace(config, tokenizer=str(pretrained))
    models = _load_models(saved, use.trust, device, pretrained)
    general = []
    if config.personalised:
        names = dict.fromkeys(part["weights"] for part in saved.result["targets"].values())
        general = [load_model_file(saved.file(name), use.trust, device) for name in names]
    autoencoders = _load_autoencoders(saved, models[0], use.trust, device)
    run = LoadedRun(saved, config, device, models, autoencoders, general, label)
    if run.refitted:
        log.info("%s: its models were fitted on train and devel.", label)
    return run


def _load_models(
    saved: SavedRun, trust: list[str], device: torch.device, pretrained: Path | None
) -> list[list[LoadedModel]]:
    """The models of a run, each once, in the order of their targets; of each its folds."""
    models: dict[tuple[str, ...], list[LoadedModel]] = {}
    for target, part in saved.result["targets"].items():
        names = tuple(weights_of(part))
        if names not in models:
            models[names] = [
                load_model_file(saved.file(n), trust, device, pretrained) for n in names
            ]
        for name, loaded in zip(names, models[names], strict=True):
            if target not in loaded.targets:
                raise MuseError(
                    f"{saved.folder / name}: a model of {', '.join(loaded.targets)}, but "
                    f"result.json names it for {target}. Copy the run folder again."
                )
    return list(models.values())


def _load_autoencoders(
    saved: SavedRun, folds: list[LoadedModel], trust: list[str], device: torch.device
) -> list[dict[str, LoadedModel]]:
    """For each of the folds of a model, feature set -> auto-encoder of its difficulty indicator."""
    pattern = (
        "weights/{}/fold_{}.safetensors" if "folds" in saved.result else "weights/{}.safetensors"
    )
    found = []
    for number, model in enumerate(folds, start=1):
        kept = {name: pattern.format(name, number) for name in model.features}
        there = {n: path for n, path in kept.items()
                 if path in saved.result["files"] and n not in saved.result["targets"]}  # fmt: skip
        found.append(
            {n: load_model_file(saved.file(path), trust, device) for n, path in there.items()}
        )
    return found


def _check_columns(package: Package, name: str, columns: list[str]) -> None:
    found = package.columns[name]
    if found == columns:
        return
    rows, trained = rows_per_frame(found), rows_per_frame(columns)
    what = f"{len(found)} columns, the model was trained on {len(columns)}"
    if rows != trained:
        what = f"{rows} rows in a frame (align=own), the model was trained on {trained}"
    elif len(found) == len(columns):
        k = next(k for k in range(len(columns)) if found[k] != columns[k])
        what = f"column {found[k]!r} where the model was trained on {columns[k]!r}"
    raise MuseError(
        f"{feature_folder(package.folder, name)}: {what}. Give the feature set of the run."
    )
