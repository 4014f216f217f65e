"""The model of a config: built for its data, and what it predicts of them.

Shapes: B samples, T frames, F features, O outputs (targets, or targets times classes).
"""

import numpy as np
import torch
from torch import Tensor, nn

from muse.config.train import TrainConfig
from muse.data.heads import head_of
from muse.data.windows import Frames, collate, group_by_length
from muse.models import build_model

CELLS_AT_ONCE = 2**25  # values (frames x features) that are predicted at once
LEAST_WIDTH = 256  # features that a frame counts as at least: layers are wider than some inputs


def new_model(config: TrainConfig, frames: Frames) -> nn.Module:
    """The model of a config for the features and targets of ``frames``, on their device."""
    outputs = sum(outputs_of(config, frames))
    model = build_model(config.model, frames.inputs, outputs, frames.rows)
    return model.to(frames.features.device)


def outputs_of(config: TrainConfig, frames: Frames) -> list[int]:
    """The number of outputs of each target of a model."""
    return head_of(config.task, targets=frames.targets).outputs


def predict(model: nn.Module, frames: Frames) -> np.ndarray:
    """Predict every sample (recording, or segment in Sent) as a whole: (frames, O) float32."""
    model.eval()
    width = max(LEAST_WIDTH * frames.most_rows, frames.features.shape[1])
    outputs: Tensor | None = None
    with torch.inference_mode():
        for chosen in group_by_length(frames.samples, CELLS_AT_ONCE, width):
            features, _, lengths = collate(frames, chosen)  # (B, T, F), (B,)
            result = model(features, lengths)  # (B, T, O)
            if outputs is None:
                outputs = result.new_zeros(len(frames.labels) - 1, result.shape[2])
            for (start, length), row in zip(chosen.tolist(), result, strict=True):
                outputs[start : start + length] = row[:length]
    return outputs.cpu().numpy()


def copy_on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy of a model's weights that further training leaves as it is."""
    return {name: weight.detach().cpu().clone() for name, weight in weights.items()}
