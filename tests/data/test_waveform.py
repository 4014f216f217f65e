"""Sound of a package: what a frame gets of it, and files that are refused."""

import logging
import os
import pickle

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from muse.config.shared import DataConfig
from muse.data.recordings import load_package
from muse.data.waveform import Waveform, read_wav
from muse.data.windows import Mapped, collate, fit_scaling, to_frames
from muse.errors import Faults, MuseError
from tests.conftest import PARTITION_OF, edit, stress_package, write

RATE, WIDTH = 8000, 4000  # of a frame of MuSe-Stress, 0.5 s


def sound_of(id_: str, frames: int) -> np.ndarray:
    """Frame t of recording k is t + 100 k throughout."""
    return np.repeat(np.arange(frames, dtype=np.int16) + 100 * int(id_), WIDTH)


@pytest.fixture
def package(tmp_path):
    """The hand-made package with a WAV file per recording, as long as its frames."""
    folder = stress_package(tmp_path)
    (folder / "audio").mkdir()
    for id_ in PARTITION_OF:
        wavfile.write(folder / f"audio/{id_}.wav", RATE, sound_of(id_, 12 + int(id_)))
    return folder


@pytest.fixture
def load(make_config, tmp_path):
    def load(*features: str, targets=("arousal",), task="stress", **more):
        config = make_config("train", f"task={task}", "features=x")
        data = DataConfig(str(tmp_path), str(tmp_path / "cache"), 1)
        return load_package(config.task, list(targets), list(features), {}, data, **more)

    return load


def frames_of(package, partition: str):
    scaling = fit_scaling(package, [])
    return to_frames(package, partition, ["arousal"], scaling, torch.device("cpu"))


def test_a_frame_is_the_samples_from_its_timestamp_on(package, load):
    loaded = load("a", "audio")
    assert len(loaded.columns["audio"]) == WIDTH and loaded.features == ["a", "audio"]
    frames = frames_of(loaded, "train")  # recordings 3 (15 frames) and 1 (13)
    assert isinstance(frames.features, Mapped) and frames.inputs == {"a": 2, "audio": WIDTH}
    features, _, lengths = collate(frames, np.array([[4, 3], [15, 2]]))  # of 3, of 1
    assert lengths.tolist() == [3, 2]
    expected = np.array([[304, 305, 306], [100, 101, 0]]) / 2**15
    assert features[:, :, 2:].numpy() == pytest.approx(np.repeat(expected[..., None], WIDTH, 2))
    assert features[0, :, 0].tolist() == [34, 35, 36]  # the other set beside it


def test_timestamps_may_jump_and_begin_late(package, load):
    for id_ in PARTITION_OF:
        for path in package.glob(f"*_segments/*/{id_}.csv"):
            for _ in range(6):
                edit(path, 2, None)  # the first six frames go
            edit(path, 3, None)  # and the eighth
    values = load("a", "audio").partitions["train"][0].features[1]
    assert values[:,][:, 0].tolist() == [(300 + t) / 2**15 for t in (6, 8, 9, 10, 11, 12, 13, 14)]
    assert values[np.array([1, 0])][:, -1].tolist() == [308 / 2**15, 306 / 2**15]


@pytest.mark.parametrize(
    ("kind", "samples", "expected"),
    [
        (np.uint8, [0, 128, 255], [-1, 0, 127 / 128]),
        (np.int16, [-(2**15), 0, 2**15 - 1], [-1, 0, 1 - 2**-15]),
        (np.int32, [-(2**31), 0, 2**30], [-1, 0, 0.5]),
    ],
)
def test_sample_formats(tmp_path, kind, samples, expected):
    path = tmp_path / "a.wav"
    wavfile.write(path, 16000, np.array(samples, dtype=kind))
    rate, sound = read_wav(path)
    assert rate == 16000 and isinstance(sound, np.memmap)
    values = Waveform(sound, np.array([0, 2, 3]), 2)
    got = values[:]
    assert got.dtype == np.float32 and got.shape == values.shape == (3, 2)
    # samples past the end are silence
    assert got.ravel().tolist() == pytest.approx([expected[0], expected[1], expected[2], 0, 0, 0])


def test_sound_may_lack_one_frame_and_no_more(package, load):
    path = package / "audio/3.wav"
    wavfile.write(path, RATE, sound_of("3", 15)[: 14 * WIDTH + 10])
    last = load("audio").partitions["train"][0].features[0][14:]
    assert (last[0, :10] == 314 / 2**15).all() and not last[0, 10:].any()
    wavfile.write(path, RATE, sound_of("3", 15)[: 14 * WIDTH - 10])
    with pytest.raises(MuseError, match=r"3\.wav: 6\.99875 s of sound .* from 0 s to 7\.5 s"):
        load("audio")


def test_sound_beyond_the_last_frame_is_not_used(package, load):
    before = load("audio").partitions["train"][0].features[0][:]
    wavfile.write(package / "audio/3.wav", RATE, sound_of("3", 40))
    np.testing.assert_array_equal(load("audio").partitions["train"][0].features[0][:], before)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def stereo(path):
    wavfile.write(path, RATE, np.zeros((100, 2), np.int16))


def of_24_bit(path):
    data = bytearray(path.read_bytes())
    data[32:36] = bytes([3, 0, 24, 0])  # bytes and bits of a sample
    data[28:32] = (3 * RATE).to_bytes(4, "little")
    path.write_bytes(data)


REFUSED = {
    "is missing": lambda path: path.unlink(),
    "not a regular file": fifo,
    "not a WAV file that can be read .*damaged or cut": cut,
    "not a WAV file that can be read.*Copy it again": lambda path: path.write_bytes(b""),
    "not a WAV file that can be read.* damaged": lambda path: path.write_text("timestamp,value\n"),
    "2 channels of int16; expected one channel.*ffmpeg -i 3.wav -ac 1 -ar 8000": stereo,
    "1 channel of float32": lambda path: wavfile.write(path, RATE, np.zeros(9, np.float32)),
    "24 bit": of_24_bit,
    "44100 samples per second; expected 8000 or 16000.*-ar 8000 -c:a pcm_s16le converted/3.wav":
        lambda path: wavfile.write(path, 44100, np.zeros(99, np.int16)),
    "16000 samples per second; expected 8000, as most others have.*-ar 8000":
        lambda path: wavfile.write(path, 16000, np.zeros(16000 * 8, np.int16)),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_files_that_are_refused(package, load, message):
    REFUSED[message](package / "audio/3.wav")
    with pytest.raises(MuseError, match=f"audio/3.wav: .*{message}|audio/3.wav: {message}"):
        load("a", "audio")
    faults = Faults(stop=False)  # as `muse check` does
    edit(package / "feature_segments/a/4.csv", 3, "500,1,x,2")
    loaded = load("a", "audio", faults=faults)
    assert len(faults.found) == 2 and "a/4.csv" in faults.found[0]
    assert [r.id for r in loaded.partitions["train"]] == ["1"] and not loaded.partitions["devel"]


def test_no_damage_to_a_header_ends_in_a_traceback(package):
    path = package / "audio/1.wav"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(0, 48, 2)] = rng.integers(0, 256, 2)
        path.write_bytes(data[: rng.integers(1, 100)] if rng.random() < 0.3 else data)
        try:
            read_wav(path)
        except MuseError as error:
            refused += str(path) in str(error)
    assert refused > 200


def test_a_changed_sample_changes_the_digest_and_nothing_else_does(package, load, tmp_path):
    first, path = load("a", "audio"), package / "audio/1.wav"
    assert load("a", "audio").digests == first.digests
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    second = load("a", "audio")
    assert second.digests["train"] != first.digests["train"]
    assert second.digests["devel"] == first.digests["devel"]


def test_a_recording_goes_to_another_process_by_the_name_of_its_file(package, load):
    recording = load("a", "audio").partitions["train"][0]
    data = pickle.dumps(recording)
    assert len(data) < 20000 < recording.features[1].sound.nbytes
    again = pickle.loads(data)
    assert isinstance(again.features[1].sound, np.memmap)
    np.testing.assert_array_equal(again.features[1][3:5], recording.features[1][3:5])


def test_without_labels_and_other_sets_frames_follow_one_another(package, load):
    loaded = load("audio", targets=[])
    for recording in loaded.partitions["train"]:
        assert recording.timestamps.tolist() == [500 * t for t in range(12 + int(recording.id))]
    package.rename(package.with_name("c2_muse_topic"))
    with pytest.raises(MuseError, match="sound has no segments, which MuSe-Topic 2020 is about"):
        load("audio", targets=[], task="topic")


def test_aligned_sets_and_sound_have_the_frames_of_the_labels(package, load, caplog):
    for id_ in PARTITION_OF:  # four rows per label
        rows = [(125 * k, "", k // 4) for k in range(4 * (12 + int(id_)))]
        write(package / f"feature_segments/a/{id_}.csv", "timestamp,segment_id,a\n", rows)
    (package / "audio/1.wav").unlink()
    with pytest.raises(MuseError, match=r"audio/1\.wav: the file is missing"):
        load("audio")
    with caplog.at_level(logging.WARNING):
        three, one = load("a", "audio", align="labels").partitions["train"]
    assert len(three.rows) == 15 and three.features[1].shape == (15, WIDTH)
    assert three.features[1][14:][0, 0] == 314 / 2**15
    assert one.features[1].shape == (13, WIDTH) and not np.asarray(one.features[1]).any()
    assert "audio: no file of recording 1; it is zero there" in caplog.text
    with pytest.raises(MuseError, match="align=words: audio is sound"):
        load("a", "audio", align="words")


def test_a_folder_of_features_called_audio_is_no_sound(package, load):
    (package / "feature_segments/b").rename(package / "feature_segments/audio")
    assert load("audio").columns["audio"] == ["b_0"]
    with pytest.raises(MuseError, match="Sound is"):
        (package / "feature_segments/audio").rename(package / "feature_segments/b")
        (package / "audio").rename(package / "sound")
        load("audio")


def test_standardised_only_where_asked(package, load):
    loaded = load("audio")
    scaling = fit_scaling(loaded, ["audio"])
    sound = np.concatenate([r.features[0][:] for r in loaded.partitions["train"]])
    assert scaling.mean == pytest.approx(sound.mean(axis=0), rel=1e-5)
    assert scaling.scale == pytest.approx(sound.std(axis=0), rel=1e-5)
    assert not fit_scaling(loaded, []).mean.any()
    assert {path.name for path in (package / "audio").iterdir()} == {
        f"{id_}.wav" for id_ in PARTITION_OF
    }
