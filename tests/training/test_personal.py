"""Models of single subjects: the split, the choice, what leaks, what is kept, and going on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from muse.commands import export, personalise, predict
from muse.commands.evaluate import run as evaluate
from muse.commands.fuse import run as fuse
from muse.commands.train import run as train
from muse.config.origin import SplitConfig
from muse.data.recordings import load_package
from muse.data.split import split_test, subjects_of
from muse.errors import MuseError
from muse.inference.apply import load_run
from muse.runs.read import read_result
from muse.scoring import ccc
from muse.training import loop
from tests.conftest import write
from tests.training.test_population import assert_same_run

PARTITIONS = {"1": "train", "2": "train", "3": "devel", "4": "test", "5": "test"}
SPLIT = ["split=derive", "split.seconds=[10,10]"]
MODEL = ["model=lstm", "model.hidden=4", "model.layers=1", "model.head=4", "lr=0.01"]


def write_recording(package: Path, id_: str, frames: int = 80) -> None:
    """A feature, and a label that follows it in a way of each recording's own."""
    rng = np.random.default_rng(int(id_))
    t = np.arange(frames)
    x = np.sin(t / 7 + int(id_)) + 0.1 * rng.normal(size=frames)
    y = np.clip((-1) ** int(id_) * 0.6 * x + 0.05 * rng.normal(size=frames), -1, 1)
    rows = zip(500 * t, np.ones(frames, int), x.round(4), strict=True)
    write(package / f"feature_segments/a/{id_}.csv", "timestamp,segment_id,x\n", rows)
    rows = zip(500 * t, np.ones(frames, int), y.round(4), strict=True)
    write(package / f"label_segments/valence/{id_}.csv", "timestamp,segment_id,value\n", rows)


@pytest.fixture
def package(tmp_path) -> Path:
    folder = tmp_path / "data/c3_muse_stress"
    for id_ in PARTITIONS:
        write_recording(folder, id_)
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITIONS.items())
    return folder


@pytest.fixture
def general(package, tmp_path, make_config):
    """general() trains a general model; returns its run folder."""

    def call(*words: str) -> Path:
        config = make_config(
            "train", "task=stress", "target=valence", "features=a", f"data.root={tmp_path}/data",
            "window=20", "hop=10", "seeds=1", "epochs=3", "bootstrap=0", *MODEL, *SPLIT, *words,
        )  # fmt: skip
        train(config)
        return Path(config.job.folder)

    return call


@pytest.fixture
def personal(tmp_path, make_config):
    """personal(run) personalises it; returns the new run folder."""

    def call(run: Path, *words: str, out: str = "personal") -> Path:
        own = ["seeds=2", "epochs=4", "lr=0.05", "workers=1", f"out={tmp_path}/{out}"]
        personalise.run(make_config("personalise", f"run={run}", *own, *words))
        return next((tmp_path / out).iterdir())

    return call


def read(folder: Path, partition: str, id_: str) -> np.ndarray:
    return pd.read_csv(folder / f"predictions/valence/{partition}/{id_}.csv").value.to_numpy()


def test_the_split(package, tmp_path, make_config):
    """40 s: frames 0 to 19 are train, 20 to 39 devel, the other 40 test."""
    config = make_config("train", "task=stress", "features=a", f"data.root={tmp_path}/data")
    assert config.split is None
    whole = load_package(config.task, ["valence"], ["a"], {}, config.data)
    assert split_test(None, whole) is whole
    cut = split_test(SplitConfig("derive", [10, 10]), whole)
    ids = {name: [r.id for r in group] for name, group in cut.partitions.items()}
    assert ids == {
        "train": ["1", "2", "4_train", "5_train"],
        "devel": ["3", "4_devel", "5_devel"],
        "test": ["4_test", "5_test"],
    }
    before = whole.partitions["test"][0]
    parts = subjects_of(cut)["4"]
    assert [len(part.rows) for part in parts.values()] == [20, 20, 40]
    for name in ("rows", "timestamps", "segments"):
        joined = np.concatenate([getattr(part, name) for part in parts.values()])
        assert np.array_equal(joined, getattr(before, name))
    gold = np.concatenate([part.labels["valence"] for part in parts.values()])
    assert np.array_equal(gold, before.labels["valence"])
    with pytest.raises(MuseError, match=r"recording 4 of test has 39\.5 s, and split\.seconds"):
        split_test(SplitConfig("derive", [20, 20]), whole)
    with pytest.raises(MuseError, match="nobody in test has a train and a devel of their own"):
        subjects_of(whole)
    with pytest.raises(MuseError, match=r"split\.seconds=\[60\]: expected seconds of train"):
        SplitConfig("derive", [60])


def test_the_official_layout_is_the_same(general, package, tmp_path):
    """N_train, N_devel and N_test as files of their own give the predictions of split=derive."""
    run = general()
    for id_ in ("4", "5"):
        for kind in ("feature_segments/a", "label_segments/valence"):
            table = pd.read_csv(package / kind / f"{id_}.csv")
            for part, rows in (
                ("train", slice(0, 20)),
                ("devel", slice(20, 40)),
                ("test", slice(40, 80)),
            ):
                table[rows].to_csv(package / kind / f"{id_}_{part}.csv", index=False)
    rows = [*list(PARTITIONS.items())[:3],
            *((f"{n}_{p}", p) for p in ("train", "devel", "test") for n in "45")]  # fmt: skip
    write(package / "metadata/partition.csv", "Id,Partition\n", rows)
    again = general("split=given")
    for partition, id_ in (("train", "5_train"), ("devel", "4_devel"), ("test", "5_test")):
        assert np.array_equal(read(run, partition, id_), read(again, partition, id_))


def test_subjects_get_their_own_model_and_others_the_general_one(
    general, personal, package, caplog
):
    run = general("plots=true")
    folder = personal(run)
    result, before = read_result(folder), read_result(run)
    part = result["targets"]["valence"]
    assert [row["groups"] for row in part["folds"]] == [["4"], ["5"]]
    assert np.array_equal(read(folder, "devel", "3"), read(run, "devel", "3"))
    gold = {
        n: pd.read_csv(package / f"label_segments/valence/{n}.csv").value.to_numpy() for n in "45"
    }
    for row in part["folds"]:
        n = row["groups"][0]
        assert row["score"] == pytest.approx(
            ccc(gold[n][40:], read(folder, "test", f"{n}_test")), abs=1e-6
        )
        assert row["general"] == pytest.approx(
            ccc(gold[n][40:], read(run, "test", f"{n}_test")), abs=1e-6
        )
        if row["epoch"] == 0:
            assert np.array_equal(read(folder, "test", f"{n}_test"), read(run, "test", f"{n}_test"))
        own_devel = ccc(gold[n][20:40], read(folder, "devel", f"{n}_devel"))
        assert row["inner_devel"] == pytest.approx(own_devel, abs=1e-6)
        assert own_devel >= ccc(gold[n][20:40], read(run, "devel", f"{n}_devel")) - 1e-6
    assert any(row["epoch"] > 0 for row in part["folds"])
    whole = np.concatenate([read(folder, "test", f"{n}_test") for n in "45"])
    pooled = ccc(np.concatenate([gold[n][40:] for n in "45"]), whole)
    assert part["pooled"]["ccc"] == part["test"]["ccc"] == pytest.approx(pooled, abs=1e-6)
    assert part["general"]["ccc"] == before["targets"]["valence"]["test"]["ccc"]
    assert (folder / "plots/subjects.png").exists()


def test_evaluate_gives_the_same_scores(general, personal, make_config, capsys):
    folder = personal(general())
    capsys.readouterr()
    evaluate(make_config("evaluate", f"run={folder}"))
    text = capsys.readouterr().out
    assert text.count("equal") == 3 and "all others by the general one" in text


def test_it_is_a_member_of_a_fusion(general, personal, make_config, tmp_path):
    run = general()
    folder = personal(run)
    words = ["task=stress", "target=valence", "method=mean", f"data.root={tmp_path}/data"]
    config = make_config("fuse", *words, f"runs=[{run},{folder}]", "bootstrap=0")
    fuse(config)
    fused = Path(config.job.folder)
    for partition, id_ in (("train", "1"), ("devel", "4_devel"), ("test", "5_test")):
        mean = (read(run, partition, id_) + read(folder, partition, id_)) / 2
        assert read(fused, partition, id_) == pytest.approx(mean, abs=1e-6)
    config = make_config("fuse", *words, f"runs=[{folder}]", "seeds=all")
    with pytest.raises(MuseError, match="the best seed alone predicts a recording"):
        fuse(config)
    with pytest.raises(MuseError, match="folds=2 keep_seeds=true exclude each other"):
        make_config("train", "task=stress", "features=a", "folds=2", "keep_seeds=true")


@pytest.mark.parametrize("part", ["devel", "test"])
def test_nothing_of_devel_and_test_reaches_a_model(general, personal, package, part):
    """Labels and features of 4_test change no model; of 4_devel neither 5's model nor a weight
    of an epoch of 4's, but which epoch is kept.
    """

    def weights(folder: Path) -> dict:
        return {n: (folder / f"weights/valence/fold_{n}.safetensors").read_bytes() for n in (1, 2)}

    # the general model is of other data then: its epoch is chosen on them
    run = general("epochs=1")
    kept = weights(personal(run, "epochs=1"))
    rows = slice(20, 40) if part == "devel" else slice(40, 80)
    for kind, column in (("feature_segments/a", "x"), ("label_segments/valence", "value")):
        table = pd.read_csv(package / kind / "4.csv")
        table.loc[rows.start : rows.stop - 1, column] *= 0.5
        table.to_csv(package / kind / "4.csv", index=False)
    again = general("epochs=1")
    first, second = (r / "weights/valence.safetensors" for r in (run, again))
    assert first.read_bytes() == second.read_bytes()  # neither its training nor its scaling
    changed = weights(personal(again, "epochs=1", out="again"))
    assert changed[2] == kept[2]
    if part == "test":
        assert changed[1] == kept[1]


def test_the_general_model_is_kept_where_no_epoch_is_better(general, personal):
    run = general()
    folder = personal(run, "lr=3", out="wild")  # far too high a rate
    for row in read_result(folder)["targets"]["valence"]["folds"]:
        if row["epoch"] == 0:
            assert row["score"] == row["general"]
        else:
            assert row["inner_devel"] > ccc_of_general(run, row["groups"][0])


def ccc_of_general(run: Path, subject: str) -> float:
    gold = pd.read_csv(run / f"labels/valence/devel/{subject}_devel.csv").value
    return ccc(gold.to_numpy(), read(run, "devel", f"{subject}_devel"))


def test_a_stopped_run_goes_on_and_ends_in_the_same_numbers(
    general, personal, monkeypatch, tmp_path
):
    run = general()
    whole = read_result(personal(run, out="whole"))
    original, count = loop.train_epoch, []

    def stopped(*arguments):
        count.append(0)
        if len(count) == 11:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(loop, "train_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        personal(run)
    folder = next((tmp_path / "personal").iterdir())
    assert json.loads((folder / "status.json").read_text())["status"] == "interrupted"
    monkeypatch.undo()
    again = read_result(personal(run))
    for key in ("run_id", "targets"):
        assert again[key] == whole[key]


def test_several_rates_and_what_is_finished_is_not_trained_again(
    general, make_config, tmp_path, monkeypatch, capsys
):
    run = general()
    words = [
        f"run={run}",
        "seeds=1",
        "epochs=[1,2]",
        "lr=[0.01,0.05]",
        "workers=1",
        f"out={tmp_path}/many",
    ]
    personalise.run(make_config("personalise", *words))
    assert len(list((tmp_path / "many").iterdir())) == 4
    first = capsys.readouterr().out
    monkeypatch.setattr(loop, "train_epoch", None)
    personalise.run(make_config("personalise", *words))
    second = capsys.readouterr().out
    assert "personalised - general" in second and second in first


def test_what_cannot_be_personalised(general, personal, package, make_config):
    run = general()
    folder = personal(run)
    with pytest.raises(MuseError, match="personalised already; expected a run of muse train"):
        personal(folder, out="twice")
    with pytest.raises(MuseError, match="nobody in test has a train and a devel"):
        personal(general("split=given"), out="none")
    write_recording(package, "4", frames=90)
    with pytest.raises(MuseError, match="not the data of"):
        personal(run, out="other")
    with pytest.raises(MuseError, match=r"lr=\[\]: expected a number, or a list of numbers"):
        make_config("personalise", f"run={run}", "lr=[]")


def test_the_loaded_models(general, personal, make_config):
    folder = personal(general())
    used = load_run(make_config("evaluate", f"run={folder}"), str(folder))
    assert len(used.models[0]) == 2 and len(used.general) == 1
    starts = [m.model.state_dict() for m in (used.general[0], *used.models[0])]
    assert not all(
        torch.equal(a, b) for a, b in zip(starts[0].values(), starts[1].values(), strict=True)
    )
    assert np.array_equal(used.general[0].scaling.mean, used.models[0][0].scaling.mean)


def test_subjects_that_train_together_have_the_models_of_those_alone(general, personal):
    run = general("tensorboard=false")
    # without dropout the seeds of a subject are equal up to rounding: there is one
    alone = personal(run, "seeds=1", "population=off", out="alone")
    assert_same_run(alone, personal(run, "seeds=1", "population=3", out="together"))


def test_a_personalised_run_is_exported_with_the_names_of_its_subjects(
    general, personal, make_config, tmp_path
):
    """Without them the model of a subject cannot be found."""
    run, out = personal(general()), tmp_path / "model.zip"
    words = [f"run={run}", f"out={out}"]
    with pytest.raises(MuseError, match="Export the general run that it was made from"):
        export.run(make_config("export", *words))
    export.run(make_config("export", *words, "predictions=true"))
    words = [f"model={out}", f"data.root={tmp_path}/data", f"out={tmp_path}/predicted"]
    predict.run(make_config("predict", *words))
    for path in (run / "predictions").rglob("*.csv"):
        found = tmp_path / "predicted" / path.relative_to(run)
        assert found.read_bytes() == path.read_bytes()
