"""MTCNN: each step by numbers computed by hand, the whole with weights that find bright squares."""

import numpy as np
import pytest
import torch
from torch import nn

from muse.extraction.faces import (
    cells,
    choose_face,
    corrected,
    crop_face,
    find_faces,
    pyramid,
    squared,
    suppressed,
)
from muse.extraction.networks.mtcnn import Mtcnn


def bright_squares(level: float = 0.5) -> Mtcnn:
    """MTCNN that takes for a face what is brighter than ``level`` (-1 to 1) on the average.

    The first channel of each layer is the mean of the pixels that it looks at.
    """
    network = Mtcnn()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    for net in (network.pnet, network.rnet, network.onet):
        for name, layer in net.named_children():
            if isinstance(layer, nn.PReLU):
                nn.init.ones_(layer.weight)  # what is negative stays
            elif name in ("conv4_1", "dense5_1", "dense6_1"):
                layer.weight.data[1, 0], layer.bias.data[1] = 30, -30 * level
            elif name == "conv1":
                layer.weight.data[0] = 1 / layer.weight[0].numel()
            elif name in ("conv2", "conv3", "conv4"):
                layer.weight.data[0, 0] = 1 / layer.weight[0, 0].numel()
            elif name in ("dense4", "dense5"):
                layer.weight.data[0].view(3, 3, -1)[:, :, 0] = 1 / 9
    return network.eval()


def picture(*corner: int, side: int = 40) -> np.ndarray:
    """A bright square on black, its left upper corner at x, y; without a corner only black."""
    pixels = np.zeros((100, 120, 3), np.uint8)
    if corner:
        pixels[corner[1] : corner[1] + side, corner[0] : corner[0] + side] = 255
    return pixels


def test_scales():
    """A face of 20 pixels is 12 large at 0.6; at 0.1516 the 80 pixels are 12.1."""
    expected = [0.6, 0.6 * 0.709, 0.6 * 0.709**2, 0.6 * 0.709**3, 0.6 * 0.709**4]
    assert pyramid(100, 80, 20) == pytest.approx(expected)
    assert pyramid(24, 24, 24) == [0.5] and pyramid(19, 300, 20) == []


def test_cells_of_p_net():
    """Row 3 and column 4 are 12 pixels from (9, 7) on, in a picture of half the size."""
    found = cells(torch.tensor([[3, 4], [0, 0]]), 0.5)
    assert found.tolist() == [[18, 14, 40, 36], [2, 2, 24, 24]]


def test_corrections():
    box, changes = torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[0.1, -0.1, 0.2, 0.0]])
    assert corrected(box, changes, 0).tolist() == [[12, 16, 34, 60]]
    assert corrected(box, changes, 1)[0].tolist() == pytest.approx([12.1, 15.9, 34.2, 60])
    assert squared(box).tolist() == [[0, 20, 40, 60]]


def test_suppression():
    """The second box shares 90 of 110 pixels with the first; the third is a quarter of it."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 5, 5], [50, 50, 60, 60]])
    scores = torch.tensor([0.9, 0.8, 0.95, 0.1])
    assert suppressed(boxes, scores, 0.7).tolist() == [2, 0, 3]
    assert suppressed(boxes, scores, 0.82).tolist() == [2, 0, 1, 3]
    assert suppressed(boxes, scores, 0.7, of_smaller=True).tolist() == [2, 3]
    assert suppressed(boxes[:0], scores[:0], 0.7).tolist() == []


def test_the_face_and_its_crop():
    boxes = np.array([[10, 10, 30, 40], [50, 20, 90, 60], [0, 0, 5, 5.0]])
    scores = np.array([0.9, 0.8, 0.99])
    assert choose_face(boxes, scores, "largest").tolist() == [50, 20, 90, 60]
    assert choose_face(boxes, scores, "probable").tolist() == [0, 0, 5, 5]
    assert choose_face(boxes[:0], scores[:0], "largest") is None
    pixels = np.arange(100 * 120 * 3, dtype=np.uint32).reshape(100, 120, 3).astype(np.uint8)
    assert np.array_equal(crop_face(pixels, boxes[0], 0), pixels[10:40, 10:30])
    assert np.array_equal(crop_face(pixels, boxes[0], 0.1), pixels[7:43, 8:32])
    outside = np.array([-10.5, 90.9, 20.9, 130])
    assert np.array_equal(crop_face(pixels, outside, 0), pixels[90:, :20])
    assert crop_face(pixels, np.array([130, 0, 150, 20.0]), 0) is None


def test_networks_are_those_published():
    """Numbers of parameters of the published networks; vectors have columns first."""
    network = Mtcnn()
    counts = [sum(p.numel() for p in net.parameters())
              for net in (network.pnet, network.rnet, network.onet)]  # fmt: skip
    assert counts == [6632, 100178, 389040]
    names = set(network.state_dict())
    assert {"pnet.conv4_2.bias", "rnet.prelu4.weight", "onet.dense6_3.weight"} <= names
    images = torch.rand(2, 3, 24, 24)
    maps, vectors = network.rnet.convolved(images), network.rnet.vectors(images)
    assert maps.shape == (2, 64, 3, 3) and vectors.shape == (2, 576)
    for channel, row, column in ((0, 0, 1), (5, 2, 0), (63, 1, 2)):
        place = (column * 3 + row) * 64 + channel
        assert torch.equal(vectors[:, place], maps[:, channel, row, column])


def test_bright_squares_are_found():
    network = bright_squares()
    boxes, scores = find_faces(network, 40, picture(30, 50))
    assert len(boxes) == len(scores) > 0 and (scores > 0.7).all()
    left, top, right, bottom = choose_face(boxes, scores, "largest")
    shared = (min(right, 70) - max(left, 30)) * (min(bottom, 90) - max(top, 50))
    assert (
        shared / (1600 + (right - left) * (bottom - top) - shared) > 0.6
    )  # P-Net looks every 7 pixels
    boxes, scores = find_faces(network, 20, picture())
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_a_picture_at_an_edge_or_smaller_than_a_face():
    network = bright_squares()
    boxes, _ = find_faces(network, 20, picture(90, 0, side=30))  # in a corner
    assert len(boxes) and crop_face(picture(90, 0, side=30), boxes[0], 0).size
    assert find_faces(network, 20, picture()[:10, :10])[0].shape == (0, 4)
    assert find_faces(network, 12, np.full((12, 12, 3), 255, np.uint8))[0].shape[1] == 4


@pytest.mark.parametrize("seed", [0, 2])
def test_random_weights_give_boxes_that_are_well_formed(seed, monkeypatch):
    """With thresholds at which random networks find something."""
    monkeypatch.setattr("muse.extraction.faces.THRESHOLDS", (0.5, 0.45, 0.45))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Mtcnn().eval()
    for parameter in network.parameters():
        parameter.data *= 1.5
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    boxes, scores = find_faces(network, 20, noise)
    assert len(boxes) == len(scores) > 0
    assert boxes.dtype == scores.dtype == np.float32 and np.isfinite(boxes).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all() and ((scores > 0.45) & (scores <= 1)).all()
    assert (np.diff(scores) <= 0).all()
