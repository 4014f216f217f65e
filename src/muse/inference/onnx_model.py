"""A trained model as an ONNX file: raw features in, what the model gives for each frame out.

PyTorch traces the model (its TorchScript exporter: that by `torch.export` fixes the number of
frames of a recurrent layer). A trace keeps what Python has decided for one batch, so each file is
compared with the model on batches of other sizes before it is kept.
"""

import io
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from muse.errors import MuseError
from muse.files import write_file
from muse.models import is_of_muse, pretrained_files
from muse.runs.read import SavedRun
from muse.runs.weights import LoadedModel, load_model_file

OPSET = 18
WITHOUT = "Export without onnx=true."
INPUTS, OUTPUT = ("features", "lengths"), "outputs"
TOLERANCE = 1e-5  # of outputs, and of their size where that is above 1
TRACED = [11, 7, 4]  # frames of each sequence of the batch that is traced
COMPARED = [[1], [23, 2, 9, 23, 1], [5, 300]]  # of the batches on which both are compared


class _Raw(nn.Module):
    """A model with its scaling in front, and zeros past each length."""

    def __init__(self, loaded: LoadedModel):
        super().__init__()
        self.model = loaded.model
        self.register_buffer("mean", torch.from_numpy(loaded.scaling.mean))
        self.register_buffer("scale", torch.from_numpy(loaded.scaling.scale))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F) float32, lengths (B,) int64 -> (B, T, O) float32."""
        x = (features - self.mean) / self.scale
        past = (torch.arange(x.shape[1]) >= lengths[:, None])[..., None]  # (B, T, 1)
        x = x.masked_fill(past | x.isnan(), 0.0)  # as muse.data.windows
        return self.model(x, lengths).masked_fill(past, 0.0)


def write_onnx(saved: SavedRun, home: Path) -> dict[str, str]:
    """Write the ONNX file of each model of a run that predicts, below ``home``.

    Returns ONNX file -> file of weights.

    Raises:
        MuseError: without the extra `onnx`; a model that cannot be exported, with the reason.
    """
    model = saved.config.model
    target = str(model["_target_"])
    reason = ""
    if not is_of_muse(target):
        reason = f"is of the class {target}, which is not one of muse's"
    elif pretrained_files(model):
        reason = "reads words, and its tokenizer is no part of an ONNX file"
    elif computed := [name for name in saved.result["features"] if _is_computed(saved, name)]:
        reason = f"reads {computed[0]}, which an auto-encoder computes from other features"
    if reason:
        raise MuseError(f"onnx=true: {saved.folder} {reason}. {WITHOUT}")
    _import_onnx()
    parts = saved.result["targets"].values()
    rows = [row for part in parts for row in (part, *part.get("folds", []))]
    found = {}
    for name in dict.fromkeys(row["weights"] for row in rows if row["weights"]):
        loaded = load_model_file(saved.file(name), [], torch.device("cpu"))
        data = onnx_bytes(str(saved.folder / name), loaded)
        own = str(Path("onnx", *Path(name).parts[1:]).with_suffix(".onnx"))
        write_file(home / own, partial(Path.write_bytes, data=data))
        found[own] = name
    return found


def _is_computed(saved: SavedRun, feature: str) -> bool:
    """Whether a feature set is a difficulty indicator that the run computes."""
    files = saved.result["files"]
    there = (f"weights/{feature}.safetensors", f"weights/{feature}/fold_1.safetensors")
    return feature not in saved.result["targets"] and any(name in files for name in there)


def onnx_bytes(name: str, loaded: LoadedModel) -> bytes:
    """The ONNX file of a model of muse, which is on the CPU.

    Its inputs are `features` (batch, frames, columns of all feature sets side by side), float32, as
    they are in the package, NaN allowed, and `lengths` (batch,), int64; the largest length is the
    number of frames. Its output is `outputs` (batch, frames, outputs), 0 past each length.

    Args:
        name: what errors call the model.

    Raises MuseError if it cannot be exported, with the reason.
    """
    model = _Raw(loaded).eval()
    file = io.BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the trace keeps; it is compared below
            torch.onnx.export(
                model,
                _batch(loaded, TRACED),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes={
                    "features": {0: "batch", 1: "frames"},
                    "lengths": {0: "batch"},
                    OUTPUT: {0: "batch", 1: "frames"},
                },
            )
        worst = max(_difference(model, file.getvalue(), _batch(loaded, b)) for b in COMPARED)
    except Exception as error:  # of PyTorch, onnx or onnxruntime, by whatever name
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MuseError(_refused(name, loaded, reason)) from None
    if not worst <= TOLERANCE:
        raise MuseError(_refused(name, loaded, f"its outputs differ by up to {worst:.1e}"))
    return file.getvalue()


def _batch(loaded: LoadedModel, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Features as they may be in a package, of sequences of these lengths, and the lengths."""
    mean, scale = loaded.scaling.mean, loaded.scaling.scale
    random = np.random.default_rng(len(lengths)).normal(
        size=(len(lengths), max(lengths), len(mean))
    )
    return torch.from_numpy((random * scale + mean).astype(np.float32)), torch.tensor(lengths)


def _difference(model: nn.Module, file: bytes, batch: tuple[Tensor, Tensor]) -> float:
    """The largest difference of outputs, over their size where that is above 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # an error is raised as well
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in zip(INPUTS, batch, strict=True)}
    with torch.no_grad():
        expected = model(*batch).numpy()
    (found,) = session.run([OUTPUT], given)
    return float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))


def _refused(name: str, loaded: LoadedModel, reason: str) -> str:
    kind = type(loaded.model).__name__
    return f"onnx=true: {name}, a model {kind}, has no equal ONNX file ({reason}). {WITHOUT}"


def _import_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MuseError(
            f"onnx=true needs the package {error.name}; install it with: pip install 'muse[onnx]'"
        ) from None
