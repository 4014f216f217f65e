"""The SVM of MuSe 2020, from the package to the run folder, against pandas and scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import recall_score
from sklearn.svm import LinearSVC

from muse.commands import evaluate, fuse, predict, resume, retrain, synth, train
from muse.config.compose import load_config
from muse.errors import MuseError
from muse.models import build_model
from muse.models.ensemble import WeightedMean
from muse.runs.tensors import read_tensors
from muse.training import fit
from muse.training.prepare import id_of, load_inputs
from muse.training.run import settle
from tests.conftest import stress_package, write

IDS = {"train": range(1, 7), "devel": range(7, 10), "test": range(10, 13)}
GRID = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]
BASE = ["task=topic", "model=svm", "bootstrap=0", "tensorboard=false", "plots=false",
        "target=valence"]  # fmt: skip


def package(root: Path) -> None:
    """Twelve recordings of eight segments of unequal length; a says something of valence."""
    rng, folder = np.random.default_rng(3), root / "c2_muse_topic"
    parts = [(id_, part) for part, ids in IDS.items() for id_ in ids]
    write(folder / "metadata/partition.csv", "Id,Partition\n", parts)
    for id_, _ in parts:
        lengths = rng.integers(2, 9, 8)
        segment = np.repeat(np.arange(1, 9), lengths)
        classes = {t: rng.integers(0, n, 8) for t, n in (("valence", 3), ("arousal", 3))}
        time = 250 * np.arange(len(segment))
        for name, width, size in (("a", 3, 20.0), ("b", 2, 0.5)):
            level = classes["valence"][segment - 1, None] * np.arange(1, width + 1) / 3
            x = (size * (level + 1.5 * rng.normal(size=(len(segment), width)))).round(4)
            cells = np.where(rng.random(x.shape) < 0.05, "nan", x.astype(str))  # some are missing
            header = ",".join(["timestamp", "segment_id", *(f"{name}_{k}" for k in range(width))])
            rows = zip(time, segment, *cells.T, strict=True)
            write(folder / f"feature_segments/{name}/{id_}.csv", f"{header}\n", rows)
        for target, found in classes.items():
            rows = zip(range(1, 9), found, strict=True)
            write(folder / f"label_segments/{target}/{id_}.csv", "segment_id,class_id\n", rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The package; nobody changes it."""
    root = tmp_path_factory.mktemp("data")
    package(root)
    return root


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """run("features=a", ...) -> the folder of a finished run, and its result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("muse.training.save.save_figure", lambda *_: None)
    folders = (tmp_path / f"runs/{number}" for number in range(1, 99))

    def run(*words: str) -> tuple[Path, dict]:
        folder = next(folders)
        words = [*BASE, "workers=1", f"data.root={data}", *words]
        train.run(load_config("train", words, str(folder)))
        return folder, json.loads((folder / "result.json").read_text())["targets"]["valence"]

    return run


def by_hand(data: Path, ids, sets="ab", target="valence") -> tuple[np.ndarray, np.ndarray]:
    """Means and classes of the segments of some recordings."""
    home, means, gold = data / "c2_muse_topic", [], []
    for id_ in ids:
        of_sets = [pd.read_csv(home / f"feature_segments/{s}/{id_}.csv").fillna(0) for s in sets]
        tables = [t.drop(columns="timestamp").groupby("segment_id").mean() for t in of_sets]
        means.append(pd.concat(tables, axis=1))
        gold.append(pd.read_csv(home / f"label_segments/{target}/{id_}.csv")["class_id"])
    return np.concatenate(means), np.concatenate(gold)


def machine(data: Path, ids, C: float, sets="ab") -> LinearSVC:
    return LinearSVC(C=C, dual=False).fit(*by_hand(data, ids, sets))


def written(folder: Path, ids, part: str, kind="predictions") -> np.ndarray:
    """What a run has written of the segments of some recordings: (segments, columns)."""
    found = []
    for id_ in ids:
        table = pd.read_csv(folder / kind / "valence" / part / f"{id_}.csv")
        found.append(table.groupby("segment_id").last().drop(columns="timestamp"))
    return np.concatenate(found)


def test_choice_scores_and_predictions_are_those_of_pandas_and_sklearn(run, data):
    folder, part = run("features=[a,b]")
    x, gold = by_hand(data, IDS["devel"])
    tried = {C: machine(data, IDS["train"], C) for C in GRID}
    uar = {C: recall_score(gold, m.predict(x), average="macro") for C, m in tried.items()}
    best = max(uar, key=uar.get)
    assert len(set(uar.values())) > 2 and part["C"] == best
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {r["C"]: r["devel"] for r in records} == pytest.approx(uar)
    assert part["devel"]["uar"] == pytest.approx(uar[best])
    alone, both = tried[best], machine(data, [*IDS["train"], *IDS["devel"]], best)
    for name, used in (("train", alone), ("devel", alone), ("test", both)):
        x, gold = by_hand(data, IDS[name])
        np.testing.assert_array_equal(written(folder, IDS[name], name)[:, 0], used.predict(x))
        np.testing.assert_allclose(
            written(folder, IDS[name], name, "logits"), used.decision_function(x), rtol=1e-5,
            atol=1e-6,
        )  # fmt: skip
        expected = recall_score(gold, used.predict(x), average="macro")
        assert part[name]["uar"] == pytest.approx(expected)
    assert part["seeds"][0]["C"] == best and part["test"]["uar"] > 0.4  # chance: a third
    for key, used in (("weights", both), ("without_devel", alone)):
        tensors, _ = read_tensors(folder / part[key])
        np.testing.assert_allclose(tensors["model.output.weight"], used.coef_, rtol=1e-6)


def test_a_run_is_evaluated_and_applied_like_any_other(run, make_config, data, tmp_path, capsys):
    folder, part = run("features=a")
    capsys.readouterr()
    evaluate.run(make_config("evaluate", f"run={folder}"))
    printed = capsys.readouterr().out
    assert printed.count("equal") == 3 and "train and devel of the run by the model of" in printed
    predict.run(make_config("predict", f"run={folder}", f"out={tmp_path / 'out'}"))
    both = machine(data, [*IDS["train"], *IDS["devel"]], part["C"], "a")
    for name in ("devel", "test"):  # of data that are new to a run
        found = written(tmp_path / "out", IDS[name], name)[:, 0]
        np.testing.assert_array_equal(found, both.predict(by_hand(data, IDS[name], "a")[0]))
    with pytest.raises(MuseError, match="fitted on train and devel already"):
        retrain.run(make_config("retrain", f"retrain={folder}"))


@pytest.mark.slow
def test_a_fusion_reads_devel_by_the_model_that_has_not_seen_it(run, data, make_config):
    runs = [run(f"features={name}", "lr=0.01")[0] for name in "ab"]
    words = ["task=topic", "target=valence", "method=mean", "bootstrap=0", f"data.root={data}"]
    config = make_config("fuse", *words, "select.features=[a,b]", "select.root=runs")
    fuse.run(config)
    members = [written(folder, IDS["devel"], "devel", "logits") for folder in runs]
    shares = [np.exp(m) / np.exp(m).sum(1, keepdims=True) for m in members]
    fused = written(Path(config.job.folder), IDS["devel"], "devel")[:, 0]
    np.testing.assert_array_equal(fused, np.mean(shares, axis=0).argmax(1))


def test_the_mean_of_decision_values_far_apart_is_finite():
    far = torch.tensor([[[900.0, 0.0, -900.0] * 2]])  # as of features that are not standardised
    mean = WeightedMean(6, 3, [1, 1])(far, torch.tensor([1]))[0, 0]
    assert mean.isfinite().all() and mean.argmax() == 0


def test_folds_hold_out_recordings_of_train_and_devel_alike(run, data):
    folder, part = run("features=a", "folds=3", "model.C=[0.001,0.1]")
    everything = {id_: name for name, ids in IDS.items() for id_ in ids}
    for row in part["folds"]:
        held = [int(id_) for id_ in row["recordings"]]
        used = machine(data, sorted({*everything} - {*held}), row["C"], "a")
        for id_ in held:
            found = written(folder, [id_], everything[id_])[:, 0]
            np.testing.assert_array_equal(found, used.predict(by_hand(data, [id_], "a")[0]))


def test_out_of_fold_predictions_of_train_know_nothing_of_devel(run, data):
    folder, _ = run("features=a", "crossfit=3", "model.C=0.1")
    for k in range(3):
        held = IDS["train"][k::3]
        used = machine(data, [id_ for id_ in IDS["train"] if id_ not in held], 0.1, "a")
        x, _ = by_hand(data, held, "a")
        found = written(folder / "crossfit", held, "train", "logits")
        np.testing.assert_allclose(found, used.decision_function(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_features_that_stay_in_files_give_the_same_numbers(run, monkeypatch):
    _, part = run("features=[a,b]", "standardise=true", "seeds=[5,6]")
    monkeypatch.setattr("muse.data.windows.MAPPED", 0)
    monkeypatch.setattr(fit, "CELLS_AT_ONCE", 2000)  # a few segments at a time
    _, mapped = run("features=[a,b]", "standardise=true")
    assert part == mapped and part["standardised"] == ["a", "b"]


@pytest.mark.slow
def test_an_interrupted_run_ends_in_the_same_numbers(run, make_config, monkeypatch):
    _, part = run("features=a")
    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", lambda *_: (_ for _ in ()).throw(OSError("x")))
        with pytest.raises(MuseError):
            run("features=a")
    resume.run(make_config("resume", "resume=runs/2", "epochs=3"))
    assert json.loads(Path("runs/2/result.json").read_text())["targets"]["valence"] == part


def test_what_is_not_used_changes_no_id_and_is_named(data, make_config, caplog):
    def id_(*words: str) -> str:
        config = settle(make_config("train", *BASE, f"data.root={data}", "features=a", *words))
        return id_of(config, load_inputs(config))

    unused = ["lr=0.5", "epochs=3", "patience=2", "batch_size=7", "window=8", "seeds=[7]", "hop=2"]
    caplog.set_level("INFO", "muse.training.fit")
    plain = id_()
    assert "not used" not in caplog.text
    assert plain == id_(*unused) and "not used: lr, batch_size, epochs, patience, s" in caplog.text
    windows = ["standardise=true", "standardise_over=windows"]
    changes = [["model.C=[1]", "model.max_iter=9"], windows, [*windows, "window=8", "hop=2"]]
    assert len({plain, *(id_(*words) for words in changes)}) == 1 + len(changes)


def test_a_solver_that_does_not_converge_is_one_line_of_the_log(run, caplog):
    run("features=a", "model.max_iter=1", "model.C=[0.1,1]")
    found = [r.getMessage() for r in caplog.records if r.name == "muse.training.fit"]
    assert len(found) == 1 and "valence: the solver has not converged in max_iter=1" in found[0]
    assert "C=0.1 on train, C=1 on train, C=" in found[0] and "train and devel." in found[0]


@pytest.mark.parametrize("present", [[0, 2], [0, 1, 3], [1]])
def test_classes_that_training_has_not_seen_are_never_predicted(present):
    rng = np.random.default_rng(0)
    classes = rng.choice(present, 60)
    x = rng.normal(size=(60, 3)) + 2 * classes[:, None]
    model = build_model({"_target_": "muse.models.svm.LinearSVM"}, {"a": 3}, 4)
    if len(present) == 1:
        with pytest.raises(MuseError, match="all training segments are of class 1: an SVM needs"):
            model.fit(torch.from_numpy(x), classes, 1.0)
        return
    assert model.fit(torch.from_numpy(x), classes, 0.1)
    expected = LinearSVC(C=0.1, dual=False).fit(x, classes)
    far = 50 * rng.normal(size=(500, 3))
    with torch.no_grad():
        values = model(torch.from_numpy(far)[:, None], torch.ones(500))[:, 0].numpy()
    np.testing.assert_array_equal(values.argmax(1), expected.predict(far))
    decision = expected.decision_function(far)
    if len(present) == 2:
        decision = np.stack([-decision, decision], axis=1)
    np.testing.assert_allclose(values[:, present], decision, rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=stress"], "a class for each segment, task=stress has a value for each frame. Give"),
        (["joint=true"], "joint=true: LinearSVM is fitted for one target at a time"),
        (["model.C=[]"], r"model.C=\[\]: expected a number above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make_config, tmp_path, words, message):
    stress_package(tmp_path)
    config = make_config("train", "task=topic", "model=svm", "features=a", *words)
    with pytest.raises(MuseError, match=message):
        train.run(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"C": [1, 1]}, "each named once"),
        ({"C": 0}, "model.C=0: expected"),
        ({"C": ["a"]}, r"model.C=\['a'\]: expected"),
        ({"C": True}, "model.C=True: expected"),
        ({"max_iter": 0}, "model.max_iter=0: expected a whole number of 1 or more"),
    ],
)
def test_values_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(MuseError, match=message):
        build_model({"_target_": "muse.models.svm.LinearSVM", **settings}, {"a": 3}, 4)


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_it_beats_chance_unless_the_features_are_shuffled(make_config, tmp_path, shuffled):
    words = ["task=topic", "scale=0.1", "features=[egemaps,vggface]", f"out={tmp_path}"]
    synth.run(make_config("synth", *words))
    classes = {"topic": 10, "valence": 3, "arousal": 3}
    for target in classes if shuffled else ():
        home = tmp_path / "c2_muse_topic/label_segments" / target
        tables = {path: pd.read_csv(path) for path in sorted(home.iterdir())}
        whole = pd.concat(tables.values(), keys=tables)  # every segment gets the class of another
        whole["class_id"] = np.random.default_rng(1).permutation(whole["class_id"])
        for path in tables:
            whole.loc[path].to_csv(path, index=False)
    config = make_config("train", "+experiment=muse2020/svm", "task=topic", "bootstrap=0",
                         "features=[egemaps,vggface]", f"data.root={tmp_path}")  # fmt: skip
    train.run(config)
    result = json.loads((Path(config.job.folder) / "result.json").read_text())["targets"]
    gains = [result[target]["devel"]["uar"] - 1 / count for target, count in classes.items()]
    assert np.mean(gains) < 0.06 if shuffled else np.mean(gains) > 0.08, gains
