"""Recordings as tensors on the device, and the windows that training cuts from them.

Shapes: frames, features (columns of all feature sets side by side), targets.
"""

from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from muse.cores import free_on_gpu
from muse.data.moments import Moments, moments_of
from muse.data.recordings import Package, Recording
from muse.data.rows import rows_per_frame
from muse.data.waveform import Waveform
from muse.errors import MuseError

ALIKE = 0.6  # windows of at least this share of the longest are padded to it
MAPPED = 2**28  # bytes of features that stay in the files of the cache, on the CPU
RESIDENT = 0.5  # of a GPU's free memory: features that take more stay in the files as well


@dataclass(frozen=True)
class Scaling:
    """What is subtracted from each feature and what it is divided by."""

    mean: np.ndarray  # (features,) float32; 0 where a feature set is not standardised
    scale: np.ndarray  # (features,) float32; 1 where it is not


@dataclass(frozen=True)
class Mapped:
    """Features of a partition that are not copied: each window is read from the files.

    These are the cache's, and those of sound.

    The processes of a machine share what the system keeps of these files in memory.
    """

    recordings: list[Recording]
    starts: np.ndarray  # (recordings,) first frame of each
    scaling: Scaling
    shape: tuple[int, int]  # frames + 1, features
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        return self.shape[0]

    def windows(self, windows: np.ndarray) -> Tensor:
        """Windows (batch, 2), start and length, scaled and padded: (frames, batch, features)."""
        shape = int(windows[:, 1].max()), len(windows), self.shape[1]
        whole = torch.empty(shape, pin_memory=self.device.type == "cuda")
        out = whole.numpy()
        owners = np.searchsorted(self.starts, windows[:, 0], side="right") - 1
        for b, ((start, length), owner) in enumerate(zip(windows, owners, strict=True)):
            first = start - self.starts[owner]
            rows = self.recordings[owner].rows[first : first + length]
            _fill(out[:length, b], self.recordings[owner], rows, self.scaling)
            out[length:, b] = 0
        return whole.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class Frames:
    """A partition on the device, all recordings one after another.

    The last row is a frame of zeros: padding points at it.
    """

    features: "Tensor | Mapped"  # (frames + 1, features) float32
    labels: Tensor  # (frames + 1, targets) float32, NaN without labels; in Sent the class
    samples: np.ndarray  # (samples, 2) int64: start and length of what is predicted as one
    recordings: list[tuple[str, int, int]]  # id, first frame, end
    inputs: dict[str, int]  # feature set -> its columns, in the order of the features
    targets: list[str]  # of the columns of the labels
    rows: dict[str, int] = field(default_factory=dict)  # feature set -> its rows in a frame, if > 1

    @property
    def most_rows(self) -> int:
        """Of a feature set in a frame, see `align=own`."""
        return max(self.rows.values(), default=1)


def fit_scaling(
    package: Package, standardised: list[str], windows: tuple[int, int] | None = None
) -> Scaling:
    """Mean and standard deviation (over n) of the training frames that are used, NaN left out.

    Feature sets not in ``standardised`` pass unchanged; a constant feature is only centred, one
    that is missing in every frame becomes zero. The rows that a feature set has in a frame
    (`align=own`) count as so many frames.

    Args:
        windows: length and hop in frames, to count a frame once for each training window that it
            is in, as the code of the MuSe 2021 baseline does; None: each frame counts once.
    """
    means, scales = [], []
    for k, name in enumerate(package.features):
        mean, scale = np.zeros(len(package.columns[name])), np.ones(len(package.columns[name]))
        if name in standardised:
            mean, scale = _mean_and_scale(package, k, windows)
        means.append(mean.astype(np.float32))
        scales.append(scale.astype(np.float32))
    return Scaling(np.concatenate(means), np.concatenate(scales))


def _mean_and_scale(
    package: Package, k: int, windows: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Of the k-th feature set: (columns,) float64 each."""
    train = package.partitions["train"]
    rows = [r.rows if windows is None else _rows_of_windows(r, *windows) for r in train]
    moments = (moments_of(r.features[k], counted) for r, counted in zip(train, rows, strict=True))
    parts = rows_per_frame(package.columns[package.features[k]])
    whole = reduce(Moments.merge, reduce(Moments.merge, moments).split(parts))
    scale = np.sqrt(whole.squares / np.maximum(whole.count, 1))
    scale = np.where(scale > 1e-10 * np.abs(whole.mean), scale, 1.0)
    return np.tile(whole.mean, parts), np.tile(scale, parts)


def _rows_of_windows(recording: Recording, window: int, hop: int) -> np.ndarray:
    """The used rows of a recording, each as often as there are windows that it is in."""
    cut = cut_windows(recording.samples, window, hop)
    edges = np.zeros(len(recording.rows) + 1, dtype=np.int64)  # of windows: one begins, one ends
    np.add.at(edges, cut[:, 0], 1)
    np.add.at(edges, cut.sum(axis=1), -1)
    return np.repeat(recording.rows, np.cumsum(edges[:-1]))


def to_frames(
    package: Package, partition: str, targets: list[str], scaling: Scaling, device: torch.device
) -> Frames:
    """Put a partition on the device: features scaled, NaN to zero, labels beside them."""
    recordings = package.partitions[partition]
    ends = np.cumsum([len(recording.rows) for recording in recordings])
    starts = ends - [len(recording.rows) for recording in recordings]
    total, width = int(ends[-1]), len(scaling.mean)
    sound = any(isinstance(values, Waveform) for r in recordings for values in r.features)
    mapped = sound or _stays_in_files(4 * total * width, device)
    features = torch.zeros(0 if mapped else total + 1, width)
    labels = torch.zeros(total + 1, len(targets))
    samples, bounds = [], []
    for recording, start, end in zip(recordings, starts.tolist(), ends.tolist(), strict=True):
        if not mapped:
            _fill(features[start:end].numpy(), recording, recording.rows, scaling)
        for k, target in enumerate(targets):
            gold = recording.labels[target]
            labels[start:end, k] = torch.nan if gold is None else torch.tensor(gold)
        samples.append(recording.samples + np.array([start, 0]))
        bounds.append((recording.id, start, end))
    features = (
        Mapped(recordings, starts, scaling, (total + 1, width), device)
        if mapped
        else features.to(device)
    )
    inputs = {name: len(package.columns[name]) for name in package.features}
    parts = {name: rows_per_frame(package.columns[name]) for name in package.features}
    rows = {name: count for name, count in parts.items() if count > 1}
    gold = labels.to(device)
    return Frames(features, gold, np.concatenate(samples), bounds, inputs, list(targets), rows)


def _stays_in_files(size: int, device: torch.device) -> bool:
    """Whether the features of a partition, so many bytes, are read window by window."""
    if device.type != "cuda":
        return size > MAPPED
    return size > RESIDENT * free_on_gpu(device)


def _standardise(
    values: np.ndarray, mean: np.ndarray, scale: np.ndarray, out: np.ndarray, id_: str
) -> None:
    try:
        with np.errstate(over="raise"):
            np.subtract(values, mean, out=out)
            np.divide(out, scale, out=out)
    except FloatingPointError:
        raise MuseError(
            f"recording {id_}: standardised on train, a feature is larger than float32 holds. "
            "Correct the value, or train with standardise=false."
        ) from None


def _fill(out: np.ndarray, recording: Recording, rows: np.ndarray, scaling: Scaling) -> None:
    """Write the scaled ``rows`` of all feature sets into ``out``: (frames, features)."""
    begin = 0
    for values, missing in zip(recording.features, recording.missing, strict=True):
        end = begin + values.shape[1]
        view = out[:, begin:end]
        mean, scale = scaling.mean[begin:end], scaling.scale[begin:end]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1:  # a slice copies nothing
            chosen = values[rows[0] : rows[-1] + 1]
        else:
            chosen = values[rows]
        if mean.any() or (scale != 1).any():
            _standardise(chosen, mean, scale, view, recording.id)
        else:
            view[:] = chosen
        if missing:
            view[np.isnan(view)] = 0.0
        begin = end


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


def group_by_length(windows: np.ndarray, cells: int = 2**62, width: int = 1) -> list[np.ndarray]:
    """Split windows into groups of similar length, so that padding each group costs little.

    Args:
        windows: (windows, 2) start and length in frames.
        cells: most values (frames x features) of a group.
        width: features.

    Returns:
        The groups, longest first; each keeps the order of its windows.
    """
    groups = []
    while len(windows):
        longest = int(windows[:, 1].max())
        alike = windows[:, 1] >= ALIKE * longest
        group, windows = windows[alike], windows[~alike]
        room = max(1, min(cells // (longest * width), len(group)))
        groups += [group[begin : begin + room] for begin in range(0, len(group), room)]
    return groups


def on_device(values: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor; a GPU gets it without being waited for.

    For that it must be pinned and contiguous: of other memory PyTorch makes a copy that is not
    pinned. The pinned memory is used again only after the transfer, which PyTorch sees to.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    tensor = tensor.pin_memory() if device.type == "cuda" else tensor
    return tensor.to(device, non_blocking=True)


def collate(frames: Frames, windows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Gather windows, padded with zeros on the right to the longest.

    Args:
        windows: (batch, 2) start and length in frames.

    Returns:
        features (batch, frames, features), labels (batch, frames, targets), lengths (batch,). In
        memory frames come first, as recurrent layers want them.
    """
    where = on_device(windows, frames.labels.device)
    start, lengths = where.unbind(1)  # (batch,)
    steps = torch.arange(int(windows[:, 1].max()), device=where.device)[:, None]  # (frames, 1)
    index = torch.where(steps < lengths, start + steps, len(frames.labels) - 1)
    mapped = isinstance(frames.features, Mapped)
    features = frames.features.windows(windows) if mapped else frames.features[index]
    return features.transpose(0, 1), frames.labels[index].transpose(0, 1), lengths
