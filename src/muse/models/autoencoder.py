"""The auto-encoder of the difficulty indicator, and its reconstruction error.

Shapes: B batch, T frames (padded on the right), F features.
"""

from torch import Tensor, nn

from muse.errors import MuseError
from muse.models.plain import PlainRecurrent


class ReconstructionError(nn.Module):
    """The mean squared error of each frame, as an auto-encoder reconstructs it.

    Difficulty indicator of Hamieh et al. 2021 (section 3.1): recurrent layers on the features and a
    feed-forward layer back to them. The error is what comes out, not the reconstruction, so that
    neither training nor prediction keeps a second copy of the features: its mean over frames is the
    loss (MSE).

    Args:
        inputs: features per frame.
        outputs: values per frame, which is the error alone.
        cell, hidden, layers, bidirectional, dropout: see `PlainRecurrent`.

    Raises:
        MuseError: as `PlainRecurrent`; ``outputs`` other than 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 1,
        cell: str = "gru",
        hidden: int = 64,
        layers: int = 4,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        if outputs != 1:
            raise MuseError(f"outputs={outputs}: a reconstruction error is one value per frame.")
        self.network = PlainRecurrent(inputs, inputs, cell, hidden, layers, bidirectional, dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, 1), undefined past each length."""
        return (self.network(features, lengths) - features).square().mean(2, keepdim=True)
