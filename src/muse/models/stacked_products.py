"""The loops over frames of `muse.models.stacked_layers`, as batched matrix products: a few of
PyTorch's operations per frame, on any device.

`muse.models.stacked_triton` has functions of the same names that do the same in one launch each.

Shapes: N members, T frames, B windows, H hidden, G values of all gates.
"""

import torch
from torch import Tensor


def lstm_forward(
    given: Tensor,
    weight: Tensor,
    valid: Tensor | None,
    back: bool,
    keep: bool,
    states: Tensor,
    cells: Tensor,
    gates: Tensor,
) -> None:
    """All frames of an LSTM, see `muse.models.stacked_layers.LSTM.forward`.

    Args:
        given: what the layer's input and the biases give for the gates i, f, g, o, (N, T, B, 4H).
        weight: of the recurrent product, (N, 4H, H).
        valid: 1 within the lengths and 0 past them, (N, T, B, 1).
        back: from the last frame to the first.
        keep: whether a backward pass follows; else cells and gates are used over and over.
        states: (N, T + 1, B, H), zero before the first frame; the rest is written.
        cells: the same, (T + 1, N, B, H), or (2, N, B, H) without ``keep``.
        gates: (T, N, B, 4H), or (1, N, B, 4H) without ``keep``; written.
    """
    hidden = weight.shape[2]
    for t, before, after in order(given.shape[1], back):
        if not keep:
            before_cell, after_cell, own = cells[t % 2], cells[1 - t % 2], gates[0]
        else:
            before_cell, after_cell, own = cells[before], cells[after], gates[t]
        torch.baddbmm(given[:, t], states[:, before], weight.mT, out=own)
        own[..., : 2 * hidden].sigmoid_()
        own[..., 2 * hidden : 3 * hidden].tanh_()
        own[..., 3 * hidden :].sigmoid_()
        i, f, g, o = own.chunk(4, -1)
        torch.mul(f, before_cell, out=after_cell).addcmul_(i, g)
        if valid is not None:
            after_cell.mul_(valid[:, t])
        torch.mul(o, after_cell.tanh(), out=states[:, after])


def lstm_backward(
    gradient: Tensor,
    weight: Tensor,
    valid: Tensor | None,
    back: bool,
    slopes: Tensor,
    through: Tensor,
    forget: Tensor,
    deltas: Tensor,
) -> None:
    """The derivative by what the gates are given, frame by frame against the order of the layer.

    Args:
        gradient: of the states, (N, T, B, H).
        weight, valid, back: as in `lstm_forward`.
        slopes: of what is given to a gate, per derivative of the cell (i, f, g) or of the state
            (o), (T, N, B, 4, H).
        through: derivative of a state by its cell, (T, N, B, H).
        forget: the gate f, (T, N, B, H), a part of the gates.
        deltas: (N, T, B, 4, H); written.
    """
    dh, dc = torch.zeros_like(through[0]), torch.zeros_like(through[0])
    for t, *_ in reversed(order(gradient.shape[1], back)):
        dh = dh + gradient[:, t]
        dc.addcmul_(dh, through[t])
        if valid is not None:
            dc.mul_(valid[:, t])
        torch.mul(dc[:, :, None], slopes[t, :, :, :3], out=deltas[:, t, :, :3])
        torch.mul(dh, slopes[t, :, :, 3], out=deltas[:, t, :, 3])
        dc.mul_(forget[t])
        dh = deltas[:, t].flatten(2).bmm(weight)


def gru_forward(
    given: Tensor,
    weight: Tensor,
    bias: Tensor,
    valid: Tensor | None,
    back: bool,
    keep: bool,
    states: Tensor,
    gates: Tensor,
) -> None:
    """All frames of a GRU, see `muse.models.stacked_layers.GRU.forward`.

    Args:
        given: for the gates r and z and the new state, (N, T, B, 3H).
        weight, bias: of the recurrent product, (N, 3H, H) and (N, 3H).
        valid, back, keep, states: as in `lstm_forward`.
        gates: r, z, the product's part of the new state, and the new state, (T, N, B, 4H); (1, N,
            B, 4H) without ``keep``; written.
    """
    hidden = weight.shape[2]
    for t, before, after in order(given.shape[1], back):
        own, state = gates[t if keep else 0], states[:, before]
        torch.baddbmm(bias[:, None], state, weight.mT, out=own[..., : 3 * hidden])
        r, z, q, new = own.chunk(4, -1)
        own[..., : 2 * hidden].add_(given[:, t, :, : 2 * hidden]).sigmoid_()
        torch.addcmul(given[:, t, :, 2 * hidden :], r, q, out=new).tanh_()
        torch.lerp(new, state, z, out=states[:, after])
        if valid is not None:
            states[:, after].mul_(valid[:, t])


def gru_backward(
    gradient: Tensor,
    weight: Tensor,
    valid: Tensor | None,
    back: bool,
    slopes: Tensor,
    update: Tensor,
    deltas: Tensor,
) -> None:
    """As `lstm_backward`: ``update`` is the gate z, (T, N, B, H); slopes and deltas are of r, z,
    the product's part of the new state, and the new state."""
    dh = torch.zeros_like(gradient[:, 0])
    for t, *_ in reversed(order(gradient.shape[1], back)):
        dh = dh + gradient[:, t]
        if valid is not None:
            dh.mul_(valid[:, t])
        torch.mul(dh[:, :, None], slopes[t], out=deltas[:, t])
        dh = torch.baddbmm(dh * update[t], deltas[:, t, :, :3].flatten(2), weight)


def order(frames: int, back: bool) -> list[tuple[int, int, int]]:
    """Of each frame in turn: itself, and where the states before and after it stand."""
    each = range(frames - 1, -1, -1) if back else range(frames)
    return [(t, t + back, t + 1 - back) for t in each]
