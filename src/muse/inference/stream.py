"""A stream of sound annotated while it comes, with the state of a causal model carried on.

The windows of features lie around the middle of a frame (see `muse.extraction.spans`), in training
and here. So the value of a frame is there when its window has been heard to its end, half a window
after the middle of the frame; nothing is padded, and values are those of the whole recording. The
last frames, whose windows are moved inwards, come when the stream ends.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import torch

from muse.data.heads import head_of
from muse.errors import MuseError
from muse.extraction.feature_files import SoundWindow
from muse.extraction.sound import RATE, STEPS
from muse.extraction.spans import sample_spans
from muse.inference.apply import LoadedRun
from muse.models.recurrent import State, check_causal
from muse.runs.weights import LoadedModel

CHUNK = 2**16  # bytes that are read at once, at most
ENDLESS = 2**50  # samples of a recording of which the end is not known
RAW = "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | muse annotate stream=true run=RUN"


@dataclass(frozen=True)
class Step:
    """The values of a frame."""

    timestamp: float  # ms, the start of the frame
    values: dict[str, float]  # target -> value
    seconds: float  # that it took to compute them


@dataclass
class _Heard:
    """The sound that windows to come may need."""

    sound: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    first: int = 0  # number of its first sample in the stream

    @property
    def end(self) -> int:
        return self.first + len(self.sound)

    def add(self, samples: np.ndarray, needed: int) -> None:
        """Append samples; those before number ``needed`` are forgotten."""
        gone = min(max(0, needed - self.first), len(self.sound))
        self.sound = np.append(self.sound[gone:], samples)
        self.first += gone

    def part(self, start: int, length: int) -> np.ndarray:
        return self.sound[start - self.first : start - self.first + length]


def follow(
    used: LoadedRun, windows: dict[str, SoundWindow], source: BinaryIO, gain: float = 0.0
) -> Iterator[Step]:
    """The values of each frame as soon as its windows have been heard.

    Args:
        used: of models that `check_stream` accepts.
        windows: of each feature set of the run.
        source: 16 kHz, 16 bit (little-endian), one channel, without a header.
        gain: decibels added to it.

    Raises:
        MuseError: a source with a header, or without any sound; features with other columns than
            those of the training.
    """
    step, heard, k = used.config.task.step, _Heard(), 0
    model = _model(used)

    def at(frame: int, spans: dict[str, tuple[int, int]]) -> Step:
        began = time.perf_counter()
        values = model(_features(used, windows, heard, spans))
        return Step(1000 * step * frame, values, time.perf_counter() - began)

    longest = max(round(RATE * window.seconds) + window.hop for window in windows.values())
    for samples in _samples(source, gain):
        starts = [start for start, _ in _spans(windows, k, step).values()]
        # the windows of the last frames are moved inwards: each may be the last that is heard
        heard.add(samples, min(*starts, heard.end + len(samples) - longest))
        while k < _frames(heard.end, step):
            spans = _spans(windows, k, step)
            if max(start + length for start, length in spans.values()) > heard.end:
                break
            yield at(k, spans)
            k += 1
    if not heard.end:
        raise MuseError(f"standard input has ended without any sound. For example: {RAW}")
    times = np.arange(max(1, _frames(heard.end, step))) * 1000 * step
    last = {name: _starts(window, times, heard.end) for name, window in windows.items()}
    for frame in range(k, len(times)):
        yield at(frame, {name: (start[frame], length) for name, (start, length) in last.items()})


def _frames(samples: int, step: float) -> int:
    """Whole frames of so many samples, as `muse.extraction.feature_files` counts them."""
    return int(samples / RATE / step + 1e-6)


def check_stream(used: LoadedRun, windows: dict[str, SoundWindow | None]) -> None:
    """Raise MuseError for a run that cannot follow a stream, with the reason."""
    run = used.saved.folder
    if any(used.autoencoders):
        raise MuseError(
            f"{run}: the auto-encoders of its difficulty indicators read a recording from its end "
            "as well, so it cannot follow a stream."
        )
    for name, window in windows.items():
        if window is None:
            raise MuseError(
                f"{run}: a frame of the feature set {name} depends on more than the sound of its "
                "window, so it cannot be made of a stream."
            )
    for models in _chosen(used):
        for loaded in models:
            try:
                check_causal(loaded.model)
            except MuseError as error:
                raise MuseError(f"{run}: {error}") from None


def delay(windows: dict[str, SoundWindow], step: float) -> float:
    """Seconds from the end of a frame until its value can be there."""
    return max(0.0, max(window.seconds for window in windows.values()) / 2 - step / 2)


def _spans(windows: dict[str, SoundWindow], frame: int, step: float) -> dict[str, tuple[int, int]]:
    """First sample and number of samples of the windows of a frame, but at the end of the sound."""
    times = np.array([frame, frame + 1]) * 1000 * step
    found = {name: _starts(window, times, ENDLESS) for name, window in windows.items()}
    return {name: (starts[0], length) for name, (starts, length) in found.items()}


def _starts(window: SoundWindow, times: np.ndarray, samples: int) -> tuple[list[int], int]:
    """First sample of the windows of frames, and samples of a window, see `sample_spans`."""
    first, length, _ = sample_spans(times, window.seconds, samples, RATE)
    return (first // window.hop * window.hop).tolist(), length


def _samples(source: BinaryIO, gain: float) -> Iterator[np.ndarray]:
    """What comes, as `muse.extraction.sound.read_sound` gives sound; an odd last byte is no sample.

    Waits for no more than there is.
    """
    left, factor, begin, more = b"", 10 ** (gain / 20), True, True
    while more:
        more = source.read1(CHUNK)
        left += more
        if begin and more and len(left) < 4:
            continue
        if begin and left[:4] in (b"RIFF", b"fLaC", b"OggS"):
            raise MuseError(
                "standard input begins with the header of a file; expected samples alone, 16 kHz, "
                f"16 bit, one channel. For example: {RAW}"
            )
        begin, whole = False, len(left) // 2 * 2
        sound = np.frombuffer(left[:whole], "<i2").astype(np.float32)
        left = left[whole:]
        if gain:
            sound = np.clip(np.rint(sound * np.float32(factor)), -STEPS, STEPS - 1)
        yield sound / np.float32(STEPS)


def _features(
    used: LoadedRun, windows: dict[str, SoundWindow], heard: _Heard, spans: dict
) -> np.ndarray:
    """The features of a frame as the models read them, unscaled: (features,) float32."""
    parts = []
    for name, columns in used.models[0][0].features.items():
        found = windows[name].features(heard.part(*spans[name]))
        if list(found) != columns:
            raise MuseError(
                f"{used.saved.folder}: {name} has {len(columns)} columns, and here others are "
                "made. Extract, and train, anew."
            )
        parts.append(np.array(list(found.values()), np.float32))
    return np.concatenate(parts)


def _chosen(used: LoadedRun) -> list[list[LoadedModel]]:
    """The models whose mean is the output, for each group of targets, as `LoadedRun.apply`."""
    if used.general:
        return [[model] for model in used.general]
    return [models[:1] if used.refitted else models for models in used.models]


def _model(used: LoadedRun) -> Callable[[np.ndarray], dict[str, float]]:
    """A function of the features of a frame, which keeps the states of all models."""
    groups = _chosen(used)
    states: list[list[State]] = [[None] * len(models) for models in groups]
    heads = [head_of(used.config.task, targets=models[0].targets) for models in groups]

    @torch.inference_mode()
    def values(features: np.ndarray) -> dict[str, float]:
        found = {}
        for models, own, head in zip(groups, states, heads, strict=True):
            outputs = []
            for k, loaded in enumerate(models):
                scaled = np.nan_to_num((features - loaded.scaling.mean) / loaded.scaling.scale)
                x = torch.from_numpy(scaled)[None, None].to(used.device)  # (1, 1, features)
                y, own[k] = loaded.model.eval().step(x, own[k])
                outputs.append(y[0].cpu().numpy())
            output = np.mean(outputs, axis=0)  # (1, outputs)
            for k, target in enumerate(models[0].targets):
                found[target] = head.values(output, k)[0]
        return found

    return values
