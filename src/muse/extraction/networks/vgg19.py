"""VGG-19 up to its last hidden layer."""

from collections import OrderedDict
from collections.abc import Iterable

from torch import Tensor, nn

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions


def convolutions(before: int, blocks: Iterable[tuple[int, int]]) -> nn.Sequential:
    """Blocks of 3 x 3 convolutions with ReLU, each followed by max pooling, as all VGGs have them.

    Args:
        before: channels of the input.
        blocks: channels and number of convolutions of each.
    """
    layers: list[nn.Module] = []
    for channels, count in blocks:
        for _ in range(count):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
            before = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Vgg19(nn.Module):
    """Configuration E of Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale
    Image Recognition, 2015, up to the ReLU of its second fully connected layer (fc2).

    Weights have the names of timm/vgg19.tv_in1k, where the fully connected layers are convolutions.
    """

    def __init__(self):
        super().__init__()
        self.features = convolutions(3, BLOCKS)
        fully = {"fc1": nn.Conv2d(512, 4096, 7), "act1": nn.ReLU(inplace=True),
                 "fc2": nn.Conv2d(4096, 4096, 1), "act2": nn.ReLU(inplace=True)}  # fmt: skip
        self.pre_logits = nn.Sequential(OrderedDict(fully))

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, 224, 224), standardised -> (B, 4096), none negative."""
        return self.pre_logits(self.features(images)).flatten(1)
