"""Speech by espeak-ng whose pitch and rate follow a curve."""

import io
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

PROGRAM = shutil.which("espeak-ng")
needs_espeak = pytest.mark.skipif(PROGRAM is None, reason="needs espeak-ng")
RATE = 22050  # samples per second, as espeak-ng gives them
SENTENCES = [
    "The train was late again.", "I have told you before.", "We met at the market.",
    "It rained all morning.", "Nobody knew the answer.", "They walked along the river.",
    "She opened the small window.", "He counted the coins twice.", "Bring the blue chair.",
    "The road goes up the hill.",
]  # fmt: skip


def speak(text: str, pitch: int, words: int) -> np.ndarray:
    """A sentence: int16 samples.

    Args:
        pitch: 0 to 99. words: per minute.
    """
    command = [PROGRAM, "-v", "en", "-p", str(pitch), "-s", str(words), "--stdout", text]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(data)) as file:
        assert file.getframerate() == RATE
        return np.frombuffer(file.readframes(2**31 - 1), "<i2")


def speech(curve: np.ndarray, step: float, seed: int) -> np.ndarray:
    """Sentence after sentence, each with the value that the curve has where it begins.

    Args:
        curve: (frames,) from -1 (low and slow) to 1 (high and fast).
        step: seconds of a frame.
    """
    rng, samples = np.random.default_rng(seed), int(len(curve) * step * RATE)
    parts: list[np.ndarray] = []
    while (length := sum(map(len, parts))) < samples:
        value = curve[int(length / RATE / step)]
        text = SENTENCES[rng.integers(len(SENTENCES))]
        parts.append(speak(text, round(50 + 40 * value), round(170 + 60 * value)))
    return np.concatenate(parts)[:samples]


def write_speech(path: Path, sound: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.tobytes())
