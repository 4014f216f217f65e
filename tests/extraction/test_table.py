"""CSV files of one's own as a package: rows that correspond, gaps, partitions, faults."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands.import_ import run
from muse.errors import MuseError
from tests.conftest import write

PARTITIONS = {"a": "train", "b": "train", "c": "devel", "d": "test"}
RATINGS = ["id=who", "time=t", "unit=s", "value=score", "target=valence"]
FACES = ["id=who", "time=ms", "unit=ms", "features=faces"]


@pytest.fixture
def own(tmp_path, make_config):
    """own("FILE.csv", "key=value", ...) imports a file of tmp_path into tmp_path/data."""

    def call(file: str, *words: str) -> Path:
        source = f"source=[{tmp_path / file}]"
        run(make_config("import", "dataset=table", source, f"out={tmp_path}/data", *words))
        return tmp_path / "data" / "c3_muse_stress"

    return call


@pytest.fixture(autouse=True)
def files(tmp_path):
    """Ratings of four people every 0.1 s for 10 s, features every 0.4 s, partitions."""
    t = np.arange(101) / 10
    rows = [(who, x, "x", round(x * (k + 1), 3)) for k, who in enumerate(PARTITIONS) for x in t]
    write(tmp_path / "ratings.csv", "who,t,comment,score\n", rows)
    rows = [(who, x, x / 1000, -1) for who in PARTITIONS for x in range(0, 10001, 400)]
    write(tmp_path / "faces.csv", "who,ms,au01,au02\n", rows)
    write(tmp_path / "people.csv", "who,partition\n", PARTITIONS.items())


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def change(path: Path, what) -> None:
    frame = pd.read_csv(path, dtype={"who": str})
    what(frame).to_csv(path, index=False)


def test_labels_then_features_of_the_same_rows(own, tmp_path):
    """A straight line stays one, but for the half frames at its ends: 0.125 s inside."""
    package = own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    labels = read(package / "label_segments/valence/c.csv")
    assert list(labels.columns) == ["timestamp", "segment_id", "value"]
    assert labels.timestamp.tolist() == [500 * k for k in range(21)] and set(labels.segment_id) == {
        1
    }
    expected = [0.375, *(1.5 * k for k in range(1, 20)), 29.625]
    assert labels.value.tolist() == pytest.approx(expected, abs=1e-5)
    own("faces.csv", *FACES)
    faces = read(package / "feature_segments/faces/c.csv")
    assert list(faces.columns) == ["timestamp", "segment_id", "au01", "au02"]
    assert faces.timestamp.tolist() == labels.timestamp.tolist()
    assert faces.au01[1:20].tolist() == pytest.approx([k / 2 for k in range(1, 20)], abs=1e-5)
    assert set(faces.au02) == {-1}
    partitions = (package / "metadata/partition.csv").read_text()
    assert partitions == "Id,Partition\na,train\nb,train\nc,devel\nd,test\n"


def test_one_file_per_recording(own, tmp_path):
    for who, frame in read(tmp_path / "ratings.csv").groupby("who"):
        (tmp_path / "each").mkdir(exist_ok=True)
        frame[["t", "score"]].to_csv(tmp_path / "each" / f"{who}.csv", index=False)
    words = ["time=t", "unit=s", "value=score", "target=arousal", "step=2"]
    package = own("each", *words, f"partition={tmp_path}/people.csv")
    assert read(package / "label_segments/arousal/b.csv").timestamp.tolist() == [
        0, 2000, 4000, 6000, 8000, 10000
    ]  # fmt: skip


def test_features_follow_rows_that_another_program_has_made(own, tmp_path):
    """Rows every 0.25 s from 1.1 s on, with segments of their own."""
    package = tmp_path / "data/c3_muse_stress"
    rows = [(1100 + 250 * k, 7 + k // 8, 0) for k in range(20)]
    for who in PARTITIONS:
        path = package / f"label_segments/valence/{who}.csv"
        write(path, "timestamp,segment_id,value\n", rows)
    write(package / "metadata/partition.csv", "Id,Partition\n", PARTITIONS.items())
    with pytest.raises(MuseError, match=r"a row every 0\.25 s, not step=0\.5.*give step=null"):
        own("faces.csv", *FACES)
    own("faces.csv", *FACES, "step=null")
    faces = read(package / "feature_segments/faces/a.csv")
    assert faces.timestamp.tolist() == [row[0] for row in rows]
    assert faces.segment_id.tolist() == [row[1] for row in rows]
    assert faces.au01.tolist() == pytest.approx([row[0] / 1000 for row in rows], abs=1e-5)


def without(frame: pd.DataFrame, who: str, start: float, end: float) -> pd.DataFrame:
    return frame[(frame.who != who) | (frame.t <= start) | (frame.t >= end)]


def test_short_gaps_are_interpolated_and_reported(own, tmp_path, caplog):
    change(tmp_path / "ratings.csv", lambda frame: without(frame, "b", 3, 3.9))
    with caplog.at_level(logging.WARNING):
        package = own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    assert "ratings.csv: recording b: interpolated 3 to 3.9 s" in caplog.text
    assert read(package / "label_segments/valence/b.csv").value[7] == pytest.approx(7, abs=1e-5)


def test_long_gaps_are_faults_with_their_place(own, tmp_path):
    def cut(frame):
        return without(without(frame, "b", 3, 5.2), "c", 6, 9)

    change(tmp_path / "ratings.csv", cut)
    with pytest.raises(MuseError) as caught:
        own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    first, second = caught.value.faults
    assert "recording b: no value of score at 3 of 21 frames: 3.5 to 4.5 s; a larger" in first
    assert "recording c: no value of score at 5 of 21 frames: 6.5 to 8.5 s; a larger" in second
    assert not (tmp_path / "data").exists()


def test_frames_in_a_long_gap_are_left_out(own, tmp_path, caplog):
    change(tmp_path / "ratings.csv", lambda frame: without(frame, "b", 3, 5.2))
    with caplog.at_level(logging.WARNING):
        package = own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv", "gaps=drop")
    assert "3 of 21 frames: 3.5 to 4.5 s; left out" in caplog.text
    labels = read(package / "label_segments/valence/b.csv")
    times = [500 * k for k in range(21) if k not in (7, 8, 9)]
    assert labels.timestamp.tolist() == times
    assert labels.segment_id.tolist() == [1 + (time > 4500) for time in times]
    own("faces.csv", *FACES)
    faces = read(package / "feature_segments/faces/b.csv")
    assert faces.timestamp.tolist() == times


def test_features_may_be_empty_where_labels_are(own, tmp_path):
    package = own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")

    def empty(frame):
        frame.loc[(frame.who == "d") & frame.ms.between(2000, 6000), "au02"] = np.nan
        return frame

    change(tmp_path / "faces.csv", empty)
    with pytest.raises(MuseError, match=r"no value of au02 at 9 of 21 frames: 2 to 6 s \(the rows"):
        own("faces.csv", *FACES)
    own("faces.csv", *FACES, "gaps=empty")
    faces = read(package / "feature_segments/faces/d.csv")
    assert not faces.au01.isna().any()
    assert faces.timestamp[faces.au02.isna()].tolist() == list(range(2000, 6001, 500))


def test_shares_are_drawn_by_seed(own, tmp_path):
    rows = [(f"p{k}", x / 2, k) for k in range(10) for x in range(5)]
    write(tmp_path / "many.csv", "who,t,score\n", rows)
    words = [*RATINGS, "partition=[0.6,0.2,0.2]"]
    package = own("many.csv", *words)
    text = (package / "metadata/partition.csv").read_text()
    counts = read(package / "metadata/partition.csv").Partition.value_counts().to_dict()
    assert counts == {"train": 6, "devel": 2, "test": 2}
    again = own("many.csv", *words, f"out={tmp_path}/again")
    other = own("many.csv", *words, "seed=1", f"out={tmp_path}/other")
    assert again == other  # the path that own() gives; the files are looked at here
    assert (tmp_path / "again/c3_muse_stress/metadata/partition.csv").read_text() == text
    assert (tmp_path / "other/c3_muse_stress/metadata/partition.csv").read_text() != text
    with pytest.raises(MuseError, match="4 recordings are too few"):
        own("ratings.csv", *RATINGS, "partition=[0.9,0.05,0.05]", f"out={tmp_path}/few")


def test_partitions_of_a_package_stay(own, tmp_path):
    own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    write(tmp_path / "others.csv", "who,partition\n", (PARTITIONS | {"a": "test"}).items())
    words = ["time=t", "unit=s", "id=who", "value=score", "target=arousal"]
    with pytest.raises(MuseError, match=r"differs from .*partition\.csv"):
        own("ratings.csv", *words, f"partition={tmp_path}/others.csv")
    own("ratings.csv", *words, f"partition={tmp_path}/people.csv")
    with pytest.raises(MuseError, match="is there already, and nothing is replaced"):
        own("ratings.csv", *words)


def test_recordings_and_partitions_that_do_not_fit(own, tmp_path, caplog):
    write(
        tmp_path / "three.csv", "who,partition\n", [*list(PARTITIONS.items())[1:], ("z", "devel")]
    )
    with caplog.at_level(logging.WARNING), pytest.raises(MuseError, match="no rows of recording z"):
        own("ratings.csv", *RATINGS, f"partition={tmp_path}/three.csv")
    assert "left out, since they are in no partition: a" in caplog.text
    write(tmp_path / "two.csv", "who,partition\n", (PARTITIONS | {"d": "devel"}).items())
    with pytest.raises(MuseError, match=r"two\.csv: no recording is in test\."):
        own("ratings.csv", *RATINGS, f"partition={tmp_path}/two.csv")


def test_labels_of_test_may_be_missing(own, tmp_path):
    change(tmp_path / "ratings.csv", lambda frame: frame[frame.who != "d"])
    package = own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    own("faces.csv", *FACES)
    assert not (package / "label_segments/valence/d.csv").exists()
    assert len(read(package / "feature_segments/faces/d.csv")) == 21


def test_ids_keep_their_zeros(own, tmp_path):
    rows = [(f"0{k}", x / 2, k) for k in range(1, 4) for x in range(5)]
    write(tmp_path / "zeros.csv", "who,t,score\n", rows)
    package = own("zeros.csv", *RATINGS, "partition=[0.4,0.3,0.3]")
    names = sorted(path.name for path in (package / "label_segments/valence").iterdir())
    assert names == ["01.csv", "02.csv", "03.csv"]


def test_all_faults_of_the_files_come_at_once(own, tmp_path):
    lines = (tmp_path / "ratings.csv").read_text().splitlines()
    lines[3], lines[9] = "a,0.2,x,good", "a,,x,1"
    lines[150] = "b,0.1,x,1"
    lines[160] = "../b,9,x,1"
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(MuseError) as caught:
        own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    text = str(caught.value)
    assert "4 faults, nothing was written" in text
    for part in (
        "ratings.csv: row 4, column score: 'good' is not a number",
        "ratings.csv: row 10: no t.",
        "ratings.csv: row 151: t 0.1 is not after that of the row before of recording b",
        "ratings.csv: row 161: '../b' cannot be the name of a recording",
    ):
        assert part in text
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["value=scor"], "no column scor; it has who, t, comment, score. Did you mean 'score'?"),
        (["unit=ms"], "0.01 s from the first row to the last, less than a frame of 0.5 s. Is unit"),
        (["step=0.004"], "a row every 0.1 s for frames of 0.004 s. Is unit=s right?"),
        (["partition=null"], "not there yet. Give partition=FILE"),
        (["partition=[0.5,0.5]"], "expected three shares above 0"),
        (["unit=null"], "no unit: in what is t? Give unit=ms"),
        (["target=joy"], "target=joy: the targets of task=stress are valence, arousal"),
        (["target=null"], "target=score: the targets of task=stress"),
        (["value=null"], "expected value=COLUMN"),
        (["gaps=empty"], "gaps=drop leaves it out"),
        (["features=x"], "import the labels first"),
        (["task=sent"], "task=sent has classes"),
        (["annotations=true"], "belongs to `muse import ceap`"),
        (["features=../x", "target=null"], "'../x': expected the name of"),
        (["features=x", "target=null", "value=null"], "column comment: 'x' is not a number"),
        (["source=[nowhere.csv]"], "nowhere.csv: there is no such file"),
    ],
)
def test_mistakes_get_words(own, tmp_path, words, message):
    with pytest.raises(MuseError) as caught:
        own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv", *words)
    assert message in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_columns_of_one_name_and_recordings_in_two_files(own, tmp_path, make_config):
    text = (tmp_path / "ratings.csv").read_text()
    (tmp_path / "twice.csv").write_text(text.replace("comment", "score", 1))
    with pytest.raises(MuseError, match="two columns are called 'score'"):
        own("twice.csv", *RATINGS, "partition=[0.4,0.3,0.3]")
    (tmp_path / "copy.csv").write_text(text)
    words = [f"source=[{tmp_path}/ratings.csv,{tmp_path}/copy.csv]", "partition=[0.4,0.3,0.3]"]
    with pytest.raises(MuseError, match=r"recording a is in .*ratings\.csv: recording a as well"):
        run(make_config("import", "dataset=table", f"out={tmp_path}/data", *RATINGS, *words))


def test_nothing_is_added_to_a_synthetic_package(own, tmp_path):
    package = tmp_path / "data/c3_muse_stress"
    package.mkdir(parents=True)
    (package / "SYNTHETIC.txt").write_text("simulated\n")
    with pytest.raises(MuseError, match="a synthetic package; give another out="):
        own("ratings.csv", *RATINGS, f"partition={tmp_path}/people.csv")


def test_warnings_of_one_kind_are_one(own, tmp_path, caplog):
    people = list("abcde")
    write(tmp_path / "people.csv", "who,partition\n",
          zip(people, ["train", "train", "train", "devel", "test"], strict=True))  # fmt: skip
    times = [t for t in range(101) if not 30 < t < 39]
    write(tmp_path / "r.csv", "who,t,score\n", [(p, t / 10, t) for p in people for t in times])
    with caplog.at_level(logging.WARNING):
        own("r.csv", *RATINGS, f"partition={tmp_path}/people.csv")
    (warning,) = caplog.messages
    assert [line.split(": ")[1] for line in warning.splitlines()[:3]] == [
        "recording a", "recording b", "recording c"
    ]  # fmt: skip
    assert warning.endswith("recording c: interpolated 3 to 3.9 s\nand 2 more like these")
