"""Windows of several members as one batch, and their frames where they belong.

Shapes: N members, T frames, B windows, F features, K targets, O outputs.
"""

import numpy as np
import torch
from torch import Tensor

from muse.data.windows import Frames, collate, on_device


def gather(partitions: list[Frames], parts: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of each member, padded: features (N, T, B, F), labels (N, T, B, K), lengths (N, B).

    Args:
        partitions: of each member; those that are the same object are read together.
        parts: the windows of each.
    """
    windows = padded(parts)
    count, frames = windows.shape[1], int(windows[..., 1].max())
    lengths = on_device(windows[..., 1], partitions[0].labels.device)
    owners: dict[int, list[int]] = {}
    for k, partition in enumerate(partitions):
        owners.setdefault(id(partition), []).append(k)
    found: list[Tensor] = []
    for own in owners.values():
        partition = partitions[own[0]]
        given = collate(partition, windows[own].reshape(-1, 2))[:2]
        values = [v.unflatten(0, (len(own), count)).transpose(1, 2) for v in given]
        if len(owners) == 1:
            return values[0].contiguous(), values[1], lengths
        found = found or [v.new_zeros(len(parts), frames, count, v.shape[3]) for v in values]
        for whole, part in zip(found, values, strict=True):
            whole[index_of(own, whole), : part.shape[1]] = part
    return found[0], found[1], lengths


def padded(parts: list[np.ndarray]) -> np.ndarray:
    """Windows of each member, filled up with windows of no frames: (N, B, 2)."""
    windows = np.zeros((len(parts), max(map(len, parts)), 2), np.int64)
    for k, part in enumerate(parts):
        windows[k, : len(part)] = part
    return windows


def write_frames(
    lines: Tensor, chosen: list[int], values: Tensor, starts: np.ndarray, lengths: Tensor
) -> None:
    """Write the frames of windows where they belong.

    Args:
        lines: of all members, (all, frames + 1, O); the last frame takes what is no frame.
        values: of the windows of those that are chosen, (N, B, T, O).
        starts: the first frame of each window, (N, B).
    """
    steps = torch.arange(values.shape[2], device=lines.device)
    where = on_device(starts, lines.device)[..., None] + steps  # (N, B, T)
    where = torch.where(steps < lengths[..., None], where, lines.shape[1] - 1)
    lines[index_of(chosen, lines)[:, None, None], where] = values


def index_of(chosen: list[int], like: Tensor) -> Tensor:
    return on_device(np.array(chosen), like.device)
