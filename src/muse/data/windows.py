"""Recordings as tensors on the device, and the windows that training cuts from them.

Shapes: frames, features (columns of all feature sets side by side), targets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from muse.data.recordings import Package

ALIKE = 0.6  # windows of at least this share of the longest are padded to it


@dataclass(frozen=True)
class Scaling:
    """What is subtracted from each feature and what it is divided by."""

    mean: np.ndarray  # (features,) float32; 0 where a feature set is not standardised
    scale: np.ndarray  # (features,) float32; 1 where it is not


@dataclass(frozen=True)
class Frames:
    """A partition on the device, all recordings one after another.

    The last row is a frame of zeros: padding points at it.
    """

    features: Tensor  # (frames + 1, features) float32
    labels: Tensor  # (frames + 1, targets) float32, NaN without labels; in Sent the class
    samples: np.ndarray  # (samples, 2) int64: start and length of each recording or segment
    recordings: list[tuple[str, int, int]]  # id, first frame, end


def fit_scaling(package: Package, standardised: list[str]) -> Scaling:
    """Mean and standard deviation (over n) of the training frames that are used, NaN left out.

    Feature sets not in ``standardised`` pass unchanged; a constant feature is only centred, one
    that is missing in every frame becomes zero.
    """
    means, scales = [], []
    for k, name in enumerate(package.features):
        mean, scale = np.zeros(len(package.columns[name])), np.ones(len(package.columns[name]))
        if name in standardised:
            mean, scale = _mean_and_scale(package, k)
        means.append(mean.astype(np.float32))
        scales.append(scale.astype(np.float32))
    return Scaling(np.concatenate(means), np.concatenate(scales))


def _mean_and_scale(package: Package, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the k-th feature set, recording by recording in two passes: (columns,) float64 each."""
    train = package.partitions["train"]

    def total(of_values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return sum(np.nansum(of_values(r.features[k][r.rows]), axis=0, dtype=float) for r in train)

    count = np.maximum(total(lambda x: ~np.isnan(x)), 1)
    mean = total(lambda x: x) / count
    scale = np.sqrt(total(lambda x: (x - mean) ** 2) / count)
    return mean, np.where(scale > 1e-10 * np.abs(mean), scale, 1.0)


def to_frames(
    package: Package, partition: str, targets: list[str], scaling: Scaling, device: torch.device
) -> Frames:
    """Put a partition on the device: features scaled, NaN to zero, labels beside them."""
    recordings = package.partitions[partition]
    ends = np.cumsum([len(recording.rows) for recording in recordings])
    starts = ends - [len(recording.rows) for recording in recordings]
    total = int(ends[-1])
    features = torch.zeros(total + 1, len(scaling.mean))
    labels = torch.zeros(total + 1, len(targets))
    samples, bounds = [], []
    for recording, start, end in zip(recordings, starts.tolist(), ends.tolist(), strict=True):
        _fill(features[start:end].numpy(), recording.features, recording.rows, scaling)
        for k, target in enumerate(targets):
            gold = recording.labels[target]
            labels[start:end, k] = torch.nan if gold is None else torch.tensor(gold)
        spans = recording.samples
        samples.append(np.stack([start + spans[:, 0], spans[:, 1] - spans[:, 0]], axis=1))
        bounds.append((recording.id, start, end))
    return Frames(features.to(device), labels.to(device), np.concatenate(samples), bounds)


def _fill(out: np.ndarray, sets: list[np.ndarray], rows: np.ndarray, scaling: Scaling) -> None:
    """Write the scaled rows of all feature sets into ``out``: (frames, features)."""
    begin = 0
    for values in sets:
        end = begin + values.shape[1]
        view = out[:, begin:end]
        chosen = values if len(rows) == len(values) else values[rows]
        np.subtract(chosen, scaling.mean[begin:end], out=view)
        np.divide(view, scaling.scale[begin:end], out=view)
        begin = end
    out[np.isnan(out)] = 0.0


def cut_windows(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Cut samples into windows of ``window`` frames every ``hop`` frames.

    The window that reaches the end is the last, and it alone may be shorter.

    Args:
        samples: (samples, 2) start and length in frames.

    Returns:
        (windows, 2) start and length in frames.
    """
    windows = []
    for start, length in samples.tolist():
        count = 1 + max(0, -(-(length - window) // hop))
        offsets = np.arange(count) * hop
        windows.append(np.stack([start + offsets, np.minimum(window, length - offsets)], axis=1))
    return np.concatenate(windows)


def split_alike(windows: np.ndarray) -> list[np.ndarray]:
    """Split windows into groups of similar length, so that padding each group costs little.

    Args:
        windows: (windows, 2) start and length in frames.

    Returns:
        The groups, longest first; each keeps the order of its windows.
    """
    groups = []
    while len(windows):
        alike = windows[:, 1] >= ALIKE * windows[:, 1].max()
        groups.append(windows[alike])
        windows = windows[~alike]
    return groups


def take(frames: Frames, windows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Gather windows, padded with zeros on the right to the longest.

    Args:
        windows: (batch, 2) start and length in frames.

    Returns:
        features (batch, frames, features), labels (batch, frames, targets), lengths (batch,). In
        memory frames come first, as recurrent layers want them.
    """
    where = torch.from_numpy(windows).to(frames.features.device)
    start, lengths = where.unbind(1)  # (batch,)
    steps = torch.arange(int(windows[:, 1].max()), device=where.device)[:, None]  # (frames, 1)
    index = torch.where(steps < lengths, start + steps, len(frames.features) - 1)
    return frames.features[index].transpose(0, 1), frames.labels[index].transpose(0, 1), lengths
