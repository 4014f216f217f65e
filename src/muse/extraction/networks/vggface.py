"""VGGFace, version 1, without its fully connected layers."""

from torch import Tensor, nn

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


class VggFace(nn.Module):
    """VGG-16 of Parkhi et al., Deep Face Recognition, 2015, up to its last pooling, and the mean of
    each channel over the face.

    Weights have the names of vgg_face_dag, the port to PyTorch of the University of Oxford.
    """

    def __init__(self):
        super().__init__()
        before = 3
        for block, (channels, count) in enumerate(BLOCKS, start=1):
            for k in range(1, count + 1):
                self.add_module(f"conv{block}_{k}", nn.Conv2d(before, channels, 3, padding=1))
                before = channels

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, H, W), 0 to 255 less the mean of the training data -> (B, 512)."""
        x = faces
        for block, (_, count) in enumerate(BLOCKS, start=1):
            for k in range(1, count + 1):
                x = self.get_submodule(f"conv{block}_{k}")(x).relu_()
            x = nn.functional.max_pool2d(x, 2)
        return x.mean(dim=(2, 3))
