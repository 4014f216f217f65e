"""eGeMAPS of overlapping windows against openSMILE on each window alone; descriptors at frames; a
folder with files of all kinds."""

import json
from importlib.util import find_spec
from shutil import which

import numpy as np
import pandas as pd
import pytest

from muse.commands import extract as command
from muse.config.extract import LldConfig
from muse.errors import MuseError
from muse.extraction.egemaps import _blocks, extract_egemaps, functionals, names, reference
from muse.extraction.egemaps_pitch import decode
from muse.extraction.lld import at_frames, descriptors, extract_lld
from muse.extraction.sound import RATE
from muse.extraction.sound import write_wav as write_mono
from tests.extraction.test_sound import ffmpeg, sine, write_wav

with_opensmile = pytest.mark.skipif(not find_spec("opensmile"), reason="needs muse[opensmile]")
with_ffmpeg = pytest.mark.skipif(not which("ffmpeg"), reason="needs ffmpeg")
WINDOW = 3 * RATE // 2


def voice(seconds: float) -> np.ndarray:
    """Pulses with a moving pitch in stretches of 0.4 s, between them noise, in 16 bit: (samples,)
    float32."""
    rng, t = np.random.default_rng(4), np.arange(round(seconds * RATE)) / RATE
    phase = np.cumsum(150 * 2 ** (0.4 * np.sin(2 * np.pi * 0.7 * t))) / RATE
    pulses = np.diff(np.floor(phase), prepend=0) * rng.uniform(0.8, 1.2, len(t))
    ring = np.exp(-0.01 * np.arange(800)) * np.sin(0.25 * np.arange(800))
    ring += 0.5 * np.exp(-0.015 * np.arange(800)) * np.sin(0.6 * np.arange(800))
    loud = (t % 0.55 < 0.4) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * t))
    sound = np.convolve(pulses, ring)[: len(t)] * loud + 0.002 * rng.normal(size=len(t))
    return (np.rint(16_000 * sound / np.abs(sound).max()) / 32_768).astype(np.float32)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return voice(3)


@with_opensmile
@pytest.mark.parametrize("length", [WINDOW, 8000])
def test_windows_are_those_of_opensmile_alone(sound, length):
    """Starts are inside of voiced stretches, between them, and at both ends of the file."""
    last = (len(sound) - length) // 160
    starts = np.unique([0, 7, 38, 63, 97, last])
    found = functionals(sound, starts, length)
    expected = np.stack([reference(sound[160 * k : 160 * k + length]) for k in starts])
    assert found.shape == (len(starts), 88) and expected[:, 0].min() > 20
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_windows_that_are_computed_at_once():
    """Windows of 6 s every 0.5 s, then a gap, then one every 10 s: at most 200 in a block."""
    starts = np.concatenate([np.arange(250) * 50, 50_000 + np.arange(3) * 1000])
    sizes = [len(block) for block in _blocks(starts, 6 * RATE)]
    assert sizes == [200, 50, 1, 1, 1]
    assert len(_blocks(np.arange(5), 2000 * RATE)) == 5


@with_opensmile
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["voice", "noise", "silence", "tone", "glide", "quiet"])
@pytest.mark.parametrize("length", [6 * RATE, WINDOW, 8000, 1600])
def test_windows_of_any_sound(kind, length):
    """Glides are decided on before paths agree; 0.1 s is too short for anything but openSMILE."""
    t = np.arange(9 * RATE) / RATE
    rng = np.random.default_rng(5)
    sounds = {
        "voice": voice(9),
        "noise": 0.1 * rng.normal(size=len(t)),
        "silence": np.zeros(len(t)),
        "tone": 0.5 * np.sin(2 * np.pi * 200 * t),
        "glide": 0.5 * np.sign(np.sin(2 * np.pi * np.cumsum(60 + 100 * t) / RATE)),
        "quiet": 0.003 * voice(9),
    }
    sound = (np.rint(32_768 * np.clip(sounds[kind], -1, 0.999)) / 32_768).astype(np.float32)
    starts = np.unique(rng.integers(0, (len(sound) - length) // 160 + 1, 20))
    found = functionals(sound, starts, length)
    expected = np.stack([reference(sound[160 * k : 160 * k + length]) for k in starts])
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_path_of_the_pitch():
    """A candidate an octave up is left out for one frame, as is a single unvoiced frame."""
    pitch = np.zeros((30, 6), dtype=np.float32)
    voicing = np.zeros((30, 6), dtype=np.float32)
    pitch[:, :2], voicing[:, :2] = [200, 400], [0.9, 0.75]
    voicing[10, :2] = [0.75, 0.9]
    voicing[20, :2] = [0.68, 0.1]
    found, agreed, early = decode(pitch, voicing, np.array([0, 5]), 25)
    assert (found == 200).all() and not early.any() and (agreed >= 23).all()
    voicing[12:18] = 0.1
    found, _, _ = decode(pitch, voicing, np.array([0]), 30)
    assert np.flatnonzero(found[0] == 0).tolist() == [12, 13, 14, 15, 16, 17]


def test_descriptors_at_frames():
    values = np.arange(10.0, dtype=np.float32)[:, None]  # at 0, 10, ..., 90 ms
    middles = np.array([0.02, 0.06, 0.1])
    assert at_frames(values, middles, 0.04, mean=True)[:, 0].tolist() == [1.5, 5.5, 8.5]
    assert at_frames(values, middles, 0.04, mean=False)[:, 0].tolist() == [2, 6, 9]
    assert at_frames(values, np.array([5.0]), 0.04, mean=True)[:, 0].tolist() == [9]


@with_opensmile
def test_descriptors_are_those_of_opensmile(sound):
    import opensmile

    found = descriptors(sound[: 2 * RATE])
    assert found.shape[1] == 130
    for level, columns in (("LowLevelDescriptors", slice(65)),
                           ("LowLevelDescriptors_Deltas", slice(65, 130))):  # fmt: skip
        smile = opensmile.Smile(
            opensmile.FeatureSet.ComParE_2016, getattr(opensmile.FeatureLevel, level)
        )
        expected = smile.process_signal(sound[: 2 * RATE], RATE).to_numpy()[: len(found)]
        assert np.array_equal(found[:, columns], expected)


@with_opensmile
@with_ffmpeg
def test_rows_of_a_recording(sound, tmp_path):
    """Rows beyond its end are empty and noted; windows at its ends are the first and the last."""
    path = write_wav(tmp_path / "1.wav", sound)

    def times_of(seconds):
        assert seconds == 3
        return np.arange(8) * 500.0

    times, columns, notes = extract_egemaps(path, times_of, 2.0)
    table = np.stack(list(columns.values()), axis=1)
    assert list(columns) == names() and len(times) == 8
    assert (table[0] == table[1]).all() and (table[2] != table[1]).any()
    assert np.isfinite(table[:6]).all() and np.isnan(table[6:]).all()
    assert notes == [f"{path}: 2 of 8 frames are outside of its 3 s of sound; their fields are "
                     "empty."]  # fmt: skip
    _, columns, _ = extract_egemaps(path, times_of, 6.0)  # longer than the recording
    table = np.stack(list(columns.values()), axis=1)
    assert (table[:6] == table[0]).all()
    _, columns, notes = extract_lld(path, times_of, LldConfig(frame="mean"))
    table = np.stack(list(columns.values()), axis=1)
    assert table.shape == (8, 130) and np.isnan(table[6:]).all() and len(notes) == 1


@with_opensmile
@with_ffmpeg
def test_a_folder_with_files_of_all_kinds(tmp_path, make_config, capsys):
    """What can be used is used; the others are listed, each with its reason."""
    home = tmp_path / "media"
    home.mkdir()
    second = voice(0.5)
    write_wav(home / "silent.wav", np.zeros(RATE // 2))
    write_wav(home / "channels.wav", *[sine(48_000, 0.5)] * 8, rate=48_000)
    write_wav(home / "rate.wav", sine(96_000, 0.5), rate=96_000, width=3)
    write_wav(home / "-odd 'name', 100%.wav", second)
    write_wav(home / "frame.wav", second[:160])
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=1:size=32x32:rate=4", home / "film.mp4")
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=1:size=32x32:rate=4", "-i",
           home / "silent.wav", home / "both.mp4")  # fmt: skip
    (home / "empty.wav").write_bytes(b"")
    (home / "broken.mp3").write_bytes(b"x" * 1000)
    own = f"source=[{home}]", f"out={tmp_path}/package", "workers=1"
    with pytest.raises(MuseError, match="4 of 9 files failed; the others are done") as error:
        command.run(make_config("extract", "extractor=egemaps", *own))
    for name, reason in (("frame.wav", "10 ms of sound; openSMILE needs 60 ms"),
                         ("film.mp4", "there is no sound in it"),
                         ("empty.wav", "the file is empty"),
                         ("broken.mp3", "ffmpeg cannot read all of it")):  # fmt: skip
        assert f"{name}: {reason}" in str(error.value)
    assert "5 recordings written" in capsys.readouterr().out
    features = tmp_path / "package/feature_segments/egemaps"
    for path in features.glob("*.csv"):
        table = pd.read_csv(path)
        assert table.shape == (1, 89) and np.isfinite(table).all(axis=None)
    about = json.loads((features / "extraction.json").read_text())
    assert set(about["tool"]) == {"name", "version", "ffmpeg"} and len(about["files"]) == 5
    assert about["settings"] == {"extractor": "egemaps", "step": 0.5, "window": 6.0}


@with_opensmile
@with_ffmpeg
def test_settings_that_cannot_be(tmp_path, make_config):
    own = f"source=[{tmp_path}]", f"out={tmp_path}/package"
    with pytest.raises(MuseError, match=r"window=0\.01: expected 0\.06 s or more"):
        command.run(make_config("extract", "extractor=egemaps", "window=0.01", *own))
    with pytest.raises(MuseError, match="window=6: lld has none"):
        command.run(make_config("extract", "extractor=lld", "window=6", *own))


@with_opensmile
@with_ffmpeg
@pytest.mark.slow
def test_an_hour(tmp_path, make_config):
    path = tmp_path / "media" / "hour.wav"
    path.parent.mkdir()
    write_mono(path, np.resize(voice(60), 3600 * RATE))
    command.run(make_config("extract", "extractor=egemaps", f"source=[{path.parent}]",
                            f"out={tmp_path}/package", "workers=1"))  # fmt: skip
    table = pd.read_csv(tmp_path / "package/feature_segments/egemaps/hour.csv")
    assert table.shape == (7200, 89) and np.isfinite(table).all(axis=None)
