"""Multi-head self-attention over frames, alone and in front of recurrent layers.

Shapes: B batch, T frames (padded on the right), F features, D attention dimension, O outputs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from muse.errors import MuseError
from muse.models.checks import check_dropout, check_sizes
from muse.models.products import in_parts, linear
from muse.models.recurrent import Recurrent

POSITIONS = ("sinusoidal", "none")
ALIGNED = 8  # what must divide the dimension of a head on a GPU, see `dot_products`


class Attention(nn.Module):
    """Self-attention layers (Vaswani et al. 2017, normalised first), then the head of the baseline.

    A frame attends to all frames of its recording, ahead and back. A recording gets the same
    outputs alone and padded in a batch, and may be longer than any window of the training.

    Args:
        inputs: features per frame.
        outputs: values per frame.
        dim: dimension that the features are projected to. None attends to the features as they
            are, and projects them only if the heads do not divide them.
        layers: number of attention layers.
        heads: heads per layer.
        positions: none, or sinusoidal (Vaswani et al. 2017, section 3.5): those behind the end of a
            training window are unknown to the model, which costs score on longer recordings.
        feedforward: hidden size of the two-layer network after each attention; 0 for none.
        dropout: probability, behind each attention and feedforward and in the head.
        head: hidden size of the head.

    Raises:
        MuseError: a size below 1, unknown positions, a dropout outside 0 to 1, a ``dim`` that
            ``heads`` does not divide.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dim: int | None = 64,
        layers: int = 2,
        heads: int = 4,
        positions: str = "none",
        feedforward: int = 128,
        dropout: float = 0.0,
        head: int = 64,
    ):
        super().__init__()
        check_sizes(head=head)
        self.encoder = Encoder(inputs, dim, layers, heads, positions, feedforward, dropout)
        self.head = nn.Sequential(
            nn.Linear(self.encoder.dim, head),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head, outputs),
        )
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        return in_parts(self.head, self.encoder(features, lengths))


class AttentionRecurrent(nn.Module):
    """Self-attention in front of the recurrent baseline.

    A combination of muse's own. The idea is that of Cai et al. (2021), whose layers are those of
    `muse.models.cai_attention`: here
    features are projected to ``dim``, attention is normalised first and added to what it reads
    (pre-norm, residual), a last normalisation follows, and the head has two layers, as that of the
    baseline.

    Args:
        inputs, outputs: features and values per frame.
        dim, attention_layers, heads, positions, feedforward: of the attention, see `Attention`.
        cell, hidden, layers, bidirectional, head: of the recurrent part, see `Recurrent`.
        dropout: probability in both parts.

    Raises:
        MuseError: as `Attention` and `Recurrent`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dim: int | None = 64,
        attention_layers: int = 1,
        heads: int = 4,
        positions: str = "none",
        feedforward: int = 0,
        cell: str = "lstm",
        hidden: int = 64,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        head: int = 64,
    ):
        super().__init__()
        check_sizes(attention_layers=attention_layers)
        self.attention = Encoder(
            inputs, dim, attention_layers, heads, positions, feedforward, dropout
        )
        self.recurrent = Recurrent(
            self.attention.dim, outputs, cell, hidden, layers, bidirectional, dropout, head
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        return self.recurrent(self.attention(features, lengths), lengths)


class Encoder(nn.Module):
    """Projection where one is needed, positions, attention layers: (B, T, F) -> (B, T, D)."""

    def __init__(
        self,
        inputs: int,
        dim: int | None,
        layers: int,
        heads: int,
        positions: str,
        feedforward: int,
        dropout: float,
    ):
        super().__init__()
        check_sizes(layers=layers, heads=heads)
        check_sizes(0, feedforward=feedforward)
        check_dropout(dropout)
        if positions not in POSITIONS:
            raise MuseError(f"model.positions={positions}: expected one of {', '.join(POSITIONS)}.")
        if dim is not None:
            check_sizes(dim=dim)
            if dim % heads:
                raise MuseError(f"model.dim ({dim}) must be divisible by model.heads ({heads}).")
        self.dim = dim or math.ceil(inputs / heads) * heads
        same = dim is None and self.dim == inputs
        self.project = None if same else nn.Linear(inputs, self.dim, bias=False)
        self.positions = positions
        self.layers = nn.ModuleList(
            Layer(self.dim, heads, feedforward, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, D)."""
        x = features.contiguous()
        x = linear(self.project, x) if self.project else x  # (B, T, D)
        if self.positions == "sinusoidal":
            x = x + sinusoids(x.shape[1], self.dim, x)
        mask = attention_mask(lengths, x.shape[1])
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class Layer(nn.Module):
    """One attention layer: x + attention(norm(x)), then the same with the feedforward network."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.feedforward = None
        if feedforward:
            self.feedforward = nn.Sequential(
                nn.LayerNorm(dim),
                nn.Linear(dim, feedforward),
                nn.ReLU(),
                nn.Linear(feedforward, dim),
            )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, D), mask (B, 1, 1, T) true where a frame exists -> (B, T, D).

        Dropout is applied to the output, not to the attention weights: these are never stored.
        """
        mixed = attend(linear(self.queries_keys_values, self.norm(x)), self.heads, mask)
        x = x + self.dropout(linear(self.out, mixed))
        return x if self.feedforward is None else x + self.dropout(in_parts(self.feedforward, x))


def attention_mask(lengths: Tensor, frames: int) -> Tensor | None:
    """Which frames exist, (B, 1, 1, T); None on the CPU if no recording is padded.

    Lengths on a GPU are not read: the CPU would have to wait for all work queued there.
    """
    if lengths.device.type == "cpu" and not torch.jit.is_tracing() and lengths.min() >= frames:
        return None
    return (torch.arange(frames, device=lengths.device) < lengths[:, None])[:, None, None, :]


def attend(mapped: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of each head, the heads side by side: (B, T, D).

    The attention weights are never stored, so memory grows with the number of frames and not with
    its square.

    Args:
        mapped: queries, keys and values, (B, T, 3 * D).
        mask: see `attention_mask`.
    """
    batch, frames, _ = mapped.shape
    q, k, v = mapped.view(batch, frames, 3, heads, -1).permute(2, 0, 3, 1, 4)  # (B, heads, T, D/h)
    mixed = dot_products(q, k, v, mask)
    return mixed.transpose(1, 2).reshape(batch, frames, -1)


def dot_products(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """PyTorch's `scaled_dot_product_attention`, without storing the weights of all pairs of frames.

    On a GPU PyTorch stores them unless ALIGNED divides the dimension of a head. So q, k and v are
    padded with zeros, which change no weight.
    """
    size = q.shape[-1]
    if q.device.type == "cpu" or size % ALIGNED == 0:
        return scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=scale)
    q, k, v = (pad(x, (0, -size % ALIGNED)) for x in (q, k, v))
    scale = size**-0.5 if scale is None else scale
    return scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=scale)[..., :size]


def sinusoids(frames: int, dim: int, like: Tensor) -> Tensor:
    """Positions of Vaswani et al. (2017), section 3.5: (frames, dim), any number of frames.

    Args:
        like: tensor whose type and device the result has.
    """
    steps = torch.arange(frames, device=like.device, dtype=like.dtype)[:, None]
    even = torch.arange(0, dim, 2, device=like.device, dtype=like.dtype)
    angle = steps / 10000 ** (even / dim)  # (frames, ceil(dim / 2))
    waves = torch.stack([angle.sin(), angle.cos()], dim=2)
    return waves.flatten(1)[:, :dim]
