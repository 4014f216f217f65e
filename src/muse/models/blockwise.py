"""Attention with dropout of its weights, whose memory does not grow with the square of the frames.

Shapes: B batch, H heads, T frames, D dimension of a head.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

CELLS_AT_ONCE = 2**21  # attention weights that are in memory at once
STEPS = 2**16  # of a probability: the random numbers are 16 bits wide


def attend(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, causal: bool, dropout: float
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1): (B, H, T, D).

    On the CPU PyTorch's function keeps all weights for the backward pass if it has to drop some
    (of 20 minutes at 4 Hz, 460 MB for each attention of five heads). So with dropout they are
    computed block by block, and once more for the backward pass.

    Args:
        q, k, v: (B, H, T, D).
        lengths: (B,); frames past them are not attended to.
        causal: a frame attends to no later one.
        dropout: probability with which a weight becomes 0; the others are scaled up. 0 when the
            model is not trained.
    """
    mask = None
    if not causal and int(lengths.min()) < q.shape[2]:
        mask = (torch.arange(q.shape[2], device=q.device) < lengths[:, None])[:, None, None]
    if not dropout or q.device.type != "cpu":
        return scaled_dot_product_attention(q, k, v, mask, dropout, causal)
    batch, heads, frames, _ = q.shape
    rows = max(1, CELLS_AT_ONCE // (heads * frames * frames))
    width = max(1, min(frames, CELLS_AT_ONCE // (heads * frames)))
    blocks = []
    for row in range(0, batch, rows):
        own = slice(row, row + rows)
        there = None if mask is None else mask[own]
        blocks.append([])
        for start in range(0, frames, width):
            end = min(start + width, frames)
            seen = end if causal else frames
            parts = q[own, :, start:end], k[own, :, :seen], v[own, :, :seen]
            first = start if causal else None
            blocks[-1].append(
                checkpoint(_block, *parts, there, first, dropout, use_reentrant=False)
            )
    return torch.cat([torch.cat(of_rows, dim=2) for of_rows in blocks])


def _block(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, first: int | None, dropout: float
) -> Tensor:
    """What some queries attend to; ``first``: the frame of the first of them, if it is causal."""
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        weights = weights.masked_fill(~mask, -torch.inf)
    if first is not None:
        allowed = torch.ones(weights.shape[-2:], dtype=torch.bool).tril(first)
        weights = weights.masked_fill(~allowed, -torch.inf)
    kept, share = _keep(weights.shape, dropout)
    return (weights.softmax(-1) * kept) @ v / share


def _keep(shape: torch.Size, dropout: float) -> tuple[Tensor, float]:
    """Where no weight is dropped, and the share of these: ``1 - dropout`` in steps of 1 / 65536.

    Four numbers of 16 bits at a time take a tenth of the time that `torch.dropout` needs on the
    CPU, where it would be more than half of the attention's.
    """
    cut = round(dropout * STEPS)
    bits = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    numbers = bits.view(torch.int16)[: shape.numel()].view(shape)
    return numbers >= cut - STEPS // 2, 1 - cut / STEPS
