"""FaceNet as Inception-ResNet v1."""

import torch
from torch import Tensor, nn

Kernel = int | tuple[int, int]


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, same=True):
        super().__init__()
        sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = tuple(size // 2 if same else 0 for size in sizes)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


def _branch(inputs: int, *layers: tuple) -> nn.Module:
    """Convolutions one after another, each with its outputs and its kernel; a stride: no padding.

    A single one is not in a sequence, as in the names of the weights.
    """
    parts = []
    for outputs, kernel, *stride in layers:
        parts.append(_Convolution(inputs, outputs, kernel, *stride, same=not stride))
        inputs = outputs
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


class _Residual(nn.Module):
    """Branches side by side, brought to the channels of the input, of which they are a change."""

    def __init__(self, channels: int, scale: float, *branches: list[tuple], activation=True):
        super().__init__()
        self.scale, self.activation = scale, activation
        for k, layers in enumerate(branches):
            self.add_module(f"branch{k}", _branch(channels, *layers))
        self.conv2d = nn.Conv2d(sum(layers[-1][0] for layers in branches), channels, 1)
        self.count = len(branches)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.get_submodule(f"branch{k}")(x) for k in range(self.count)]
        x = x + self.scale * self.conv2d(torch.cat(parts, dim=1))
        return x.relu() if self.activation else x


class _Reduction(nn.Module):
    """Branches side by side and a pooling, each of half the height and width."""

    def __init__(self, channels: int, *branches: list[tuple]):
        super().__init__()
        for k, layers in enumerate(branches):
            self.add_module(f"branch{k}", _branch(channels, *layers))
        self.count = len(branches)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.get_submodule(f"branch{k}")(x) for k in range(self.count)]
        return torch.cat([*parts, nn.functional.max_pool2d(x, 3, stride=2)], dim=1)


class FaceNet(nn.Module):
    """Embedding of a face by Inception-ResNet v1 of Szegedy et al., Inception-v4, Inception-ResNet
    and the Impact of Residual Connections on Learning, 2017, of length 1 as FaceNet of Schroff et
    al., 2015.

    Weights have the names of facenet-pytorch's InceptionResnetV1.
    """

    def __init__(self):
        super().__init__()
        self.conv2d_1a = _Convolution(3, 32, 3, 2, same=False)
        self.conv2d_2a = _Convolution(32, 32, 3, same=False)
        self.conv2d_2b = _Convolution(32, 64, 3)
        self.conv2d_3b = _Convolution(64, 80, 1)
        self.conv2d_4a = _Convolution(80, 192, 3, same=False)
        self.conv2d_4b = _Convolution(192, 256, 3, 2, same=False)
        self.repeat_1 = nn.Sequential(*(
            _Residual(256, 0.17, [(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)])
            for _ in range(5)
        ))  # fmt: skip
        self.mixed_6a = _Reduction(256, [(384, 3, 2)], [(192, 1), (192, 3), (256, 3, 2)])
        self.repeat_2 = nn.Sequential(*(
            _Residual(896, 0.1, [(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))])
            for _ in range(10)
        ))  # fmt: skip
        self.mixed_7a = _Reduction(
            896, [(256, 1), (384, 3, 2)], [(256, 1), (256, 3, 2)], [(256, 1), (256, 3), (256, 3, 2)]
        )
        last = [(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]
        self.repeat_3 = nn.Sequential(*(_Residual(1792, 0.2, *last) for _ in range(5)))
        self.block8 = _Residual(1792, 1.0, *last, activation=False)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn = nn.BatchNorm1d(512, eps=0.001)

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, 160, 160), about -1 to 1 -> (B, 512), each of length 1."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))
        x = self.conv2d_3b(nn.functional.max_pool2d(x, 3, stride=2))
        x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))
        x = self.repeat_2(self.mixed_6a(x))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        x = self.last_bn(self.last_linear(x.mean(dim=(2, 3))))
        return nn.functional.normalize(x, dim=1)
