"""The three networks of MTCNN."""

from torch import Tensor, nn


class _Net(nn.Module):
    """Convolutions, each with a PReLU and some with a pooling behind it, as the names count them.

    Args:
        channels: of the input and of each convolution. kernels: of each convolution.
        pools: size of the pooling behind the first convolutions.
    """

    def __init__(self, channels: list[int], kernels: list[int], pools: list[int]):
        super().__init__()
        for k, kernel in enumerate(kernels, start=1):
            self.add_module(f"conv{k}", nn.Conv2d(channels[k - 1], channels[k], kernel))
            self.add_module(f"prelu{k}", nn.PReLU(channels[k]))
        self.count, self.pools = len(kernels), pools

    def convolved(self, x: Tensor) -> Tensor:
        for k in range(1, self.count + 1):
            x = self.get_submodule(f"prelu{k}")(self.get_submodule(f"conv{k}")(x))
            if k <= len(self.pools):
                x = nn.functional.max_pool2d(x, self.pools[k - 1], stride=2, ceil_mode=True)
        return x

    def vectors(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, W * H * channels): the weights count columns first, as the
        original in MATLAB."""
        return self.convolved(x).permute(0, 3, 2, 1).flatten(1)


class PNet(_Net):
    """Proposes faces: looks at each 12 x 12 pixels, every other pixel of a row and column."""

    def __init__(self):
        super().__init__([3, 10, 16, 32], [3, 3, 3], [2])
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, H, W) -> probability of a face (B, H', W'), corrections (B, 4, H', W')."""
        x = self.convolved(images)
        return self.conv4_1(x).softmax(dim=1)[:, 1], self.conv4_2(x)


class RNet(_Net):
    """Refines: rejects most of what is no face."""

    def __init__(self):
        super().__init__([3, 28, 48, 64], [3, 3, 2], [3, 3])
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, 24, 24) -> probability of a face (B,), corrections (B, 4)."""
        x = self.prelu4(self.dense4(self.vectors(images)))
        return self.dense5_1(x).softmax(dim=1)[:, 1], self.dense5_2(x)


class ONet(_Net):
    """Decides. Its landmarks, dense6_3, are not used here."""

    def __init__(self):
        super().__init__([3, 32, 64, 64, 128], [3, 3, 3, 2], [3, 3, 2])
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, 48, 48) -> probability of a face (B,), corrections (B, 4)."""
        x = self.prelu5(self.dense5(self.vectors(images)))
        return self.dense6_1(x).softmax(dim=1)[:, 1], self.dense6_2(x)


class Mtcnn(nn.Module):
    """Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
    Networks, 2016.

    Weights have the names of facenet-pytorch's MTCNN.
    """

    def __init__(self):
        super().__init__()
        self.pnet, self.rnet, self.onet = PNet(), RNet(), ONet()
