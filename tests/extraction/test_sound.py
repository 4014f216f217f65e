"""The sound of media files, against what NumPy makes of the same samples; where windows lie."""

import subprocess
import wave
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from muse.errors import MuseError
from muse.extraction.sound import PEAK, RATE, read_sound
from muse.extraction.spans import frame_middles, sample_spans, span

with_ffmpeg = pytest.mark.skipif(not which("ffmpeg"), reason="needs ffmpeg")


def sine(rate: int = RATE, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, *channels: np.ndarray, rate: int = RATE, width: int = 2) -> Path:
    """Channels (samples,) in [-1, 1) as PCM of ``width`` bytes a sample."""
    values = np.rint(np.stack(channels, axis=1) * 2 ** (8 * width - 1)).astype("<i4")
    data = values.reshape(-1, 1).view(np.uint8)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def ffmpeg(*words: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


@with_ffmpeg
def test_peak_and_steps(tmp_path):
    """A file with 16 kHz, one channel: nothing but the gain and 16 bit."""
    sound = np.rint(32768 * sine()) / 32768
    found = read_sound(write_wav(tmp_path / "1.wav", sound))
    steps = np.rint(sound * PEAK / np.abs(sound).max() * 32768)
    assert found.dtype == np.float32 and np.array_equal(found * 32768, steps)
    assert np.abs(found).max() == pytest.approx(0.70795, abs=2e-5)


@with_ffmpeg
def test_the_peak_is_that_of_all_channels(tmp_path):
    """-3 dB before the channels become one: half of it is left where one of two is silent."""
    found = read_sound(write_wav(tmp_path / "1.wav", sine(), np.zeros(RATE)))
    steps = np.rint(sine() * PEAK / np.abs(sine()).max() / 2 * 32768)
    assert np.abs(found * 32768 - steps).max() <= 1


@with_ffmpeg
@pytest.mark.parametrize(("channels", "rate", "width"), [(8, 48_000, 2), (1, 96_000, 3)])
def test_channels_and_rates(tmp_path, channels, rate, width):
    sounds = [sine(rate)] * channels
    found = read_sound(write_wav(tmp_path / "1.wav", *sounds, rate=rate, width=width))
    expected = sine() * PEAK / 0.3
    assert found.shape == (RATE,)
    assert np.abs(found - expected)[100:-100].max() < 1e-3  # the filter has no samples at the ends


@with_ffmpeg
def test_silence_stays_silence(tmp_path):
    assert not read_sound(write_wav(tmp_path / "1.wav", np.zeros(800))).any()


@with_ffmpeg
@pytest.mark.parametrize(
    "name",
    ["-y.wav", "a b.wav", "it's \"x\".wav", "a\nb.wav", "http:a.wav", "50%d.wav", "é音.wav",
     "[0]?*;$x.wav"],
)  # fmt: skip
def test_names(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_sound(write_wav(Path(name), sine())).shape == (RATE,)


@with_ffmpeg
def test_time_is_that_of_the_file(tmp_path):
    """Sound that begins half a second after the pictures gets silence before it."""
    wav, film = write_wav(tmp_path / "1.wav", sine()), tmp_path / "1.mkv"
    picture = ["-f", "lavfi", "-i", "testsrc=duration=2:size=32x32:rate=4"]
    ffmpeg(*picture, "-itsoffset", "0.5", "-i", wav, "-c:a", "pcm_s16le", film)
    found = read_sound(film)
    assert found.shape == (1.5 * RATE,) and not found[: RATE // 2].any()
    assert np.array_equal(found[RATE // 2 :], read_sound(wav))


@with_ffmpeg
def test_files_without_a_usable_sound(tmp_path):
    film, whole = tmp_path / "film.mp4", write_wav(tmp_path / "1.wav", sine(), sine())
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=1:size=32x32:rate=4", film)
    data = whole.read_bytes()
    contents = {
        "empty.wav": (b"", "the file is empty"),
        "broken.wav": (b"x" * 1000, r"ffmpeg cannot read all of it \(Invalid data"),
        "cut.wav": (data[:-1], "cannot read all of it"),
        "half.wav": (data[: len(data) // 2], "cannot read all of it"),
        "header.wav": (data[:44], "its sound has no samples"),
        "film.mp4": (film.read_bytes(), "there is no sound in it"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MuseError, match=rf"{name}: .*{reason}") as error:
            read_sound(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(MuseError, match=r"none\.wav: the file is missing"):
        read_sound(tmp_path / "none.wav")


def test_ffmpeg_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MuseError, match="the program ffmpeg, which is not installed: apt install"):
        read_sound(write_wav(tmp_path / "1.wav", sine()))


def test_windows_lie_around_frames_and_inside_the_recording():
    assert span(5.0, 4.0, 10.0) == (3.0, 7.0)
    assert span(0.5, 4.0, 10.0) == (0.0, 4.0) and span(9.5, 4.0, 10.0) == (6.0, 10.0)
    assert span(0.5, 4.0, 3.0) == (0.0, 3.0)
    middles, step = frame_middles(np.array([0.0, 500.0, 1000.0]), 6.0)
    assert middles.tolist() == [0.25, 0.75, 1.25] and step == 0.5
    first, length, inside = sample_spans(np.arange(5) * 500.0, 1.0, 22, 10)
    assert first.tolist() == [0, 2, 8, 12, 12] and length == 10  # 2.5 is rounded to the even 2
    assert inside.tolist() == [True, True, True, True, False]
    first, length, inside = sample_spans(np.array([0.0]), 6.0, 7, 10)
    assert first.tolist() == [0] and length == 7 and inside.tolist() == [True]
