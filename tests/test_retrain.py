"""A finished run trained again on train and devel, for the epochs that were best on devel."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import muse.commands.evaluate
import muse.commands.fuse
import muse.commands.predict
import muse.commands.resume
import muse.commands.retrain
import muse.commands.runs
import muse.commands.summary
import muse.commands.table
import muse.commands.train
from muse.config.compose import load_config
from muse.errors import MuseError
from muse.runs.read import read_run
from tests.conftest import stress_package, write
from tests.test_resume import Killed, kill_at

SETTINGS = ["task=stress", "features=[a,b]", "standardise=true", "window=8", "hop=3", "epochs=4",
            "seeds=3", "lr=0.01", "lr_patience=0", "batch_size=4", "bootstrap=20",
            "tensorboard=false", "plots=false", "model.hidden=6", "model.layers=2",
            "model.dropout=0.4"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A root with a package, a finished run, and the same retrained; to be left as they are."""
    root = tmp_path_factory.mktemp("finished")
    stress_package(root)
    where = [f"data.cache={root / 'cache'}", "workers=1"]
    words = [*SETTINGS, "crossfit=2", f"data.root={root}", *where]
    muse.commands.train.run(load_config("train", words, str(root / "run")))
    words = [f"retrain={root / 'run'}", *where]
    muse.commands.retrain.run(load_config("retrain", words, str(root / "again")))
    return root, root / "run", root / "again"


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr("muse.training.save.save_figure", lambda *_: None)


@pytest.fixture
def train(make_config, tmp_path):
    def train(*words: str, root: Path = tmp_path) -> Path:
        config = make_config("train", *SETTINGS, f"data.root={root}", *words)
        muse.commands.train.run(config)
        return Path(config.job.folder)

    return train


@pytest.fixture
def retrain(make_config):
    def retrain(folder: Path, *words: str) -> Path:
        config = make_config("retrain", f"retrain={folder}", *words)
        muse.commands.retrain.run(config)
        return Path(config.job.folder)

    return retrain


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def records_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def joined_package(root: Path) -> Path:
    """The package of `stress_package` with devel's recording moved to train, and another devel."""
    folder = stress_package(root)
    for path in folder.rglob("4.csv"):
        shutil.copy(path, path.with_name("5.csv"))
    moved = {"3": "train", "1": "train", "4": "train", "5": "devel", "2": "test"}
    write(folder / "metadata/partition.csv", "Id,Partition\n", moved.items())
    return root


@pytest.mark.usefixtures("no_pictures")
def test_it_is_a_plain_training_on_train_and_devel(train, retrain, tmp_path):
    """One epoch: weights, scaling and test predictions are those of a package with all in train."""
    stress_package(tmp_path)
    words = ["joint=true", "epochs=1", "seeds=1"]
    again = retrain(train(*words))
    plain = train(*words, root=joined_package(tmp_path / "joined"))
    for path in (plain / "weights").iterdir():
        mine, expected = load_file(again / "weights" / path.name), load_file(path)
        assert mine.keys() == expected.keys()
        assert all(np.array_equal(mine[name], expected[name]) for name in expected)
    for path in (plain / "predictions").rglob("test/*.csv"):
        assert (again / path.relative_to(plain)).read_text() == path.read_text()
    mine, expected = result_of(again)["targets"], result_of(plain)["targets"]
    for target, part in expected.items():
        assert mine[target]["train"] == part["train"] and mine[target]["test"] == part["test"]


def test_epochs_learning_rates_and_seed_are_those_of_the_run(finished):
    _, run, again = finished
    before, after = result_of(run), result_of(again)
    rates = {(r["target"], r["seed"], r["epoch"]): r["lr"]
             for r in records_of(run) if "fold" not in r}  # fmt: skip
    assert len(set(rates.values())) > 2
    best = {(target, row["seed"]): row["best_epoch"]
            for target, part in before["targets"].items() for row in part["seeds"]}  # fmt: skip
    assert len(set(best.values())) > 1
    trained = [(r["target"], r["seed"], r["epoch"]) for r in records_of(again)]
    assert trained == [(*key, k + 1) for key, epochs in best.items() for k in range(epochs)]
    assert all(r["lr"] == rates[r["target"], r["seed"], r["epoch"]] for r in records_of(again))
    for target, part in after["targets"].items():
        same = ("best_seed", "best_epoch")
        assert [part[key] for key in same] == [before["targets"][target][key] for key in same]
        chosen = next(row for row in part["seeds"] if row["seed"] == part["best_seed"])
        assert part["test"]["ccc"] == chosen["test"] == part["test_last"]
    assert not (again / "crossfit").exists()


@pytest.mark.usefixtures("no_pictures")
def test_several_epochs_are_those_of_a_plain_training(train, retrain, tmp_path):
    stress_package(tmp_path)
    words = ["target=valence", "loss=mse", "model=gru", "lr_patience=9"]
    again = retrain(train(*words))
    plain = train(*words, root=joined_package(tmp_path / "joined"))
    mine, expected = ({(r["seed"], r["epoch"]): r["loss"] for r in records_of(folder)}
                      for folder in (again, plain))  # fmt: skip
    assert max(epoch for _, epoch in mine) > 1
    assert mine == {key: expected[key] for key in mine}


def test_there_is_no_devel_score_and_everything_says_so(
    finished, make_config, tmp_path, capsys, caplog
):
    root, run, again = finished
    assert "retrained on train and devel: no devel score" in (again / "train.log").read_text()
    result = read_run(str(again)).result
    assert result["retrained"] == {"run": str(run), "run_id": result_of(run)["run_id"]}
    assert result["run_id"] != result_of(run)["run_id"]
    for part in result["targets"].values():
        assert part["devel"] is None and part["over_seeds"]["devel"] is None
        assert all(row["devel"] is None for row in part["seeds"])
        assert part["train"]["recordings"] == 3 and part["test"]["recordings"] == 1
    assert result["combined"]["devel"] is None and result["combined"]["test"] is not None
    folders = {p.relative_to(again).parts[2] for p in (again / "predictions").rglob("*.csv")}
    assert folders == {"train", "test"} and not (again / "plots").exists()

    muse.commands.runs.run(make_config("runs", f"root={root}"))
    lines = capsys.readouterr().out.splitlines()
    assert ["retrained" in line for line in lines if line.endswith(again.name)] == [True]
    muse.commands.summary.run(make_config("summary", f"sweep={root}"))
    out = capsys.readouterr().out
    assert f"retrained on train and devel, no devel score: {again}" in out
    assert f"{again}" not in (root / "leaderboard.csv").read_text()
    words = ["tasks=[stress]", f"root={root}", "features=[a+b]", "fusions=[]"]
    muse.commands.table.run(make_config("table", *words))
    assert str(again) not in capsys.readouterr().out
    muse.commands.evaluate.run(make_config("evaluate", f"run={again}"))
    rows = [line for line in capsys.readouterr().out.splitlines() if " devel " in line]
    assert len(rows) == 2 and all("none, it was trained on" in row for row in rows)
    muse.commands.evaluate.run(make_config("evaluate", f"run={again}", "partition=test"))
    assert capsys.readouterr().out.count(", equal") == 2
    muse.commands.predict.run(make_config("predict", f"run={again}", f"out={tmp_path / 'out'}"))
    for path in (again / "predictions").rglob("test/*.csv"):
        assert (tmp_path / "out" / path.relative_to(again)).read_text() == path.read_text()
    words = ["task=stress", "target=valence", f"data.root={root}"]
    with pytest.raises(MuseError, match=f"there is no devel left.*made from: {run}"):
        muse.commands.fuse.run(make_config("fuse", *words, f"runs=[{again},{run}]"))
    shutil.copytree(again, tmp_path / "runs" / "again")
    words += ["+feature_sets.both={modality:audio,members:[a,b]}", "select.features=[both,c]"]
    words += [f"select.root={tmp_path / 'runs'}"]
    with pytest.raises(MuseError, match="no finished run of both"):
        muse.commands.fuse.run(make_config("fuse", *words))


@pytest.mark.usefixtures("no_pictures")
def test_test_teaches_nothing(train, retrain, tmp_path):
    """Other test recordings: the same weights and scaling."""
    folders = []
    for name in ("one", "two"):
        folder = stress_package(tmp_path / name)
        if name == "two":
            rows = [(500 * k, 1, 7 * k, k % 3) for k in range(9)]
            path = folder / "feature_segments/a/2.csv"
            write(path, "timestamp,segment_id,a_0,a_1\n", rows)
            for path in (folder / "feature_segments/b", folder / "label_segments/valence"):
                lines = (path / "2.csv").read_text().splitlines()[:10]
                (path / "2.csv").write_text("\n".join(lines) + "\n")
        run = train("target=valence", "seeds=1", root=tmp_path / name)
        folders.append(retrain(run))
    one, two = (load_file(folder / "weights/valence.safetensors") for folder in folders)
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_one_ends_in_the_same_numbers(finished, make_config, tmp_path, monkeypatch):
    _, run, whole = finished
    shutil.copytree(run, tmp_path / "copy")
    config = make_config("retrain", f"retrain={tmp_path / 'copy'}", "workers=1")
    with monkeypatch.context() as patch:
        kill_at(patch, "Adam.step", 9)
        with pytest.raises(Killed):
            muse.commands.retrain.run(config)
    folder = Path(config.job.folder)
    shutil.rmtree(tmp_path / "copy")  # all that is needed is in the folder of the new run
    muse.commands.resume.run(make_config("resume", f"resume={folder}"))
    for path in (whole / "weights").iterdir():
        assert path.read_bytes() == (folder / "weights" / path.name).read_bytes()
    assert result_of(folder)["targets"] == result_of(whole)["targets"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_late_fusion_is_retrained_on_the_predictions_of_its_members(
    train, retrain, make_config, tmp_path
):
    stress_package(tmp_path)
    members = [train(f"features={name}", "epochs=1", "seeds=1") for name in "ab"]
    words = ["task=stress", "target=valence", f"runs=[{members[0]},{members[1]}]"]
    fused = {}
    for method in ("lstm", "mean"):
        config = make_config("fuse", *words, f"method={method}", f"data.root={tmp_path}",
                             "epochs=2", "seeds=2", "window=8", "hop=3", "bootstrap=0")  # fmt: skip
        muse.commands.fuse.run(config)
        fused[method] = Path(config.job.folder)
    result = result_of(retrain(fused["lstm"]))
    assert result["targets"]["valence"]["train"]["recordings"] == 3
    assert list(result["members"]) == ["a", "b"] and result["retrained"]
    with pytest.raises(MuseError, match="a mean has nothing to train"):
        retrain(fused["mean"])


@pytest.mark.usefixtures("no_pictures")
def test_what_cannot_be_retrained_is_refused(finished, train, retrain, tmp_path):
    _, run, again = finished
    with pytest.raises(MuseError, match=f"was retrained already. Retrain {run} instead"):
        retrain(again)
    with pytest.raises(MuseError, match=r"epochs were chosen on train \(best_on\)"):
        stress_package(tmp_path)
        retrain(train("target=valence", "seeds=1", "epochs=1", "best_on=train"))
    with pytest.raises(MuseError, match=r"not the data of .* on whose devel"):
        retrain(run, f"data.root={joined_package(tmp_path / 'joined')}")
    run = shutil.copytree(run, tmp_path / "copy")
    metrics = run / "metrics.jsonl"
    for text in ("", "{", "[1]", metrics.read_text().replace('"lr"', '"rate"')):
        metrics.write_text(text)
        with pytest.raises(MuseError, match=r"metrics.jsonl: damaged, it has not a learning rate"):
            retrain(run)
