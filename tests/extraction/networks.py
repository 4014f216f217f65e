"""Random weights of real architectures, and recordings with a click, for tests of extractors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from muse.extraction.sound import RATE
from tests.extraction.test_sound import write_wav


def write_weights(path: Path, build: Callable[[], nn.Module], seed: int = 0, **more) -> Path:
    """A file with random weights that keep the size of a signal, and ``more`` tensors."""
    with torch.device("meta"):
        network = build()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = network.to_empty(device="cpu")
        for name, value in network.state_dict().items():
            if value.ndim > 1:
                nn.init.kaiming_normal_(value)
            else:
                value.fill_(name.endswith(("weight", "running_var")))  # of a normalisation
        state = network.state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state | {name.replace("__", "."): value for name, value in more.items()}, path)
    return path


def write_click(path: Path, seconds: float, at: float) -> Path:
    """Silence with 20 ms of noise that begin at ``at`` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.zeros(round(seconds * RATE))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 50)
    sound[round(at * RATE) :][: len(noise)] = noise
    return write_wav(path, sound)


def moved(values: np.ndarray) -> list[int]:
    """The rows that differ from the last one, in which there is silence."""
    return np.flatnonzero(np.abs(values - values[-1]).max(axis=1) > 1e-6).tolist()
