"""Windows, padding and scaling, against numbers worked out by hand."""

import numpy as np
import pytest
import torch

from muse.config.shared import DataConfig
from muse.data.recordings import load_package
from muse.data.windows import Mapped, collate, cut_windows, fit_scaling, group_by_length, to_frames
from tests.conftest import edit, sent_package, stress_package

CPU = torch.device("cpu")


@pytest.fixture
def package(make_config, tmp_path):
    stress_package(tmp_path)
    return read(make_config, tmp_path, "stress", ["a", "b"])


def read(make_config, root, task, features):
    config = make_config("train", f"task={task}", "features=x")
    data = DataConfig(str(root), str(root / "cache"), None)
    return load_package(config.task, config.task.targets, features, {}, data)


def cut(length: int, window: int, hop: int) -> list:
    return cut_windows(np.array([[0, length]]), window, hop).tolist()


def test_the_window_that_reaches_the_end_is_the_last():
    assert cut(10, 4, 2) == [[0, 4], [2, 4], [4, 4], [6, 4]]
    assert cut(11, 4, 2) == [[0, 4], [2, 4], [4, 4], [6, 4], [8, 3]]
    assert cut(4, 4, 2) == [[0, 4]]
    assert cut(3, 4, 2) == [[0, 3]]
    assert cut(5, 4, 4) == [[0, 4], [4, 1]]
    assert len(cut(960, 300, 50)) == 15 and cut(960, 300, 50)[-1] == [700, 260]


def test_windows_stay_inside_their_sample():
    samples = np.array([[0, 5], [5, 3]])
    assert cut_windows(samples, 4, 2).tolist() == [[0, 4], [2, 3], [5, 3]]


def test_groups_of_similar_length_keep_every_window_in_order():
    windows = np.array([[0, 50], [1, 100], [2, 60], [3, 59], [4, 10], [5, 6], [6, 5]])
    groups = [group.tolist() for group in group_by_length(windows)]
    assert groups == [[[1, 100], [2, 60]], [[0, 50], [3, 59]], [[4, 10], [5, 6]], [[6, 5]]]


def test_ceap_gives_300_windows(make_config, ceap, tmp_path):
    config = make_config("train", "task=stress", "features=x")
    data = DataConfig(str(ceap), str(tmp_path), None)
    package = load_package(config.task, ["valence"], ["gaze"], {}, data)
    frames = to_frames(package, "train", ["valence"], fit_scaling(package, []), CPU)
    assert len(cut_windows(frames.samples, 300, 50)) == 300


def test_scaling_is_that_of_the_training_frames(package):
    scaling = fit_scaling(package, ["a"])
    x = np.concatenate([np.arange(15) + 30, np.arange(13) + 10])  # recordings 3 and 1 of train
    np.testing.assert_allclose(scaling.mean, [x.mean(), -2 * x.mean(), 0], rtol=1e-6)
    np.testing.assert_allclose(scaling.scale, [x.std(), 2 * x.std(), 1], rtol=1e-6)
    devel = to_frames(package, "devel", ["valence"], scaling, CPU).features.numpy()
    np.testing.assert_allclose(devel[:16, 0], (np.arange(40, 56) - x.mean()) / x.std(), rtol=1e-5)
    np.testing.assert_allclose(devel[:16, 2], np.arange(40, 56) / 8)


def test_scaling_may_count_frames_as_often_as_windows_hold_them(package):
    scaling = fit_scaling(package, ["a"], (8, 3))
    parts = []
    for first, frames in ((30, 15), (10, 13)):  # recordings 3 and 1 of train
        x = np.arange(frames) + first
        parts += [x[start : start + 8] for start in range(0, frames - 8 + 3, 3)]
    assert [len(part) for part in parts] == [8, 8, 8, 6, 8, 8, 7]
    x = np.concatenate(parts)
    np.testing.assert_allclose(scaling.mean, [x.mean(), -2 * x.mean(), 0], rtol=1e-6)
    np.testing.assert_allclose(scaling.scale, [x.std(), 2 * x.std(), 1], rtol=1e-6)
    again = fit_scaling(package, ["a"], (8, 3))  # from the cache
    np.testing.assert_array_equal(again.mean, scaling.mean)
    whole = fit_scaling(package, ["a"], (50, 50))  # a window for each recording
    np.testing.assert_array_equal(whole.mean, fit_scaling(package, ["a"]).mean)


def test_missing_values_are_zero_after_scaling_and_left_out_of_it(make_config, tmp_path):
    folder = stress_package(tmp_path)
    edit(folder / "feature_segments/a/3.csv", 2, "0,1,,-60")  # was 30
    edit(folder / "feature_segments/a/4.csv", 3, "500,1,,")
    package = read(make_config, tmp_path, "stress", ["a"])
    scaling = fit_scaling(package, ["a"])
    x = np.concatenate([np.arange(14) + 31, np.arange(13) + 10])
    np.testing.assert_allclose(scaling.mean[0], x.mean(), rtol=1e-6)
    np.testing.assert_allclose(scaling.scale[0], x.std(), rtol=1e-6)
    assert to_frames(package, "train", ["valence"], scaling, CPU).features[0, 0] == 0
    assert to_frames(package, "devel", ["valence"], scaling, CPU).features[1].tolist() == [0, 0]
    raw = fit_scaling(package, [])
    assert to_frames(package, "devel", ["valence"], raw, CPU).features[1].tolist() == [0, 0]


def test_constant_and_empty_features_do_no_harm(make_config, tmp_path):
    folder = stress_package(tmp_path)
    for path in (folder / "feature_segments/a").iterdir():
        rows = path.read_text().splitlines()[1:]
        fixed = [",".join([*row.split(",")[:2], "5", ""]) for row in rows]
        path.write_text("timestamp,segment_id,a_0,a_1\n" + "\n".join(fixed) + "\n")
    package = read(make_config, tmp_path, "stress", ["a"])
    frames = to_frames(package, "test", ["valence"], fit_scaling(package, ["a"]), CPU)
    assert not frames.features.any()


def test_padding_is_zero_and_behind_the_length(package):
    frames = to_frames(package, "train", ["valence", "arousal"], fit_scaling(package, []), CPU)
    assert frames.recordings == [("3", 0, 15), ("1", 15, 28)]
    features, labels, lengths = collate(frames, np.array([[12, 3], [15, 5]]))
    assert features.shape == (2, 5, 3) and labels.shape == (2, 5, 2)
    assert lengths.tolist() == [3, 5]
    assert features[0, :, 0].tolist() == [42, 43, 44, 0, 0]
    assert features[1, :, 0].tolist() == [10, 11, 12, 13, 14]
    assert not labels[0, 3:].any()


def test_sent_samples_are_segments(make_config, tmp_path):
    sent_package(tmp_path)
    package = read(make_config, tmp_path, "sent", ["a"])
    frames = to_frames(package, "train", ["arousal"], fit_scaling(package, []), CPU)
    assert frames.samples.tolist() == [[0, 6], [6, 5], [11, 6], [17, 5]]
    assert frames.labels[[0, 6, 11, 17], 0].tolist() == [3, 0, 1, 3]


def test_scaling_agrees_with_scikit_learn_whatever_is_missing(make_config, tmp_path):
    from sklearn.preprocessing import StandardScaler

    folder = stress_package(tmp_path, frames=60)
    rng = np.random.default_rng(1)
    every = []
    for id_ in ("3", "1"):
        path = folder / f"feature_segments/a/{id_}.csv"
        values = rng.normal(1e4, 3, size=(60 + int(id_), 2)).round(3)
        values[rng.random(values.shape) < 0.3] = np.nan
        if id_ == "3":
            values[:, 1] = np.nan  # nothing in the first recording
        every.append(values)
        rows = [f"{500 * k},1,{x},{y}" for k, (x, y) in enumerate(values.tolist())]
        path.write_text(
            ("timestamp,segment_id,a_0,a_1\n" + "\n".join(rows) + "\n").replace("nan", "")
        )
    scaling = fit_scaling(read(make_config, tmp_path, "stress", ["a"]), ["a"])
    oracle = StandardScaler().fit(np.concatenate(every))
    np.testing.assert_allclose(scaling.mean, oracle.mean_, rtol=1e-6)
    np.testing.assert_allclose(scaling.scale, oracle.scale_, rtol=1e-4)  # values are float32


@pytest.mark.parametrize("task", ["stress", "sent"])
def test_what_stays_in_the_files_is_what_is_copied(make_config, tmp_path, monkeypatch, task):
    folder = stress_package(tmp_path) if task == "stress" else sent_package(tmp_path)
    sets = ["a", "b"] if task == "stress" else ["a"]
    path = folder / "feature_segments/a/3.csv"
    edit(path, 5, path.read_text().splitlines()[4].rsplit(",", 1)[0] + ",")  # no value
    package = read(make_config, tmp_path, task, sets)
    scaling = fit_scaling(package, ["a"])
    copied = to_frames(package, "train", ["valence"], scaling, CPU)
    monkeypatch.setattr("muse.data.windows.MAPPED", 0)
    mapped = to_frames(package, "train", ["valence"], scaling, CPU)
    assert isinstance(mapped.features, Mapped) and isinstance(copied.features, torch.Tensor)
    assert len(mapped.features) == len(copied.features)
    assert mapped.features.shape == tuple(copied.features.shape)
    for spans in (copied.samples, cut_windows(copied.samples, 5, 3)[::-1].copy()):
        for one, other in zip(collate(mapped, spans), collate(copied, spans), strict=True):
            assert torch.equal(one, other)


def test_no_group_has_more_values_than_allowed():
    windows = np.array([[0, 10], [1, 9], [2, 8], [3, 3], [4, 3]])
    groups = [group.tolist() for group in group_by_length(windows, cells=40, width=2)]
    assert groups == [[[0, 10], [1, 9]], [[2, 8]], [[3, 3], [4, 3]]]
    alone = group_by_length(windows, cells=1, width=2)
    assert [len(group) for group in alone] == [1] * 5  # never less than one
