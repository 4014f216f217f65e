"""Difficulty indicators: how badly an auto-encoder reconstructs each frame of a feature set.

Hamieh et al. 2021, Multi-modal Fusion for Continuous Emotion Recognition by Using Auto-Encoders,
sections 3.1 and 4.3. The auto-encoder is fitted on train and stopped on devel; the indicator of a
frame is the mean over features of its squared reconstruction error.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from muse.config.difficulty import AutoencoderConfig
from muse.config.train import TrainConfig
from muse.data.recordings import Package, Recording
from muse.data.windows import to_frames
from muse.errors import MuseError
from muse.runs.weights import LoadedModel, save_model_file
from muse.training.autoencoder import fitted
from muse.training.model import predict
from muse.training.prepare import plan_inputs, standardised_sets

PROVENANCE = "difficulty.json"  # in a folder of `muse difficulty`: how it was made


def with_difficulty(config: TrainConfig, package: Package, device: torch.device) -> Package:
    """The package with the difficulty indicators that the config asks for and no folder has.

    Nothing but the package counts: auto-encoders are fitted on its train and stopped on its devel.

    Returns the package with the feature sets of the models, in the order of the config; those that
    only an indicator is computed from are left out. `autoencoders` has the model of each indicator.

    Raises:
        MuseError: a feature set that is standardised for some of the targets only; training that
            has diverged.
    """
    plan = plan_inputs(config, package)
    if config.crossfit or config.folds:
        _check_not_fitted(config.sets, package.folder)
    if plan.names == package.features:
        return package
    models = fit_autoencoders(config, config.difficulty, package, plan.computed, device)
    return add_indicators(package, plan.names, models, device)


def _check_not_fitted(names: list[str], folder: Path) -> None:
    """Raise MuseError for an indicator in the package: its auto-encoder has seen every fold."""
    for name in names:
        path = folder / "feature_segments" / name / PROVENANCE
        if path.is_file():
            raise MuseError(
                f"{path.parent}: its auto-encoder was fitted on all of train, so on recordings "
                "that the folds hold out. Remove the folder: muse then fits one for each fold."
            )


def fit_autoencoders(
    config: TrainConfig,
    settings: AutoencoderConfig | None,
    package: Package,
    computed: dict[str, list[str]],
    device: torch.device,
) -> dict[str, LoadedModel]:
    """The auto-encoder of each indicator, from the cache where it has been fitted before.

    Args:
        config: of what reads the indicators: windows, standardisation and arithmetic are its.
        computed: indicator -> feature sets of the package that it is computed from.
    """
    if computed and settings is None:
        raise MuseError("difficulty=null: expected the settings of the auto-encoder.")
    of_targets = standardised_sets(config, package)
    models = {}
    for name, sets in computed.items():
        if name in config.targets:  # both have weights/NAME.safetensors
            raise MuseError(f"features: {name} is the name of a target.")
        choices = {t: [s for s in sets if s in chosen] for t, chosen in of_targets.items()}
        standardised, *others = choices.values()
        if any(other != standardised for other in others):
            words = "; ".join(
                f"{t}: {', '.join(chosen) or 'none'}" for t, chosen in choices.items()
            )
            raise MuseError(
                f"{name}: the targets do not have the same inputs standardised ({words}), but one "
                "auto-encoder is fitted for all. Give one target (target=NAME, or "
                f"-m target={','.join(choices)}), or standardise=true or false."
            )
        base = select_sets(package, sets)
        models[name] = fitted(config, settings, base, name, standardised, device)
    return models


def select_sets(package: Package, sets: list[str]) -> Package:
    """The package with these of its feature sets alone."""
    places = [package.features.index(name) for name in sets]

    def of(recording: Recording) -> Recording:
        features = [recording.features[k] for k in places]
        return replace(recording, features=features, missing=[recording.missing[k] for k in places])

    partitions = {p: [of(r) for r in group] for p, group in package.partitions.items()}
    columns = {name: package.columns[name] for name in sets}
    return replace(package, features=sets, columns=columns, partitions=partitions)


def add_indicators(
    package: Package, names: list[str], models: dict[str, LoadedModel], device: torch.device
) -> Package:
    """The package with the feature sets ``names``, those of ``models`` computed.

    An indicator is an array (rows of the files, 1) float32; rows that are not used are 0.
    """
    computed = {name: _indicator(package, model, device) for name, model in models.items()}
    columns = {name: [name] if name in models else package.columns[name] for name in names}

    def of(recording: Recording) -> Recording:
        features, missing = [], []
        for name in names:
            k = None if name in models else package.features.index(name)
            own = computed[name][recording.id] if k is None else recording.features[k]
            features.append(own)
            missing.append(0 if k is None else recording.missing[k])
        return replace(recording, features=features, missing=missing)

    partitions = {p: [of(r) for r in group] for p, group in package.partitions.items()}
    return replace(
        package, features=names, columns=columns, partitions=partitions, autoencoders=models
    )


def save_autoencoders(
    folder: Path, models: dict[str, LoadedModel], name: str = "{}.safetensors"
) -> None:
    """Write the auto-encoder of each indicator; ``name`` of its file, with {} for the indicator."""
    for indicator, model in models.items():
        path = folder / name.format(indicator)
        save_model_file(path, model.model.state_dict(), model.scaling, model.about)


def _indicator(package: Package, model: LoadedModel, device: torch.device) -> dict[str, np.ndarray]:
    """Recording -> (rows of the files, 1) float32."""
    base = select_sets(package, list(model.features))
    found = {}
    for partition, recordings in base.partitions.items():
        frames = to_frames(base, partition, [], model.scaling, device)
        errors = predict(model.model, frames)  # (frames, 1)
        for recording, (_, start, end) in zip(recordings, frames.recordings, strict=True):
            whole = np.zeros((len(recording.features[0]), 1), np.float32)
            whole[recording.rows] = errors[start:end]
            found[recording.id] = whole
    return found
