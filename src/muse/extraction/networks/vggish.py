"""VGGish up to its embedding."""

import torch
from torch import Tensor, nn

from muse.extraction.networks.vgg19 import convolutions

BLOCKS = ((64, 1), (128, 1), (256, 2), (512, 2))  # channels, convolutions


class Vggish(nn.Module):
    """VGGish of Hershey et al., CNN Architectures for Large-Scale Audio Classification, 2017, up to
    the values of its embedding layer before any activation.

    Weights have the names of the port to PyTorch harritaylor/torchvggish. As in the original, the
    channels come last where the pictures become vectors.
    """

    def __init__(self):
        super().__init__()
        self.features = convolutions(1, BLOCKS)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 128),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """patches (B, 96, 64), log-mel spectrograms, time first -> (B, 128)."""
        maps = self.features(patches[:, None])  # (B, 512, 6, 4)
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))


class VggishPca(Vggish):
    """VGGish with the whitening and the 256 steps of the features that AudioSet was released with.

    Its two tensors have the names of vggish_pca_params.npz.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("pca_eigen_vectors", torch.zeros(128, 128))
        self.register_buffer("pca_means", torch.zeros(128, 1))

    def forward(self, patches: Tensor) -> Tensor:
        """patches (B, 96, 64) -> (B, 128), whole numbers from 0 to 255."""
        white = (super().forward(patches) - self.pca_means[:, 0]) @ self.pca_eigen_vectors.T
        return ((white.clamp(-2, 2) + 2) * (255 / 4)).floor()
