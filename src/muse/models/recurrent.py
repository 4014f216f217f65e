"""LSTM and GRU: the baseline model of MuSe 2021.

Shapes: B batch, T frames (padded on the right), F features, H hidden, O outputs.
"""

import torch
from torch import Tensor, nn

from muse.errors import MuseError
from muse.models.checks import check_dropout, check_sizes, check_switches
from muse.models.products import in_parts, linear, turn

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
State = Tensor | tuple[Tensor, Tensor] | None  # of recurrent layers, (layers, B, H) each


class Recurrent(nn.Module):
    """Projection without bias, recurrent layers, two-layer ReLU head.

    The architecture of the published baseline (Stappen et al. 2021, section 3.6). A recording gets
    the same outputs alone and padded in a batch; nothing is packed, since the backward pass through
    packed sequences of unequal length is quadratic in the number of frames on the CPU.

    Nothing lies between the projection and the weights of the first layer, so their product does
    the same in one step; that is what is computed where the features are few.

    Args:
        inputs: features per frame.
        outputs: values per frame.
        cell: lstm or gru.
        hidden: hidden size, per direction.
        layers: number of recurrent layers.
        bidirectional: also read each recording from its end.
        dropout: probability, between recurrent layers and in the head.
        head: hidden size of the head.

    Raises:
        MuseError: an unknown cell, a size below 1, a dropout outside 0 to 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        cell: str = "lstm",
        hidden: int = 64,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        head: int = 64,
    ):
        super().__init__()
        check_recurrent(cell, hidden, layers, dropout)
        check_sizes(head=head)
        self.project = nn.Linear(inputs, hidden, bias=False)
        self.encoder = recurrent_layers(cell, hidden, hidden, layers, bidirectional, dropout)
        self.bidirectional = bidirectional
        self.head = nn.Sequential(
            nn.Linear(hidden * (2 if bidirectional else 1), head),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head, outputs),
        )
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        x, project = features.transpose(0, 1), self.project.weight  # (T, B, F), (H, F)
        if x.device.type != "cpu" or x.shape[2] > len(project):
            x, project = linear(self.project, x), None  # (T, B, H)
        if self.bidirectional:
            x = self.encoder(x, lengths, project)  # (T, B, 2H)
        else:  # the padding on the right never reaches back
            x = recur(self.encoder, x, project)  # (T, B, H)
        return in_parts(self.head, x).transpose(0, 1)  # (B, T, O)

    def step(self, features: Tensor, state: State = None) -> tuple[Tensor, State]:
        """The outputs of the next frames (B, T, F) -> (B, T, O), in one direction only.

        Args:
            state: after the frames before, as this returns it; None at the start of a recording.
        """
        x, state = self.encoder(self.project(features.transpose(0, 1)), state)  # (T, B, H)
        return self.head(x).transpose(0, 1), state


def check_causal(model: nn.Module) -> None:
    """Raise MuseError unless a model can go on frame by frame: it has `step`, and one direction."""
    name = type(model).__name__
    if not hasattr(model, "step"):
        raise MuseError(
            f"the model {name} reads frames that come later, or all of a recording, so it cannot "
            "follow a stream. Train an LSTM or GRU: model=lstm model.bidirectional=false"
        )
    if any(isinstance(part, Bidirectional) for part in model.modules()):
        raise MuseError(
            f"the model {name} has model.bidirectional=true and reads a recording from its end as "
            "well, so it cannot follow a stream. Train it with model.bidirectional=false."
        )


def check_recurrent(cell: str, hidden: int, layers: int, dropout: float) -> None:
    """Raise MuseError for settings that `recurrent_layers` cannot be made of."""
    if cell not in CELLS:
        raise MuseError(f"model.cell={cell}: expected one of {', '.join(CELLS)}.")
    check_sizes(hidden=hidden, layers=layers)
    check_dropout(dropout)


def recurrent_layers(
    cell: str, inputs: int, hidden: int, layers: int, bidirectional: bool, dropout: float
) -> nn.Module:
    """Recurrent layers in one direction (see `recur`) or in both; dropout is between the layers."""
    check_switches(bidirectional=bidirectional)
    if bidirectional:
        return Bidirectional(CELLS[cell], inputs, hidden, layers, dropout)
    return CELLS[cell](inputs, hidden, layers, dropout=dropout if layers > 1 else 0.0)


class Bidirectional(nn.Module):
    """Recurrent layers in both directions; the backward one starts at each recording's own end."""

    def __init__(
        self, cell: type[nn.RNNBase], inputs: int, hidden: int, layers: int, dropout: float
    ):
        super().__init__()
        sizes = [inputs] + [2 * hidden] * (layers - 1)
        self.ahead = nn.ModuleList(cell(size, hidden) for size in sizes)
        self.back = nn.ModuleList(cell(size, hidden) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor, project: Tensor | None = None) -> Tensor:
        """x (T, B, inputs), lengths (B,) -> (T, B, 2H).

        With ``project`` (inputs, F), the weights of a layer in front, x is (T, B, F).
        """
        turned = turned_order(x.shape[0], lengths)
        for k, (ahead, back) in enumerate(zip(self.ahead, self.back, strict=True)):
            if k:
                x, project = self.dropout(x), None
            reverse = recur(back, turn(x, turned), project)
            x = torch.cat([recur(ahead, x, project), turn(reverse, turned)], dim=2)
        return x


def turned_order(frames: int, lengths: Tensor) -> Tensor:
    """The frames of each recording from its last to its first, (frames, B), for `turn`."""
    steps = torch.arange(frames, device=lengths.device)[:, None]
    turned = lengths - 1 - steps
    return torch.where(turned >= 0, turned, steps)  # padding stays in place


def recur(cell: nn.RNNBase, x: Tensor, project: Tensor | None = None) -> Tensor:
    """What a recurrent module in one direction gives for x: (T, B, H).

    Args:
        x: (T, B, inputs), or (T, B, F) with ``project`` (inputs, F), the weights of a layer in
            front.
    """
    if project is None and x.is_cuda and torch.is_autocast_enabled("cuda"):
        # PyTorch would compute cuDNN's layers in float16, also where autocast is to bfloat16
        with torch.autocast("cuda", enabled=False):
            return cell(x.float())[0]
    if project is None:
        return cell(x)[0]
    weights = [weight for layer in cell.all_weights for weight in layer]
    weights[0] = weights[0] @ project
    start = x.new_zeros(cell.num_layers, x.shape[1], cell.hidden_size)
    settings = True, cell.num_layers, cell.dropout, cell.training, False, False
    if isinstance(cell, nn.LSTM):
        return torch.lstm(x, (start, start), weights, *settings)[0]
    return torch.gru(x, start, weights, *settings)[0]
