"""An extractor small enough to check by hand: loudness and sign changes of a frame's window.

Tests put it in the place of another one, see `tests.inference.conftest`.
"""

import wave
from functools import partial
from pathlib import Path

import numpy as np

from muse.config.extract import ExtractConfig
from muse.errors import MuseError
from muse.extraction.feature_files import Extractor, SoundWindow, Times
from muse.extraction.spans import sample_spans

VERSION, SETTINGS = {"version": "1"}, {"weights": "12ab"}  # a test may change them


def extractor(config: ExtractConfig) -> Extractor:
    return Extractor(
        (".wav", ".mp4"),
        {"name": "loudness", **VERSION},
        {"window": config.window, **SETTINGS},
        lambda path: path.stat().st_size,
        partial(extract, window=config.window),
        SoundWindow(config.window, features),
    )


def features(sound: np.ndarray) -> dict[str, float]:
    return {"rms": float(np.sqrt(np.mean(sound**2))),
            "crossings": float(np.mean(np.diff(np.signbit(sound))))}  # fmt: skip


def extract(path: Path, times_of: Times, window: float):
    sound = read(path)
    times = times_of(len(sound) / 16000)
    first, length, _ = sample_spans(times, window, len(sound), 16000)
    rows = [features(sound[start : start + length]) for start in first]
    return times, {name: np.array([row[name] for row in rows]) for name in rows[0]}, []


def read(path: Path) -> np.ndarray:
    try:
        with wave.open(str(path)) as file:
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError):
        raise MuseError(f"{path}: no WAV file.") from None
    return np.frombuffer(data, "<i2").astype(np.float32) / 2**15
