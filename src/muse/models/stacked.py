"""Many recurrent models of one shape at once: their weights are rows of a matrix.

PyTorch's recurrent layers have no rule for `torch.func.vmap`, so the layers are computed here, by
batched matrix products over the models, with a backward pass of their own: what a frame needs of
the derivative of its gates is computed for all frames at once, and the gradient of the weights is
one product at the end.

Shapes: N models, P weights of a model, T frames (padded on the right), B batch, F features,
H hidden, G values of all gates, D width of a layer's output, O outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from muse.models.plain import PlainRecurrent
from muse.models.products import ROWS_AT_ONCE
from muse.models.recurrent import Recurrent

STACKED = {f"{cls.__module__}.{cls.__qualname__}": cls for cls in (Recurrent, PlainRecurrent)}

Drop = Callable[[Tensor, bool], Tensor]  # x (N, T, B, D), whether it is in the head -> the same


def to_row(state: dict[str, Tensor]) -> Tensor:
    """The weights of a model, its `state_dict`, one after another: (P,)."""
    return torch.cat([weight.flatten() for weight in state.values()])


def from_row(row: Tensor, model: nn.Module) -> dict[str, Tensor]:
    """The `state_dict` of a model like ``model``: views of its weights ``row``."""
    weights = dict(model.named_parameters())
    parts = row.split([weight.numel() for weight in weights.values()])
    return {k: part.view(w.shape) for (k, w), part in zip(weights.items(), parts, strict=True)}


def forward_rows(
    model: nn.Module, rows: Tensor, x: Tensor, lengths: Tensor, drop: Drop | None = None
) -> Tensor:
    """What the models ``rows`` (N, P) give for x (N, T, B, F): (N, T, B, O).

    Args:
        model: one of the classes of STACKED, whose shape all have; its weights are not used.
        lengths: (N, B); outputs past them are undefined, and 0 is allowed.
        drop: the dropout, see `dropout_of`; None where nothing is dropped.
    """
    shapes = [weight.shape for weight in model.parameters()]
    parts = rows.split([shape.numel() for shape in shapes], dim=1)
    names = [name for name, _ in model.named_parameters()]
    weights = {
        k: part.unflatten(1, shape) for k, part, shape in zip(names, parts, shapes, strict=True)
    }
    frames = x.shape[1:3]
    x, project = x.flatten(1, 2), weights.get("project.weight")  # (N, T * B, F), (N, H, F)
    if project is not None and x.shape[2] > project.shape[1]:
        x, project = x.bmm(project.mT), None
    valid = _valid(x, lengths, frames[0]) if model.bidirectional else None
    for number, directions in enumerate(_layers(model)):
        if number and drop:
            x = drop(x.unflatten(1, frames), False).flatten(1, 2)
        outputs = []
        for prefix, suffix, back in directions:
            own = [weights[f"{prefix}{name}_{suffix}"] for name in NAMES]
            if number == 0 and project is not None:  # nothing lies between the two
                own[0] = own[0].bmm(project)
            outputs.append(_layer(x, frames, *own, valid if back else None, back))
        x = (torch.cat(outputs, 3) if len(outputs) > 1 else outputs[0]).flatten(1, 2)
    if isinstance(model, PlainRecurrent):
        return _linear(x, weights, "output").unflatten(1, frames)
    x = _linear(x, weights, "head.0").relu()
    if drop:
        x = drop(x.unflatten(1, frames), True).flatten(1, 2)
    return _linear(x, weights, "head.3").unflatten(1, frames)


NAMES = "weight_ih", "weight_hh", "bias_ih", "bias_hh"


def _layers(model: nn.Module) -> list[list[tuple[str, str, bool]]]:
    """Of each layer and direction: before and behind the names of its weights, and if it turns."""
    if model.bidirectional:
        return [
            [(f"encoder.{name}.{k}.", "l0", name == "back") for name in ("ahead", "back")]
            for k in range(len(model.encoder.ahead))
        ]
    return [[("encoder.", f"l{k}", False)] for k in range(model.encoder.num_layers)]


def _valid(x: Tensor, lengths: Tensor, frames: int) -> Tensor:
    """1 within the lengths and 0 past them: (N, T, B, 1)."""
    steps = torch.arange(frames, device=x.device)[:, None]
    return (steps < lengths[:, None]).to(x.dtype)[..., None]


def _linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return torch.baddbmm(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"].mT)


def _layer(
    x: Tensor,
    frames: tuple[int, int],
    weight_in: Tensor,
    weight: Tensor,
    bias_in: Tensor,
    bias: Tensor,
    valid: Tensor | None,
    back: bool,
) -> Tensor:
    """A recurrent layer in one direction: x (N, T * B, D) -> (N, T, B, H)."""
    gru = weight.shape[1] == 3 * weight.shape[2]
    added = bias_in if gru else bias_in + bias
    given = torch.baddbmm(added[:, None], x, weight_in.mT).unflatten(1, frames)  # (N, T, B, G)
    weight, bias = weight.to(given.dtype), bias.to(given.dtype)  # which autocast may have rounded
    if gru:
        return _GRU.apply(given, weight, bias, valid, back, torch.is_grad_enabled())
    return _LSTM.apply(given, weight, valid, back, torch.is_grad_enabled())


def _order(frames: int, back: bool) -> list[tuple[int, int, int]]:
    """Of each frame in turn: itself, and where the states before and after it stand."""
    each = range(frames - 1, -1, -1) if back else range(frames)
    return [(t, t + back, t + 1 - back) for t in each]


class _LSTM(torch.autograd.Function):
    """h of all frames (N, T, B, H) from what they are given by the layer's input, (N, T, B, 4H).

    ``valid`` (N, T, B, 1) keeps the state at zero past each length, so that a layer which reads
    from the end (``back``) begins at each recording's own.
    """

    @staticmethod
    def forward(ctx, given: Tensor, weight: Tensor, valid: Tensor | None, back: bool, keep: bool):
        n, frames, batch, width = given.shape
        hidden = width // 4
        states = given.new_zeros(n, frames + 1, batch, hidden)
        cells = given.new_zeros(frames + 1 if keep else 2, n, batch, hidden)
        gates = given.new_empty(frames if keep else 1, n, batch, width)
        for t, before, after in _order(frames, back):
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
        if keep:
            ctx.save_for_backward(weight, valid, gates, cells, states)
            ctx.back = back
        return _read(states, back)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
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
        dh, dc = torch.zeros_like(gradient[:, 0]), torch.zeros_like(gradient[:, 0])
        for t, *_ in reversed(_order(frames, ctx.back)):
            dh = dh + gradient[:, t]
            dc.addcmul_(dh, through[t])
            if valid is not None:
                dc.mul_(valid[:, t])
            torch.mul(dc[:, :, None], slopes[t, :, :, :3], out=deltas[:, t, :, :3])
            torch.mul(dh, slopes[t, :, :, 3], out=deltas[:, t, :, 3])
            dc.mul_(f[t])
            dh = deltas[:, t].flatten(2).bmm(weight)
        deltas = deltas.flatten(3)
        read = _read(states, not ctx.back).flatten(1, 2)
        return deltas, deltas.flatten(1, 2).mT.bmm(read), None, None, None


class _GRU(torch.autograd.Function):
    """As `_LSTM`, from (N, T, B, 3H), with the bias (N, 3H) of the recurrent product."""

    @staticmethod
    def forward(
        ctx,
        given: Tensor,
        weight: Tensor,
        bias: Tensor,
        valid: Tensor | None,
        back: bool,
        keep: bool,
    ):
        n, frames, batch, width = given.shape
        hidden = width // 3
        states = given.new_zeros(n, frames + 1, batch, hidden)
        gates = given.new_empty(frames if keep else 1, n, batch, 4 * hidden)
        for t, before, after in _order(frames, back):
            own, state = gates[t if keep else 0], states[:, before]
            torch.baddbmm(bias[:, None], state, weight.mT, out=own[..., : 3 * hidden])
            r, z, q, new = own.chunk(4, -1)
            own[..., : 2 * hidden].add_(given[:, t, :, : 2 * hidden]).sigmoid_()
            torch.addcmul(given[:, t, :, 2 * hidden :], r, q, out=new).tanh_()
            torch.lerp(new, state, z, out=states[:, after])
            if valid is not None:
                states[:, after].mul_(valid[:, t])
        if keep:
            ctx.save_for_backward(weight, valid, gates, states)
            ctx.back = back
        return _read(states, back)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
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
        dh = torch.zeros_like(gradient[:, 0])
        for t, *_ in reversed(_order(frames, ctx.back)):
            dh = dh + gradient[:, t]
            if valid is not None:
                dh.mul_(valid[:, t])
            torch.mul(dh[:, :, None], slopes[t], out=deltas[:, t])
            dh = torch.baddbmm(dh * z[t], deltas[:, t, :, :3].flatten(2), weight)
        deltas = deltas.flatten(1, 2)  # (N, T * B, 4, H)
        recurrent = deltas[:, :, :3].flatten(2)
        outer = torch.cat((deltas[:, :, :2], deltas[:, :, 3:]), 2)
        outer = outer.flatten(2).unflatten(1, (frames, batch))
        of_weight = recurrent.mT.bmm(before.flatten(1, 2))
        return outer, of_weight, recurrent.sum(1), None, None, None


def _read(states: Tensor, back: bool) -> Tensor:
    """The states (N, T + 1, B, H) after each frame: (N, T, B, H)."""
    return states[:, :-1] if back else states[:, 1:]


def dropout_of(
    rates: Sequence[float], sizes: Sequence[tuple[int, int]], generators: Sequence[torch.Generator]
) -> Drop | None:
    """Dropout with masks that each model draws as `Recurrent` does alone.

    On the CPU that is a mask for the output of a layer, (T, B, D), and in the head one for as many
    frames as go through it together, see `muse.models.products.in_parts`.

    Args:
        rates: of each model; None is returned if all are 0.
        sizes: T and B of each without the padding.
        generators: of each.
    """
    if not any(rates):
        return None

    def drop(x: Tensor, in_head: bool) -> Tensor:
        masks = torch.zeros_like(x, memory_format=torch.contiguous_format)
        for mask, rate, (frames, batch), generator in zip(
            masks, rates, sizes, generators, strict=True
        ):
            own = mask[:frames, :batch]
            if not rate:
                own.fill_(1)
                continue
            together = in_head and x.device.type == "cpu"
            for part in own.split(max(1, ROWS_AT_ONCE // batch) if together else frames):
                noise = part if part.is_contiguous() else torch.empty_like(
                    part, memory_format=torch.contiguous_format
                )  # fmt: skip
                noise.bernoulli_(1 - rate, generator=generator).div_(1 - rate)
                if noise is not part:
                    part.copy_(noise)
        return x * masks

    return drop
