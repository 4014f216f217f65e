"""Features and labels side by side: what corresponds, what is dropped, what is refused."""

import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest

from muse.config.shared import DataConfig
from muse.data.recordings import load_package
from muse.errors import MuseError
from tests.conftest import edit, sent_package, stress_package


@pytest.fixture
def load(make_config, tmp_path):
    """load("stress", ["a"]) reads the package under tmp_path."""

    def load(task: str, features: list[str], root=tmp_path, targets=None, **options):
        config = make_config("train", f"task={task}", "features=x")
        targets = targets or config.task.targets
        data = DataConfig(str(root), str(tmp_path / "cache"), 2)
        return load_package(config.task, targets, features, {}, data, **options)

    return load


def test_early_fusion_puts_feature_sets_side_by_side(load, tmp_path):
    stress_package(tmp_path)
    package = load("stress", ["b", "a"])
    assert package.features == ["b", "a"]
    assert package.columns == {"b": ["b_0"], "a": ["a_0", "a_1"]}
    assert [r.id for r in package.partitions["train"]] == ["3", "1"]
    recording = package.partitions["devel"][0]
    assert [f.shape for f in recording.features] == [(16, 1), (16, 2)]
    assert recording.features[1][2].tolist() == [42, -84]
    np.testing.assert_array_equal(
        recording.labels["arousal"], np.cos(np.arange(40, 56) / 4).round(4).astype(np.float32)
    )
    assert recording.samples.tolist() == [[0, 16]]
    assert package.labelled("test", "valence")


def test_sent_keeps_the_frames_of_segments_only(load, tmp_path):
    sent_package(tmp_path)
    package = load("sent", ["a"])
    for partition in ("train", "devel", "test"):
        for recording in package.partitions[partition]:
            assert recording.rows.tolist() == [1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13]
            assert recording.samples.tolist() == [[0, 6], [6, 5]]
    labels = package.partitions["devel"][0].labels["valence"]  # recording 4: classes 4 and 1
    assert labels.tolist() == [4] * 6 + [1] * 5


def test_other_tasks_keep_the_frames_outside_unless_told(load, tmp_path):
    folder = stress_package(tmp_path)
    for name in ("a/1", "a/2"):  # of train and of test
        edit(folder / f"feature_segments/{name}.csv", 4, "1000,,1,2")
    package = load("stress", ["a"])
    assert [len(r.rows) for r in package.partitions["train"]] == [15, 13]


def test_frames_outside_are_dropped_from_train_and_devel_when_told(make_config, tmp_path):
    folder = stress_package(tmp_path)
    for name in ("a/1", "a/4", "a/2"):
        edit(folder / f"feature_segments/{name}.csv", 4, "1000,,1,2")
    task = make_config("train", "task=stress", "task.outside_segments=drop", "features=a").task
    data = DataConfig(str(tmp_path), str(tmp_path / "cache"), None)
    package = load_package(task, ["valence"], ["a"], {}, data)
    sizes = {p: [len(r.rows) for r in rs] for p, rs in package.partitions.items()}
    assert sizes == {"train": [15, 12], "devel": [15], "test": [14]}
    assert 2 not in package.partitions["devel"][0].rows


@pytest.mark.parametrize("absent", ["file", "empty"])
def test_missing_test_labels_are_normal(load, tmp_path, absent):
    path = stress_package(tmp_path) / "label_segments/valence/2.csv"
    if absent == "file":
        path.unlink()
    else:
        rows = [line.rsplit(",", 1)[0] + "," for line in path.read_text().splitlines()[1:]]
        path.write_text("timestamp,segment_id,value\n" + "\n".join(rows) + "\n")
    package = load("stress", ["a"])
    assert package.partitions["test"][0].labels["valence"] is None
    assert not package.labelled("test", "valence") and package.labelled("test", "arousal")


def test_the_digest_follows_content_not_place(load, tmp_path):
    stress_package(tmp_path / "one")
    folder = stress_package(tmp_path / "two")
    one, two = load("stress", ["a"], tmp_path / "one"), load("stress", ["a"], tmp_path / "two")
    assert one.digest == two.digest
    assert one.digest != load("stress", ["a", "b"], tmp_path / "one").digest
    assert one.digest != load("stress", ["a"], tmp_path / "one", ["valence"]).digest
    edit(folder / "label_segments/arousal/2.csv", 3, "500,1,0.125")
    assert one.digest != load("stress", ["a"], tmp_path / "two").digest


def test_missing_values_are_reported_or_refused(load, tmp_path, caplog):
    folder = stress_package(tmp_path)
    edit(folder / "feature_segments/a/3.csv", 5, "1500,1,,1")
    with caplog.at_level(logging.WARNING):
        load("stress", ["a"])
    assert "a: 1 missing values in 1 recordings" in caplog.text
    assert "3.csv, row 5, column a_0" in caplog.text
    with pytest.raises(MuseError, match=r"3\.csv, row 5, column a_0.*missing=zero"):
        load("stress", ["a"], missing="error")


def test_frames_with_a_missing_value_are_dropped_in_train_and_devel(load, tmp_path, caplog):
    folder = stress_package(tmp_path)
    edit(folder / "feature_segments/a/3.csv", 5, "1500,1,,1")
    edit(folder / "feature_segments/b/3.csv", 7, "2500,1,")
    edit(folder / "feature_segments/a/2.csv", 4, "1000,1,,1")  # of test
    edit(folder / "label_segments/valence/4.csv", 2, "0,1,")
    with caplog.at_level(logging.WARNING):
        package = load("stress", ["a", "b"], missing="drop")
    assert "such frames of train and devel are left out" in caplog.text
    train, devel = package.partitions["train"][0], package.partitions["devel"][0]
    kept = [row for row in range(15) if row not in (3, 5)]
    assert train.rows.tolist() == kept and train.samples.tolist() == [[0, 13]]
    x = np.array(kept) + 30
    np.testing.assert_array_equal(train.labels["valence"], np.sin(x / 4).round(4).astype("f4"))
    assert devel.rows.tolist() == list(range(1, 16))
    assert np.isfinite(devel.labels["valence"]).all()
    assert len(package.partitions["test"][0].rows) == 14


def test_a_segment_of_dropped_frames_alone_is_no_sample(load, tmp_path):
    folder = sent_package(tmp_path)
    for row in range(3, 9):  # segment 1 of a devel recording; of segment 2 a frame
        edit(folder / "feature_segments/a/4.csv", row, f"{(row - 2) * 250},1,")
    edit(folder / "feature_segments/a/4.csv", 11, "2250,2,")
    recording = load("sent", ["a"], missing="drop").partitions["devel"][0]
    assert recording.rows.tolist() == [10, 11, 12, 13]
    assert (
        recording.samples.tolist() == [[0, 4]] and recording.labels["valence"].tolist() == [1] * 4
    )


def test_a_recording_of_dropped_frames_alone_is_refused(load, tmp_path):
    folder = stress_package(tmp_path)
    for row in range(2, 18):
        edit(folder / "feature_segments/b/4.csv", row, f"{(row - 2) * 500},1,")
    with pytest.raises(MuseError, match="no frame of the recording has all features and labels"):
        load("stress", ["b"], missing="drop")


def test_another_frame_step_is_a_warning(load, tmp_path, caplog):
    stress_package(tmp_path)
    (tmp_path / "c3_muse_stress").rename(tmp_path / "c1_muse_wilder")
    with caplog.at_level(logging.WARNING):
        load("wilder", ["a"])
    assert "The frame step is 500 ms, that of MuSe-Wilder 2021 is 250 ms" in caplog.text


A1, A4 = "feature_segments/a/1.csv", "feature_segments/a/4.csv"
LABEL = "label_segments/valence/4.csv"


@pytest.mark.parametrize(
    ("file", "row", "text", "message"),
    [
        (A4, 5, None, "a/4.csv: row 5 has timestamp"),  # all others have the row
        (A4, 17, None, "a/4.csv: 15 rows below the header, but"),
        (A4, 3, "501,1,1,1", "a/4.csv: row 3 has timestamp 501, the same row of"),
        (LABEL, 3, "501,1,1", "valence/4.csv: row 3 has timestamp 501"),
        (LABEL, 17, None, "valence/4.csv: 15 rows below the header, but"),
        (LABEL, 4, "1000,1,", "valence/4.csv: row 4: the label is missing"),
        (LABEL, 4, "1000,1,x", "valence/4.csv: row 4, column value: 'x' is not a number"),
        (LABEL, 1, "timestamp,segment_id,label", "no column 'value'; it has label"),
        (LABEL, 1, "time,segment_id,value", "no column timestamp"),
        ("feature_segments/b/4.csv", 3, "501,1,1", "b/4.csv: row 3 has timestamp 501"),
        ("feature_segments/b/4.csv", 3, "500,2,1", "b/4.csv: row 3 has segment_id 2"),
        ("feature_segments/b/4.csv", 17, None, "b/4.csv: 15 rows below the header"),
        (A4, 1, "timestamp,segment_id,a_0,z", "4.csv: feature 'z' where"),
        (A4, 1, "time,segment_id,a_0,z", "4.csv: no column timestamp"),
    ],
)
def test_rows_that_do_not_correspond(load, tmp_path, file, row, text, message):
    edit(stress_package(tmp_path) / file, row, text)
    with pytest.raises(MuseError) as caught:
        load("stress", ["a", "b"])
    assert message in str(caught.value)


def test_recordings_with_other_numbers_of_features(load, tmp_path):
    path = stress_package(tmp_path) / A1
    path.write_text("".join(line + ",0\n" for line in path.read_text().splitlines()))
    with pytest.raises(MuseError, match=r"1\.csv: 3 features, .*3\.csv has 2"):
        load("stress", ["a"])


@pytest.mark.parametrize("file", [A1, LABEL, "label_segments/valence/3.csv"])
def test_a_missing_file_is_named(load, tmp_path, file):
    path = stress_package(tmp_path) / file
    path.unlink()
    with pytest.raises(MuseError, match=f"{path}: the file is missing"):
        load("stress", ["a"])


def test_a_target_without_labels_is_answered_with_the_known_ones(load, tmp_path):
    stress_package(tmp_path)
    with pytest.raises(MuseError, match=r"no labels of the target joy; .* has arousal, valence"):
        load("stress", ["a"], targets=["joy"])


@pytest.mark.parametrize(
    ("row", "text", "message"),
    [
        (
            2,
            "1,5",
            "row 2: class_id 5 is no class of MuSe-Sent 2021; expected a whole number from 0",
        ),
        (3, "2,-1", "row 3: class_id -1 is no class"),
        (3, "2,1.5", "row 3: class_id 1.5 is no class"),
        (3, "2,", "row 3: class_id nan is no class"),
        (3, "2,x", "row 3, column class_id: 'x' is not a number"),
        (3, None, "row 11: segment 2 is not in"),
        (3, "3,1", "segment"),
        (3, "1,1", "a segment_id has more than one row"),
        (1, "segment,class_id", "expected the columns segment_id and class_id"),
        (1, "segment_id,class", "no column 'class_id'"),
    ],
)
def test_faults_of_class_labels(load, tmp_path, row, text, message):
    edit(sent_package(tmp_path) / LABEL, row, text)
    with pytest.raises(MuseError) as caught:
        load("sent", ["a"])
    assert message in str(caught.value) and "4.csv" in str(caught.value)


def test_a_segment_in_pieces_is_refused(load, tmp_path):
    edit(sent_package(tmp_path) / A4, 13, "2750,1,0")
    with pytest.raises(MuseError, match="row 13: segment 1 begins again"):
        load("sent", ["a"])


def test_sent_without_segments_is_refused(load, tmp_path):
    path = sent_package(tmp_path) / A1
    rows = [f"{250 * k},,1" for k in range(16)]
    path.write_text("timestamp,segment_id,a_0\n" + "\n".join(rows) + "\n")
    with pytest.raises(MuseError, match=r"1\.csv: no row has a segment_id"):
        load("sent", ["a"])


def test_another_process_gets_the_names_of_memory_maps_not_copies(make_config, tmp_path):
    stress_package(tmp_path, frames=20_000)
    config = make_config("train", "task=stress", "features=a", f"data.root={tmp_path}")
    package = load_package(config.task, ["valence"], ["a"], {}, config.data)
    recording = package.partitions["train"][0]
    alone = replace(recording, rows=recording.rows[:0], timestamps=None, segments=None, labels={})
    sent = pickle.dumps(alone)
    assert len(sent) < recording.features[0].nbytes / 10
    (got,), (given,) = pickle.loads(sent).features, recording.features
    assert isinstance(got, np.memmap) and np.array_equal(got, given)
