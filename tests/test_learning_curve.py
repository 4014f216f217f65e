"""Learning curves: a run for each share, and the scores of all side by side."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import muse.commands.train
from muse.cli.app import run
from muse.cli.arguments import settings_of
from muse.errors import MuseError
from muse.plots import draw_learning_curve
from muse.runs.read import read_result
from tests import conftest
from tests.conftest import stress_package

SMALL = ["task=stress", "features=a", "epochs=1", "seeds=2", "model.hidden=4", "model.layers=1",
         "model.head=3", "standardise=true", "bootstrap=0", "tensorboard=false",
         "plots=false"]  # fmt: skip
PARTITIONS = {**dict.fromkeys("1467", "train"), "3": "devel", "5": "devel", "2": "test"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a package in data/; jobs of a sweep are trained in this process."""
    monkeypatch.setattr(conftest, "PARTITION_OF", PARTITIONS)
    stress_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    return tmp_path


def rows_of(folder: Path) -> list[dict]:
    return list(csv.DictReader((folder / "learning_curve.csv").read_text().splitlines()))


@pytest.mark.slow
def test_each_share_is_trained_once_and_reported(home, monkeypatch, capsys):
    words = ["stress", *SMALL[1:], "learning_curve=[1,0.25,0.5]"]
    monkeypatch.setattr("sys.argv", ["muse", *words])
    run("train")  # as on the command line, where Hydra is at work already
    out = capsys.readouterr().out
    (folder,) = Path("outputs/learning_curve").iterdir()
    assert f"{folder}: learning_curve.csv, learning_curve.png" in out
    assert (folder / "learning_curve.png").stat().st_size > 10_000
    assert not list(Path("outputs/train").glob("*"))
    rows, trained = rows_of(folder), {}
    for path in sorted(folder.glob("*/result.json")):
        result = read_result(path.parent)
        trained[result.get("train_share", 1.0)] = result["targets"]
    assert {share: parts["valence"]["train"]["recordings"] for share, parts in trained.items()} == {
        0.25: 1, 0.5: 2, 1.0: 4
    }  # fmt: skip
    assert [(row["target"], float(row["share"])) for row in rows] == [
        (target, share) for target in ("valence", "arousal") for share in (0.25, 0.5, 1)
    ]
    for row in rows:
        part = trained[float(row["share"])][row["target"]]
        scores = [seed["devel"] for seed in part["seeds"]]
        assert float(row["mean"]) == pytest.approx(np.mean(scores))
        assert float(row["deviation"]) == pytest.approx(np.std(scores, ddof=1))
        assert float(row["best"]) == max(scores) == part["devel"]["ccc"]
        assert float(row["test"]) == part["test"]["ccc"]
        assert f"{part['devel']['ccc']:.4f}" in out
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    monkeypatch.setattr("sys.argv", ["muse", *words])
    run("train")  # again: nothing is trained
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")} == before


@pytest.mark.slow
def test_of_all_recordings_it_is_an_ordinary_run(home, make_config):
    config = make_config("train", *SMALL, "target=valence")
    muse.commands.train.run(config)
    plain = read_result(Path(config.job.folder))
    words = ["learning_curve=[0.5,1]", "target=valence", "train_share=0.3"]
    muse.commands.train.run(make_config("train", *SMALL, *words))
    (folder,) = Path("outputs/learning_curve").iterdir()
    results = [read_result(path.parent) for path in folder.glob("*/result.json")]
    whole = next(result for result in results if "train_share" not in result)
    assert whole["run_id"] == plain["run_id"]
    assert whole["targets"]["valence"]["devel"] == plain["targets"]["valence"]["devel"]


@pytest.mark.slow
def test_with_folds_it_has_the_pooled_scores(home, make_config, capsys):
    words = ["target=valence", "folds=2", "seeds=1", "learning_curve=[0.5,1]"]
    muse.commands.train.run(make_config("train", *SMALL, *words))
    out = capsys.readouterr().out
    assert "mean of folds" in out and "pooled" in out
    (folder,) = Path("outputs/learning_curve").iterdir()
    results = [read_result(path.parent) for path in folder.glob("*/result.json")]
    (whole,) = [result for result in results if "train_share" not in result]
    part = whole["targets"]["valence"]
    row = rows_of(folder)[1]
    assert float(row["best"]) == part["pooled"]["ccc"]
    assert float(row["mean"]) == pytest.approx(part["over_folds"]["mean"])


def test_a_job_without_a_result_is_told(home, make_config):
    words = [*SMALL, "features=b", "features=c", "learning_curve=[0.5,1]"]
    with pytest.raises(MuseError, match=r"learning_curve: 2 of 2 jobs have no result:\n.*'c'"):
        muse.commands.train.run(make_config("train", *words))


def test_a_grid_is_refused(home, make_config):
    config = make_config("train", *SMALL, "learning_curve=[0.5,1]", "+experiment=muse2021/stress")
    with pytest.raises(MuseError, match=r"trainings for each share; expected one"):
        muse.commands.train.run(config)


def test_it_is_no_sweep_of_hydra(monkeypatch):
    monkeypatch.setattr("sys.argv", ["muse", "-m", "task=stress", "learning_curve=[0.5,1]"])
    with pytest.raises(SystemExit, match="learning_curve is a sweep of its own: leave -m out"):
        run("train")


def test_the_settings_of_a_command_line(tmp_path):
    line = f"stress features=a --config-dir '{tmp_path}' data.root=2026_11 hydra.run.dir=x ~lr -q"
    assert settings_of("train", shlex.split(line)) == [
        "task=stress", "features=a", "data.root='2026_11'", "~lr",
        f"hydra.searchpath=['{tmp_path}']",
    ]  # fmt: skip


def test_a_learning_curve_is_drawn():
    rows = [("valence", 0.5, 0.1, None, 0.1, None), ("valence", 1.0, 0.2, 0.1, 0.3, 0.2)]
    names = ("target", "share", "mean", "deviation", "best", "test")
    table = pd.DataFrame(rows, columns=names)
    figure = draw_learning_curve("title", "CCC", "seeds", table.to_dict("records"))
    (panel,) = figure.axes
    assert panel.get_title() == "valence" and panel.get_ylabel() == "CCC"
    best = next(line for line in panel.lines if line.get_label() == "best on devel")
    assert best.get_xydata().tolist() == [[0.5, 0.1], [1.0, 0.3]]
