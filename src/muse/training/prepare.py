"""The models of a run: which targets each has, and their data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from muse.config.train import TrainConfig
from muse.data.layout import (
    FeaturePlan,
    expand_features,
    find_package,
    is_standardised,
    plan_features,
)
from muse.data.recordings import Package, load_package
from muse.data.split import split_test
from muse.data.windows import Frames, Scaling, fit_scaling, to_frames
from muse.errors import MuseError
from muse.files import checksum, digest_of, read_bytes
from muse.fusion.beside import plan_fusion, standardised_in_members
from muse.fusion.members import load_members
from muse.models import pretrained_files, source_of
from muse.runs.identity import run_id
from muse.runs.weights import LoadedModel
from muse.training.folds import take_share, used_groups


@dataclass(frozen=True)
class ModelPlan:
    """One model to train: a single target, or all of them with joint=true."""

    targets: list[str]
    standardised: list[str]  # feature sets
    scaling: Scaling
    frames: dict[str, Frames]  # per partition; labels of the model's targets only
    labelled: dict[str, list[str]]  # target -> partitions in which every recording has labels
    features: dict[str, list[str]]  # feature set -> its columns, in the order of the inputs
    autoencoders: dict[str, LoadedModel]  # of the difficulty indicators that were computed
    start: dict[str, Tensor] | None = None  # weights to begin with, of a general model

    @property
    def name(self) -> str:
        """The targets in one word."""
        return "+".join(self.targets)


def load_inputs(config: TrainConfig) -> Package:
    """What the models of a run read: a package, or the predictions of a fusion's members.

    In the place of a difficulty indicator are the feature sets that it is computed from, see
    `muse.training.difficulty.with_difficulty`.
    """
    if config.fusion:
        return take_share(config, load_members(config))
    folder = find_package(config.task, config.data.root)
    package = load_package(
        config.task,
        config.targets,
        plan_features(config.features, config.feature_sets, folder).read,
        {},
        config.data,
        config.missing,
        recordings=config.recordings,
        storage=config.storage,
        align=config.align,
        tokenizer=config.tokenizer,
        length=config.window,
    )
    return take_share(config, split_test(config.split, package))


def groups_of(config: TrainConfig) -> list[list[str]]:
    """The targets of each model."""
    return [config.targets] if config.joint else [[target] for target in config.targets]


def plan_inputs(config: TrainConfig, package: Package) -> FeaturePlan:
    """The feature sets that the models of a run read; for a fusion its members are some of them.

    Raises MuseError for feature sets that the package does not have.
    """
    if config.fusion and config.beside:
        return plan_fusion(config)
    if not config.has_indicator:
        return FeaturePlan(package.features, {})
    return plan_features(config.features, config.feature_sets, package.folder)


def standardised_sets(config: TrainConfig, package: Package) -> dict[str, list[str]]:
    """Target -> feature sets that are standardised for it; also those behind an indicator.

    The members of a fusion are predictions, on the scale of the gold standard: what is known of the
    feature set that a member is named after does not hold for them. A feature set beside them is
    standardised if it is in the member that reads it.

    Raises MuseError if `standardise` names a feature set that is not used.
    """
    override = config.standardise
    plan = plan_inputs(config, package)
    names = list(dict.fromkeys([*plan.names, *plan.read]))
    if isinstance(override, list):
        override = expand_features(override, config.feature_sets)
        for name in override:
            if name not in names:
                used = ", ".join(names)
                raise MuseError(
                    f"standardise: {name} is not among the features ({used}); expected some of "
                    "them, true or false."
                )
    known = standardised_in_members(config) if config.fusion and override is None else {}
    return {
        target: [
            name
            for name in names
            if known.get(
                name,
                is_standardised(name, config.task.name, group, config.feature_sets, override),
            )
        ]
        for group in groups_of(config)
        for target in group
    }


def id_of(config: TrainConfig, package: Package) -> str:
    """The run id of settings and data, see `muse.runs.identity.run_id`."""
    features = plan_inputs(config, package).names
    standardised = standardised_sets(config, package)
    if files := pretrained_files(config.model):
        gone = "model.weights is the folder of the weights that training begins with."
        sums = {path.name: checksum(read_bytes(path, gone)) for path in files}
        config = replace(config, model=config.model | {"weights": digest_of(sums)})
    source = source_of(str(config.model["_target_"]))
    groups = used_groups(config, package)
    return run_id(config, features, standardised, package.digest, source, groups)


def checkpoint_ids(config: TrainConfig, package: Package) -> tuple[str, str]:
    """What the checkpoints of a run are marked with: all that what they hold depends on.

    These are the settings of the run id but those that say how long, how often and what for models
    are trained. The second id is the run id itself, with which checkpoints were marked before.
    """
    epochs = 1 if config.warmup is None else config.epochs  # the learning rates depend on them
    each = replace(config, epochs=epochs, patience=1, seeds=[0], crossfit=0, bootstrap=0)
    return id_of(each, package), id_of(config, package)


def plan_models(
    config: TrainConfig,
    package: Package,
    device: torch.device,
    general: Sequence[LoadedModel] = (),
) -> list[ModelPlan]:
    """The models to train, with their data on the device (shared where the scaling is the same).

    Everything that is fitted on data is fitted on train of ``package``, which may be a fold.

    Args:
        general: models to go on from, with their scaling; none: all is fitted anew.

    Raises MuseError as `standardised_sets`.
    """
    standardised = standardised_sets(config, package)
    windows = (config.window, config.hop) if config.standardise_over == "windows" else None
    shared: dict[tuple, tuple] = {}
    plans = []
    for number, group in enumerate(groups_of(config)):
        chosen = tuple(standardised[group[0]])
        if chosen not in shared:
            scaling = (
                general[number].scaling if general else fit_scaling(package, list(chosen), windows)
            )
            frames = {
                p: to_frames(package, p, config.targets, scaling, device)
                for p in package.partitions
            }
            shared[chosen] = scaling, frames
        scaling, frames = shared[chosen]
        columns = [config.targets.index(target) for target in group]
        own = {p: replace(f, labels=f.labels[:, columns], targets=group) for p, f in frames.items()}
        labelled = {t: [p for p in package.partitions if package.labelled(p, t)] for t in group}
        features = {name: package.columns[name] for name in package.features}
        start = general[number].model.state_dict() if general else None
        plans.append(
            ModelPlan(
                *(group, list(chosen), scaling, own, labelled, features),
                *(package.autoencoders, start),
            )
        )
    return plans
