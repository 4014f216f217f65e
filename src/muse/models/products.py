"""Matrix products of a layer with many frames, as fast as the CPU allows.

Shapes: T frames (or any leading dimensions), B batch, F features, O outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

ROWS_AT_ONCE = 2**14  # frames of a batch that go through the head together: they stay in the cache
LEAST_FEATURES = 32  # below, a convolution is not faster
LEAST_OUTPUTS = 16


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """What ``layer`` gives for x (T, B, F): (T, B, O).

    A linear layer is a convolution over single frames. On the CPU PyTorch computes that one with
    oneDNN, which is up to 2.5 times faster than its matrix product (MKL) on machines for which MKL
    has no code of its own; docs/performance.md has the figures.
    """
    outputs, features = layer.weight.shape
    slow = features < LEAST_FEATURES or outputs < LEAST_OUTPUTS or x.dtype != torch.float32
    if slow or x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return layer(x)
    images = x.contiguous()[:, :, None].permute(0, 3, 1, 2)  # (T, F, B, 1), channels last
    return conv2d(images, layer.weight[:, :, None, None], layer.bias).permute(0, 2, 3, 1)[:, :, 0]


def in_parts(network: nn.Sequential, x: Tensor) -> Tensor:
    """What a network of single frames gives for x (T, B, F): (T, B, O), some frames at a time."""
    if x.device.type != "cpu" or torch.jit.is_tracing():  # the parts of one T are not those of all
        return network(x)

    def of(part: Tensor) -> Tensor:
        for layer in network:
            part = linear(layer, part) if isinstance(layer, nn.Linear) else layer(part)
        return part

    return torch.cat([of(part) for part in x.split(max(1, ROWS_AT_ONCE // x.shape[1]))])


def turn(x: Tensor, turned: Tensor) -> Tensor:
    """Rows of x (T, B, F) in the order ``turned`` (T, B), which undoes itself."""
    return Turn.apply(x, turned) if torch.is_grad_enabled() else _turn(x, turned)


class Turn(torch.autograd.Function):
    """`turn` with a backward pass that needs the order alone."""

    @staticmethod
    def forward(ctx, x: Tensor, turned: Tensor) -> Tensor:
        ctx.save_for_backward(turned)
        return _turn(x, turned)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return _turn(gradient, ctx.saved_tensors[0]), None


def _turn(x: Tensor, turned: Tensor) -> Tensor:
    return x[turned, torch.arange(x.shape[1], device=x.device)]
