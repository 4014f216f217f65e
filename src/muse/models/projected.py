"""The recurrent model of Li et al., MuSe-Personalisation 2023.

Shapes: B batch, T frames (padded on the right), F features, O outputs.
"""

import torch
from torch import Tensor, nn

from muse.errors import MuseError
from muse.models.checks import check_dropouts, check_sizes
from muse.models.products import in_parts
from muse.models.recurrent import Bidirectional, State, check_recurrent, recur, recurrent_layers

OUTPUTS = {"tanh": torch.tanh, "linear": lambda x: x}


class ProjectedRecurrent(nn.Module):
    """A linear layer, recurrent layers, two linear layers with ReLU between them, tanh.

    Eq. 1 and 2 of Li et al., Exploiting Diverse Feature for Multimodal Sentiment Analysis, 2023
    (section 3.2.1). The paper gives neither the size between the last two layers nor any dropout.

    Args:
        inputs: features per frame.
        outputs: values per frame.
        cell: lstm or gru.
        project: width of the linear layer in front; 128 or 256 in the paper.
        hidden: hidden size, per direction.
        layers: number of recurrent layers.
        bidirectional: also read each recording from its end.
        head: width between the last two layers.
        project_dropout: probability, behind the first layer.
        dropout: between recurrent layers and behind them.
        head_dropout: behind the ReLU.
        output: tanh (labels in [-1, 1]) or linear.

    Raises:
        MuseError: an unknown cell or output, a size below 1, a dropout outside 0 to 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        cell: str = "gru",
        project: int = 256,
        hidden: int = 256,
        layers: int = 1,
        bidirectional: bool = False,
        head: int = 64,
        project_dropout: float = 0.0,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
        output: str = "tanh",
    ):
        super().__init__()
        check_recurrent(cell, hidden, layers, dropout)
        check_sizes(project=project, head=head)
        check_dropouts(project_dropout=project_dropout, head_dropout=head_dropout)
        if output not in OUTPUTS:
            raise MuseError(f"model.output={output}: expected one of {', '.join(OUTPUTS)}.")
        self.project = nn.Sequential(nn.Linear(inputs, project), nn.Dropout(project_dropout))
        self.encoder = recurrent_layers(cell, project, hidden, layers, bidirectional, dropout)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(hidden * (2 if bidirectional else 1), head),
            nn.ReLU(),
            nn.Dropout(head_dropout),
            nn.Linear(head, outputs),
        )
        self.output = output

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        x = in_parts(self.project, features.transpose(0, 1))  # (T, B, project)
        both = isinstance(self.encoder, Bidirectional)
        x = self.encoder(x, lengths) if both else recur(self.encoder, x)  # (T, B, H or 2H)
        return OUTPUTS[self.output](in_parts(self.head, x)).transpose(0, 1)  # (B, T, O)

    def step(self, features: Tensor, state: State = None) -> tuple[Tensor, State]:
        """The outputs of the next frames, see `muse.models.recurrent.Recurrent.step`."""
        x, state = self.encoder(self.project(features.transpose(0, 1)), state)  # (T, B, H)
        return OUTPUTS[self.output](self.head(x)).transpose(0, 1), state
