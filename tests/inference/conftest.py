"""Recordings whose loudness is the label, and a run that was trained on their features."""

import wave
from pathlib import Path

import numpy as np
import pytest

import muse.commands.extract
import muse.commands.train
from muse.config.annotate import AnnotateConfig
from muse.config.compose import load_config
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


@pytest.fixture(autouse=True)
def loudness(monkeypatch):
    """The extractor of tests.inference.loudness in the place of that of `extract hrv`."""
    monkeypatch.setitem(extractors.EXTRACTORS, "hrv", "tests.inference.loudness:extractor")


@pytest.fixture(scope="session")
def usual() -> AnnotateConfig:
    """The settings of `muse annotate` unless they are given."""
    return load_config("annotate", ["source=[x]", "run=x", "workers=1"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run, valence and arousal from loudness over windows of 1 s; not to be changed."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.EXTRACTORS, "hrv", "tests.inference.loudness:extractor")
        return train_on_loudness(home)


def train_on_loudness(home: Path) -> Path:
    package = home / "data/c3_muse_stress"
    for seed, id_ in enumerate(PARTITIONS):
        write_wav(home / f"sound/{id_}.wav", tone(seed, 8))
        rows = [(500 * k, round(np.sin(k / 3 + seed), 4)) for k in range(16)]
        for target in ("valence", "arousal"):
            write(package / f"label_segments/{target}/{id_}.csv", "timestamp,value\n", rows)
    write(package / "metadata/partition.csv", "Id,Partition\n", PARTITIONS.items())
    words = ["extractor=hrv", f"source=[{home}/sound]", f"out={package}", "features=loud"]
    muse.commands.extract.run(load_config("extract", [*words, "window=1", "workers=1"]))
    words = ["task=stress", "features=loud", "standardise=true", "joint=true", "workers=1"]
    data = [f"data.root={home}/data", f"data.cache={home}/cache"]
    muse.commands.train.run(load_config("train", [*words, *data, *SMALL], str(home / "run")))
    return home / "run"
