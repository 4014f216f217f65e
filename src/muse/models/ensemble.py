"""Fusion without training: the mean of the members' predictions, weighted or not."""

import torch
from torch import Tensor, nn

from muse.errors import MuseError


class WeightedMean(nn.Module):
    """Mean of the predictions of several models; with classes, of their class probabilities.

    Args:
        inputs: values per frame, those of the first member, then those of the second, ...
        outputs: values per frame that each member gives; above 1 they are logits of classes.
        weights: one per member, 0 or above; they are divided by their sum.

    Raises:
        MuseError: weights that do not fit the inputs, or of which none is above 0.
    """

    def __init__(self, inputs: int, outputs: int, weights: list[float]):
        super().__init__()
        if len(weights) * outputs != inputs or min(weights) < 0 or not sum(weights) > 0:
            raise MuseError(
                f"model.weights={list(weights)}: expected {inputs // outputs} numbers of 0 or more "
                "with a sum above 0."
            )
        self.outputs = outputs
        self.register_buffer("weights", torch.tensor(weights) / sum(weights))  # (members,)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, members * O), lengths (B,) -> (B, T, O)."""
        members = features.reshape(*features.shape[:2], -1, self.outputs)  # (B, T, members, O)
        if self.outputs > 1:
            members = members.softmax(-1)
        mean = torch.einsum("btmo,m->bto", members, self.weights)
        # a probability may be too small for its type: logits stay finite
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log() if self.outputs > 1 else mean
