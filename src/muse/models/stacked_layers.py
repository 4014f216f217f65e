"""Recurrent layers of many models at once, with a backward pass of their own.

What a frame needs of the derivative of its gates is computed for all frames at once, and the
gradient of the weights is one product at the end; only the states go from frame to frame. That loop
is a kernel: `products` (`muse.models.stacked_products`), or `triton` (`stacked_triton`).

Shapes: N models, T frames, B batch, H hidden.
"""

from importlib import import_module
from importlib.util import find_spec
from os import environ
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from muse.errors import MuseError

KERNELS = {"products": "stacked_products", "triton": "stacked_triton"}
WIDEST = 128  # hidden units of kernel=triton


def check_kernel(kernel: str, device: torch.device, hidden: int | None = None) -> None:
    """Raise MuseError if a kernel cannot run here, or not with so many hidden units."""
    reason, on_gpu = None, device.type == "cuda"
    if kernel == "products":
        return
    if find_spec("triton") is None:
        reason = "the package triton is not installed; PyTorch with CUDA brings it on Linux"
    elif not on_gpu and environ.get("TRITON_INTERPRET") != "1":  # set: without a GPU, for tests
        reason = f"it needs a GPU, and the device is {device}"
    elif hidden is not None and hidden > WIDEST:
        reason = f"it takes at most {WIDEST} hidden units, and the model has {hidden}"
    elif on_gpu and (error := _loops(kernel).cannot_start()):
        reason = f"Triton cannot start; it needs a C compiler and the headers of Python ({error})"
    if reason:
        raise MuseError(f"kernel={kernel}: {reason}. Give kernel=products.")


def _loops(kernel: str) -> ModuleType:
    """The module of a kernel; Triton is imported only where it is asked for."""
    return import_module(f"muse.models.{KERNELS[kernel]}")


class LSTM(torch.autograd.Function):
    """An LSTM layer in one direction, as `torch.nn.LSTM` computes it (gates i, f, g, o).

    ``valid`` keeps the state at zero past each length, so that a layer which reads from the end
    (``back``) begins at each recording's own. Cells are float32 at least, whatever the states are.
    """

    @staticmethod
    def forward(
        ctx,
        given: Tensor,
        weight: Tensor,
        valid: Tensor | None,
        back: bool,
        keep: bool,
        kernel: str,
    ) -> Tensor:
        """The states h of all frames, (N, T, B, H).

        Args:
            given: what the layer's input and both biases give for the gates, (N, T, B, 4H).
            weight: of the recurrent product, (N, 4H, H).
            valid: 1 within the lengths and 0 past them, (N, T, B, 1); None: all frames count.
            back: from the last frame to the first.
            keep: whether a backward pass may follow; without one little is kept.
            kernel: of KERNELS.
        """
        n, frames, batch, width = given.shape
        hidden, weight = width // 4, weight.to(given.dtype)
        exact = torch.promote_types(given.dtype, torch.float32)
        states = given.new_zeros(n, frames + 1, batch, hidden)
        cells = given.new_zeros(frames + 1 if keep else 2, n, batch, hidden, dtype=exact)
        gates = given.new_empty(frames if keep else 1, n, batch, width)
        _loops(kernel).lstm_forward(given, weight, valid, back, keep, states, cells, gates)
        if keep:
            ctx.save_for_backward(weight, valid, gates, cells, states)
            ctx.back, ctx.kernel = back, kernel
        return _read(states, back)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        """From the gradient of the states (N, T, B, H) those of ``given`` and ``weight``."""
        weight, valid, gates, cells, states = ctx.saved_tensors
        frames, n, batch, width = gates.shape
        i, f, g, o = gates.chunk(4, -1)  # (T, N, B, H)
        before, after = (cells[1:], cells[:-1]) if ctx.back else (cells[:-1], cells[1:])
        squashed = after.tanh()
        slopes = gates.new_empty(frames, n, batch, 4, width // 4)
        torch.mul(g, i - i.square(), out=slopes[..., 0, :])
        torch.mul(before, f - f.square(), out=slopes[..., 1, :])
        torch.mul(i, 1 - g.square(), out=slopes[..., 2, :])
        torch.mul(squashed, o - o.square(), out=slopes[..., 3, :])
        through = o * (1 - squashed.square())
        del squashed
        deltas = gates.new_empty(n, frames, batch, 4, width // 4)
        loops = _loops(ctx.kernel)
        loops.lstm_backward(gradient, weight, valid, ctx.back, slopes, through, f, deltas)
        deltas = deltas.flatten(3)
        read = _read(states, not ctx.back).flatten(1, 2)
        return deltas, deltas.flatten(1, 2).mT.bmm(read), None, None, None, None


class GRU(torch.autograd.Function):
    """A GRU layer in one direction, as `torch.nn.GRU` computes it (gates r, z, new state)."""

    @staticmethod
    def forward(
        ctx,
        given: Tensor,
        weight: Tensor,
        bias: Tensor,
        valid: Tensor | None,
        back: bool,
        keep: bool,
        kernel: str,
    ) -> Tensor:
        """The states h of all frames, (N, T, B, H).

        Args:
            given: what the layer's input and its bias give, (N, T, B, 3H).
            weight, bias: of the recurrent product, (N, 3H, H) and (N, 3H).
            valid, back, keep, kernel: as of `LSTM`.
        """
        n, frames, batch, width = given.shape
        hidden, weight, bias = width // 3, weight.to(given.dtype), bias.to(given.dtype)
        states = given.new_zeros(n, frames + 1, batch, hidden)
        gates = given.new_empty(frames if keep else 1, n, batch, 4 * hidden)
        _loops(kernel).gru_forward(given, weight, bias, valid, back, keep, states, gates)
        if keep:
            ctx.save_for_backward(weight, valid, gates, states)
            ctx.back, ctx.kernel = back, kernel
        return _read(states, back)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        """From the gradient of the states those of ``given``, ``weight`` and ``bias``."""
        weight, valid, gates, states = ctx.saved_tensors
        frames, n, batch, width = gates.shape
        hidden = width // 4
        r, z, q, new = gates.chunk(4, -1)  # (T, N, B, H)
        before = _read(states, not ctx.back)  # (N, T, B, H)
        slopes = gates.new_empty(frames, n, batch, 4, hidden)  # of r, z, q and new
        of_new = torch.mul(1 - z, 1 - new.square(), out=slopes[..., 3, :])
        of_q = torch.mul(of_new, r, out=slopes[..., 2, :])
        torch.mul(before.transpose(0, 1) - new, z - z.square(), out=slopes[..., 1, :])
        torch.mul(of_q * q, 1 - r, out=slopes[..., 0, :])
        deltas = gates.new_empty(n, frames, batch, 4, hidden)
        _loops(ctx.kernel).gru_backward(gradient, weight, valid, ctx.back, slopes, z, deltas)
        deltas = deltas.flatten(1, 2)  # (N, T * B, 4, H)
        recurrent = deltas[:, :, :3].flatten(2)
        outer = torch.cat((deltas[:, :, :2], deltas[:, :, 3:]), 2)
        outer = outer.flatten(2).unflatten(1, (frames, batch))
        of_weight = recurrent.mT.bmm(before.flatten(1, 2))
        return outer, of_weight, recurrent.sum(1), None, None, None, None


def _read(states: Tensor, back: bool) -> Tensor:
    """The states (N, T + 1, B, H) after each frame: (N, T, B, H)."""
    return states[:, :-1] if back else states[:, 1:]
