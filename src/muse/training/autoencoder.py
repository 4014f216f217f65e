"""The auto-encoder behind a difficulty indicator: fitted once, kept in the cache.

<cache>/difficulty/<key>.safetensors   weights and scaling, with a checksum
                        .checkpoint    of a fit that is not finished
                        .lock          held by the process that fits

What is damaged is made again. The folder may be deleted.
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
from muse.data.recordings import Package
from muse.data.windows import Frames, fit_scaling, to_frames
from muse.errors import MuseError
from muse.runs.tensors import read_tensors
from muse.runs.weights import LoadedModel, load_model_file, save_model_file
from muse.training.checkpoint import Checkpoint
from muse.training.loop import train_seed
from muse.training.model import new_model

log = logging.getLogger(__name__)

MODEL = "muse.models.autoencoder.ReconstructionError"
FORMAT = 2  # raise it when equal settings and data give another indicator
LR_FACTOR, LR_FLOOR = 0.5, 1e-5  # of the learning rate when devel has not improved


def fitted(
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
        name_of_seed = f"seed_{settings.seed}"
        checkpoint = Checkpoint(
            path.with_suffix(".checkpoint"), (key,), "auto-encoder", name_of_seed
        )
        found = _fit(config, settings, base, name, standardised, device, checkpoint)
        with suppress(MuseError, OSError):  # a cache that may only be read costs time, nothing else
            save_model_file(path, found.model.state_dict(), found.scaling, found.about)
            checkpoint.path.unlink(missing_ok=True)
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
    frames = {p: _to_be_zero(to_frames(base, p, [], scaling, device)) for p in base.partitions}
    training, started = _training_of(config, settings), time.perf_counter()
    with terminal.bar(total=settings.epochs, desc=name, unit="epoch") as bar:
        try:
            done = train_seed(
                training,
                frames["train"],
                frames["devel"],
                lambda errors: -float(errors.mean(dtype=np.float64)),
                settings.seed,
                lambda _: bar.update(),
                _usable(checkpoint),
            )
        except MuseError as error:
            raise MuseError(f"auto-encoder of {name} (settings difficulty.*): {error}") from None
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
        "key": checkpoint.ids[0],
    }
    found = LoadedModel(model, about["targets"], base.columns, scaling, about)
    log.info("%s: %s, %.1f s", name, describe(found), time.perf_counter() - started)
    return found


def _to_be_zero(frames: Frames) -> Frames:
    """The frames with labels of 0: the model gives the error itself."""
    labels = torch.zeros(len(frames.features), 1, device=frames.labels.device)
    return replace(frames, labels=labels, targets=["difficulty"])


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
        lr_on="devel",
        loss_over="window",
        class_weights=None,
        warmup=None,
        clip=None,
        noise=0.0,
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


def _usable(checkpoint: Checkpoint) -> Checkpoint | None:
    """The checkpoint; None in a cache that may only be read. A damaged file is removed."""
    if not os.access(checkpoint.path.parent, os.W_OK):
        return None
    try:
        read_tensors(checkpoint.path)
    except MuseError:
        checkpoint.path.unlink(missing_ok=True)
    return checkpoint


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
