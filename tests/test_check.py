"""`muse check`: all faults of a package at once, or figures that can be counted by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Polygon

import muse.commands.check
from muse.errors import MuseError
from tests.conftest import edit, sent_package, stress_package


@pytest.fixture
def check(make_config, tmp_path, capsys):
    """check("task=stress") -> the report of the package below tmp_path, and what was printed."""

    def check(*words: str) -> tuple[dict, str]:
        out = tmp_path / "report"
        shutil.rmtree(out, ignore_errors=True)
        words = [*words, f"data.root={tmp_path}", f"out={out}"]
        muse.commands.check.run(make_config("check", *words))
        assert (out / "labels.png").stat().st_size
        return json.loads((out / "report.json").read_text()), capsys.readouterr().out

    return check


def test_a_valid_package_in_figures(check, tmp_path):
    stress_package(tmp_path)
    report, text = check("task=stress")
    assert report["partitions"]["train"] == {
        "recordings": 2, "seconds": 14.0, "frames": 28, "used": 28, "segments": 2,
    }  # fmt: skip
    assert report["step_seconds"] == 0.5 and report["notes"] == []
    x = np.concatenate([np.arange(15) + 30, np.arange(13) + 10])
    gold = np.sin(x / 4).round(4)
    found = report["labels"]["valence"]["train"]
    assert found["count"] == 28 and found["mean"] == pytest.approx(gold.mean(), abs=1e-6)
    assert found["deviation"] == pytest.approx(gold.std(), abs=1e-6)
    assert (found["lowest"], found["highest"]) == pytest.approx((gold.min(), gold.max()), abs=1e-6)
    assert report["features"]["a"]["train"] == {
        "columns": 2, "frames": 28, "missing": 0, "zero_frames": 0, "constant": [], "low": -88.0,
        "high": 44.0,
    }  # fmt: skip
    assert list(report["features"]) == ["a", "b"]
    assert "is valid" in text and "0:00:14" in text and "SYNTHETIC" not in text


@pytest.fixture
def figure(monkeypatch):
    """A list that gets each figure when it is saved."""
    drawn, save = [], muse.commands.check.save_figure
    monkeypatch.setattr(
        muse.commands.check, "save_figure", lambda f, path: (drawn.append(f), save(f, path))
    )
    return drawn


def test_the_picture_shows_every_label_of_every_partition(check, figure, tmp_path):
    package = stress_package(tmp_path)
    check("task=stress")
    valence, arousal = figure[0].axes
    assert figure[0].get_suptitle() == "MuSe-Stress 2021, distribution of the labels"
    assert (valence.get_title(), arousal.get_title()) == ("valence", "arousal")
    assert valence.get_xlabel() == "value" and valence.get_ylabel() == "share of the frames"
    names = [text.get_text() for text in valence.get_legend().get_texts()]
    assert names == ["train (28)", "devel (16)", "test (14)"]
    lines = [p for p in valence.patches if isinstance(p, Polygon)]
    assert len(lines) == 3  # the steps of a histogram per partition
    rows = (package / "label_segments/valence/4.csv").read_text().splitlines()[1:]
    devel = np.array([float(row.split(",")[2]) for row in rows])
    x, y = lines[1].get_xy().T
    edges = np.unique(x)
    counts, _ = np.histogram(devel, edges)
    tops = [y[np.flatnonzero(x == edge)].max() for edge in edges[:-1]]
    # where bars meet, the outline has the height of both: only a rise is unambiguous
    assert max(tops) == pytest.approx(counts.max() / 16)
    assert x.min() <= devel.min() and devel.max() <= x.max()


def test_the_picture_of_classes(check, figure, tmp_path):
    package = sent_package(tmp_path)
    (package / "SYNTHETIC.txt").touch()
    check("task=sent", "features=a")
    valence = figure[0].axes[0]
    assert "(synthetic data)" in figure[0].get_suptitle()
    assert valence.get_ylabel() == "share of the segments"
    heights = [[bar.get_height() for bar in bars] for bars in valence.containers]
    # recordings 3 and 1: classes 3, (3 + 2) % 5, 1, 3; recording 4: 4, 1; recording 2: 2, 4
    assert heights == [[0.25, 0.25, 0, 0.5, 0], [0, 0.5, 0, 0, 0.5], [0, 0, 0.5, 0, 0.5]]


def test_segments_and_classes(check, tmp_path):
    package = sent_package(tmp_path)
    (package / "SYNTHETIC.txt").touch()
    (package / "label_segments/arousal/2.csv").unlink()
    report, text = check("task=sent")
    size = report["partitions"]["train"]
    assert (size["frames"], size["used"], size["segments"]) == (32, 22, 4)
    # recordings 3 and 1: classes 3, (3 + 2) % 5, 1, 3
    assert report["labels"]["valence"]["train"] == {"count": 4, "classes": [1, 1, 0, 2, 0]}
    assert "test" not in report["labels"]["arousal"] and "no labels" in text
    assert "valence: no training segment has class 2, 4" in report["notes"]
    assert report["synthetic"] and "SYNTHETIC data" in text


def test_what_is_odd_but_no_fault(check, tmp_path):
    package = stress_package(tmp_path)
    features = package / "feature_segments"
    edit(features / "a/3.csv", 4, "1000,1,,0")
    edit(features / "a/3.csv", 5, "1500,1,0,0")
    for path in (features / "b").iterdir():
        rows = path.read_text().splitlines()
        path.write_text("\n".join([rows[0], *(f"{r.rsplit(',', 1)[0]},7" for r in rows[1:])]))
        path.write_text(path.read_text() + "\n")
    shutil.copy(features / "a/1.csv", features / "a/99.csv")
    (features / "b").rename(features / "fau")
    label = package / "label_segments/arousal/4.csv"
    rows = label.read_text().splitlines()
    label.write_text("\n".join([rows[0], *(f"{r.rsplit(',', 1)[0]},0.5" for r in rows[1:])]) + "\n")
    report, text = check("task=stress")
    found = report["features"]["a"]["train"]
    assert (found["missing"], found["zero_frames"]) == (1, 1)
    assert report["features"]["fau"]["devel"]["constant"] == ["b_0"]
    assert report["notes"] == [
        f"{features / 'a'}: not in partition.csv and never read: 99.csv",
        "fau has 1 columns, the published feature set 17",
        "arousal is the same in every frame (its CCC is 0) of recording 4",
    ]
    assert all(note in text for note in report["notes"])


def test_copies_of_a_recording_are_noticed(check, tmp_path):
    package = stress_package(tmp_path)
    for folder in [*package.glob("feature_segments/*"), *package.glob("label_segments/*")]:
        shutil.copy(folder / "1.csv", folder / "2.csv")
    report, _ = check("task=stress")
    assert report["notes"] == ["recordings with the same values in a, b: 1 (train), 2 (test)"]


def test_only_the_feature_sets_asked_for(check, tmp_path):
    package = stress_package(tmp_path)
    (package / "feature_segments/b/1.csv").unlink()
    report, _ = check("task=stress", "features=a")
    assert list(report["features"]) == ["a"]


def ten_faults(package: Path) -> list[str]:
    """Damage a package in ten ways; return what must be told, file and row."""
    a, b = package / "feature_segments/a", package / "feature_segments/b"
    valence, arousal = package / "label_segments/valence", package / "label_segments/arousal"
    (b / "3.csv").unlink()
    edit(a / "3.csv", 4, "1000,1,abc,2")
    edit(a / "1.csv", 6, "1500,1,3,4")
    edit(a / "4.csv", 3, "500,1,inf,2")
    edit(b / "4.csv", 5, None)
    edit(valence / "4.csv", 7, "2500,1,")
    edit(valence / "1.csv", 2, "0,1,zero")
    (arousal / "1.csv").write_text("")
    cut = arousal / "3.csv"
    cut.write_text(cut.read_text()[:-9])
    with (package / "metadata/partition.csv").open("a") as file:
        file.write("4,test\n")
    return [
        "metadata/partition.csv: row 6: recording 4 is in test, but row 4 has it in devel",
        "feature_segments/b/3.csv: the file is missing",
        "feature_segments/a/3.csv: row 4, column a_0: 'abc' is not a number",
        "feature_segments/a/1.csv: row 6: timestamp 1500 repeats 1500 of the row before",
        "feature_segments/a/4.csv: row 3, column a_0: the value is infinite",
        "feature_segments/b/4.csv: row 5 has timestamp 2000, the same row of",
        "label_segments/valence/4.csv: row 7: the label is missing",
        "label_segments/valence/1.csv: row 2, column value: 'zero' is not a number",
        "label_segments/arousal/1.csv: the file is empty",
        "label_segments/arousal/3.csv: row 16 has",
    ]


def test_ten_faults_are_told_at_once(make_config, tmp_path, capsys):
    package = stress_package(tmp_path)
    faults = ten_faults(package)
    words = ["task=stress", f"data.root={tmp_path}", f"out={tmp_path / 'report'}"]
    with pytest.raises(MuseError, match=rf"{package}: 11 faults; the list is in"):
        muse.commands.check.run(make_config("check", *words))
    told = (tmp_path / "report/faults.txt").read_text().splitlines()
    printed = capsys.readouterr().out
    # the row that b/4.csv lacks is told twice: a wrong timestamp, and one row too few
    assert len(told) == 11 and len(faults) == 10
    for fault in faults:
        assert sum(f"{package}/{fault}" in line for line in told) == 1, fault
        assert f"{package}/{fault}" in printed
    assert not (tmp_path / "report/report.json").exists()


def test_one_wrong_file_is_not_told_of_all_others(make_config, tmp_path):
    package = stress_package(tmp_path)
    edit(package / "feature_segments/a/4.csv", 5, None)
    words = ["task=stress", f"data.root={tmp_path}", f"out={tmp_path / 'report'}"]
    with pytest.raises(MuseError):
        muse.commands.check.run(make_config("check", *words))
    told = (tmp_path / "report/faults.txt").read_text().splitlines()
    assert {line.split(": ")[0] for line in told} == {f"{package}/feature_segments/a/4.csv"}


def test_a_report_replaces_nothing(check, make_config, tmp_path):
    stress_package(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/labels.png").touch()
    words = ["task=stress", f"data.root={tmp_path}", f"out={tmp_path / 'mine'}"]
    with pytest.raises(MuseError, match="the folder is not empty"):
        muse.commands.check.run(make_config("check", *words))
