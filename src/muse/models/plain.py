"""Recurrent layers straight on the features, one linear output.

Shapes: B batch, T frames (padded on the right), F features, H hidden, O outputs.
"""

from torch import Tensor, nn

from muse.models.recurrent import State, check_recurrent, recur, recurrent_layers


class PlainRecurrent(nn.Module):
    """LSTM or GRU on the features, then one linear layer: no projection, no hidden head layer.

    The recurrent models of Hamieh et al. (2021, section 3.2: LSTM, GRU and both in two directions,
    4 layers of 64) and of Cai et al. (2021, eq. 4 to 14). A recording gets the same outputs alone
    and padded in a batch; nothing is packed, see `muse.models.recurrent.Recurrent`.

    Args:
        inputs, outputs, cell, hidden, layers, bidirectional: see `Recurrent`.
        dropout: probability, between the recurrent layers. Hamieh et al. try 0.1, 0.2 and 0.5 and
            do not say where; between the layers is where PyTorch's recurrent modules have it.

    Raises:
        MuseError: an unknown cell, a size below 1, a dropout outside 0 to 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        cell: str = "lstm",
        hidden: int = 64,
        layers: int = 4,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_recurrent(cell, hidden, layers, dropout)
        self.encoder = recurrent_layers(cell, inputs, hidden, layers, bidirectional, dropout)
        self.bidirectional = bidirectional
        self.output = nn.Linear(hidden * (2 if bidirectional else 1), outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        x = features.transpose(0, 1)  # (T, B, F)
        # in one direction the padding on the right never reaches back
        x = self.encoder(x, lengths) if self.bidirectional else recur(self.encoder, x)
        return self.output(x).transpose(0, 1)  # (B, T, O)

    def step(self, features: Tensor, state: State = None) -> tuple[Tensor, State]:
        """The outputs of the next frames, see `muse.models.recurrent.Recurrent.step`."""
        x, state = self.encoder(features.transpose(0, 1), state)  # (T, B, H)
        return self.output(x).transpose(0, 1), state
