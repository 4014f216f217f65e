"""DenseNet-121 up to its last pooling."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

BLOCKS = 6, 12, 24, 16  # layers
GROWTH, BOTTLENECK = 32, 128  # channels that a layer adds, and those between its convolutions


class _Layer(nn.Module):
    """What it adds to its input: normalised, 1x1, normalised, 3x3."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(new).relu())], dim=1)


class DenseNet121(nn.Module):
    """DenseNet-121 of Huang et al., Densely Connected Convolutional Networks, 2017, up to its
    global average pooling.

    Weights have the names of timm/densenet121.tv_in1k.
    """

    def __init__(self):
        super().__init__()
        channels = 2 * GROWTH
        parts: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(channels),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, stride=2, padding=1),
        }
        for k, count in enumerate(BLOCKS, start=1):
            layers = {f"denselayer{n + 1}": _Layer(channels + n * GROWTH) for n in range(count)}
            parts[f"denseblock{k}"] = nn.Sequential(OrderedDict(layers))
            channels += count * GROWTH
            if k < len(BLOCKS):
                halved = {
                    "norm": nn.BatchNorm2d(channels),
                    "relu": nn.ReLU(inplace=True),
                    "conv": nn.Conv2d(channels, channels // 2, 1, bias=False),
                    "pool": nn.AvgPool2d(2),
                }
                parts[f"transition{k}"] = nn.Sequential(OrderedDict(halved))
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(OrderedDict(parts))

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, 224, 224), standardised -> (B, 1024), none negative."""
        return self.features(images).relu().mean(dim=(2, 3))
