"""Xception up to its last pooling."""

from itertools import pairwise

from torch import Tensor, nn


class _Separable(nn.Module):
    """A 3x3 convolution in each channel, then one across the channels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class _Block(nn.Module):
    """Separable convolutions beside a shortcut, which has one of its own where the size changes."""

    def __init__(self, channels: list[int], halve: bool = True, activation: bool = True):
        super().__init__()
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            parts += [nn.ReLU(), _Separable(inputs, outputs), nn.BatchNorm2d(outputs)]
        if halve:
            parts.append(nn.MaxPool2d(3, stride=2, padding=1))
            self.skip = nn.Conv2d(channels[0], channels[-1], 1, stride=2, bias=False)
            self.skipbn = nn.BatchNorm2d(channels[-1])
        self.rep = nn.Sequential(*parts[0 if activation else 1 :])
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        return self.rep(x) + (self.skipbn(self.skip(x)) if self.halve else x)


class Xception(nn.Module):
    """Xception of Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, 2017, up
    to its global average pooling.

    Weights have the names of timm/legacy_xception.tf_in1k, which are those of Keras.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        blocks = [_Block([64, 128, 128], activation=False), _Block([128, 256, 256]),
                  _Block([256, 728, 728]), *(_Block([728] * 4, halve=False) for _ in range(8)),
                  _Block([728, 728, 1024])]  # fmt: skip
        for k, block in enumerate(blocks, start=1):
            self.add_module(f"block{k}", block)
        self.conv3 = _Separable(1024, 1536)
        self.bn3 = nn.BatchNorm2d(1536)
        self.conv4 = _Separable(1536, 2048)
        self.bn4 = nn.BatchNorm2d(2048)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, 3, 299, 299), -1 to 1 -> (B, 2048), none negative."""
        x = self.bn1(self.conv1(frames)).relu()
        x = self.bn2(self.conv2(x)).relu()
        for k in range(1, 13):
            x = self.get_submodule(f"block{k}")(x)
        x = self.bn3(self.conv3(x)).relu()
        return self.bn4(self.conv4(x)).relu().mean(dim=(2, 3))
