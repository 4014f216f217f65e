"""The auto-encoder of the difficulty indicator, and its reconstruction error.

Shapes: B batch, T frames (padded on the right), F features, H hidden.
"""

from torch import Tensor, nn

from muse.errors import MuseError
from muse.models.checks import check_dropout, check_sizes
from muse.models.products import linear
from muse.models.recurrent import CELLS, Bidirectional, recur


class ReconstructionError(nn.Module):
    """The mean squared error of each frame, as an auto-encoder reconstructs it.

    Difficulty indicator of Hamieh et al. 2021 (section 3.1): recurrent layers on the features and a
    feed-forward layer back to them. The error is what comes out, not the reconstruction, so that
    neither training nor prediction keeps a second copy of the features: its mean over frames is the
    loss (MSE).

    Args:
        inputs: features per frame.
        outputs: values per frame, which is the error alone.
        cell: lstm or gru.
        hidden: hidden size, per direction.
        layers: number of recurrent layers.
        bidirectional: also read each recording from its end.
        dropout: probability, between recurrent layers.

    Raises:
        MuseError: an unknown cell, a size below 1, a dropout outside 0 to 1.
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
        self.network = _Network(inputs, cell, hidden, layers, bidirectional, dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, 1), undefined past each length."""
        return (self.network(features, lengths) - features).square().mean(2, keepdim=True)


class _Network(nn.Module):
    """Recurrent layers and one linear layer back to as many values as there are inputs."""

    def __init__(
        self,
        inputs: int,
        cell: str,
        hidden: int,
        layers: int,
        bidirectional: bool,
        dropout: float,
    ):
        super().__init__()
        if cell not in CELLS:
            raise MuseError(f"cell={cell}: expected one of {', '.join(CELLS)}.")
        check_sizes(hidden=hidden, layers=layers)
        check_dropout(dropout)
        self.bidirectional = bidirectional
        if bidirectional:
            self.encoder = Bidirectional(CELLS[cell], hidden, layers, dropout)
            for cells in (self.encoder.ahead, self.encoder.back):
                cells[0] = CELLS[cell](inputs, hidden)  # the features themselves, no projection
        else:
            between = dropout if layers > 1 else 0.0
            self.encoder = CELLS[cell](inputs, hidden, layers, dropout=between)
        self.output = nn.Linear(hidden * (2 if bidirectional else 1), inputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, F), undefined past each length."""
        x = features.transpose(0, 1)  # (T, B, F)
        x = self.encoder(x, lengths) if self.bidirectional else recur(self.encoder, x)
        return linear(self.output, x).transpose(0, 1)  # (B, T, F)
