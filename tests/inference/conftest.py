"""Recordings whose loudness is the label, and a run that was trained on their features."""

import wave
from pathlib import Path

import numpy as np
import pytest

import muse.commands.extract
import muse.commands.train
from muse.extraction import extractors
from tests.conftest import write

SMALL = ["epochs=2", "seeds=1", "model.hidden=6", "model.head=5", "model.layers=1", "bootstrap=0"]
PARTITIONS = {"one": "train", "two": "devel", "three": "test"}


def tone(seed: int, seconds: float) -> np.ndarray:
    """A tone of 440 Hz, whose loudness goes up and down, with noise: int16 at 16 kHz."""
    rng, t = np.random.default_rng(seed), np.arange(int(16000 * seconds)) / 16000
    loud = 0.5 + 0.4 * np.sin(t * (0.5 + seed / 4))
    sound = loud * np.sin(2 * np.pi * 440 * t) * 0.7 + 0.01 * rng.standard_normal(len(t))
    return np.clip(np.rint(sound * 2**15), -(2**15), 2**15 - 1).astype("<i2")


def write_wav(path: Path, sound: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(sound.tobytes())
    return path


@pytest.fixture
def loudness(monkeypatch):
    """The extractor of tests.inference.loudness in the place of that of `extract hrv`."""
    monkeypatch.setitem(extractors.EXTRACTORS, "hrv", "tests.inference.loudness:extractor")


@pytest.fixture
def trained(loudness, tmp_path, make_config):
    """trained("key=value", ...) -> the folder of a run on loudness, of windows of 1 s."""

    def train(*words: str) -> Path:
        package = tmp_path / "data/c3_muse_stress"
        if not package.exists():
            for seed, id_ in enumerate(PARTITIONS):
                write_wav(tmp_path / f"sound/{id_}.wav", tone(seed, 8))
                rows = [(500 * k, round(np.sin(k / 3 + seed), 4)) for k in range(16)]
                for target in ("valence", "arousal"):
                    path = package / f"label_segments/{target}/{id_}.csv"
                    write(path, "timestamp,value\n", rows)
            write(package / "metadata/partition.csv", "Id,Partition\n", PARTITIONS.items())
            own = f"source=[{tmp_path}/sound]", f"out={package}", "features=loud"
            words_of_extract = ["extractor=hrv", *own, "window=1", "workers=1"]
            muse.commands.extract.run(make_config("extract", *words_of_extract))
        own = "task=stress", "features=loud", "standardise=true", f"data.root={tmp_path}/data"
        config = make_config("train", *own, *SMALL, *words)
        muse.commands.train.run(config)
        return Path(config.job.folder)

    return train
