"""A trained model as a file: weights, scaling, and what is needed to build and feed it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from muse.config.fields import path_of
from muse.data.layout import is_name
from muse.data.rows import rows_per_frame
from muse.data.windows import Scaling
from muse.errors import MuseError
from muse.files import read_bytes, write_file
from muse.models import build_model, check_trusted, is_of_muse, pretrained_files
from muse.runs.tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be used again, and what it expects."""

    model: nn.Module
    targets: list[str]
    features: dict[str, list[str]]  # feature set -> names of its columns, in the model's order
    scaling: Scaling
    about: dict  # all that the file says of it, see `save_model_file`


def save_model_file(path: Path, weights: dict[str, Tensor], scaling: Scaling, about: dict) -> None:
    """Save weights as `model.NAME` and the scaling as `input.mean`, `input.scale`.

    Args:
        about: task, model (its settings), targets, classes, features (name -> columns),
            standardised (feature sets) and seed, as `load_model_file` reads them.
    """
    tensors = {f"model.{name}": value for name, value in weights.items()}
    tensors["input.mean"] = torch.from_numpy(scaling.mean)
    tensors["input.scale"] = torch.from_numpy(scaling.scale)
    write_tensors(path, tensors, about)


def keep_pretrained(folder: Path, model: dict, tokenizer: str | None) -> None:
    """Copy what a trained model needs of the folder that it had its first weights from.

    That is its architecture, a JSON file, and its tokenizer, if there are any.
    """
    files = [path for path in pretrained_files(model) if path.suffix == ".json"]
    for path in [*files, *([path_of(tokenizer) / "tokenizer.json"] if tokenizer else [])]:
        write_file(folder / path.name, partial(Path.write_bytes, data=read_bytes(path)))


def load_model_file(
    path: Path, trust: list[str], device: torch.device, pretrained: Path | None = None
) -> LoadedModel:
    """Build the model of a file and fill in its weights; nothing in the file is executed.

    Args:
        trust: classes outside muse that may be built, as `package.module.Class`.
        pretrained: the folder of `keep_pretrained`, if there is one.

    Raises:
        MuseError: a damaged or foreign file, a class that is neither muse's nor in ``trust``.
    """
    tensors, about = read_tensors(path)
    weights = {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
    try:
        model, targets, features = dict(about["model"]), list(about["targets"]), about["features"]
        inputs = {name: len(columns) for name, columns in features.items()}
        rows = {name: rows_per_frame(columns) for name, columns in features.items()}
        width = sum(inputs.values())
        classes = about["classes"]  # of each target, or target -> number
        counts = [classes[t] if isinstance(classes, dict) else classes for t in targets]
        outputs = sum(max(1, count) for count in counts)
        mean, scale = tensors["input.mean"].numpy(), tensors["input.scale"].numpy()
        usable = all(map(is_name, [*targets, *features])) and mean.shape == scale.shape == (width,)
        usable &= not any(inputs[name] % count for name, count in rows.items())
    except (KeyError, TypeError, AttributeError, IndexError):
        usable = False
    if not usable:
        raise MuseError(f"{path}: no weights of `muse train`; expected a file of its weights/.")
    check_trusted(path, str(model.get("_target_")), trust)
    if pretrained and pretrained_files(model):
        model["weights"] = str(pretrained)
    _check_shapes(path, (model, inputs, outputs, rows), weights)
    built = build_model(model, inputs, outputs, rows)
    try:
        built.load_state_dict(weights)
    except RuntimeError as error:
        raise MuseError(f"{path}: the weights do not fit {model['_target_']} ({error}).") from None
    return LoadedModel(built.to(device), targets, features, Scaling(mean, scale), about)


def _check_shapes(path: Path, model: tuple, weights: dict[str, Tensor]) -> None:
    """Raise if the weights are not those of the model; no memory is taken for a model of muse.

    Args:
        model: the arguments of `build_model`.
    """
    if not is_of_muse(str(model[0]["_target_"])):
        return
    try:
        with torch.device("meta"):
            expected = build_model(*model).state_dict()
    except (TypeError, ValueError, RuntimeError) as error:
        raise MuseError(f"{path}: its model cannot be built ({error}).") from None
    for name in sorted(set(expected) | set(weights)):
        here, there = (tuple(w[name].shape) if name in w else "none" for w in (weights, expected))
        if here != there:
            raise MuseError(
                f"{path}: {name} is {here}, the model needs {there}. Copy the run folder again."
            )
