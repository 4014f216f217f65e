"""Feature sets with time steps of their own at common frames: numbers by hand, and by loops."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from muse.config.shared import DataConfig
from muse.data.recordings import load_package
from muse.data.rows import mean_of_rows
from muse.data.windows import fit_scaling, to_frames
from muse.errors import MuseError
from tests.conftest import PARTITION_OF, edit, write

TIMES = [0, 500, 1000, 1500]
WORDS = [(100, 300, 1), (300, 600, 2), (900, 950, 3)]


def package(root: Path, labels: bool = True) -> Path:
    """Labels every 0.5 s; rows every 0.1, 0.5 and 1 s, and three words."""
    folder = root / "c3_muse_stress"
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITION_OF.items())
    sets = folder / "feature_segments"
    for id_ in PARTITION_OF:
        for target in ("valence", "arousal") if labels or PARTITION_OF[id_] != "test" else ():
            rows = [(t, 7, k) for k, t in enumerate(TIMES)]
            path = folder / f"label_segments/{target}/{id_}.csv"
            write(path, "timestamp,segment_id,value\n", rows)
        fine = [(100 * k, 7, k, -k) for k in range(18)]
        write(sets / f"fine/{id_}.csv", "timestamp,segment_id,f_0,f_1\n", fine)
        write(sets / f"same/{id_}.csv", "timestamp,segment_id,s\n", [(t, 7, t) for t in TIMES])
        write(sets / f"slow/{id_}.csv", "timestamp,segment_id,s\n", [(0, 7, 1), (1000, 7, 2)])
        words = [(start, end, 7, value) for start, end, value in WORDS]
        write(sets / f"text/{id_}.csv", "start,end,segment_id,w\n", words)
    return folder


@pytest.fixture
def load(make_config, tmp_path):
    def load(features: list[str], align: str | None = "labels", task="stress", **options):
        config = make_config("train", f"task={task}", "features=x")
        data = DataConfig(str(tmp_path), str(tmp_path / "cache"), 1)
        targets = options.pop("targets", config.task.targets)
        return load_package(config.task, targets, features, {}, data, align=align, **options)

    return load


def test_frames_of_the_labels_get_means_words_for_their_duration_and_zeros(load, tmp_path):
    package(tmp_path)
    loaded = load(["fine", "text", "slow", "same"])
    assert loaded.columns == {"fine": ["f_0", "f_1"], "text": ["w"], "slow": ["s"], "same": ["s"]}
    for partition in loaded.partitions.values():
        for recording in partition:
            fine, text, slow, same = (np.asarray(x).T.tolist() for x in recording.features)
            # frames reach from 250 ms before the label to before 250 ms after it
            assert fine == [[1, 5, 10, 15], [-1, -5, -10, -15]]
            assert text == [[1, 1.5, 3, 0]]  # the second frame has the first word's end as well
            assert slow == [[1, 1, 2, 2]]
            assert same == [TIMES]
            assert recording.timestamps.tolist() == TIMES and set(recording.segments) == {7}
            assert recording.labels["arousal"].tolist() == [0, 1, 2, 3]


def test_frames_of_words_get_means_of_labels_and_of_other_sets(load, tmp_path):
    package(tmp_path)
    loaded = load(["fine", "text", "slow"], "words")
    recording = loaded.partitions["devel"][0]
    fine, text, slow = (np.asarray(x)[:, 0].tolist() for x in recording.features)
    assert text == [1, 2, 3] and recording.timestamps.tolist() == [100, 300, 900]
    assert fine == [1.5, 4, 9]  # 100, 200; 300, 400, 500; 900 ms
    assert slow == [1, 1, 2]  # of 200, 450 and 925 ms, the middle of each word
    assert recording.labels["valence"].tolist() == [0, 1, 2]  # of 200 (none within), 500, 925 ms
    for id_ in PARTITION_OF:  # words far from any label are no frames
        edit(tmp_path / f"c3_muse_stress/feature_segments/text/{id_}.csv", 4, "1900,1950,7,3")
    recording = load(["text"], "words").partitions["train"][0]
    assert recording.timestamps.tolist() == [100, 300]
    assert recording.features[0].shape == (2, 1)


def test_gaps_are_zero_and_uneven_labels_have_narrower_frames(load, tmp_path):
    folder = package(tmp_path)
    for id_ in PARTITION_OF:
        for target in ("valence", "arousal"):
            edit(folder / f"label_segments/{target}/{id_}.csv", 5, "1700,7,3")
            edit(folder / f"label_segments/{target}/{id_}.csv", 4, "600,7,2")
        for row in range(6, 2, -1):  # 100 to 400 ms
            edit(folder / f"feature_segments/fine/{id_}.csv", row, None)
    recording = load(["fine"]).partitions["train"][0]
    # from -250 to 250: 0; 250 to 550: 500; 550 to 850: 600, 700, 800; 1450 to 1950: 1500 to 1700
    assert np.asarray(recording.features[0])[:, 0].tolist() == [0, 5, 7, 16]
    for id_ in PARTITION_OF:
        edit(folder / f"feature_segments/fine/{id_}.csv", 3, None)  # 500 ms
    assert np.asarray(load(["fine"]).partitions["train"][0].features[0])[1, 0] == 0


def test_recordings_without_labels_get_frames_from_the_features(load, tmp_path):
    package(tmp_path, labels=False)
    assert load(["fine", "same"]).partitions["test"][0].timestamps.tolist() == TIMES
    test = load(["fine"]).partitions["test"][0]  # no set with the step of the task
    assert test.timestamps.tolist() == TIMES and test.segments.tolist() == [7] * 4
    assert np.asarray(test.features[0])[:, 0].tolist() == [1, 5, 10, 15]
    gaps = load(["text"], targets=[]).partitions["test"][0]
    assert gaps.timestamps.tolist() == [0, 500, 1000]


def test_a_set_that_is_missing_in_a_recording_is_zero_and_reported(load, tmp_path, caplog):
    folder = package(tmp_path)
    (folder / "feature_segments/text/4.csv").unlink()
    caplog.set_level(logging.WARNING)
    loaded = load(["fine", "text"])
    assert "text: no file of recording 4; it is zero there." in caplog.text
    fine, text = loaded.partitions["devel"][0].features
    assert text.tolist() == [[0]] * 4 and np.asarray(fine)[:, 0].tolist() == [1, 5, 10, 15]
    for id_ in PARTITION_OF:
        (folder / f"feature_segments/slow/{id_}.csv").unlink()
    with pytest.raises(MuseError, match="slow: no CSV file of any of the recordings"):
        load(["fine", "slow"])
    with pytest.raises(MuseError, match="align=words: recording 4 has no words in the features"):
        load(["fine", "text"], "words")
    with pytest.raises(MuseError, match=r"4\.csv: the file is missing"):
        load(["same", "text"], None)


def test_equal_rows_are_the_same_with_and_without(load, tmp_path):
    package(tmp_path)
    plain, aligned = load(["same"], None), load(["same"])
    assert plain.digest == aligned.digest
    for one, two in zip(plain.partitions["train"], aligned.partitions["train"], strict=True):
        assert one.features[0].filename == two.features[0].filename
    half = load(["fine"], storage="float16").partitions["train"][0]
    assert half.features[0].dtype == np.float16
    assert half.features[0][:, 0].tolist() == [1, 5, 10, 15]
    digests = {load(["fine", "text"], align).digest for align in ("labels", "words")}
    assert len(digests) == 2


def test_what_cannot_be_aligned_is_refused(load, tmp_path):
    folder = package(tmp_path)
    with pytest.raises(
        MuseError, match="A feature set with time steps of its own needs align=labels"
    ):
        load(["fine", "same"], None)
    with pytest.raises(MuseError, match=r"words with start and end need align=labels"):
        load(["text"], None)
    path = folder / "feature_segments/text/3.csv"
    for row, text, message in (
        (3, "300,200,7,2", "row 3: ends before it starts"),
        (3, "100,600,7,2", "row 3: starts no later than the row before"),
        (3, ",600,7,2", "with a time in ms in each row"),
    ):
        edit(path, row, text)
        with pytest.raises(MuseError, match=f"3.csv: .*{message}"):
            load(["text"])
    edit(path, 3, "300,600,7,2")
    with pytest.raises(
        MuseError, match="align=words: recording 3 has no words in the features fine"
    ):
        load(["fine"], "words")


def test_means_are_those_of_a_loop():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(40, 3)).astype(np.float32)
    first = rng.integers(0, 40, 25)
    last = np.minimum(40, first + rng.integers(0, 6, 25))
    for missing in (False, True):
        if missing:
            values[rng.random(values.shape) < 0.4] = np.nan
        got = mean_of_rows(values, first, last)
        for frame, a, b in zip(got, first, last, strict=True):
            for k in range(3):
                part = values[a:b, k].astype(float)
                known = part[~np.isnan(part)]
                expected = known.mean() if len(known) else (np.nan if len(part) else 0)
                np.testing.assert_allclose(frame[k], expected, rtol=1e-5)


def test_labels_of_other_targets_are_features(load, tmp_path):
    folder = package(tmp_path)
    loaded = load(["same", "label_valence"], None, targets=["arousal"])
    assert loaded.columns["label_valence"] == ["value"]
    assert loaded.partitions["test"][0].features[1].tolist() == [[0], [1], [2], [3]]
    with pytest.raises(MuseError, match="label_valence are the labels of the target valence"):
        load(["same", "label_valence"], None)
    for name in ("label_", "label_..", "label_joy", "../label_segments/valence"):
        with pytest.raises(MuseError, match="there is no feature set"):
            load([name], None, targets=["arousal"])
    (folder / "feature_segments/same").rename(folder / "feature_segments/label_valence")
    assert load(["label_valence"], None).columns == {"label_valence": ["s"]}  # a set of its own


def test_own_steps_lie_side_by_side_in_a_frame_of_the_labels(load, tmp_path, caplog):
    folder = package(tmp_path)
    caplog.set_level(logging.INFO)
    loaded = load(["fine", "text", "slow", "same"], "own")
    assert "rows in a frame: fine 5, text 5, slow 1, same 1" in caplog.text
    assert loaded.columns["fine"] == ["f_0", "f_1"] * 5 and loaded.columns["text"] == ["w"] * 5
    recording = loaded.partitions["devel"][0]
    fine, text, slow, same = (np.asarray(x) for x in recording.features)
    # frames begin 250 ms before the label, and a part of one reaches over 100 ms
    assert fine.reshape(4, 5, 2)[..., 0].tolist() == [
        [0, 0, 0, 1, 2], [3, 4, 5, 6, 7], [8, 9, 10, 11, 12], [13, 14, 15, 16, 17]
    ]  # fmt: skip
    assert fine[1].tolist() == [3, -3, 4, -4, 5, -5, 6, -6, 7, -7]  # row by row
    # words from 100 to 300, 300 to 600 and 900 to 950 ms
    assert text.tolist() == [[0, 0, 0, 1, 1], [1.5, 2, 2, 2, 0], [0, 3, 0, 0, 0], [0] * 5]
    assert (slow.T.tolist(), same.T.tolist()) == ([[1, 1, 2, 2]], [TIMES])
    assert recording.labels["arousal"].tolist() == [0, 1, 2, 3]
    (folder / "feature_segments/text/4.csv").unlink()
    loaded = load(["fine", "text"], "own")
    assert "text: no file of recording 4; it is zero there." in caplog.text
    assert loaded.partitions["devel"][0].features[1].tolist() == [[0] * 5] * 4
    assert loaded.digest != load(["fine", "text"]).digest
    half = load(["fine"], "own", storage="float16").partitions["devel"][0].features[0]
    assert half.dtype == np.float16 and np.array_equal(half, fine)


def test_rows_of_a_frame_share_mean_and_deviation(load, tmp_path):
    package(tmp_path)
    loaded = load(["same", "fine"], "own")
    scaling = fit_scaling(loaded, ["fine"])
    values = [np.asarray(r.features[1]).reshape(-1, 2) for r in loaded.partitions["train"]]
    rows = np.concatenate(values)  # (frames * 5, 2)
    np.testing.assert_allclose(scaling.mean, [0, *np.tile(rows.mean(0), 5)], rtol=1e-6)
    np.testing.assert_allclose(scaling.scale, [1, *np.tile(rows.std(0), 5)], rtol=1e-6)
    frames = to_frames(loaded, "devel", [], scaling, torch.device("cpu"))
    assert (frames.inputs, frames.rows) == ({"same": 1, "fine": 10}, {"fine": 5})
