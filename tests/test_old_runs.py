"""Runs made by an earlier muse (format 2, version 0.1) are read, scored and fused as before."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import muse.commands.evaluate
import muse.commands.table
from muse.config.use import EvaluateConfig
from muse.files import digest_of
from muse.runs.finished import finished_runs, standardised_members
from muse.runs.read import read_run
from muse.sweep.state import find_finished
from muse.training.prepare import id_of, load_inputs
from muse.training.run import begin_run, settle

OLD = Path(__file__).parent / "runs_of_format_2"


@pytest.fixture
def old(tmp_path, monkeypatch) -> Path:
    """The folder as it was, with the data that its runs were trained on."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def test_they_are_found_and_told_apart(old):
    found = {str(run.folder): run.fusion for run in finished_runs(Path())}
    assert found == {"fuse/lstm": True, "fuse/mean": True, "train/one": False, "train/two": False}


@pytest.mark.parametrize("name", ["one", "two"])
def test_their_scores_and_run_ids_are_the_same_today(old, make_config, name, capsys):
    words = [f"run=train/{name}", f"data.root={old / 'data'}", "out=scores.json"]
    config = make_config("evaluate", *words)
    assert isinstance(config, EvaluateConfig)
    muse.commands.evaluate.run(config)
    run = read_run(f"train/{name}")
    again = json.loads(Path("scores.json").read_text())["targets"]["valence"]
    for partition in ("train", "devel", "test"):
        kept = run.result["targets"]["valence"][partition]
        assert again[partition]["ccc"] == pytest.approx(kept["ccc"], abs=1e-6)
    run.config.data.root = str(old / "data")
    assert id_of(run.config, load_inputs(run.config)) == run.result["run_id"]
    assert find_finished([Path("train")], run.result["run_id"]) == (old / "train" / name)


def test_a_table_refuses_fusions_whose_members_were_standardised(
    old, make_config, caplog, capsys, monkeypatch
):
    path = old / "fuse/lstm/result.json"
    result = json.loads(path.read_text())
    result["targets"]["valence"]["standardised"] = ["one"]
    del result["digest"]
    path.write_text(json.dumps(result | {"digest": digest_of(result)}))
    muse.commands.table.run(make_config("table", "tasks=[stress]", "root=fuse"))
    assert "left out: fuse/lstm: an earlier version of muse standardised" in caplog.text
    assert "fuse/mean: " not in caplog.text
    beside = SimpleNamespace(standardise=None, beside=["difficulty_a"])  # its set is standardised
    monkeypatch.setattr(muse.runs.finished, "read_settings", lambda folder: beside)
    assert not any(map(standardised_members, finished_runs(Path("fuse"))))


def test_they_can_be_fused_by_this_version(old, make_config):
    words = ["task=stress", "target=valence", "runs=[train/one,train/two]", "method=mean",
             f"data.root={old / 'data'}", "tensorboard=false",
             "plots=false", "bootstrap=20"]  # fmt: skip
    result = begin_run(settle(make_config("fuse", *words)), Path("fused"))
    before = json.loads(Path("fuse/mean/result.json").read_text())
    devel = before["targets"]["valence"]["devel"]
    assert devel.pop("interval") is not None  # of one recording; there is none any more
    assert devel.items() <= result["targets"]["valence"]["devel"].items()  # metrics were added
