"""Faces in pictures: MTCNN, the face that is taken of a picture, and its crop.

Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
2016. A pyramid of scales makes faces of any size 12 pixels large, P-Net proposes boxes on each of
them, R-Net and O-Net reject boxes and correct them; after each, of boxes that overlap, the most
probable stays. What the paper leaves open (factor of the scales, thresholds, overlaps) is
as in the authors' code. Boxes: (faces, 4) left, top, right, bottom in pixels.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from muse.extraction.networks.mtcnn import Mtcnn

CELL, STRIDE = 12, 2  # pixels that P-Net looks at, and from one look to the next
FACTOR = 0.709  # from scale to scale: half the area
THRESHOLDS = 0.6, 0.7, 0.7  # probability that a box must have in P-Net, R-Net, O-Net
OVERLAPS = 0.5, 0.7, 0.7, 0.7  # most that two boxes may have: in a scale, in all, R-Net, O-Net
AT_ONCE = 512  # boxes that go through R-Net or O-Net at once

# a picture (height, width, 3) uint8 -> boxes (faces, 4), probabilities (faces,)
Detector = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@torch.inference_mode()
def find_faces(network: Mtcnn, smallest: int, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces of a picture by MTCNN.

    Args:
        smallest: pixels that the side of a face has at least.
        picture: (height, width, 3) uint8, red, green and blue.

    Returns:
        Boxes (faces, 4), which may end outside the picture, and probabilities (faces,).
    """
    device = network.pnet.conv1.weight.device
    pixels = torch.tensor(picture, device=device).permute(2, 0, 1)[None].float()
    pixels = (pixels - 127.5) / 128
    boxes = _proposed(network, smallest, pixels)
    for net, size, threshold in ((network.rnet, 24, THRESHOLDS[1]),
                                 (network.onet, 48, THRESHOLDS[2])):  # fmt: skip
        boxes, crops = _crops(pixels, squared(boxes), size)
        parts = [net(part) for part in crops.split(AT_ONCE)] if len(boxes) else []
        if not parts:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        scores, changes = (torch.cat(values) for values in zip(*parts, strict=True))
        found = scores > threshold
        boxes, scores, changes = boxes[found], scores[found], changes[found]
        if net is network.rnet:
            kept = suppressed(boxes, scores, OVERLAPS[2])
            boxes, scores = corrected(boxes[kept], changes[kept], 1), scores[kept]
        else:
            boxes = corrected(boxes, changes, 1)
            kept = suppressed(boxes, scores, OVERLAPS[3], of_smaller=True)
            boxes, scores = boxes[kept], scores[kept]
    return boxes.cpu().numpy(), scores.cpu().numpy()


def pyramid(height: int, width: int, smallest: int) -> list[float]:
    """Scales at which a face of ``smallest`` pixels and larger ones have 12 pixels."""
    scales, scale = [], CELL / smallest
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale *= FACTOR
    return scales


def _proposed(network: Mtcnn, smallest: int, pixels: Tensor) -> Tensor:
    """Boxes of P-Net (boxes, 4), corrected, of a picture (1, 3, H, W)."""
    height, width = pixels.shape[2:]
    found = [(pixels.new_zeros(0, 4), pixels.new_zeros(0), pixels.new_zeros(0, 4))]
    for scale in pyramid(height, width, smallest):
        size = int(height * scale + 1), int(width * scale + 1)
        scores, changes = network.pnet(interpolate(pixels, size, mode="area"))
        places = (scores[0] >= THRESHOLDS[0]).nonzero()  # row, column
        boxes, rows, columns = cells(places, scale), places[:, 0], places[:, 1]
        scores, changes = scores[0, rows, columns], changes[0, :, rows, columns].T
        kept = suppressed(boxes, scores, OVERLAPS[0])
        found.append((boxes[kept], scores[kept], changes[kept]))
    boxes, scores, changes = (torch.cat(values) for values in zip(*found, strict=True))
    kept = suppressed(boxes, scores, OVERLAPS[1])
    return corrected(boxes[kept], changes[kept], 0)


def cells(places: Tensor, scale: float) -> Tensor:
    """Boxes in the picture (boxes, 4) of rows and columns (boxes, 2) of P-Net's output."""
    corner = (STRIDE * places.flip(1) + 1).double()  # in float32 8.0 may become 7.9999
    return torch.cat([corner / scale, (corner + CELL - 1) / scale], dim=1).floor().float()


def corrected(boxes: Tensor, changes: Tensor, border: int) -> Tensor:
    """Boxes moved by the corrections of a network, parts of their width and height.

    Args:
        border: 1 where a box from 3 to 5 is 3 pixels wide, as R-Net and O-Net were trained.
    """
    size = boxes[:, 2:] - boxes[:, :2] + border
    return boxes + changes * size.repeat(1, 2)


def squared(boxes: Tensor) -> Tensor:
    """Squares of the same middle and of the longer side."""
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = size.max(dim=1, keepdim=True).values / 2
    return torch.cat([middle - half, middle + half], dim=1)


def suppressed(boxes: Tensor, scores: Tensor, limit: float, of_smaller: bool = False) -> Tensor:
    """Non-maximum suppression: places of the boxes that stay, the most probable first.

    A box goes if it overlaps a more probable one that stays by more than ``limit``, as a part of
    the area of both together or, with ``of_smaller``, of the smaller one.
    """
    left, top, right, bottom = boxes.cpu().double().numpy().T
    areas = (right - left) * (bottom - top)
    order, kept = np.argsort(-scores.cpu().numpy(), kind="stable"), []
    while len(order):
        one, others = order[0], order[1:]
        kept.append(one)
        width = np.minimum(right[one], right[others]) - np.maximum(left[one], left[others])
        height = np.minimum(bottom[one], bottom[others]) - np.maximum(top[one], top[others])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        smaller = np.minimum(areas[one], areas[others])
        whole = smaller if of_smaller else areas[one] + areas[others] - shared
        order = others[shared <= limit * whole]
    return torch.tensor(np.array(kept, dtype=np.int64), device=boxes.device)


def _crops(pixels: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The boxes that lie in the picture at all, and what is in them: (boxes, 3, size, size)."""
    height, width = pixels.shape[2:]
    corners = boxes.trunc().long()
    left, top = (corners[:, :2].clamp(min=1) - 1).T  # pixels count from 1, as in the original
    right, bottom = corners[:, 2].clamp(max=width), corners[:, 3].clamp(max=height)
    inside = (right > left) & (bottom > top)
    crops = [
        interpolate(pixels[:, :, y0:y1, x0:x1], (size, size), mode="area")
        for x0, y0, x1, y1 in torch.stack([left, top, right, bottom], dim=1)[inside].tolist()
    ]
    return boxes[inside], torch.cat(crops) if crops else pixels.new_zeros(0, 3, size, size)


def choose_face(boxes: np.ndarray, scores: np.ndarray, choice: str) -> np.ndarray | None:
    """The largest or the most probable box (4,) of a picture; None if there is none."""
    if not len(boxes):
        return None
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return boxes[np.argmax(sizes if choice == "largest" else scores)]


def crop_face(picture: np.ndarray, box: np.ndarray, margin: float) -> np.ndarray | None:
    """What is in a box with ``margin`` times its width and height on each side.

    Whole pixels inside the picture; None if there are none.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    x, y = margin * (right - left), margin * (bottom - top)
    left, top = max(0, int(left - x)), max(0, int(top - y))
    crop = picture[top : min(height, int(bottom + y)), left : min(width, int(right + x))]
    return crop if crop.size else None
