"""Self-attention of Cai et al. (2021), alone and feeding an LSTM.

Shapes: B batch, T frames (padded on the right), F features, D features with those of ``pad``,
O outputs.
"""

import math

from torch import Tensor, nn
from torch.nn.functional import pad as append

from muse.errors import MuseError
from muse.models.attention import attend, attention_mask
from muse.models.checks import check_sizes
from muse.models.plain import PlainRecurrent
from muse.models.products import linear

MOST_HEADS = 16  # that an error proposes


class CaiAttention(nn.Module):
    """Self-attention alone (Cai et al. 2021, eq. 1; "Self-Attn" of their Tables 2 and 3).

    The outputs are those of one linear layer, as in eq. 7.

    Args:
        inputs: features per frame.
        outputs: values per frame.
        attention_layers: 1, 2 or 4 in the paper.
        heads: per layer, 4 or 8 in the paper.
        pad: append zeros to the features up to the next multiple of ``heads``.

    Raises:
        MuseError: a size below 1; ``heads`` that do not divide the features, without ``pad``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        attention_layers: int = 1,
        heads: int = 4,
        pad: bool = False,
    ):
        super().__init__()
        self.attention = SelfAttention(inputs, attention_layers, heads, pad)
        self.output = nn.Linear(self.attention.dim, outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        return self.output(self.attention(features, lengths))


class CaiAttentionRecurrent(nn.Module):
    """Self-attention feeding an LSTM (Cai et al. 2021, eq. 1 to 8; "Self-Attn+LSTM").

    In the paper the LSTM is uni-directional, of 2 or 4 layers of 64, 128 or 256.

    Args:
        inputs, outputs, attention_layers, heads, pad: see `CaiAttention`.
        cell, hidden, layers, bidirectional, dropout: see `muse.models.plain.PlainRecurrent`.

    Raises:
        MuseError: as `CaiAttention` and `PlainRecurrent`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        attention_layers: int = 1,
        heads: int = 4,
        pad: bool = False,
        cell: str = "lstm",
        hidden: int = 64,
        layers: int = 2,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.attention = SelfAttention(inputs, attention_layers, heads, pad)
        self.recurrent = PlainRecurrent(
            self.attention.dim, outputs, cell, hidden, layers, bidirectional, dropout
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        return self.recurrent(self.attention(features, lengths), lengths)


class SelfAttention(nn.Module):
    """Layers of multi-head self-attention as eq. 1 has it: softmax(Q K' / sqrt(D / heads)) V.

    Queries, keys and values are mapped from the input of the layer; the heads lie side by side in
    its output. There is no projection in front, no residual connection, normalisation, position or
    feedforward network, as the paper has none; eq. 1 has no projection of the joined heads either.
    Silent is the paper about biases of the three maps: they have some, as PyTorch's modules do.
    """

    def __init__(self, inputs: int, layers: int, heads: int, pad: bool):
        super().__init__()
        check_sizes(attention_layers=layers, heads=heads)
        self.heads, self.inputs = heads, inputs
        self.dim = math.ceil(inputs / heads) * heads
        if self.dim != inputs and not pad:
            most = range(1, min(inputs, MOST_HEADS) + 1)
            divisors = ", ".join(str(number) for number in most if inputs % number == 0)
            raise MuseError(
                f"model.heads={heads} does not divide the {inputs} features of a frame. Give one "
                f"of {divisors}, or model.pad=true, which appends zeros up to {self.dim} features."
            )
        self.queries_keys_values = nn.ModuleList(
            nn.Linear(self.dim, 3 * self.dim) for _ in range(layers)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, D)."""
        x = append(features, (0, self.dim - self.inputs)).contiguous()
        mask = attention_mask(lengths, x.shape[1])
        for layer in self.queries_keys_values:
            x = attend(linear(layer, x), self.heads, mask)
        return x
