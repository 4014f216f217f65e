"""Many recurrent models of one shape at once: their weights are rows of a matrix.

PyTorch's recurrent layers have no rule for `torch.func.vmap`, so muse computes them itself, see
`muse.models.stacked_layers`.

Shapes: N models, P weights of a model, T frames (padded on the right), B batch, F features,
H hidden, G values of all gates, D width of a layer's output, O outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from muse.models.plain import PlainRecurrent
from muse.models.products import ROWS_AT_ONCE
from muse.models.recurrent import Recurrent
from muse.models.stacked_layers import GRU, LSTM

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
    model: nn.Module,
    rows: Tensor,
    x: Tensor,
    lengths: Tensor,
    drop: Drop | None = None,
    kernel: str = "products",
) -> Tensor:
    """What the models ``rows`` (N, P) give for x (N, T, B, F): (N, T, B, O).

    Args:
        model: one of the classes of STACKED, whose shape all have; its weights are not used.
        lengths: (N, B); outputs past them are undefined, and 0 is allowed.
        drop: the dropout, see `dropout_of`; None where nothing is dropped.
        kernel: of the loops over frames, see `muse.models.stacked_layers`.

    Raises MuseError if the kernel cannot run there, or not with so many hidden units.
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
            outputs.append(_layer(x, frames, *own, valid if back else None, back, kernel))
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
    kernel: str,
) -> Tensor:
    """A recurrent layer in one direction: x (N, T * B, D) -> (N, T, B, H)."""
    gru = weight.shape[1] == 3 * weight.shape[2]
    added = bias_in if gru else bias_in + bias
    given = torch.baddbmm(added[:, None], x, weight_in.mT).unflatten(1, frames)  # (N, T, B, G)
    more = valid, back, torch.is_grad_enabled(), kernel
    return GRU.apply(given, weight, bias, *more) if gru else LSTM.apply(given, weight, *more)


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
