"""Difficulty indicators: how badly an auto-encoder reconstructs each frame of a feature set.

Hamieh et al. 2021, Multi-modal Fusion for Continuous Emotion Recognition by Using Auto-Encoders,
sections 3.1 and 4.3. The auto-encoder is fitted on train and stopped on devel; the indicator of a
frame is the mean over features of its squared reconstruction error.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from muse import terminal
from muse.config.difficulty import AutoencoderConfig
from muse.config.fields import path_of
from muse.config.train import TrainConfig
from muse.data.recordings import Package, Recording
from muse.data.windows import fit_scaling, to_frames
from muse.errors import MuseError
from muse.runs.tensors import read_tensors
from muse.runs.weights import LoadedModel, load_model_file, save_model_file
from muse.training.checkpoint import Checkpoint
from muse.training.loop import new_model, predict, train_seed
from muse.training.prepare import plan_inputs, standardised_sets

log = logging.getLogger(__name__)

MODEL = "muse.models.autoencoder.ReconstructionError"
PROVENANCE = "difficulty.json"  # in a folder of `muse difficulty`: how it was made
FORMAT = 1  # raise it when equal settings and data give another indicator
LR_FACTOR, LR_FLOOR = 0.5, 1e-5  # of the learning rate when devel has not improved


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
    if config.crossfit:
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
                f"{path.parent}: its auto-encoder was fitted on all of train, so on the recordings "
                "of every fold. Train without folds (crossfit=0)."
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
        raise MuseError("difficulty=null: expected the settings of the auto-encoder, or none.")
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
        models[name] = _fitted(config, settings, base, name, standardised, device)
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


def save_autoencoders(folder: Path, package: Package) -> None:
    """weights/difficulty_X.safetensors of a run folder, for each indicator that was computed."""
    for name, model in package.autoencoders.items():
        path = folder / "weights" / f"{name}.safetensors"
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


def _fitted(
    config: TrainConfig,
    settings: AutoencoderConfig,
    base: Package,
    name: str,
    standardised: list[str],
    device: torch.device,
) -> LoadedModel:
    """The auto-encoder of the feature sets of ``base``, from the cache if it is there."""
    # in whatever order they come, a package's or a fusion's: equal data, equal auto-encoder
    order = {
        p: sorted(base.partitions[p], key=lambda r: (len(r.id), r.id)) for p in ("train", "devel")
    }
    base = replace(base, partitions=order)
    key = _key(config, settings, base, standardised)
    path = path_of(config.data.cache) / "difficulty" / f"{key}.safetensors"
    with _alone(path):
        with suppress(MuseError):  # it is not there, or damaged
            found = load_model_file(path, [], device)
            if found.about.get("key") == key:
                log.info("%s: %s, fitted before", name, describe(found))
                return found
        found = _fit(config, settings, base, name, standardised, device, Checkpoint(
            path.with_suffix(".checkpoint"), key, "auto-encoder", f"seed_{settings.seed}"
        ))  # fmt: skip
        found.about["key"] = key
        with suppress(MuseError):  # a cache that may only be read costs time, nothing else
            save_model_file(path, found.model.state_dict(), found.scaling, found.about)
    return found


def _fit(
    config: TrainConfig,
    settings: AutoencoderConfig,
    base: Package,
    name: str,
    standardised: list[str],
    device: torch.device,
    checkpoint: Checkpoint,
) -> LoadedModel:
    """Train an auto-encoder on train of ``base`` and keep the epoch that is best on devel."""
    windows = (config.window, config.hop) if config.standardise_over == "windows" else None
    scaling = fit_scaling(base, standardised, windows)
    frames = {}
    for partition in base.partitions:
        own = to_frames(base, partition, [], scaling, device)
        # the model gives the error itself, which is to become 0
        nothing = torch.zeros(len(own.features), 1, device=device)
        frames[partition] = replace(own, labels=nothing)
    training = _training_of(config, settings)
    started = time.perf_counter()
    writable = os.access(checkpoint.path.parent, os.W_OK)
    if writable:
        _drop_damaged(checkpoint.path)
    with terminal.bar(total=settings.epochs, desc=name, unit="epoch") as bar:
        try:
            done = train_seed(
                training,
                frames["train"],
                frames["devel"],
                lambda errors: -float(errors.mean(dtype=np.float64)),
                settings.seed,
                lambda _: bar.update(),
                checkpoint if writable else None,
            )
        except MuseError as error:
            raise MuseError(f"auto-encoder of {name}: {error}") from None
    checkpoint.path.unlink(missing_ok=True)
    model = new_model(training, frames["train"])
    model.load_state_dict(done.weights)
    about = {
        "task": config.task.name,
        "model": training.model,
        "targets": ["difficulty"],
        "classes": 0,
        "features": base.columns,
        "standardised": standardised,
        "seed": settings.seed,
        "settings": asdict(settings),
        "devel": -done.devel,
        "best_epoch": done.best_epoch,
        "epochs": done.epochs,
    }
    found = LoadedModel(model, about["targets"], base.columns, scaling, about)
    log.info("%s: %s, %.1f s", name, describe(found), time.perf_counter() - started)
    return found


def describe(model: LoadedModel) -> str:
    """How well an auto-encoder fits, in words."""
    return "auto-encoder with devel MSE {devel:.4f} in epoch {best_epoch} of {epochs}".format(
        **model.about
    )


def _training_of(config: TrainConfig, settings: AutoencoderConfig) -> TrainConfig:
    """The training of the auto-encoder: windows and arithmetic of ``config``, else ``settings``.

    The loss is the mean over frames of the error (`l1` to labels of 0): the MSE.
    """
    own = asdict(settings)
    names = ("cell", "hidden", "layers", "bidirectional", "dropout")
    return replace(
        config,
        task=replace(config.task, classes=0, loss="mse", metric="ccc"),
        model={"_target_": MODEL} | {name: own[name] for name in names},
        loss="l1",
        lr=settings.lr,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        patience=settings.patience,
        lr_patience=settings.lr_patience,
        lr_factor=LR_FACTOR,
        lr_floor=LR_FLOOR,
        weight_decay=0.0,
    )


def _key(
    config: TrainConfig, settings: AutoencoderConfig, base: Package, standardised: list[str]
) -> str:
    """A name for the numbers of an auto-encoder: equal settings and data give an equal key.

    The data are the rows of train and devel that are used, and the content of their files.
    """
    data = hashlib.blake2b(digest_size=16)
    for partition, recordings in base.partitions.items():
        for recording in recordings:
            data.update(f"{partition} {len(recording.rows)} {len(recording.samples)}".encode())
            data.update(recording.rows.astype("<i8").tobytes())
            data.update(recording.samples.astype("<i8").tobytes())
            for values in recording.features:
                data.update(f"{values.shape} {_content(values)}".encode())
    used = [config.window, config.hop, config.standardise_over, config.precision, config.threads]
    known = [FORMAT, asdict(settings), used, base.columns, standardised, data.hexdigest()]
    return hashlib.blake2b(json.dumps(known).encode(), digest_size=16).hexdigest()


def _content(values: np.ndarray) -> str:
    """A digest of a recording's features: files of the cache are named after their content."""
    if isinstance(values, np.memmap):
        return Path(values.filename).name
    return hashlib.blake2b(np.ascontiguousarray(values), digest_size=16).hexdigest()


def _drop_damaged(checkpoint: Path) -> None:
    """A damaged checkpoint is removed: the cache may be deleted at any time."""
    try:
        read_tensors(checkpoint)
    except MuseError:
        checkpoint.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from fitting the same at once: they wait, then find it.

    The system lifts the lock when a process dies.
    """
    lock = FileLock(path.with_suffix(".lock"))
    with suppress(OSError, NotImplementedError):  # read-only, or a file system without locks
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
