"""Attention with dropout of its weights, whose memory does not grow with the square of the frames.

Shapes: B batch, H heads, T queries, S keys, D dimension of a head. Where T and S differ, queries
and keys have steps of their own: T steps of the queries last as long as S steps of the keys.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from muse.models.attention import attention_mask, dot_products

CELLS_AT_ONCE = 2**20  # attention weights that are in memory at once
STEPS = 2**16  # of a probability: the random numbers are 16 bits wide
Index = tuple[slice, slice, slice]  # batch, heads, queries or keys


def attend(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, causal: bool, dropout: float
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1): (B, H, T, D).

    On the CPU PyTorch's function keeps all weights for the backward pass if it has to drop some
    (of 20 minutes at 4 Hz, 460 MB for each attention of five heads); see `DroppedAttention`.

    Args:
        q: (B, H, T, D).
        k, v: (B, H, S, D).
        lengths: (B,), keys of each recording; those past them are not attended to.
        causal: a query attends to the keys that begin before its own step ends.
        dropout: probability with which a weight becomes 0; the others are scaled up. 0 when the
            model is not trained.
    """
    mask = None if causal else attention_mask(lengths, k.shape[2])
    if dropout and q.device.type == "cpu":
        return DroppedAttention.apply(q, k, v, mask, causal, dropout)
    if not causal or q.shape[2] == k.shape[2]:
        return dot_products(q, k, v, mask, dropout, causal)
    parts, width = [], max(1, CELLS_AT_ONCE // k.shape[2])
    for start in range(0, q.shape[2], width):
        end = min(start + width, q.shape[2])
        keys = slice(0, _seen(q, k, end))
        allowed = _allowed(q, k, start, end)
        own = q[:, :, start:end], k[:, :, keys], v[:, :, keys]
        parts.append(dot_products(*own, allowed, dropout))
    return torch.cat(parts, 2)


def _seen(q: Tensor, k: Tensor, end: int | Tensor) -> int | Tensor:
    """How many keys begin before the step of the query before ``end`` ends."""
    return (end * k.shape[2] + q.shape[2] - 1) // q.shape[2]


def _allowed(q: Tensor, k: Tensor, start: int, end: int) -> Tensor:
    """Which keys the queries of a block see, of the keys that the last sees: (queries, keys)."""
    seen = _seen(q, k, torch.arange(start + 1, end + 1, device=q.device))
    return torch.arange(_seen(q, k, end), device=q.device) < seen[:, None]


class DroppedAttention(torch.autograd.Function):
    """Attention with dropout on the CPU: weights block by block, and anew for the backward pass.

    What is dropped comes from a seed that PyTorch's generator gives. One function, and not a
    `torch.utils.checkpoint` for each block: what those keep lies between the large blocks, which
    the C library then cannot use again.
    """

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, q, k, v, mask, causal, dropout):
        ctx.save_for_backward(q, k, v, mask)
        ctx.settings = causal, dropout, int(torch.randint(2**62, ()))
        out = torch.empty_like(q)
        for queries, keys, weights, kept in _blocks(q, k, mask, *ctx.settings):
            torch.matmul(weights.mul_(kept), v[keys], out=out[queries])
        return out

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")
    def backward(ctx, gradient):
        q, k, v, mask = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        of_q, of_k, of_v = (torch.zeros_like(x) for x in (q, k, v))
        for queries, keys, weights, kept in _blocks(q, k, mask, *ctx.settings):
            own = gradient[queries]
            of_v[keys] += (weights * kept).mT @ own
            of_weights = (own @ v[keys].mT).mul_(kept)
            mean = (of_weights * weights).sum(-1, keepdim=True)
            of_scores = of_weights.sub_(mean).mul_(weights).mul_(scale)
            of_q[queries] = of_scores @ k[keys]
            of_k[keys] += of_scores.mT @ q[queries]
        return of_q, of_k, of_v, None, None, None


def _blocks(
    q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, dropout: float, seed: int
) -> Iterator[tuple[Index, Index, Tensor, Tensor]]:
    """Blocks of queries, the keys that they see, their weights, and what dropout multiplies."""
    batch, heads, frames, size = q.shape
    rows = max(1, CELLS_AT_ONCE // (heads * frames * k.shape[2]))
    width = max(1, min(frames, CELLS_AT_ONCE // (heads * k.shape[2])))
    generator = torch.Generator().manual_seed(seed)
    for row in range(0, batch, rows):
        for start in range(0, frames, width):
            end = min(start + width, frames)
            queries = slice(row, row + rows), slice(None), slice(start, end)
            last = _seen(q, k, end) if causal else k.shape[2]
            keys = slice(row, row + rows), slice(None), slice(0, last)
            scores = (q[queries] * size**-0.5) @ k[keys].mT
            if mask is not None:
                scores.masked_fill_(~mask[row : row + rows], -torch.inf)
            if causal:
                scores.masked_fill_(_allowed(q, k, start, end).logical_not_(), -torch.inf)
            yield queries, keys, scores.softmax(-1), _kept(scores, dropout, generator)


def _kept(like: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    """0 where a weight is dropped, else 1 over the share of the others; in steps of 1 / 65536.

    Four numbers of 16 bits at a time take a tenth of the time that `torch.dropout` needs on the
    CPU, where it would be more than half of the attention's.
    """
    cut = round(dropout * STEPS)
    bits = torch.empty(-(-like.numel() // 4), dtype=torch.int64)
    bits.random_(-(2**63), None, generator=generator)
    numbers = bits.view(torch.int16)[: like.numel()].view(like.shape)
    return (numbers >= cut - STEPS // 2).to(like.dtype).mul_(STEPS / (STEPS - cut))
