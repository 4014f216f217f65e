"""A finished run as an archive that may be given away: what prediction needs, and a model card.

The archive has the layout of a run folder, see muse.runs.folder, with the files that prediction
reads. Nothing in it names a recording, a person, a folder or a machine: results are written anew,
with those keys alone that are listed here, and settings without paths.
"""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

import muse
from muse.config.export import ExportConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.files import (
    check_free,
    checksum_of,
    digest_of,
    read_regular,
    write_file,
    write_json,
    write_text,
)
from muse.inference.card import card_of
from muse.inference.card_text import markdown
from muse.inference.onnx_model import write_onnx
from muse.inference.shared import ABOUT, ARCHIVE_FORMAT
from muse.models import is_of_muse, pretrained_files
from muse.runs.archive import write_archive
from muse.runs.find import run_folder
from muse.runs.identity import FORMAT
from muse.runs.read import SavedRun, read_run
from muse.runs.tensors import read_tensors, write_tensors
from muse.temporary import temporary_folder

PRETRAINED = "weights/pretrained"
CARD = "card.json", "MODEL_CARD.md"
# what of result.json goes into the archive; what came later does not until it is listed
OF_RESULT = ("run_id", "task", "features", "model", "metric", "synthetic", "debug", "folds",
             "train_share", "combined", "extracted", "frame_step")  # fmt: skip
OF_TARGET = ("best_seed", "best_epoch", "weights", "without_devel", "C", "standardised",
             "test_last", "over_seeds", "over_folds", "over_general", "scored_on")  # fmt: skip
SCORED = ("train", "devel", "test", "pooled", "general")
OF_SCORE = ("ccc", "pearson", "ccc_per_recording", "f1", "uar", "micro_f1", "auc", "interval",
            "confusion", "recordings", "frames", "segments")  # fmt: skip
OF_FOLD = ("fold", "seed", "epoch", "C", "inner_devel", "score", "general", "weights")
OF_SEED = ("seed", "best_epoch", "epochs", "devel", "test", "test_last", "pooled", "C")
OF_ENVIRONMENT = ("muse", "python", "torch", "numpy", "scikit-learn", "model_packages")


def export_run(config: ExportConfig) -> dict:
    """Write the archive of a finished run; returns the content of its card.json.

    Equal runs and settings give equal bytes.

    Raises:
        MuseError: a run that is damaged or unfinished; one whose predictions are no model's alone
            (a fusion) or belong to persons by name (a personalised run); an `out` that is there;
            with onnx=true a model that has no equal ONNX file.
    """
    out = path_of(config.out)
    check_free(out)
    saved = read_run(str(run_folder(config.run)))
    _check_exported(saved, config)
    with temporary_folder() as home:
        settings = _settings(saved)
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        write_text(home / "config.yaml", text)
        about = _copy_weights(saved, home)
        if config.predictions:
            _copy_predictions(saved, home)
        onnx = write_onnx(saved, home) if config.onnx else {}
        result = _result(saved, config.predictions)
        card = card_of(config, result, settings, about, onnx, saved.config.task.title)
        write_json(home / CARD[0], card)
        write_text(home / CARD[1], markdown(card))
        _finish(home, result)
        read_run(str(home))  # whatever is written can be read
        write_archive(out, _files(home))
    return card


def _check_exported(saved: SavedRun, config: ExportConfig) -> None:
    if saved.config.fusion:
        raise MuseError(
            f"{saved.folder}: a fusion reads the predictions of its members, no features, so there "
            "is no model to give away. Export each of its members."
        )
    if saved.config.personalised and not config.predictions:
        raise MuseError(
            f"{saved.folder}: a personalised run has a model for each person, who is known by the "
            "names of recordings. Export the general run that it was made from, "
            f"{saved.config.personalised.run}, or allow the names with predictions=true."
        )


def _settings(saved: SavedRun) -> dict:
    """The content of config.yaml, without what is of this machine or names recordings."""
    kept = {key: value for key, value in asdict(saved.config).items() if key != "job"}
    settings = without_paths(kept | {"model": _model(kept["model"])})
    settings["data"] = {"root": "data", "cache": "~/.cache/muse", "readers": None}
    settings |= {"device": "auto", "workers": -1, "groups": None}
    if settings["tokenizer"]:
        settings["tokenizer"] = PRETRAINED
    for origin in ("retrained", "personalised"):
        if settings[origin]:
            settings[origin]["run"] = ""
    return settings


def _model(model: dict) -> dict:
    """The settings of a model, without the folder that its first weights are from."""
    return model | ({"weights": PRETRAINED} if _begins_pretrained(model) else {})


def _begins_pretrained(model: dict) -> bool:
    """Whether a model, if it is muse's, has its first weights from a folder."""
    return is_of_muse(str(model["_target_"])) and bool(pretrained_files(model))


def without_paths(value: Any) -> Any:
    """Nested data in which of each path that leads elsewhere there is the last part alone."""
    if isinstance(value, dict):
        return {without_paths(key): without_paths(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_paths(part) for part in value]
    for kind in (PurePosixPath, PureWindowsPath) if isinstance(value, str) else ():
        if kind(value).is_absolute() or value.startswith(("~", "..")):
            return kind(value).name
    return value


def _copy_weights(saved: SavedRun, home: Path) -> dict[str, dict]:
    """Copy weights; returns what the file of each model says of it, and its parameters."""
    found = {}
    for name in saved.result["files"]:
        if not name.startswith("weights/"):
            continue
        if not name.endswith(".safetensors"):  # of a pretrained model, see keep_pretrained
            data = read_regular(saved.file(name))
            if name.endswith("/config.json"):
                content = json.loads(data)
                content.pop("_name_or_path", None)
                data = json.dumps(without_paths(content), indent=2).encode()
            write_file(home / name, partial(Path.write_bytes, data=data))
            continue
        tensors, about = read_tensors(saved.file(name))
        about = without_paths(about | {"model": _model(about["model"])})
        write_tensors(home / name, tensors, about)
        of_model = [v for key, v in tensors.items() if key.startswith("model.")]
        found[name] = about | {"parameters": sum(value.numel() for value in of_model)}
    return found


def _copy_predictions(saved: SavedRun, home: Path) -> None:
    for name in saved.result["files"]:
        if name.startswith(("predictions/", "logits/")):
            data = read_regular(saved.file(name))
            write_file(home / name, partial(Path.write_bytes, data=data))


def _result(saved: SavedRun, predictions: bool) -> dict:
    """The content of result.json, less `files` and `digest`."""
    whole = saved.result
    result = {key: whole[key] for key in OF_RESULT if key in whole}
    result["model"] = _model(whole["model"])
    data = {key: whole["data"].get(key) for key in ("digest", "partitions")}
    result["data"] = {"folder": "", **data}
    if "retrained" in whole:
        result["retrained"] = {"run": "", "run_id": whole["retrained"]["run_id"]}
    if predictions and "groups" in whole:
        result["groups"] = whole["groups"]
    used = whole.get("environment", {})
    result["environment"] = {key: used[key] for key in OF_ENVIRONMENT if key in used}
    targets = whole["targets"].items()
    result["targets"] = {t: _of_target(part, whole["metric"], predictions) for t, part in targets}
    head = {"format": FORMAT, "muse": muse.__version__, "exported": ARCHIVE_FORMAT}
    return head | without_paths(result)


def _of_target(part: dict, metric: str, predictions: bool) -> dict:
    """The part of a target."""
    kept = {key: part[key] for key in OF_TARGET if key in part}
    kept["seeds"] = [_some(row, OF_SEED) for row in part["seeds"]]
    for key in SCORED:
        if key in part:
            kept[key] = part[key] and _some(part[key], (*OF_SCORE, metric))
    if "folds" in part:
        kept["folds"] = [
            _some(row, OF_FOLD)
            | {key: row[key] if predictions else [] for key in ("recordings", "groups")}
            for row in part["folds"]
        ]
    return kept


def _some(values: dict, keys: tuple[str, ...]) -> dict:
    return {key: values[key] for key in dict.fromkeys(keys) if key in values}


def _files(home: Path) -> dict[str, Path]:
    """Name -> file of all that is in the folder."""
    found = (path for path in home.rglob("*") if path.is_file())
    return {path.relative_to(home).as_posix(): path for path in found}


def _finish(home: Path, result: dict) -> None:
    """Write result.json, with a checksum of every other file."""
    files = {name: checksum_of(path) for name, path in sorted(_files(home).items())}
    content = result | {"files": files}
    write_json(home / ABOUT, content | {"digest": digest_of(content)})
