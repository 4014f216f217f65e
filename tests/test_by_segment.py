"""scripts/by_segment.py: a recording for each segment, and groups that a cross-validation takes."""

import runpy
import sys
from pathlib import Path

import pytest

import muse.commands.train
from muse.runs.read import read_result
from tests.conftest import write

SCRIPT = Path(__file__).parents[1] / "scripts" / "by_segment.py"


@pytest.fixture
def package(tmp_path) -> Path:
    """Three persons who see two videos of nine frames, with a frame outside in between."""
    folder = tmp_path / "source" / "c3_muse_stress"
    people = {"7": "train", "3": "devel", "5": "test"}
    write(folder / "metadata/partition.csv", "Id,Partition\n", people.items())
    (folder / "SYNTHETIC.txt").write_text("made by a test\n")
    for id_ in people:
        segments = [*[1] * 9, "", *[2] * 9]
        rows = [(500 * k, s, f"{k * int(id_)}.50") for k, s in enumerate(segments)]
        write(folder / f"feature_segments/a/{id_}.csv", "timestamp,segment_id,a_0\n", rows)
        rows = [(time, s, (k % 5 - 2) / 10) for k, (time, s, _) in enumerate(rows)]
        write(folder / f"label_segments/valence/{id_}.csv", "timestamp,segment_id,value\n", rows)
    return folder


def split(package: Path, out: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["by_segment.py", str(package), str(out)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_recording_for_each_segment(package, tmp_path, monkeypatch, capsys, make_config):
    out = tmp_path / "segments" / "c3_muse_stress"
    split(package, out, monkeypatch)
    assert f"6 recordings, 6 rows outside segments left out: {out}" in capsys.readouterr().out
    lines = (out / "feature_segments/a/5_2.csv").read_text().splitlines()
    source = (package / "feature_segments/a/5.csv").read_text().splitlines()
    assert lines == [source[0], *source[11:]]
    metadata = {p.stem: p.read_text().split()[1:] for p in (out / "metadata").iterdir()}
    assert metadata == {
        "partition": ["7_1,train", "7_2,train", "3_1,devel", "3_2,devel", "5_1,test", "5_2,test"],
        "person": ["7_1,7", "7_2,7", "3_1,3", "3_2,3", "5_1,5", "5_2,5"],
        "stimulus": ["7_1,1", "7_2,2", "3_1,1", "3_2,2", "5_1,1", "5_2,2"],
    }
    words = ["task=stress", "features=a", "target=valence", "epochs=1", "seeds=1", "model.layers=1",
             "model.hidden=4", "bootstrap=0", "tensorboard=false", "plots=false", "folds=loso",
             f"data.root={out.parent}", f"groups={out}/metadata/person.csv"]  # fmt: skip
    config = make_config("train", *words)
    muse.commands.train.run(config)
    result = read_result(Path(config.job.folder))
    rows = result["targets"]["valence"]["folds"]
    assert [row["recordings"] for row in rows] == [["3_1", "3_2"], ["5_1", "5_2"], ["7_1", "7_2"]]
    assert result["synthetic"]


def test_what_cannot_be_split_is_told(package, tmp_path, monkeypatch, capsys):
    path = package / "label_segments/valence/3.csv"
    path.write_text(path.read_text().replace(",2,", ",3,"))
    with pytest.raises(SystemExit):
        split(package, tmp_path / "out", monkeypatch)
    assert "3.csv: segments ['1', '3'], before ['1', '2']" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
