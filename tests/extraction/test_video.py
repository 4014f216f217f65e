"""Pictures of videos at given times: files whose pictures and times are known."""

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from muse.errors import MuseError
from muse.extraction.video import evenly_spaced, read_frames, slots, video_span

with_ffmpeg = pytest.mark.skipif(not which("ffmpeg"), reason="needs ffmpeg")

LOSSLESS = {".mkv": ["-c:v", "ffv1"], ".mov": ["-c:v", "png"]}
H264 = ["-c:v", "libx264", "-pix_fmt", "yuv444p", "-qp", "0"]  # with pictures out of order


def write_video(path: Path, pictures: np.ndarray, seconds: np.ndarray, *more: str) -> Path:
    """A video of (pictures, height, width, 3) uint8, each shown from its own time on."""
    moved = "+".join(f"eq(N,{k})*{time:.4f}" for k, time in enumerate(seconds))
    height, width = pictures.shape[1:3]
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", "10", "-i", "-", *more]
    command += ["-vf", f"settb=AVTB,setpts='({moved})/TB'", "-vsync", "vfr"]
    command += ["-enc_time_base", "1:1000", *LOSSLESS.get(path.suffix, H264), f"file:{path}"]
    subprocess.run(command, input=pictures.tobytes(), check=True)
    return path


def greys(count: int) -> np.ndarray:
    """Pictures of one grey each, 10 brighter than the one before."""
    return (
        np.full((count, 16, 24, 3), 10, np.uint8)
        * np.arange(count, dtype=np.uint8)[:, None, None, None]
    )


def shown(path: Path, times: np.ndarray) -> list[int]:
    """The number of the grey picture at each time."""
    return [round(picture[8, 8, 0] / 10) for picture in read_frames(path, times)]


RATES = {
    "constant": np.arange(20) * 0.1,
    "variable": np.cumsum([0, 0.033, 0.04, 0.7, 0.01, 0.1, 1.3, 0.033, 0.1, 0.1, 0.1, 0.04]),
    "one": np.zeros(1),
}


@with_ffmpeg
@pytest.mark.parametrize(
    ("rate", "ending"),
    [("constant", ".mp4"), ("one", ".mp4"), *(("variable", e) for e in (".mkv", ".mp4", ".ts"))],
)
def test_the_picture_of_a_time_is_the_last_that_has_begun(tmp_path, rate, ending):
    seconds = RATES[rate]
    path = write_video(tmp_path / f"1{ending}", greys(len(seconds)), seconds)
    begin, end = video_span(path)
    assert begin == 0 and end >= seconds[-1]
    even = np.arange(0, 1000 * seconds[-1] + 1, 250.0)
    uneven = np.sort(np.random.default_rng(0).uniform(0, 1000 * seconds[-1] + 200, 25)).round(1)
    gaps = np.concatenate([np.arange(0, 400, 40.0), np.arange(1020, 1500, 40.0)])
    for times in (even, uneven, gaps):
        # containers may round by half a millisecond: leave out what depends on it
        sure = np.abs(1000 * seconds[:, None] - times).min(axis=0)
        sure = (sure > 1.1) | (sure < 0.01)
        expected = np.searchsorted(1000 * seconds, times + 0.01, side="right") - 1
        assert np.array_equal(np.array(shown(path, times))[sure], expected[sure])


@with_ffmpeg
def test_pictures_that_begin_after_the_sound(tmp_path):
    """Time 0 is where the file begins; before its time the first picture stands."""
    sound = "-f", "lavfi", "-i", "sine=duration=3"
    seconds = 1.4 + np.arange(10) * 0.2
    path = write_video(tmp_path / "1.mkv", greys(10), seconds, *sound)
    begin, end = video_span(path)
    assert begin == pytest.approx(1.4, abs=0.03) and end == pytest.approx(3.4, abs=0.15)
    times = np.array([0, 1000, 1500, 1700, 2500, 5000.0])
    assert shown(path, times) == [0, 0, 0, 1, 5, 9]


@with_ffmpeg
def test_time_stamps_of_a_file_that_do_not_begin_at_zero(tmp_path):
    path = write_video(tmp_path / "1.ts", greys(10), np.arange(10) * 0.2)  # MPEG-TS: 1.4 s
    said = ["ffprobe", "-v", "error", "-show_entries", "format=start_time", "-of", "csv=p=0"]
    assert float(subprocess.check_output([*said, path])) > 1
    assert shown(path, np.arange(10) * 200.0) == list(range(10))


@with_ffmpeg
@pytest.mark.parametrize("name", ["-i.mkv", "a b:c.mkv", "http:x.mkv", "%03d.mkv", "a\nb'$(x).mkv"])
def test_odd_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = write_video(Path(name), greys(4), np.arange(4) * 0.5)
    assert shown(path, np.arange(4) * 500.0) == [0, 1, 2, 3]


@with_ffmpeg
def test_colours_and_rotation(tmp_path):
    """Red is the first channel; a picture turned by the file's metadata is upright."""
    pictures = np.zeros((2, 16, 32, 3), np.uint8)
    pictures[:, :, :8] = 250, 100, 0  # on the left
    path = write_video(tmp_path / "1.mov", pictures, np.arange(2) * 0.5)
    first = next(read_frames(path, np.zeros(1)))
    assert first.shape == (16, 32, 3) and first[0, 0].tolist() == [250, 100, 0]
    turned = tmp_path / "2.mov"
    command = ["ffmpeg", "-v", "error", "-display_rotation", "90", "-i", path, "-c", "copy", turned]
    if subprocess.run(command, check=False, capture_output=True).returncode:  # before ffmpeg 6
        command = ["ffmpeg", "-v", "error", "-y", "-i", path, "-c", "copy"]
        subprocess.run([*command, "-metadata:s:v", "rotate=90", turned], check=True)
    picture = next(read_frames(turned, np.zeros(1)))
    assert picture.shape == (32, 16, 3)
    bright = picture[..., 0] > 0  # what was on the left is at one end now
    assert bright[:8].all() != bright[-8:].all() and not bright[8:-8].any()


@with_ffmpeg
def test_pictures_come_one_by_one_and_the_rest_is_left(tmp_path):
    """Nothing is left running when nobody asks for more; more times than one call of ffmpeg has."""
    path = write_video(tmp_path / "1.mkv", greys(20), np.arange(20) * 0.1)
    pictures = read_frames(path, np.arange(20) * 100.0)
    assert round(next(pictures)[0, 0, 0] / 10) == 0 and round(next(pictures)[0, 0, 0] / 10) == 1
    pictures.close()


@with_ffmpeg
def test_stretches_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("muse.extraction.video.RUNS", 3)
    path = write_video(tmp_path / "1.mkv", greys(20), np.arange(20) * 0.1)
    times = np.unique(np.random.default_rng(0).integers(0, 19, 16)) * 100.0 + 50
    assert len(evenly_spaced(times / 1000)) > 3
    assert shown(path, times) == (times // 100).astype(int).tolist()


def test_stretches_of_even_times():
    even = np.arange(5) * 0.25
    assert evenly_spaced(even) == [(0, 4)]
    assert evenly_spaced(np.concatenate([even, even + 7.1])) == [(0, 4), (5, 9)]
    assert evenly_spaced(np.array([0.0])) == [(0, 0)]
    assert evenly_spaced(np.arange(1000) / 30) == [(0, 999)]
    assert slots(np.array([1.5]), [(0, 0)]) == "(0+gt(T,1.500500))"
    assert slots(even, [(0, 4)]) == "(0+max(0,ceil((T-0.000500)/0.250000000)))"


@with_ffmpeg
def test_files_without_pictures(tmp_path):
    path = tmp_path / "1.mp4"
    path.touch()
    with pytest.raises(MuseError, match=r"1\.mp4: the file is empty"):
        video_span(path)
    path.write_bytes(b"no video" * 100)
    with pytest.raises(MuseError, match=r"1\.mp4: ffmpeg cannot read all of it"):
        video_span(path)
    path.unlink()
    with pytest.raises(MuseError, match=r"1\.mp4: the file is missing"):
        video_span(path)
    sound = tmp_path / "2.m4a"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", str(sound)]
    subprocess.run(command, check=True)
    with pytest.raises(MuseError, match=r"2\.m4a: there is no video in it"):
        video_span(sound)
    cover, song = tmp_path / "cover.png", tmp_path / "3.m4a"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:size=16x16"]
    subprocess.run([*command, "-frames:v", "1", str(cover)], check=True)
    command = ["ffmpeg", "-v", "error", "-i", str(sound), "-i", str(cover), "-map", "0", "-map"]
    command += ["1", "-c", "copy", "-disposition:v:0", "attached_pic", str(song)]
    subprocess.run(command, check=True)
    with pytest.raises(MuseError, match="no video in it"):
        video_span(song)


@with_ffmpeg
def test_a_file_that_is_cut_or_damaged_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (20, 64, 64, 3)).astype(np.uint8)
    path = write_video(tmp_path / "1.mp4", noise, np.arange(20) * 0.1)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MuseError, match="ffmpeg cannot read all of it"):
        video_span(path)
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(MuseError, match="cannot read all of its pictures"):
        list(read_frames(path, np.arange(20) * 100.0))


def test_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "1.mp4"
    path.write_bytes(b"x")
    with pytest.raises(MuseError, match="the program ffmpeg, which is not installed") as caught:
        video_span(path)
    assert "\n" not in str(caught.value)
