"""Gated convolutions of Cai et al. (2021), alone and feeding an LSTM.

Shapes: B batch, T frames (padded on the right), F features, C channels, O outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import glu

from muse.errors import MuseError
from muse.models.checks import check_sizes
from muse.models.plain import PlainRecurrent


class GatedCNN(nn.Module):
    """Gated convolutions alone (Cai et al. 2021, eq. 15; "GCNN" of their Table 3).

    The outputs are those of one linear layer, as in eq. 7.

    Args:
        inputs: features per frame.
        outputs: values per frame.
        channels: 64 or 128 in the paper.
        blocks: gated convolutions, one after another. Not published: section 4.2 has "stacked gated
            convolution blocks", eq. 15 and section 5.2 ("a gated CNN layer") have one.
        width: frames that a convolution sees, an odd number: as many on both sides. Not published:
            eq. 15 gives its kernels as features times channels. 3 is the least that sees frames
            before and after.

    Raises:
        MuseError: a size below 1, an even width.
    """

    def __init__(
        self, inputs: int, outputs: int, channels: int = 64, blocks: int = 1, width: int = 3
    ):
        super().__init__()
        self.gated = GatedBlocks(inputs, channels, blocks, width)
        self.output = nn.Linear(channels, outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        return self.output(self.gated(features, lengths))


class GatedCNNRecurrent(nn.Module):
    """Gated convolutions feeding an LSTM (Cai et al. 2021, eq. 15 to 18; "GCNN+LSTM").

    In the paper the LSTM is uni-directional, of 128, 256 or 1024; its layers are not published.

    Args:
        inputs, outputs, channels, blocks, width: see `GatedCNN`.
        cell, hidden, layers, bidirectional, dropout: see `muse.models.plain.PlainRecurrent`.

    Raises:
        MuseError: as `GatedCNN` and `PlainRecurrent`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int = 64,
        blocks: int = 1,
        width: int = 3,
        cell: str = "lstm",
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.gated = GatedBlocks(inputs, channels, blocks, width)
        self.recurrent = PlainRecurrent(
            channels, outputs, cell, hidden, layers, bidirectional, dropout
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        return self.recurrent(self.gated(features, lengths), lengths)


class GatedBlocks(nn.Module):
    """Convolutions over the frames, each gated: (conv(X, W) + b) * sigmoid(conv(X, V) + c).

    Eq. 15 with biases, as PyTorch's convolutions have them. The frames past ``lengths`` are zeros
    for every convolution, as are those before the first: padding changes no frame's output.
    """

    def __init__(self, inputs: int, channels: int, blocks: int, width: int):
        super().__init__()
        check_sizes(channels=channels, blocks=blocks, width=width)
        if width % 2 == 0:
            raise MuseError(
                f"model.width={width}: expected an odd number: as many frames before as after."
            )
        self.blocks = nn.ModuleList(  # W and b come first, V and c after them
            nn.Conv1d(channels if k else inputs, 2 * channels, width, padding=width // 2)
            for k in range(blocks)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, C), undefined past each length."""
        x = features.transpose(1, 2)  # (B, F, T)
        padding = None
        unread = torch.jit.is_tracing() or x.device.type != "cpu"  # see `attention_mask`
        if unread or lengths.min() < x.shape[2]:
            steps = torch.arange(x.shape[2], device=x.device)
            padding = (steps >= lengths[:, None])[:, None]  # (B, 1, T)
        for block in self.blocks:
            x = x if padding is None else x.masked_fill(padding, 0)
            x = glu(block(x), dim=1)  # (B, C, T)
        return x.transpose(1, 2)
