"""Sound and feature sets through convolutions and an LSTM: End2You, a baseline of MuSe 2020.

Shapes: B batch, T frames (padded on the right), F features, S samples of a frame, C channels,
O outputs.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from muse.cores import STEP_BYTES
from muse.errors import MuseError
from muse.models.checks import check_dropout, check_sizes, check_switches
from muse.models.recurrent import recur

FRAMES_AT_ONCE = 64  # that go through the convolutions together on the CPU


class AudioCRNN(nn.Module):
    """Convolutions of the samples of each frame, then an LSTM over all frames (End2You).

    Stappen et al. 2020, section 5.2: three convolutions of the raw sound, what they give beside the
    other feature sets, one LSTM layer. The sizes, the dropout and tanh behind one linear layer are
    those of the official code (https://github.com/lstappen/MuSe2020): convolutions of samples of
    the same frame only, without padding; ReLU; pooling without overlap; what does not fill a pool
    is left out. Its LSTM has peepholes, which PyTorch's does not have, and its classes end in a
    sigmoid, here in logits, without tanh.

    Args:
        input_sets: feature set -> its features per frame; of sound the samples.
        outputs: values per frame.
        audio: the feature set that is sound.
        channels, kernels, pools: of each convolution: its outputs, the samples that it sees, and
            the outputs of which the largest is kept.
        dropout: probability, behind each pooling.
        hidden: units of the LSTM.
        tanh: outputs from -1 to 1.

    Raises:
        MuseError: no such feature set, or too few samples in a frame; lists of unequal length, a
            size below 1, a dropout outside 0 to 1, a switch that is neither true nor false.
    """

    def __init__(
        self,
        input_sets: dict[str, int],
        outputs: int,
        audio: str = "audio",
        channels: list[int] = (50, 125, 250),
        kernels: list[int] = (8, 8, 6),
        pools: list[int] = (10, 8, 6),
        dropout: float = 0.5,
        hidden: int = 256,
        tanh: bool = True,
    ):
        super().__init__()
        check_sizes(hidden=hidden)
        check_dropout(dropout)
        check_switches(tanh=tanh)
        if audio not in input_sets:
            raise MuseError(
                f"model.audio={audio}: the model reads sound, but the features are "
                f"{', '.join(input_sets)}. Give features=[audio,...], or the name of the sound."
            )
        self.widths = list(input_sets.values())
        self.place = list(input_sets).index(audio)
        self.convolutions = FrameConvolutions(input_sets[audio], channels, kernels, pools, dropout)
        others = sum(self.widths) - input_sets[audio]
        self.lstm = nn.LSTM(self.convolutions.outputs + others, hidden)
        self.output = nn.Linear(hidden, outputs)
        self.last = nn.Tanh() if tanh else nn.Identity()

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        sets = list(features.transpose(0, 1).split(self.widths, dim=2))  # each (T, B, features)
        sets[self.place] = self.convolutions(sets[self.place])
        x = recur(self.lstm, torch.cat(sets, dim=2))  # (T, B, H): padding never reaches back
        return self.last(self.output(x)).transpose(0, 1)


class FrameConvolutions(nn.Module):
    """Convolutions within each frame: (T, B, S) -> (T, B, outputs), all channels of all places.

    A few frames at a time go through: on the CPU FRAMES_AT_ONCE, on a GPU as many as STEP_BYTES are
    good for. What the backward pass needs of them is kept, or, where it is more than STEP_BYTES,
    computed again.
    """

    def __init__(
        self,
        samples: int,
        channels: list[int],
        kernels: list[int],
        pools: list[int],
        dropout: float,
    ):
        super().__init__()
        sizes = {"channels": channels, "kernels": kernels, "pools": pools}
        _check_lists(sizes)
        layers: list[nn.Module] = []
        before, left, self.bytes_per_frame = 1, samples, 4 * samples  # see training/memory.py
        for count, kernel, pool in zip(channels, kernels, pools, strict=True):
            left = left - kernel + 1
            # kept: what the convolution gives; the largest, their places (of 8 bytes), and what
            # ReLU, dropout and its mask make of them
            self.bytes_per_frame += count * (4 * left + 28 * (left // pool))
            # the largest value, then ReLU: the same as the other way round, on fewer values
            layers += [nn.Conv1d(before, count, kernel), nn.MaxPool1d(pool), nn.ReLU()]
            layers.append(nn.Dropout(dropout))
            before, left = count, left // pool
            if left < 1:
                raise MuseError(
                    f"model: a frame of {samples} samples is too short for kernels="
                    f"{list(kernels)} and pools={list(pools)}: none are left. Give smaller ones."
                )
        self.outputs = before * left
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        """x (T, B, S) -> (T, B, outputs)."""
        frames = x.reshape(-1, 1, x.shape[2])  # (T * B, 1, S)
        if torch.jit.is_tracing():
            return self.layers(frames).view(*x.shape[:2], self.outputs)
        of_gpu = max(1, STEP_BYTES // self.bytes_per_frame)
        size = FRAMES_AT_ONCE if x.device.type == "cpu" else of_gpu
        keep = len(frames) * self.bytes_per_frame <= STEP_BYTES or not torch.is_grad_enabled()
        parts = [
            self.layers(part) if keep else checkpoint(self.layers, part, use_reentrant=False)
            for part in frames.split(size)
        ]
        return torch.cat(parts).view(*x.shape[:2], self.outputs)


def _check_lists(sizes: dict[str, list[int]]) -> None:
    """Raise MuseError for sizes of layers that are no whole numbers, or not as many of each."""
    for name, values in sizes.items():
        if not isinstance(values, list | tuple) or not values:
            raise MuseError(f"model.{name}={values}: expected a list with a number for each layer.")
        for value in values:
            check_sizes(**{name: value})
    if len({len(values) for values in sizes.values()}) > 1:
        given = ", ".join(f"{name}={list(values)}" for name, values in sizes.items())
        raise MuseError(f"model: {given}: expected as many of each, one for each convolution.")
