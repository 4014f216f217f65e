"""CEAP-360VR as a package: numbers by hand, the published package of five people, faults."""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands.import_ import run
from muse.errors import MuseError
from muse.extraction.ceap import head_features, partition_of
from muse.extraction.ceap_files import FIXATIONS, HEAD, INFO, RATINGS

RAW = Path(__file__).parents[3] / "shared" / "data" / "ceap_raw"


@pytest.fixture
def package(download, tmp_path, make_config) -> Path:
    run(make_config("import", "dataset=ceap", f"source=[{download}]", f"out={tmp_path}/data"))
    return tmp_path / "data" / "c3_muse_stress"


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def test_the_package_of_the_real_download_is_equal_to_the_last_byte(ceap, tmp_path, make_config):
    if not RAW.is_dir():
        pytest.skip("needs the download in ../shared/data/ceap_raw")
    run(make_config("import", "dataset=ceap", f"source=[{RAW}]", f"out={tmp_path}"))
    made, expected = tmp_path / "c3_muse_stress", ceap / "c3_muse_stress"
    files = sorted(made.glob("*_segments/*/*.csv"))
    assert len(files) == 25
    for file in files:
        assert file.read_bytes() == (expected / file.relative_to(made)).read_bytes(), file
    lines = (expected / "metadata/partition.csv").read_text().splitlines()
    assert (made / "metadata/partition.csv").read_text().splitlines() == lines[:6]
    rule = [f"{number},{partition_of(number)}" for number in range(1, 33)]
    assert lines == ["Id,Partition", *rule]


def test_the_real_annotations_are_equal_to_the_last_byte(ceap, tmp_path, make_config):
    if not RAW.is_dir():
        pytest.skip("needs the download in ../shared/data/ceap_raw")
    words = [f"source=[{RAW}]", f"out={tmp_path}", "annotations=true"]
    run(make_config("import", "dataset=ceap", *words))
    for target in ("valence", "arousal"):
        for video in range(1, 9):
            name = Path("annotations", target, f"{video}.csv")
            with (tmp_path / name).open() as made, (ceap / name).open() as expected:
                assert list(csv.reader(made)) == [row[:6] for row in csv.reader(expected)]


def test_rows_segments_and_partitions(package):
    frame = read(package / "label_segments/valence/2.csv")
    assert list(frame.columns) == ["timestamp", "segment_id", "value"]
    assert frame.timestamp.tolist() == [500 * k for k in range(960)]
    assert frame.segment_id.tolist() == [1 + k // 120 for k in range(960)]
    partitions = (package / "metadata/partition.csv").read_text()
    assert partitions == "Id,Partition\n1,train\n2,train\n3,devel\n4,test\n5,train\n"
    assert "CC BY-NC 4.0" in (package / "SOURCE.txt").read_text()


def test_labels_are_the_means_of_half_seconds(package):
    """Samples at 0 (5) and 0.25 s (9) have the mean 7, 0.5 in [-1, 1]; 60 s is in the last bin."""
    valence = read(package / "label_segments/valence/1.csv").value
    assert valence[:120].tolist() == [0.5] + [0.0] * 119
    arousal = read(package / "label_segments/arousal/4.csv").value
    assert set(arousal) == {-0.25}


def test_features_of_the_head(package):
    """One step of 5 degrees, with two samples per second: 10 degrees per second."""
    frame = read(package / "feature_segments/head/1.csv")
    assert frame.loc[0].tolist()[2:] == [0, 0, 1, 0, 0, 0]
    sine, cosine = np.round([np.sin(np.radians(3)), np.cos(np.radians(3))], 4)
    assert frame.loc[1].tolist()[2:] == [4, sine, cosine, 0, 10, 10]
    assert frame.loc[2].tolist()[2:] == [4, sine, cosine, 0, 0, 0]


def test_a_turn_over_180_degrees_is_a_short_one():
    samples = np.zeros((240, 2))
    samples[:, 1] = [179, -179] * 120  # 2 degrees, four samples per second: 8 degrees per second
    found = head_features(samples, "")
    assert found[0, 4:] == pytest.approx([4, 8]) and found[1, 4:] == pytest.approx([8, 8])
    assert found[1, 1:3] == pytest.approx([0, np.cos(np.radians(179))])


def test_features_of_gaze(package):
    """In V1 a frame is a bin; in V2 two are, and the fixations last half as long."""
    frame = read(package / "feature_segments/gaze/3.csv")
    columns = ["fixating", "fixation_s", "pitch", "yaw_sin", "yaw_cos"]
    first, second = frame[columns].to_numpy()[:120], frame[columns].to_numpy()[120:240]
    assert first[0].tolist() == [1, 2, 10, 1, 0] and first[2].tolist() == [1, 0.5, 20, 0, 1]
    assert first[3].tolist() == [1, 2, 10, 1, 0] and not first[4:119].any()
    assert first[119].tolist() == [1, 0.5, 1, 0, -1]  # cut at the end of the video
    assert second[0].tolist() == [1, 1, 10, 1, 0]
    assert second[1].tolist() == [1, 0.625, 15, 0.5, 0.5]  # the mean of two fixations
    assert second[119].tolist() == [0.5, 0.125, 0.5, 0, -0.5]


def test_features_of_luminance(package):
    """V1 rises by 1 and ends with a missing frame, from 118 to 0; V2 jumps between 0 and 2."""
    frame = read(package / "feature_segments/luminance/5.csv")[["mean", "std", "change"]].to_numpy()
    assert frame[:3].tolist() == [[0, 0, 0], [1, 0, 1], [2, 0, 1]]
    assert frame[119].tolist() == [0, 0, 118]
    assert frame[120].tolist() == [1, 1, 1] and frame[121].tolist() == [1, 1, 2]
    assert frame[238].tolist() == [0, 0, 1]  # missing, after a frame of 2


def test_annotations_by_video(download, tmp_path, make_config):
    words = [f"source=[{download.parent}]", f"out={tmp_path}/data", "annotations=true"]
    run(make_config("import", "dataset=ceap", *words))
    frame = read(tmp_path / "data/annotations/arousal/8.csv")
    assert list(frame.columns) == ["timestamp", "1", "2", "3", "4", "5"]
    assert frame.timestamp.tolist() == [k / 2 for k in range(120)]
    assert frame.loc[7].tolist() == [3.5, -1, -0.75, -0.5, -0.25, 0]


def faults_of(download, tmp_path, make_config, *words) -> list[str]:
    out = tmp_path / "data"
    with pytest.raises(MuseError) as caught:
        run(make_config("import", "dataset=ceap", f"source=[{download}]", f"out={out}", *words))
    assert not out.exists() or not list(out.iterdir())  # nothing was written
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_all_faults_come_at_once(download, tmp_path, make_config):
    (download / HEAD.path.format(2)).unlink()
    (download / FIXATIONS.path.format(3)).write_text("{")
    path = download / RATINGS.path.format(1)

    def spoil(content):
        videos = content[RATINGS.top][0][RATINGS.videos]
        videos[2][RATINGS.samples][4]["Valence"] = "high"
        videos[7][RATINGS.samples][9]["Arousal"] = None

    edit(path, spoil)
    edit(download / INFO, lambda content: content["VideoInfo"].pop())
    faults = faults_of(download, tmp_path, make_config)
    assert len(faults) == 5
    for found, expected in zip(
        faults,
        [
            "VideoInfo.json: V8: FrameRate None",
            "P1_Annotation_FrameData.json: V3, sample 5: Valence is high; expected a number",
            "P1_Annotation_FrameData.json: V8, sample 10: Arousal is None; expected a number",
            "P2_Behavior_HeadScanPathData.json: the file is missing",
            "P3_Behavior_FixationData.json: no JSON",
        ],
        strict=True,
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (RATINGS, lambda p: p.update(ParticipantID="2"), "ParticipantID 2; expected 1"),
        (RATINGS, lambda p: p[RATINGS.videos].pop(), "expected V1 to V8, each once"),
        (RATINGS, lambda p: p.pop(RATINGS.videos), "KeyError 'Video_Annotation_FrameData'"),
        (
            RATINGS,
            lambda p: p[RATINGS.videos][0][RATINGS.samples][3].update(Valence=10),
            "V1, sample 4: valence and arousal are 10 and 1; expected 1 to 9",
        ),
        (HEAD, lambda p: p[HEAD.videos][1][HEAD.samples].pop(), "V2: 119 samples of the head"),
        (
            FIXATIONS,
            lambda p: p[FIXATIONS.videos][0][FIXATIONS.samples][1].update(EndFrame=1),
            "V1, sample 2: a fixation from frame 2 to 1",
        ),
        (
            HEAD,
            lambda p: p[HEAD.videos][0][HEAD.samples][0].update(Yaw=10**400),
            "V1, sample 1: Yaw is 1000",
        ),
    ],
)
def test_faults_of_a_file(download, tmp_path, make_config, kind, change, message):
    edit(download / kind.path.format(1), lambda content: change(content[kind.top][0]))
    (fault,) = faults_of(download, tmp_path, make_config)
    assert message in fault and f"{kind.path.format(1)}: " in fault


def test_half_a_second_without_a_rating_is_reported(download, tmp_path, make_config, caplog):
    def gap(content):
        del content[RATINGS.top][0][RATINGS.videos][0][RATINGS.samples][4:6]

    edit(download / RATINGS.path.format(1), gap)
    with caplog.at_level(logging.WARNING):
        run(make_config("import", "dataset=ceap", f"source=[{download}]", f"out={tmp_path}/data"))
    assert "V1: no rating in 1 bin of 0.5 s, the first at 1 s" in caplog.text
    values = read(tmp_path / "data/c3_muse_stress/label_segments/valence/1.csv").value
    assert values[1:4].tolist() == [0, -1.25, 0]


def test_a_partition_needs_somebody(download, tmp_path, make_config):
    for kind in (RATINGS, HEAD, FIXATIONS):
        (download / kind.path.format(4)).unlink()
    (fault,) = faults_of(download, tmp_path, make_config)
    assert "of P1, P2, P3, P5 nobody is in test" in fault


def test_nothing_is_replaced(package, download, tmp_path, make_config):
    before = sorted(package.rglob("*"))
    words = ["import", "dataset=ceap", f"source=[{download}]", f"out={tmp_path}/data"]
    with pytest.raises(MuseError, match="is there already, and nothing is replaced"):
        run(make_config(*words))
    assert sorted(package.rglob("*")) == before


def test_a_folder_that_is_no_download(tmp_path, make_config):
    with pytest.raises(MuseError, match="no folder 1_Stimuli in it"):
        run(make_config("import", "dataset=ceap", f"source=[{tmp_path}]", f"out={tmp_path}/x"))
