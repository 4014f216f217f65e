"""Runs with folds: nothing of a fold's model knows of what the fold has held out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import muse.commands.evaluate
import muse.commands.fuse
import muse.commands.predict
import muse.commands.resume
import muse.commands.runs
import muse.commands.train
import muse.training.seeds
from muse.config.compose import load_config
from muse.errors import MuseError
from muse.files import digest_of
from muse.fusion.members import choose_members
from muse.runs.finished import finished_run
from muse.runs.folder import begin
from muse.runs.identity import settings_key
from muse.runs.read import read_result, read_run, read_settings
from muse.runs.tensors import read_tensors
from muse.runs.weights import load_model_file
from muse.scoring import ccc
from muse.sweep.leaderboard import report
from muse.training import save
from muse.training.prepare import id_of, load_inputs
from tests import conftest
from tests.conftest import edit, sent_package, stress_package, write
from tests.test_resume import Killed, content, kill_at

SMALL = ["task=stress", "features=a", "target=valence", "standardise=true", "epochs=2", "seeds=2",
         "model.hidden=4", "model.layers=1", "model.head=3", "batch_size=4", "window=6", "hop=3",
         "bootstrap=10", "lr=0.01", "tensorboard=false", "plots=false"]  # fmt: skip
PARTITIONS = {**dict.fromkeys("1467", "train"), "3": "devel", "5": "devel", "2": "test"}
GROUPS = dict(zip("1234567", "abcdabc", strict=True))


def packages(root: Path) -> None:
    """Packages of seven recordings of two tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "PARTITION_OF", PARTITIONS)
        stress_package(root)
        sent_package(root)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a run with folds=3 on such a package; tests only read it."""
    home = tmp_path_factory.mktemp("finished")
    packages(home / "data")
    words = [
        "folds=3",
        "workers=1",
        "plots=true",
        f"data.root={home / 'data'}",
        f"data.cache={home / 'cache'}",
    ]
    muse.commands.train.run(load_config("train", [*SMALL, *words], str(home / "run")))
    return home / "run"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with packages in data/, and groups.csv; pictures are left out."""
    packages(tmp_path / "data")
    write(tmp_path / "groups.csv", "id,group\n", GROUPS.items())
    monkeypatch.chdir(tmp_path)
    for module in ("save", "out_of_fold"):
        monkeypatch.setattr(f"muse.training.{module}.save_figure", lambda *_: None)
    return tmp_path


@pytest.fixture
def train(make_config, home):
    """train("folds=3", name="one") -> the folder runs/one of a finished run."""

    def train(*words: str, name: str = "folds") -> Path:
        config = make_config("train", *SMALL, *words)
        config.job.folder = f"runs/{name}"
        muse.commands.train.run(config)
        return Path(config.job.folder)

    return train


def valence(folder: Path) -> dict:
    return read_result(folder)["targets"]["valence"]


def predictions(folder: Path) -> dict[str, bytes]:
    """Recording -> the file of its predictions."""
    return {path.stem: path.read_bytes() for path in folder.glob("predictions/valence/*/*.csv")}


def values(folder: Path, kind: str, id_: str) -> np.ndarray:
    (path,) = folder.glob(f"{kind}/valence/*/{id_}.csv")
    return pd.read_csv(path)["value"].to_numpy(np.float32)


def pooled(folder: Path, ids: list[str]) -> float:
    both = [
        np.concatenate([values(folder, kind, i) for i in ids]) for kind in ("predictions", "labels")
    ]
    return ccc(*both)


def test_the_run_folder_of_a_cross_validation(finished):
    folder = finished
    part = valence(folder)
    assert read_run(str(folder)).result["folds"] == 3
    for partition in ("train", "devel", "test"):  # each recording is in its own partition
        ids = {id_ for id_, p in PARTITIONS.items() if p == partition}
        for kind in ("predictions", "labels"):
            assert {p.stem for p in (folder / kind / "valence" / partition).iterdir()} == ids
        assert part[partition]["ccc"] == pytest.approx(pooled(folder, sorted(ids)), abs=1e-12)
    assert part["pooled"]["recordings"] == 7 and len(part["pooled"]["interval"]) == 2
    assert part["pooled"]["ccc"] == pytest.approx(pooled(folder, sorted(PARTITIONS)), abs=1e-12)
    held_out = [row["recordings"] for row in part["folds"]]
    assert sorted(id_ for ids in held_out for id_ in ids) == sorted(PARTITIONS)
    for row in part["folds"]:
        assert row["score"] == pytest.approx(pooled(folder, row["recordings"]), abs=1e-12)
        assert sorted(row["recordings"]) == sorted(row["groups"])  # each is a group of its own
        assert row["weights"] == f"weights/valence/fold_{row['fold']}.safetensors"
    scores = [row["score"] for row in part["folds"]]
    over = {
        "mean": pytest.approx(np.mean(scores)),
        "deviation": pytest.approx(np.std(scores, ddof=1)),
    }
    assert part["over_folds"] == over
    by_seed = [row["pooled"] for row in part["seeds"]]
    assert [row["seed"] for row in part["seeds"]] == [101, 102] and len(set(by_seed)) == 2
    over = part["over_seeds"]["pooled"]
    assert over["mean"] == pytest.approx(np.mean(by_seed))
    assert over["deviation"] == pytest.approx(np.std(by_seed, ddof=1))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    expected = [(f, s, e) for f in (1, 2, 3) for s in (101, 102) for e in (1, 2)]
    assert [(line["fold"], line["seed"], line["epoch"]) for line in lines] == expected
    for row in part["folds"]:  # epoch and seed are those that are best on the inner devel
        own = [line for line in lines if line["fold"] == row["fold"]]
        best = max(own, key=lambda line: line["devel"])
        assert (row["seed"], row["epoch"]) == (best["seed"], best["epoch"])
        assert row["inner_devel"] == best["devel"]
    assert {path.name for path in (folder / "plots").iterdir()} == {
        *("curves.png", "folds.png", "valence.png")
    }
    told = (folder / "train.log").read_text()
    assert "CCC out of 3 folds, in each the best of 2 seeds on an inner devel" in told
    assert f"{part['pooled']['ccc']:.4f}" in told


def test_a_fold_is_a_run_on_a_package_with_these_partitions(train, home):
    """All that is fitted or chosen: the same to the last byte as without the other recordings."""
    folder = train("folds=3", "groups=groups.csv", "inner_devel=0.4", "seeds=1")
    for row in valence(folder)["folds"][:2]:
        fold = row["fold"]
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        watched = [json.loads(line)["devel"] for line in lines if json.loads(line)["fold"] == fold]
        rest = [g for g in "abcd" if g not in row["groups"]]
        found = False
        for devel in rest:  # which one is drawn is not written down: one of them must fit
            sides = {"train": set(rest) - {devel}, "devel": {devel}, "test": set(row["groups"])}
            if len(rest) < 2:
                continue
            rows = [(i, p) for i in PARTITIONS for p, of in sides.items() if GROUPS[i] in of]
            path = home / "data/c3_muse_stress/metadata/partition.csv"
            before = path.read_text()
            write(path, "Id,Partition\n", rows)
            alone = train("seeds=1", "inner_devel=0.4", name=f"fold_{fold}_{devel}")
            path.write_text(before)
            lines = (alone / "metrics.jsonl").read_text().splitlines()
            if [json.loads(line)["devel"] for line in lines] == watched:
                found = True
                weights = read_tensors(alone / "weights/valence.safetensors")
                ours = read_tensors(folder / row["weights"])
                assert weights[1] == ours[1]
                assert all(torch.equal(weights[0][k], ours[0][k]) for k in weights[0])
                for id_ in row["recordings"]:
                    assert predictions(alone)[id_] == predictions(folder)[id_]
        assert found


@pytest.mark.parametrize("kind", ["feature_segments/a", "label_segments/valence"])
def test_nothing_of_a_fold_depends_on_what_it_holds_out(finished, train, home, kind):
    before = finished
    path = home / f"data/c3_muse_stress/{kind}/6.csv"
    edit(path, 4, "1000,1,900,-77" if "feature" in kind else "1000,1,-0.9")
    after = train("folds=3", name="after")
    assert read_result(before)["run_id"] != read_result(after)["run_id"]
    for one, other in zip(valence(before)["folds"], valence(after)["folds"], strict=True):
        weights = [(folder / one["weights"]).read_bytes() for folder in (before, after)]
        chosen = [{k: row[k] for k in ("seed", "epoch", "inner_devel")} for row in (one, other)]
        if "6" in one["recordings"]:
            assert weights[0] == weights[1] and chosen[0] == chosen[1]
            for id_ in set(one["recordings"]) - {"6"}:
                assert predictions(before)[id_] == predictions(after)[id_]
            same = predictions(before)["6"] == predictions(after)["6"]
            assert same == ("label" in kind)
        else:  # where it is not held out the change is seen
            assert weights[0] != weights[1] or chosen[0] != chosen[1]


def test_it_ends_in_the_same_numbers_wherever_it_was_killed(
    finished, make_config, monkeypatch, home
):
    config = make_config("train", *SMALL, "folds=3")
    config.job.folder = "runs/killed"
    with monkeypatch.context() as patch:
        kill_at(patch, "muse.training.loop.predict", 8)  # in the second fold
        with pytest.raises(Killed):
            muse.commands.train.run(config)
    done = {path.stem for path in Path("runs/killed/checkpoints").rglob("*.safetensors")}
    assert "seed_101_fold_2" in done and "seed_101_fold_3" not in done
    muse.commands.resume.run(make_config("resume", "resume=runs/killed"))
    got, expected = content(Path("runs/killed")), content(finished)
    for name in ("train.log", "config.yaml", "status.json", "result"):  # of folders of their own
        assert got.pop(name) and expected.pop(name)
    assert got == {name: left for name, left in expected.items() if name[:6] != "plots/"}
    assert valence(Path("runs/killed")) == valence(finished)


def test_nor_do_they_depend_on_the_number_of_processes(finished, train, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    two = train("folds=3", "workers=2")
    assert valence(finished) == valence(two) and predictions(finished) == predictions(two)


def test_recordings_without_labels_get_the_mean_of_the_models(train, make_config, home, capsys):
    (home / "data/c3_muse_stress/label_segments/valence/2.csv").unlink()
    folder = train("folds=3", "seeds=1")
    part = valence(folder)
    assert part["test"] is None and part["pooled"]["recordings"] == 6
    assert all("2" not in row["recordings"] for row in part["folds"])
    x = pd.read_csv(home / "data/c3_muse_stress/feature_segments/a/2.csv")[["a_0", "a_1"]]
    outputs = []
    for row in part["folds"]:
        model = load_model_file(folder / row["weights"], [], torch.device("cpu"))
        scaled = (x.to_numpy(np.float32) - model.scaling.mean) / model.scaling.scale
        with torch.no_grad():
            model.model.eval()
            output = model.model(torch.from_numpy(scaled)[None], torch.tensor([len(x)]))
        outputs.append(output[0, :, 0].numpy())
    mean = np.mean(outputs, axis=0)
    np.testing.assert_allclose(values(folder, "predictions", "2"), mean, atol=1e-6)
    words = [f"run={folder}", "out=predicted"]
    muse.commands.predict.run(make_config("predict", *words))
    assert "the mean of the outputs of the 3 folds" in capsys.readouterr().out
    np.testing.assert_allclose(values(Path("predicted"), "predictions", "2"), mean, atol=1e-6)
    own, all_ = (values(Path(f), "predictions", "1") for f in (folder, "predicted"))
    assert not np.allclose(own, all_, atol=1e-4)  # of one model, and of all


def test_evaluate_takes_for_each_recording_the_model_of_its_fold(
    finished, make_config, home, capsys
):
    folder = finished
    words = [f"run={folder}", "out=scores.json"]
    muse.commands.evaluate.run(make_config("evaluate", *words))
    scores = json.loads(Path("scores.json").read_text())["targets"]["valence"]
    assert scores == {p: valence(folder)[p] for p in ("train", "devel", "test")}
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}", "partition=devel"))
    out = capsys.readouterr().out
    assert out.count(", equal") == 4 and "the fold that has held it out" in out
    edit(home / "data/c3_muse_stress/feature_segments/a/3.csv", 4, "1000,1,1,1")
    words = [f"run={folder}", "partition=devel", f"data.root={home / 'data'}"]
    muse.commands.evaluate.run(make_config("evaluate", *words))
    assert "other data" in capsys.readouterr().out


def test_with_groups_the_intervals_are_over_groups(train, make_config, home, capsys):
    folder = train("folds=3", "groups=groups.csv", "seeds=1")
    whole, part = read_result(folder), valence(folder)
    assert whole["groups"] == GROUPS and part["over_seeds"]["pooled"]["deviation"] is None
    assert [row["pooled"] for row in part["seeds"]] == [part["pooled"]["ccc"]]  # of one seed
    values = {id_: ["predictions", "labels"] for id_ in PARTITIONS}
    for id_, kinds in values.items():
        own = (folder / kind / "valence" / PARTITIONS[id_] / f"{id_}.csv" for kind in kinds)
        values[id_] = [pd.read_csv(path)["value"].to_numpy() for path in own]
    resampled = []
    for draw in np.random.default_rng(2021).integers(4, size=(10, 4)):
        ids = [id_ for k in draw for id_, group in GROUPS.items() if group == "abcd"[k]]
        resampled.append(ccc(*(np.concatenate([values[i][k] for i in ids]) for k in (0, 1))))
    assert part["pooled"]["interval"] == pytest.approx(np.percentile(resampled, [2.5, 97.5]))
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}", "out=scores.json"))
    scores = json.loads(Path("scores.json").read_text())["targets"]["valence"]
    assert scores == {p: part[p] for p in ("train", "devel", "test")}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["stress", "sent"])
def test_a_fusion_reads_runs_with_folds(train, make_config, home, task):
    words = [f"task={task}", "folds=3", "seeds=1"]
    one, two = train(*words, name="one"), train(*words, "seeds=[7]", name="two")
    words = [f"task={task}", "target=valence", f"runs=[{one},{two}]", "method=mean", "bootstrap=0"]
    for number, word in enumerate(("out_of_fold=false", "out_of_fold=true")):
        config = make_config("fuse", *words, word)
        config.job.folder = f"runs/fused_{number}"
        muse.commands.fuse.run(config)
        assert valence(Path(config.job.folder))["test"]["recordings"] == 1
    if task == "sent":
        assert (one / "logits/valence/train/1.csv").exists()
        return
    plain = train("seeds=1", "epochs=1", name="plain")
    config = make_config("fuse", *words, f"runs=[{one},{plain}]", "folds=3")
    with pytest.raises(MuseError, match="plain is a run without folds; its models have seen"):
        choose_members(config)
    config = make_config("fuse", *words, "folds=3")
    config.job.folder = "runs/fused_in_folds"
    muse.commands.fuse.run(config)
    both = [values(folder, "predictions", "4") for folder in (one, two)]
    np.testing.assert_allclose(
        values(Path("runs/fused_in_folds"), "predictions", "4"), np.mean(both, axis=0), atol=1e-6
    )


def test_no_choice_sets_such_a_run_beside_others(finished, train, make_config, home):
    half, plain = (train("epochs=1", "seeds=1", f"train_share={share}", name=f"{share}")
                   for share in (0.5, 1))  # fmt: skip
    assert [finished_run(f).comparable for f in (finished, half, plain)] == [False, False, True]
    shutil.rmtree(plain)
    shutil.copytree(finished, "runs/folds")
    words = ["task=stress", "target=valence", "select.features=[a,b]", "select.root=runs"]
    with pytest.raises(MuseError, match="no finished run of a on"):
        choose_members(make_config("fuse", *words))


def test_they_are_listed_beside_others(finished, home, make_config, capsys):
    Path("sweep").mkdir()
    shutil.copytree(finished, "sweep/job")
    assert report(Path("sweep"), show_test=True) == 0
    muse.commands.runs.run(make_config("runs", "root=sweep"))
    out, part = capsys.readouterr().out, valence(finished)
    assert f"\n{part['devel']['ccc']:.4f}  {part['devel']['ccc']:.4f} " in out
    assert f" {part['test']['ccc']:.4f} " in out and "stress, folds=3 " in out
    assert "nan" not in out.lower() and "None" not in out


def test_the_groups_and_not_their_file_are_in_the_run_id(make_config, home):
    write(home / "other.csv", "id,group\n", (GROUPS | {"1": "d"}).items())
    shutil.copy("groups.csv", "copy.csv")
    config = make_config("train", *SMALL)
    package = load_inputs(config)

    def id_with(name: str | None, **changes) -> str:
        return id_of(replace(config, groups=name, **changes), package)

    ids = [id_with(name, folds=3) for name in ("groups.csv", "copy.csv", "other.csv", None)]
    assert ids[0] == ids[1] and len(set(ids)) == 3
    assert id_with("groups.csv") == id_with(None)  # which change nothing then
    assert id_with("groups.csv", crossfit=2) != id_with(None, crossfit=2)
    keys = {settings_key(replace(config, groups=name)) for name in ("groups.csv", "other.csv")}
    assert len(keys) == 2  # jobs of a sweep have folders of their own
    begin(Path("begun"), replace(config, groups="groups.csv"))
    assert read_settings(Path("begun")).groups == str((home / "groups.csv").absolute())


CHANGES = [
    lambda part: part.pop("pooled"),
    lambda part: part.update(pooled=None),
    lambda part: part.pop("over_folds"),
    lambda part: part.update(folds=[]),
    lambda part: part["folds"][0].update(weights="config.yml"),
    lambda part: part["folds"][0].update(score="1"),
    lambda part: part["folds"][0].update(recordings=[1]),
    lambda part: part["folds"][0].update(recordings=part["folds"][1]["recordings"]),
    lambda part: part["folds"][0].pop("groups"),
]


def test_a_damaged_result_of_folds_is_found(finished, tmp_path):
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    path = folder / "result.json"
    whole = json.loads(path.read_text())
    for change in CHANGES:
        result = json.loads(json.dumps(whole))
        del result["digest"]
        change(result["targets"]["valence"])
        path.write_text(json.dumps(result | {"digest": digest_of(result)}))
        with pytest.raises(MuseError, match="no result of `muse train`"):
            read_result(folder)


def test_a_prediction_that_is_not_finite_is_told_with_its_fold(train, finished, monkeypatch):
    original = muse.training.seeds.predict

    def wrong(model, frames):
        output = original(model, frames)
        output[3] = np.nan if "6" in [id_ for id_, _, _ in frames.recordings] else output[3]
        return output

    row = next(row for row in valence(finished)["folds"] if "6" in row["recordings"])
    first = min(row["recordings"], key="1467352".index)  # in the order of the package
    monkeypatch.setattr("muse.training.seeds.predict", wrong)
    message = f"valence, fold {row['fold']}, recording {first}, frame 4: the prediction is nan"
    with pytest.raises(MuseError, match=message):
        train("folds=3", "epochs=1", "seeds=1")


@pytest.mark.slow
def test_features_that_stay_in_their_files_give_the_same(finished, train, monkeypatch):
    monkeypatch.setattr("muse.data.windows.MAPPED", 0)
    assert predictions(train("folds=3")) == predictions(finished)


@pytest.mark.parametrize(("folds", "watched"), [(3, "inner devel CCC"), ("null", "devel CCC")])
def test_the_curves_of_folds_are_scores_on_the_inner_devel(
    make_config, monkeypatch, tmp_path, folds, watched
):
    drawn = []
    monkeypatch.setattr(save, "draw_curves", lambda title, metric, records: drawn.append(metric))
    monkeypatch.setattr(save, "save_figure", lambda figure, path: None)
    package = SimpleNamespace(features=["a"], synthetic=False)
    config = make_config("train", *SMALL, f"folds={folds}", "plots=true")
    save.save_curves(
        config, tmp_path, package, [{"seed": 101} | ({"fold": 1} if config.folds else {})]
    )
    assert drawn == [watched]
