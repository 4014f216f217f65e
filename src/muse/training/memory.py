"""How much memory training takes: how many windows go through a model at once, how many models.

Shapes: F features.
"""

from collections.abc import Sequence

import numpy as np
from torch import nn

from muse.cores import PROCESS_BYTES, STEP_BYTES, free_memory, free_on_gpu
from muse.data.windows import Frames, Mapped

LSTM_BYTES, OTHER_BYTES = 8, 6  # for each input and output of a weight matrix and each frame
COPIES_OF_WEIGHTS = 6  # the weights, their gradient, two moments of Adam, the best, one on the way
BACKWARD_VALUES = 32  # for each hidden unit and frame, of what one layer computes with; measured
POPULATION_SHARE = 0.8  # of the free memory that a population is planned for


def frame_bytes(model: nn.Module, features: int, rows: int = 1) -> int:
    """Memory that one frame takes while a model is trained on the CPU, estimated from its weights.

    For each frame a weight matrix reads as many values as it has columns and gives as many as it
    has rows. They are kept in float32 for the backward pass, which adds gradients of its own: 8
    bytes each for an LSTM, 6 for all else. Measured were 85 bytes for each hidden unit of an LSTM
    (here 80 to 88), 48 to 59 of a GRU (here 48 to 54) and 63 of an attention layer with its
    feedforward network (here 72). A convolution over the frames reads and gives each frame once,
    whatever its width. For a model that muse does not know this is cautious where each
    matrix is used once per frame; what a model keeps without weights (a matrix of frames times
    frames), or more often than once per frame (a convolution within a frame), is not seen, unless
    the module has it as `bytes_per_frame`.

    Args:
        features: F, of which the batch and one copy of it are kept.
        rows: of the feature set that has most in a frame (`align=own`).
    """
    if hasattr(model, "frame_bytes"):  # a model whose weights do not say it
        return model.frame_bytes
    total = 0
    for module in model.modules():
        total += getattr(module, "bytes_per_frame", 0)
        each = LSTM_BYTES if isinstance(module, nn.LSTM) else OTHER_BYTES
        for weight in module.parameters(recurse=False):
            total += each * (weight.shape[0] + weight.shape[1]) if weight.ndim > 1 else 0
    return 8 * features + rows * total


def step_parts(windows: np.ndarray, each: int) -> list[np.ndarray]:
    """Split windows that are padded together, in as few parts of equal size as memory is good for.

    Args:
        windows: (windows, 2) start and length in frames.
        each: bytes that a frame takes, see `frame_bytes`. A part stays below STEP_BYTES, unless it
            is a single window. The split depends on nothing else, since dropout draws a mask for
            each part: a seed gives the same numbers however much memory a machine has.
    """
    count = -(-len(windows) * int(windows[:, 1].max()) * each // STEP_BYTES)
    return np.array_split(windows, max(1, min(count, len(windows))))


def within_step(parts: list[np.ndarray], each: int) -> bool:
    """Whether all parts of a training step may keep what the backward pass needs at once.

    A single part always does: computing it again would need as much at once. On a GPU there is no
    more than one, and computed again it would drop other values than before, since
    `torch.utils.checkpoint` keeps the random numbers of a GPU only where it is given tensors.
    """
    frames = sum(len(part) * int(part[:, 1].max()) for part in parts)
    return len(parts) == 1 or frames * each <= STEP_BYTES


def expected_memory(
    model: nn.Module, frames: dict[str, Frames], window: int, batch_size: int, copied: bool
) -> int:
    """Bytes that training a model takes in a process of its own, interpreter and PyTorch included.

    The sum of the process itself, copies of the weights, and the larger of two: the largest part of
    a training step, and predicting, which is as bounded (`muse.training.model.CELLS_AT_ONCE`).

    Args:
        frames: the data of each partition.
        window, batch_size: frames of a training window, windows of a training step.
        copied: whether the process has a copy of the data; a fork shares that of its parent.
    """
    train = frames["train"]
    each = frame_bytes(model, train.features.shape[1], train.most_rows)
    samples = {name: part.samples[:, 1] for name, part in frames.items()}
    longest = min(window, int(samples["train"].max()))
    step = max(longest * each, min(STEP_BYTES, batch_size * longest * each))
    predicted = max(int(lengths.sum()) for lengths in samples.values()) * each // 2
    data = sum(_data_bytes(part) for part in frames.values()) if copied else 0
    weights = sum(weight.nbytes for weight in model.parameters())
    used = max(step, min(STEP_BYTES, predicted))
    return PROCESS_BYTES + COPIES_OF_WEIGHTS * weights + used + data


def members_within(
    model: nn.Module, train: Frames, frames: int, own: Sequence[Frames], dropout: bool
) -> int:
    """Models of a population that the free memory is good for, at least one.

    On a GPU all go through a training step together; on the CPU no more than STEP_BYTES are good
    for.

    Args:
        model: one of them.
        train: what it is trained on.
        frames: that go through it at once in training, padding included.
        own: data that each has for itself.
        dropout: whether masks are kept.
    """
    device = train.features.device
    free = free_on_gpu(device) if device.type == "cuda" else free_memory()
    if free is None:
        return 2**31
    each = COPIES_OF_WEIGHTS * sum(weight.nbytes for weight in model.parameters())
    each += sum(map(_data_bytes, own))
    if device.type == "cpu":
        free = max(0, free - STEP_BYTES)
    else:
        each += stacked_bytes(model, train.features.shape[1], dropout) * frames
    return max(1, int(POPULATION_SHARE * free / each))


def stacked_bytes(model: nn.Module, features: int, dropout: bool) -> int:
    """Memory that one frame takes while a model is trained in a population, see `forward_rows`.

    Kept for the backward pass are the gates, cells and states of each layer, its input and, with
    dropout, the mask; on top comes what the backward pass of one layer computes with.

    Args:
        features: F.
    """
    encoder, both = model.encoder, 1 + model.bidirectional
    cell = encoder.ahead[0] if model.bidirectional else encoder
    layers = len(encoder.ahead) if model.bidirectional else encoder.num_layers
    hidden, lstm = cell.hidden_size, isinstance(cell, nn.LSTM)
    each = (6 if lstm else 5) * hidden  # gates, (cells,) states
    joined = both * hidden * model.bidirectional  # both directions side by side
    masked = 2 * both * hidden * dropout  # the mask and what is left
    head = model.head[0].out_features * (2 + 2 * dropout) if hasattr(model, "head") else 0
    kept = 2 * features + hidden + layers * (both * each + joined) + (layers - 1) * masked + head
    return 4 * (kept + BACKWARD_VALUES * hidden)


def _data_bytes(frames: Frames) -> int:
    """Of a partition in memory; mapped features are pages of files, which all processes share."""
    mapped = isinstance(frames.features, Mapped)
    return frames.labels.nbytes + (0 if mapped else frames.features.nbytes)
