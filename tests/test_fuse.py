"""`muse fuse`: what is fused, how it scores, and what cannot be fused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import muse.cli.app
import muse.commands.evaluate
import muse.commands.fuse
import muse.commands.predict
import muse.commands.resume
import muse.commands.train
from muse.errors import MuseError
from muse.files import checksum, digest_of
from muse.fusion.members import choose_members
from muse.models.ensemble import WeightedMean
from muse.scoring import ccc
from tests.conftest import edit, sent_package, stress_package

SMALL = ["epochs=3", "seeds=1", "model.hidden=6", "model.head=5", "batch_size=4", "bootstrap=0",
         "tensorboard=false", "plots=false", "lr=0.01"]  # fmt: skip
DEVEL = "predictions/valence/devel/4.csv"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with packages in data/."""
    stress_package(tmp_path / "data")
    sent_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(make_config, home):
    """train("features=a", name="one") -> the folder outputs/train/one of a finished run."""

    def train(*words: str, name: str) -> Path:
        config = make_config("train", "task=stress", "standardise=true", *SMALL, *words)
        config.job.folder = f"outputs/train/{name}"
        muse.commands.train.run(config)
        return Path(config.job.folder)

    return train


@pytest.fixture
def fuse(make_config, home):
    """fuse("runs=[x,y]", ...) -> the run folder and its result.json."""

    def fuse(*words: str) -> tuple[Path, dict]:
        shutil.rmtree("outputs/fuse/f", ignore_errors=True)
        words = ["task=stress", "target=valence", *SMALL, *words]
        config = make_config("fuse", *words)
        config.job.folder = "outputs/fuse/f"
        muse.commands.fuse.run(config)
        result = Path("outputs/fuse/f/result.json")  # none if each target has a folder of its own
        return Path(config.job.folder), json.loads(result.read_text()) if result.exists() else {}

    return fuse


def values(folder: Path, partition: str, target: str = "valence") -> np.ndarray:
    paths = sorted((folder / "predictions" / target / partition).iterdir())
    return np.concatenate([pd.read_csv(path)["value"].to_numpy(np.float32) for path in paths])


def test_the_settings_are_the_published_ones(make_config):
    config = make_config("fuse", "task=stress", "target=valence", "runs=[x,y]")
    model = config.model
    assert (config.lr, model["hidden"], model["layers"], model["bidirectional"]) == (
        0.0001, 64, 1, False
    )  # fmt: skip
    config = make_config("fuse", "task=sent", "target=valence", "runs=[x,y]")
    model = config.model
    assert (config.lr, model["hidden"], model["layers"], model["bidirectional"]) == (
        0.005, 32, 2, True
    )  # fmt: skip


def test_a_fusion_reads_the_predictions_and_is_a_run_like_any_other(train, fuse, make_config):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    folder, result = fuse(f"runs=[{one},{two}]")
    assert result["features"] == ["a", "b"] and list(result["targets"]) == ["valence"]
    assert result["members"] == {"a": str(one.absolute()), "b": str(two.absolute())}
    weights = result["targets"]["valence"]["weights"]
    from safetensors import safe_open

    with safe_open(folder / weights, "numpy") as file:
        assert file.get_tensor("model.project.weight").shape == (6, 2)  # two predictions a frame
    gold = pd.read_csv("data/c3_muse_stress/label_segments/valence/4.csv")["value"]
    score = ccc(values(folder, "devel"), gold.to_numpy(np.float32))
    assert score == pytest.approx(result["targets"]["valence"]["devel"]["ccc"], abs=1e-9)
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}", "out=scores.json"))
    again = json.loads(Path("scores.json").read_text())["targets"]["valence"]
    assert again == {p: result["targets"]["valence"][p] for p in ("train", "devel", "test")}
    with pytest.raises(MuseError, match="predict with each of its members first"):
        muse.commands.predict.run(make_config("predict", f"run={folder}", "out=x"))


def test_means_are_those_of_the_predictions(train, fuse, caplog):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    mean, _ = fuse(f"runs=[{one},{two}]", "method=mean")
    for partition in ("train", "devel", "test"):
        expected = (values(one, partition) + values(two, partition)) / 2
        np.testing.assert_allclose(values(mean, partition), expected, rtol=1e-5, atol=1e-7)
    with caplog.at_level("INFO"):
        weighted, result = fuse(f"runs=[{one},{two}]", "method=weighted")
    assert "valence: devel " in caplog.text and "epoch 0 of 0" not in caplog.text
    assert not (weighted / "plots/curves.png").exists()  # nothing was trained
    devel = [
        max(0, json.loads((run / "result.json").read_text())["targets"]["valence"]["devel"]["ccc"])
        for run in (one, two)
    ]
    assert result["model"]["weights"] == pytest.approx(devel, abs=1e-12)
    part = result["targets"]["valence"]
    assert part["test_last"] == part["test"]["ccc"]  # nothing was trained
    expected = np.average([values(one, "test"), values(two, "test")], axis=0, weights=devel)
    np.testing.assert_allclose(values(weighted, "test"), expected, rtol=1e-5, atol=1e-7)


def test_the_mean_of_classes_is_that_of_their_probabilities():
    logits = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 1.0, 1.0]]])  # two members, three classes
    mean = WeightedMean(6, 3, [1, 3])(logits, torch.tensor([1]))[0, 0].exp()
    first, second = np.exp([0, 1, 2]), np.exp([3, 1, 1])
    expected = 0.25 * first / first.sum() + 0.75 * second / second.sum()
    np.testing.assert_allclose(mean, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["lstm", "mean", "weighted"])
def test_classes_are_fused_from_logits(train, fuse, method):
    runs = [train("task=sent", "features=a", f"seeds=[{s}]", name=f"s{s}") for s in (1, 2)]
    folder, result = fuse("task=sent", f"runs=[{runs[0]},{runs[1]}]", f"method={method}")
    assert result["features"] == ["a", "a_2"]
    assert result["targets"]["valence"]["devel"]["segments"] == 2
    logits = pd.read_csv(folder / "logits/valence/devel/4.csv")
    assert logits.columns.tolist()[2:] == [f"c_{k}" for k in range(5)] and len(logits) == 11


@pytest.mark.slow
def test_the_best_run_on_devel_is_selected(train, fuse, caplog):
    folders = {}
    for features in "ab":
        for seed in (1, 2, 3):
            name = f"{features}{seed}"
            folder = train(f"features={features}", f"seeds=[{seed}]", name=name)
            part = json.loads((folder / "result.json").read_text())["targets"]["valence"]
            folders[features, part["devel"]["ccc"]] = folder
    train("features=a", "+debug=fast", name="debug")  # is never chosen
    train("features=a", "loss=mse", name="mse")  # neither
    with caplog.at_level("INFO"):
        _, result = fuse("select.features=[a,b]")
    for features in "ab":
        score, best = max((s, f) for (name, s), f in folders.items() if name == features)
        assert result["members"][features] == str(best.absolute())
        assert f"{features}: best of 3 runs by devel CCC ({score:.4f}): {best}." in caplog.text
    assert caplog.text.count(" 1 run with another loss or ccc left out.") == 1
    with pytest.raises(MuseError, match=r"no finished run of c on .*muse train task=stress"):
        fuse("select.features=[a,c]")


def test_runs_are_chosen_by_what_is_in_the_package_not_by_its_place(train, fuse, caplog, home):
    package, moved = home / "data/c3_muse_stress", home / "moved/c3_muse_stress"
    ones = [train(f"features={name}", "target=valence", name=name) for name in "ab"]
    shutil.copytree(package, moved)
    _, result = fuse("select.features=[a,b]", "data.root=moved", "method=mean")
    assert list(result["members"].values()) == [str(one.absolute()) for one in ones]
    edit(package / "label_segments/valence/2.csv", 2, "0,1,0.5")  # another release
    with pytest.raises(MuseError) as caught:
        fuse("select.features=[a,b]")
    text = str(caught.value)
    assert "no finished run of a on data/c3_muse_stress below outputs. 1 run on other data" in text
    assert f"({package}). Train one: muse train task=stress features=a target=valence" in text
    shutil.rmtree(package / "feature_segments")  # nothing to compare with: the folder decides
    _, result = fuse("select.features=[a,b]", "method=mean")
    assert list(result["members"].values()) == [str(one.absolute()) for one in ones]


def test_predictions_made_elsewhere(train, fuse):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    _, expected = fuse(f"runs=[{one},{two}]")
    shutil.copytree(two / "predictions/valence", "theirs")
    _, result = fuse(f"runs=[{one},theirs]")
    assert result["features"] == ["a", "theirs"]
    assert result["targets"]["valence"]["devel"] == expected["targets"]["valence"]["devel"]
    shutil.copytree(one / "predictions", "others")  # with labels of the package
    _, result = fuse("runs=[others,theirs]")
    assert result["targets"]["valence"]["devel"] == expected["targets"]["valence"]["devel"]


def test_members_are_not_standardised_whatever_they_are_called(train, fuse, home):
    sets = home / "data/c3_muse_stress/feature_segments"
    (sets / "a").rename(sets / "egemaps")  # a set that models of features standardise
    one, two = train("features=egemaps", name="one"), train("features=b", name="two")
    mean, result = fuse(f"runs=[{one},{two}]", "method=mean", "standardise=null")
    assert result["targets"]["valence"]["standardised"] == []
    expected = (values(one, "devel") + values(two, "devel")) / 2
    np.testing.assert_allclose(values(mean, "devel"), expected, rtol=1e-5, atol=1e-7)
    _, asked = fuse(f"runs=[{one},{two}]", "method=mean", "standardise=[egemaps]")
    assert asked["targets"]["valence"]["standardised"] == ["egemaps"]


def swap_devel_and_test(folder: Path) -> None:
    (folder / "devel").rename(folder / "x")
    (folder / "test").rename(folder / "devel")
    (folder / "x").rename(folder / "test")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (swap_devel_and_test, "recording 2 is in devel, but is in test in .*partition"),
        (lambda f: (f / "train/3.csv").rename(f / "devel/3.csv"), "3 is in devel, but is in train"),
        (lambda f: (f / "train/3.csv").unlink(), "no predictions of recording 3, which is in tra"),
        (lambda f: shutil.copy(f / "train/3.csv", f / "test/3.csv"), "the recording is in train"),
        (lambda f: edit(f / "devel/4.csv", 3, "500,1,"), "devel/4.csv: row 3, column value: no"),
    ],
)
def test_predictions_made_elsewhere_are_compared_with_the_package(train, fuse, harm, message):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    for run, name in ((one, "mine"), (two, "theirs")):
        shutil.copytree(run / "predictions/valence", name)
        harm(Path(name))
    with pytest.raises(MuseError, match=message):
        fuse("runs=[mine,theirs]")


@pytest.mark.parametrize("standardise", ["true", "false"])
def test_out_of_fold_predictions_are_of_models_that_have_not_seen_the_recording(
    train, home, standardise
):
    """Nor has their scaling, which is fitted without the recording."""
    plain = ["features=a", f"standardise={standardise}", "seeds=[7]"]
    folder = train(*plain, "crossfit=2", name="folds")
    for held_out in "31":  # the training recordings; move one to test and train on the other
        path = home / "data/c3_muse_stress/metadata/partition.csv"
        before = path.read_text()
        moved = before.replace("2,test\n", "").replace(f"{held_out},train", f"{held_out},test")
        path.write_text(moved)
        other = train(*plain, name=f"without_{held_out}")
        path.write_text(before)
        for target in ("valence", "arousal"):
            expected = other / f"predictions/{target}/test/{held_out}.csv"
            found = folder / f"crossfit/predictions/{target}/train/{held_out}.csv"
            assert found.read_bytes() == expected.read_bytes()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("fold") for line in lines[:9]] == [None] * 3 + [1] * 3 + [2] * 3


@pytest.mark.parametrize("task", ["stress", pytest.param("sent", marks=pytest.mark.slow)])
def test_a_fusion_can_be_fitted_on_out_of_fold_predictions(train, fuse, make_config, task):
    words = [f"task={task}", "features=a", "crossfit=2"]
    one, two = (train(*words, f"seeds=[{s}]", name=f"s{s}") for s in (1, 2))
    _, plain = fuse(f"task={task}", f"runs=[{one},{two}]")
    folder, result = fuse(f"task={task}", f"runs=[{one},{two}]", "out_of_fold=true")
    assert result["run_id"] != plain["run_id"]
    score = result["targets"]["valence"]["train"]
    if task == "stress":
        assert score != plain["targets"]["valence"]["train"]
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}", "out=scores.json"))
    assert json.loads(Path("scores.json").read_text())["targets"]["valence"]["train"] == score
    three = train(f"task={task}", "features=a", "seeds=[3]", name="three")
    with pytest.raises(MuseError, match="three: has no out-of-fold predictions"):
        fuse(f"task={task}", f"runs=[{one},{three}]", "out_of_fold=true")


def test_more_folds_than_recordings(train):
    with pytest.raises(MuseError, match="crossfit=3: train has 2 recordings"):
        train("features=a", "crossfit=3", name="folds")


@pytest.mark.slow
def test_an_interrupted_fusion_is_continued(train, fuse, make_config, monkeypatch):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    _, whole = fuse(f"runs=[{one},{two}]")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", stop)
        with pytest.raises(KeyboardInterrupt):
            fuse(f"runs=[{one},{two}]")
    muse.commands.resume.run(make_config("resume", "resume=outputs/fuse/f"))
    result = json.loads(Path("outputs/fuse/f/result.json").read_text())
    assert result["targets"] == whole["targets"]


def harm_rows(folder: Path) -> None:
    path = folder / DEVEL
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    renew(folder, path)


def harm_recording(folder: Path) -> None:
    path = folder / DEVEL
    path.rename(path.with_name("44.csv"))
    result = json.loads((folder / "result.json").read_text())
    name = str(path.relative_to(folder))
    result["files"][name.replace("4.csv", "44.csv")] = result["files"].pop(name)
    write_result(folder, result)


def harm_labels(folder: Path) -> None:
    path = folder / "labels/valence/devel/4.csv"
    edit(path, 2, "0,1,0.123")
    renew(folder, path)


def renew(folder: Path, path: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    result["files"][str(path.relative_to(folder))] = checksum(path.read_bytes())
    write_result(folder, result)


def write_result(folder: Path, result: dict) -> None:
    del result["digest"]
    (folder / "result.json").write_text(json.dumps(result | {"digest": digest_of(result)}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (harm_rows, r"two/predictions/valence/devel/4\.csv: 15 rows below the header, but .*one"),
        (harm_recording, r"one/.*devel/4\.csv: .*two/.*/devel has no such recording"),
        (harm_labels, r"two: the labels of recording 4 are not those of"),
        (lambda f: (f / "result.json").unlink(), "the run is not finished"),
        (lambda f: (f / "predictions/valence/devel/4.csv").unlink(), r"4\.csv: the file is missi"),
        (
            lambda f: (f / "predictions/valence/devel/4.csv").write_text("x"),
            "changed since the run",
        ),
    ],
)
def test_what_does_not_match_is_refused(train, fuse, harm, message):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    harm(two)
    with pytest.raises(MuseError, match=message):
        fuse(f"runs=[{one},{two}]")
    status = Path("outputs/fuse/f/status.json")  # of a member's own faults before a run begins
    assert not status.exists() or json.loads(status.read_text())["status"] == "failed"


def test_runs_of_other_tasks_and_targets_are_refused(train, fuse):
    one = train("features=a", "target=arousal", name="one")
    sent = train("task=sent", "features=a", name="sent")
    with pytest.raises(MuseError, match="has no target valence; it was trained on arousal"):
        fuse(f"runs=[{one},{one}2]".replace(f"{one}2", str(sent)))
    with pytest.raises(MuseError, match="a run of task=sent; expected task=stress"):
        fuse("target=arousal", f"runs=[{one},{sent}]")
    with pytest.raises(MuseError, match="runs: nothing is no folder"):
        fuse("target=arousal", f"runs=[{one},nothing]")


def test_the_latest_run_may_be_a_member(train, fuse, make_config):
    one, two = (train(f"features={name}", name=name) for name in "ab")
    members = [str(run.absolute()) for run in (one, two)]
    _, result = fuse(f"runs=[{one},latest]", "method=mean")
    assert list(result["members"].values()) == members
    fuse(f"runs={{valence:[{one},latest],arousal:[latest,{one}]}}", "target=null", "method=mean")
    for target, expected in (("valence", members), ("arousal", members[::-1])):
        result = json.loads(Path("outputs/fuse/f", target, "result.json").read_text())
        assert list(result["members"].values()) == expected
    with pytest.raises(MuseError, match=f"{two} is named twice"):
        fuse(f"runs=[{two},latest]")
    with pytest.raises(MuseError, match="latest is another run after each job of a sweep"):
        choose_members(make_config("fuse", "task=stress", "target=valence", f"runs=[{one},latest]"))


def test_without_a_target_each_has_a_fusion_of_its_own(train, fuse, caplog, home):
    train("features=a", name="a")  # both targets
    train("features=b", "target=valence", name="b")
    train("features=b", "target=arousal", name="b_arousal")
    alone = {t: fuse("select.features=[a,b]", f"target={t}")[1] for t in ("valence", "arousal")}
    with caplog.at_level("INFO"):
        fuse("select.features=[a,b]", "target=null")
    results = {}
    for target, expected in alone.items():
        folder = Path("outputs/fuse/f") / target
        results[target] = json.loads((folder / "result.json").read_text())
        for key in ("run_id", "targets", "members", "features", "model"):
            assert results[target][key] == expected[key]
        line = (folder / "config.yaml").read_text().splitlines()[0]
        assert line.endswith(f" target={target}") and "target=null" not in line
        assert f"  {folder}" in caplog.messages
    table = [text for text in caplog.messages if "combined" in text][-1].splitlines()
    rows = {row.split()[0]: row for row in table if row}
    parts = [results[target]["targets"][target] for target in alone]
    devel, test = (np.mean([part[p]["ccc"] for part in parts]) for p in ("devel", "test"))
    assert rows["combined"].split() == ["combined", f"{devel:.4f}", f"{test:.4f}"]
    assert all(
        f"{part['devel']['ccc']:.4f}" in rows[t] for t, part in zip(alone, parts, strict=True)
    )


@pytest.mark.slow
def test_a_fusion_of_all_targets_is_continued_target_by_target(
    train, fuse, make_config, monkeypatch, caplog
):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    fuse(f"runs=[{one},{two}]", "target=null")
    whole = {t: result_of(f"outputs/fuse/f/{t}") for t in ("valence", "arousal")}

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", stop)
        with pytest.raises(KeyboardInterrupt):
            fuse(f"runs=[{one},{two}]", "target=null")
    assert "Not begun: muse resume outputs/fuse/f/arousal" in caplog.text
    for target, expected in whole.items():
        folder = f"outputs/fuse/f/{target}"
        muse.commands.resume.run(make_config("resume", f"resume={folder}"))
        assert result_of(folder)["targets"] == expected["targets"]


@pytest.mark.slow
def test_each_target_has_members_of_its_own_in_one_command(train, fuse, caplog):
    one, two = train("features=a", name="one"), train("features=b", name="two")
    early = train("features=[a,b]", "target=arousal", name="early")
    runs = f"{{valence:[{one},{two}],arousal:[{one},{two},{early}]}}"
    with caplog.at_level("INFO"):
        fuse(f"runs={runs}", "target=null", "method=mean")
    scores = []
    for target, members in (("valence", [one, two]), ("arousal", [one, two, early])):
        folder = Path(f"outputs/fuse/f/{target}")
        expected = np.mean([values(run, "test", target) for run in members], axis=0)
        np.testing.assert_allclose(values(folder, "test", target), expected, rtol=1e-5, atol=1e-7)
        result = result_of(folder)
        assert list(result["members"].values()) == [str(run.absolute()) for run in members]
        scores.append(result["targets"][target]["devel"]["ccc"])
    table = [text for text in caplog.messages if "\ncombined" in text][-1]
    assert ", mean of a + b (valence) and mean of a + b + a+b (arousal): CCC" in table
    assert table.split("\ncombined")[1].split()[0] == f"{np.mean(scores):.4f}"
    _, result = fuse(f"runs={runs}", "target=arousal", "method=mean")
    assert list(result["members"]) == ["a", "b", "a+b"]
    for given, message in (
        (f"{{valence:[{one},{two}]}}", "runs: no members of arousal. Name them, or give one"),
        (f"{{valence:[{one},{two}],joy:[{one},{two}]}}", "runs=joy: expected one of valence, ar"),
        (f"{{valence:[{one}],arousal:[{one},{two}]}}", "a fusion needs two runs or more"),
        (f"{{valence:[{one},{early}],arousal:[{one},{two}]}}", "early: lacks valence (it has ar"),
    ):
        with pytest.raises(MuseError) as caught:
            fuse(f"runs={given}", "target=null", "method=mean")
        assert message in str(caught.value)


@pytest.mark.slow
def test_the_seeds_of_a_run_are_fused(train, fuse, make_config):
    words = ["features=a", "seeds=[7,3,5]"]
    kept, plain = (train(*words, f"keep_seeds={kept}", name=kept) for kept in ("true", "false"))
    first, second = result_of(kept), result_of(plain)
    assert (first["run_id"], first["targets"]) == (second["run_id"], second["targets"])
    assert {name for name in first["files"] if not name.startswith("seeds/")} == {*second["files"]}
    alone = [train("features=a", f"seeds=[{seed}]", name=f"seed{seed}") for seed in (3, 5, 7)]
    folder, result = fuse(f"runs=[{kept}]", "method=mean", "seeds=all")
    assert result["features"] == ["a_seed_3", "a_seed_5", "a_seed_7"]
    for partition in ("train", "devel", "test"):
        own = [values(run, partition) for run in alone]
        seeds = [values(kept / f"seeds/{seed}", partition) for seed in (3, 5, 7)]
        assert np.array_equal(own, seeds)
        np.testing.assert_allclose(values(folder, partition), np.mean(own, 0), rtol=1e-5, atol=1e-7)
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}", "out=scores.json"))
    again = json.loads(Path("scores.json").read_text())["targets"]["valence"]
    assert again["devel"] == result["targets"]["valence"]["devel"]
    _, weighted = fuse(f"runs=[{kept}]", "method=weighted", "seeds=all")
    devel = {row["seed"]: row["devel"] for row in first["targets"]["valence"]["seeds"]}
    expected = [max(0, devel[seed]) for seed in (3, 5, 7)]
    assert weighted["model"]["weights"] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(MuseError) as caught:
        fuse(f"runs=[{plain}]", "method=mean", "seeds=all")
    assert "false has kept the predictions of its best seed alone. Train it so that" in str(
        caught.value
    )
    with pytest.raises(MuseError, match="seeds=all with method=lstm"):
        fuse(f"runs=[{kept}]", "seeds=all")
    (kept / "seeds/5/predictions/valence/devel/4.csv").write_text("x")
    with pytest.raises(MuseError, match=r"seeds/5/.*4\.csv: changed since the run was finished"):
        fuse(f"runs=[{kept}]", "method=mean", "seeds=all")


def test_each_run_needs_every_target_where_all_are_fused(train, fuse):
    both, one = train("features=a", name="both"), train("features=b", "target=arousal", name="one")
    for partition in ("train", "devel", "test"):  # a folder that says nothing of targets
        shutil.copytree(both / "predictions/valence" / partition, f"theirs/{partition}")
    with pytest.raises(MuseError) as caught:
        fuse(f"runs=[{both},{one},theirs]", "target=null")
    assert str(caught.value).splitlines() == [
        "without target= each run needs all targets.",
        "outputs/train/one: lacks valence (it has arousal).",
        "theirs: lacks valence, arousal (it has no target).",
        "Give other runs, or one target of valence, arousal: target=NAME",
    ]
    assert not Path("outputs/fuse/f").exists()


def result_of(folder: str) -> dict:
    return json.loads((Path(folder) / "result.json").read_text())


def test_a_sweep_needs_the_target_of_a_fusion(train, monkeypatch, capsys):
    words = ["-m", "task=stress", "select.features=[a,b]", "method=mean,weighted", "workers=1"]
    monkeypatch.setattr("sys.argv", ["muse", *words])
    with pytest.raises(SystemExit, match=r"2 of the jobs of .* have no result"):
        muse.cli.app.run("fuse")
    told = capsys.readouterr()
    assert told.out.count("a job of a sweep fuses one target. Give target=valence,arousal\n") == 2
    assert "Error executing job" not in told.err  # Hydra's words


@pytest.mark.slow
def test_a_sweep_of_fusions_chooses_the_members_of_each_job(train, monkeypatch, capsys):
    train("features=a", "target=valence", "epochs=1", name="one")
    train("features=b", "target=valence", "epochs=1", name="two")
    words = ["-m", "task=stress", "target=valence", "select.features=[a,b]",
             "method=mean,weighted", "workers=1", *SMALL]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["muse", *words])
    muse.cli.app.run("fuse")
    results = [json.loads(path.read_text()) for path in Path("outputs/sweep").rglob("result.json")]
    assert [result["features"] for result in results] == [["a", "b"]] * 2
    printed = capsys.readouterr().out
    head = next(line for line in printed.splitlines() if "mean of seeds" in line)
    assert head.split()[:2] == ["method", "devel"]  # the weights follow from the method


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs=[x]"], "runs=x: a fusion needs two runs or more, or with seeds=all the seeds of"),
        (["select.features=a"], "select.features=a: a fusion needs two runs or more"),
        (["runs=[x,x]"], "x is named twice"),
        ([], "expected either runs="),
        (["runs=[x,y]", "select.features=[a,b]"], "expected either runs="),
        (["select.features=[a,b]", "method=median"], "expected one of lstm, mean, weighted"),
        (["features=[a,b]"], "expected either runs="),
        (["features=[a,b]", "select.features=[a,b]"], "the feature sets to fuse are select.feat"),
    ],
)
def test_wrong_settings(make_config, words, message):
    with pytest.raises(MuseError) as caught:
        make_config("fuse", "task=stress", "target=valence", *words)
    assert message in str(caught.value)
