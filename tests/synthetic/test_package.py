"""Synthetic packages: layout, published sizes, the same bytes again, and signals to learn from."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from muse.commands import synth
from muse.config.shared import FeatureSet
from muse.errors import MuseError
from muse.synthetic import package as synthetic
from muse.synthetic import signals as synthetic_signals
from muse.synthetic.package import write_package
from muse.synthetic.plan import choose_sets, gold_standard, plan_recordings
from muse.synthetic.signals import emotions, feature_frames, rating_lag


@pytest.fixture
def setting(make_config):
    """setting("stress") -> the task and the feature sets, as `muse synth` gets them."""

    def make(name: str):
        config = make_config("synth", f"task={name}")
        return config.task, config.feature_sets

    return make


@pytest.fixture
def write(setting, tmp_path):
    """write("stress", features, ...) -> the folder of a small package below tmp_path."""

    def make(name="stress", features=("fau",), out="data", scale=0.05, seed=0, **how):
        task, sets = setting(name)
        how = {"overwrite": False, **how}
        chosen = None if features is None else list(features)
        return write_package(task, tmp_path / out, scale, sets, chosen, seed, **how)

    return make


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    text = path.read_text()
    assert text.endswith("\n") and not text.endswith("\n\n")
    header, *rows = csv.reader(text.splitlines())
    assert {len(row) for row in rows} == {len(header)}
    return header, rows


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    c = np.cov(x, y)
    return 2 * c[0, 1] / (c[0, 0] + c[1, 1] + (x.mean() - y.mean()) ** 2)


def late_emotion(task, recording, seed) -> np.ndarray:
    lag = rating_lag(task, recording.id, seed)
    felt = emotions(task, recording.id, recording.frames, seed)
    return np.concatenate([np.repeat(felt[:1], lag, 0), felt])[: recording.frames]


def test_layout_of_a_regression_package(write):
    folder = write(features=["fau", "bio"])
    header, rows = table(folder / "metadata/partition.csv")
    assert header == ["Id", "Partition"]
    assert [row[0] for row in rows] == [str(i) for i in range(1, 7)]  # 41, 14, 14 at 5 %
    assert sorted(row[1] for row in rows) == ["devel"] * 2 + ["test"] * 2 + ["train"] * 2
    sets = {p.name for p in (folder / "feature_segments").iterdir()}
    assert sets == {"fau", "BPM", "ECG", "resp"}
    for name, _ in rows:
        header, labels = table(folder / f"label_segments/valence/{name}.csv")
        assert header == ["timestamp", "segment_id", "value"]
        assert [int(row[0]) for row in labels] == [500 * i for i in range(len(labels))]
        segments = [int(row[1]) for row in labels]
        assert segments[0] == 1 and set(np.diff(segments)) <= {0, 1}  # end to end
        assert all(-1 <= float(row[2]) <= 1 for row in labels)
        for set_name, width in (("fau", 17), ("ECG", 1)):
            header, frames = table(folder / f"feature_segments/{set_name}/{name}.csv")
            columns = [f"{set_name}_{i}" for i in range(width)]
            assert header == ["timestamp", "segment_id", *columns]
            assert [row[:2] for row in frames] == [row[:2] for row in labels]
    assert not [p.name for p in folder.parent.iterdir() if p != folder]  # no staging left


def test_layout_of_a_package_with_classes(write):
    folder = write("sent", scale=0.02)
    for path in (folder / "label_segments/arousal").iterdir():
        header, labels = table(path)
        assert header == ["segment_id", "class_id"]
        assert [row[0] for row in labels] == [str(i + 1) for i in range(len(labels))]
        assert {row[1] for row in labels} <= set("01234")
        _, frames = table(folder / "feature_segments/fau" / path.name)
        ids = [row[1] for row in frames]
        runs = [ids[i] for i in range(len(ids)) if i == 0 or ids[i] != ids[i - 1]]
        assert runs[0] == runs[-1] == "" and runs[::2] == [""] * (len(labels) + 1)
        assert runs[1::2] == [row[0] for row in labels]
        assert frames[1][0] == "250"


@pytest.mark.parametrize("name", ["wilder", "sent", "stress", "physio"])
def test_published_size_at_scale_one(setting, name):
    task, _ = setting(name)
    recordings = plan_recordings(task, 1, 0)
    partitions = [recording.partition for recording in recordings]
    for partition, number in task.size.recordings.items():
        own = [recording for recording in recordings if recording.partition == partition]
        assert len(own) == number
        seconds = [recording.frames * task.step for recording in own]
        assert sum(seconds) == pytest.approx(task.size.seconds[partition], abs=task.step)
        assert min(seconds) >= 60 and np.std(seconds) > 30
        if task.classes:
            segments = [segment for recording in own for segment in recording.segments]
            assert len(segments) == task.size.segments[partition]
            mean = np.mean([stop - start for start, stop in segments]) * task.step
            published = task.size.seconds[partition] / task.size.segments[partition]
            assert mean == pytest.approx(published, rel=0.1)
    changes = sum(a != b for a, b in pairwise(partitions))
    assert changes > len(recordings) / 4  # shuffled over the ids
    for recording in recordings:
        edges = np.ravel(recording.segments)
        assert edges[0] >= 0 and edges[-1] <= recording.frames and np.all(np.diff(edges) >= 0)


def test_durations_of_ulm_tsst_by_hand(setting):
    recordings = plan_recordings(setting("physio")[0], 1, 3)  # 3 h 25 min 56 s, 1:10:50, 1:10:41
    frames = {p: sum(r.frames for r in recordings if r.partition == p) for p in ("train", "test")}
    assert frames == {"train": 24712, "test": 8482}


def test_at_least_two_recordings_a_partition(setting):
    partitions = [r.partition for r in plan_recordings(setting("stress")[0], 0.001, 0)]
    assert {p: partitions.count(p) for p in set(partitions)} == {"train": 2, "devel": 2, "test": 2}


def test_class_shares_are_those_of_the_training_segments(setting):
    task, _ = setting("sent")
    recordings = plan_recordings(task, 1, 1)
    gold = gold_standard(task, recordings, 1)
    for target in ("valence", "arousal"):
        for partition, margin in (("train", 0.01), ("devel", 0.08)):
            classes = [gold[target][r.id] for r in recordings if r.partition == partition]
            shares = np.bincount(np.concatenate(classes), minlength=5) / sum(map(len, classes))
            assert shares == pytest.approx(task.size.shares[target], abs=margin)


@pytest.mark.slow
def test_same_arguments_same_bytes_on_any_number_of_processes(write):
    one = contents(write(features=["egemaps", "bert"], out="one"))
    assert contents(write(features=["egemaps", "bert"], out="two", processes=2)) == one
    assert contents(write(features=["egemaps", "bert"], out="three", seed=1)) != one


def test_sets_added_later_are_those_of_a_package_written_at_once(write, caplog):
    at_once = contents(write(features=["fau", "vggish", "BPM"], out="at_once"))
    folder = write(features=["fau"])
    untouched = (folder / "metadata/partition.csv").stat().st_mtime_ns
    write(features=["vggish", "BPM", "fau"])
    assert contents(folder) == at_once
    assert (folder / "metadata/partition.csv").stat().st_mtime_ns == untouched
    caplog.set_level("INFO")
    write(features=["fau", "BPM"])
    assert "nothing to write" in caplog.text
    assert contents(folder) == at_once


def test_no_features_asked_for_is_all_of_the_package(setting):
    task, sets = setting("stress")
    widths = {n: s.dimension["ulm-tsst"] for n, s in choose_sets(task, sets, None).items()}
    assert widths == {
        **{"egemaps": 88, "deepspectrum": 4096, "vggish": 128, "vggface": 512, "fau": 17},
        **{"bert": 768, "BPM": 1, "ECG": 1, "resp": 1},
    }


@pytest.mark.parametrize("name", ["egmaps", "xception"])
def test_unknown_feature_set(write, tmp_path, name):
    with pytest.raises(MuseError, match=f"features={name}: .*known are egemaps, deepspectrum"):
        write(features=[name])
    assert not list(tmp_path.iterdir())


def test_other_settings_need_overwrite(write):
    folder = write()
    with pytest.raises(MuseError, match=r"scale 0.05 \(asked for: 0.06\).*overwrite=true"):
        write(scale=0.06)
    with pytest.raises(MuseError, match=r"seed 0 \(asked for: 1\)"):
        write(seed=1, features=["BPM"])
    assert write(seed=1, features=["BPM"], overwrite=True) == folder
    assert [p.name for p in (folder / "feature_segments").iterdir()] == ["BPM"]
    assert "seed: 1" in (folder / "SYNTHETIC.txt").read_text().splitlines()
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("marker", [None, "", "SYNTHETIC: by somebody else\n"])
def test_a_folder_that_is_not_ours_is_left_alone(write, tmp_path, marker, overwrite):
    real = tmp_path / "data/c3_muse_stress"
    real.mkdir(parents=True)
    (real / "precious.csv").write_text("1\n")
    if marker is not None:
        (real / "SYNTHETIC.txt").write_text(marker)
    before = contents(real)
    with pytest.raises(MuseError, match="no synthetic package"):
        write(overwrite=overwrite)
    assert contents(real) == before


@pytest.mark.parametrize("name", ["feature_segments/mine/1.csv", "feature_segments/BPM/1.csv"])
def test_files_of_others_in_our_package_are_never_deleted(write, name):
    folder = write(features=["BPM"])
    write(features=["ECG"])
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("timestamp,segment_id,x\n0,1,2\n")
    with pytest.raises(MuseError, match=rf"{name} was not written by `muse synth`"):
        write(seed=1, features=["BPM"], overwrite=True)
    assert (folder / name).read_text().endswith("0,1,2\n")


def test_a_failure_leaves_nothing_behind(write, monkeypatch):
    folder = write()
    before = contents(folder)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("muse.synthetic.files._write", full_disk)
    for how in ({"features": ["BPM"]}, {"overwrite": True}, {"out": "new"}):
        with pytest.raises(OSError, match="No space"):
            write(**how)
    assert contents(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert not list((folder.parents[1] / "new").iterdir())


def test_the_list_of_files_is_replaced_whole_or_not_at_all(write, monkeypatch):
    folder = write(features=["BPM"])
    before = (folder / ".synthetic.json").read_text()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_disk)
        with pytest.raises(MuseError, match=r"\.synthetic\.json: cannot be written"):
            write(features=["ECG"])
    assert (folder / ".synthetic.json").read_text() == before
    assert [p.name for p in (folder / "feature_segments").iterdir()] == ["BPM"]
    write(features=["ECG"], overwrite=True)  # a draft that was left is no file of others
    assert [p.name for p in (folder / "feature_segments").iterdir()] == ["ECG"]


def test_too_little_space_is_said_before_writing(write, monkeypatch, tmp_path):
    space = SimpleNamespace(free=3e6)
    monkeypatch.setattr(synthetic.shutil, "disk_usage", lambda _: space)
    monkeypatch.setattr(synthetic, "BYTES", 10**6)
    with pytest.raises(MuseError, match=r"need about [1-9]\d* MB, 3 MB are free.*scale="):
        write()
    assert not list((tmp_path / "data").iterdir())


def test_incomplete_size(setting):
    task, _ = setting("sent")
    del task.size.segments["devel"]
    with pytest.raises(MuseError, match=r"task sent: size.segments has no devel"):
        plan_recordings(task, 1, 0)


def test_frames_without_face_words_and_silence(setting):
    task, sets = setting("wilder")
    face, speech, bert, egemaps = [], [], [], []
    for name in map(str, range(12)):
        frames = [
            feature_frames(task, name, 2000, s, sets[s], 0) for s in ("fau", "vggface", "bert")
        ]
        gone = [np.all(x == 0, axis=1) for x in frames]
        assert np.array_equal(gone[0], gone[1])  # both video sets miss the same frames
        face.append(gone[0].mean())
        speech.append(gone[2].mean())
        bert.append(frames[2])
        egemaps.append(feature_frames(task, name, 2000, "egemaps", sets["egemaps"], 0))
    assert 0.05 < np.mean(face) < 0.1
    assert 0.1 < np.mean(speech) < 0.4
    starts = np.flatnonzero(np.any(np.diff(bert[0], axis=0) != 0, axis=1))
    assert np.all(np.diff(starts) >= 1) and np.median(np.diff(starts)) > 1  # vectors are held
    x = np.concatenate(egemaps)
    rows, counts = np.unique(x, axis=0, return_counts=True)
    assert 0.02 < counts.max() / len(x) < 0.1 and np.sum(counts > 1) == 1  # one row of silence
    scales = x.std(axis=0)
    assert scales.max() / scales.min() > 20 and len(rows[0]) == 88


@pytest.mark.parametrize("name", ["wilder", "stress", "physio"])
def test_no_model_can_reach_a_ccc_above_09(setting, name):
    task, _ = setting(name)
    for scale, seed in ((0.05, 0), (0.2, 1), (0.2, 2), (0.2, 3)):
        recordings = plan_recordings(task, scale, seed)
        gold = gold_standard(task, recordings, seed)
        for i, target in enumerate(task.targets):
            for partition in task.size.recordings:
                own = [r for r in recordings if r.partition == partition]
                felt = np.concatenate([late_emotion(task, r, seed)[:, i] for r in own])
                rated = np.concatenate([gold[target][r.id] for r in own])
                # the best that a model can do is to know what the person feels: CCC <= r
                assert 0.6 < np.corrcoef(felt, rated)[0, 1] < 0.9


def test_rater_noise_is_exact_within_a_recording(setting, monkeypatch):
    task, _ = setting("stress")
    monkeypatch.setattr(synthetic_signals, "SPREAD", 0.01)  # nothing is clipped
    recordings = plan_recordings(task, 0.1, 5)
    gold = gold_standard(task, recordings, 5)
    for recording in recordings:
        felt = late_emotion(task, recording, 5)
        r = np.corrcoef(felt[:, 1], gold["arousal"][recording.id])[0, 1]
        assert r == pytest.approx(np.sqrt(0.6), abs=1e-6)


def smoothed(x: np.ndarray) -> np.ndarray:
    """Means of the last 4, 12 and 40 s of frames of 0.5 s."""
    out = []
    for k in (8, 24, 80):
        total = np.cumsum(np.concatenate([np.repeat(x[:1], k, 0), x]), axis=0)
        out.append((total[k:] - total[:-k]) / k)
    return np.concatenate(out, axis=1)


@pytest.mark.parametrize("shuffle", [False, True])
def test_ridge_learns_from_features_and_not_from_shuffled_ones(setting, shuffle):
    task, sets = setting("stress")
    recordings = plan_recordings(task, 1, 0)
    rated = gold_standard(task, recordings, 0)["arousal"]
    rng = np.random.default_rng(0)
    x, y = {"train": [], "devel": []}, {"train": [], "devel": []}
    for r in recordings:
        if r.partition in x:
            frames = feature_frames(task, r.id, r.frames, "egemaps", sets["egemaps"], 0)
            if shuffle:
                frames = rng.permutation(frames)
            x[r.partition].append(smoothed(frames))
            y[r.partition].append(rated[r.id])
    x, y = ({k: np.concatenate(v) for k, v in d.items()} for d in (x, y))
    mean, std = x["train"].mean(0), x["train"].std(0) + 1e-6
    a, b = (x["train"] - mean) / std, y["train"] - y["train"].mean()
    weights = np.linalg.solve(a.T @ a + 300 * np.eye(a.shape[1]), a.T @ b)
    score = ccc((x["devel"] - mean) / std @ weights + y["train"].mean(), y["devel"])
    assert abs(score) < 0.1 if shuffle else 0.3 < score < 0.85


def test_a_set_that_is_not_standardised_has_columns_of_like_size(setting):
    task, _ = setting("stress")
    known = FeatureSet("video", {"ulm-tsst": 40})
    x = feature_frames(task, "1", 600, "new", known, 0)
    assert x.shape == (600, 40) and x.min() >= 0
    assert x.std(axis=0).max() < 5


def test_command_prints_a_table_and_the_next_command(make_config, tmp_path, capsys):
    out = tmp_path / "data"
    config = make_config("synth", "task=sent", f"out={out}", "scale=0.02", "features=egemaps")
    synth.run(config)
    text = capsys.readouterr().out
    assert text.startswith("SYNTHETIC package of MuSe-Sent 2021")
    assert f"muse train task=sent features=egemaps data.root={out}" in text
    assert "egemaps 88" in text
    lines = text.splitlines()
    # 3 of 166, 2 of 62 and 2 of 64 recordings, published seconds and segments per recording
    train = next(line.split() for line in lines if line.startswith("train"))
    assert train[:5] == ["train", "3", "0.41", "5881", "73"]
    assert sum(map(int, train[5:10])) == sum(map(int, train[10:15])) == 73


def test_marker_is_for_people_and_machines(write):
    lines = (write() / "SYNTHETIC.txt").read_text().splitlines()
    fields = dict(line.split(": ") for line in lines if ": " in line)
    assert lines[0].startswith("SYNTHETIC: simulated")
    assert json.loads(fields["scale"]) == 0.05 and fields["task"] == "stress"
