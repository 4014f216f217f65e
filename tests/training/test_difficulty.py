"""Difficulty indicators: their numbers, what they depend on, and where they are kept."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import muse.commands.difficulty
import muse.commands.evaluate
import muse.commands.fuse
import muse.commands.predict
import muse.commands.train
from muse.config.shared import FeatureSet
from muse.data.layout import plan_features
from muse.errors import MuseError
from muse.training import autoencoder, difficulty
from muse.training.difficulty import add_indicators, with_difficulty
from muse.training.loop import train_epoch
from muse.training.prepare import id_of, load_inputs
from tests.conftest import sent_package, stress_package

CPU = torch.device("cpu")
RUN = ["epochs=2", "seeds=1", "model.hidden=4", "model.head=4", "model.layers=1", "bootstrap=0",
       "window=8", "hop=4", "tensorboard=false", "plots=false", "lr=0.01"]  # fmt: skip
SMALL = ["difficulty.hidden=3", "difficulty.layers=2", "difficulty.epochs=2", "difficulty.lr=0.005"]
SETS = "feature_segments"


def change(path: Path, how, new: Path | None = None) -> None:
    """Write a CSV file again, or as ``new``, with ``how`` applied to its values."""
    table = pd.read_csv(path)
    values = table.columns[2:]
    table[values] = how(table[values].astype(float))
    table.to_csv(new or path, index=False)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working folder with a package in data/ that has two recordings in each partition."""
    folder = stress_package(tmp_path / "data")
    for old, new, partition in (("4", "5", "devel"), ("2", "6", "test")):
        for path in sorted(folder.rglob(f"{old}.csv")):
            change(path, lambda x: np.cos(x).round(4), path.with_name(f"{new}.csv"))
        with (folder / "metadata/partition.csv").open("a") as file:
            print(f"{new},{partition}", file=file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """The pictures of runs are looked at elsewhere."""
    monkeypatch.setattr("muse.training.save.save_figure", lambda *_: None)


@pytest.fixture
def train(make_config, home):
    """train("features=…", …) -> the folder of a finished run and its result.json."""

    def train(*words: str) -> tuple[Path, dict]:
        config = make_config("train", "task=stress", "standardise=true", *RUN, *SMALL, *words)
        muse.commands.train.run(config)
        folder = Path(config.job.folder)
        return folder, json.loads((folder / "result.json").read_text())

    return train


@pytest.fixture
def indicators(make_config, home):
    """indicators("features=…", …) -> recording -> the indicator of its frames, and the package."""

    configs = {}

    def compute(*words: str):
        if words not in configs:
            words_of_all = "task=stress", "standardise=true", *RUN, *SMALL
            configs[words] = make_config("train", *words_of_all, *words)
        config = configs[words]
        package = with_difficulty(config, load_inputs(config), CPU)
        k = next(k for k, name in enumerate(package.features) if name.startswith("difficulty_"))
        recordings = [r for group in package.partitions.values() for r in group]
        return {r.id: r.features[k][r.rows, 0] for r in recordings}, package

    return compute


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, weights, name):
    """x (frames, inputs) -> (frames, hidden), as eq. 9 to 12 of the paper with PyTorch's biases."""
    w, u, b, c = (
        weights[f"{name}.{part}_l0"].astype(float)
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h, out = np.zeros(u.shape[1]), []
    for row in x:
        (ri, zi, ni), (rh, zh, nh) = np.split(w @ row + b, 3), np.split(u @ h + c, 3)
        r, z = sigmoid(ri + rh), sigmoid(zi + zh)
        h = (1 - z) * np.tanh(ni + r * nh) + z * h
        out.append(h)
    return np.array(out)


def test_the_indicator_is_the_mean_squared_error_of_the_reconstruction(train, home):
    folder, result = train("features=[b,difficulty_a]", "target=arousal")
    assert result["features"] == ["b", "difficulty_a"]
    assert result["targets"]["arousal"]["standardised"] == ["b", "difficulty_a", "a"]
    weights = load_file(folder / "weights/difficulty_a.safetensors")
    read = {id_: pd.read_csv(home / f"data/c3_muse_stress/{SETS}/a/{id_}.csv") for id_ in "312456"}
    raw = {id_: table[["a_0", "a_1"]].to_numpy() for id_, table in read.items()}
    train_frames = np.concatenate([raw["3"], raw["1"]])
    out = make_run_indicator(folder)
    for id_, values in raw.items():
        inputs = x = (values - train_frames.mean(0)) / train_frames.std(0)
        for layer in range(2):
            ahead = gru(x, weights, f"model.network.encoder.ahead.{layer}")
            back = gru(x[::-1], weights, f"model.network.encoder.back.{layer}")[::-1]
            x = np.concatenate([ahead, back], axis=1)
        linear = "model.network.output"
        restored = x @ weights[f"{linear}.weight"].T.astype(float) + weights[f"{linear}.bias"]
        expected = ((inputs - restored) ** 2).mean(axis=1)
        np.testing.assert_allclose(out[id_], expected, rtol=2e-4, atol=1e-6)


def make_run_indicator(folder: Path) -> dict[str, np.ndarray]:
    """Recording -> the indicator by the auto-encoder that a run folder keeps."""
    from muse.config.compose import load_config
    from muse.inference.apply import load_run

    used = load_run(load_config("evaluate", [f"run={folder}"]), str(folder))
    read, models = used.package([], used.recordings()), used.autoencoders[0]
    package = add_indicators(read, used.features, models, CPU)
    k = package.features.index("difficulty_a")
    return {r.id: r.features[k][:, 0] for group in package.partitions.values() for r in group}


def changed(before: dict, after: dict) -> set[str]:
    return {id_ for id_ in before if not np.array_equal(before[id_], after[id_])}


def test_a_recording_outside_train_changes_its_own_indicator_alone(indicators, home):
    words = "features=difficulty_a", "difficulty.epochs=1"  # devel has no epochs to choose from
    before, _ = indicators(*words)
    for id_, expected in (("4", {"4"}), ("6", {"6"}), ("3", set("312456"))):
        path = home / f"data/c3_muse_stress/{SETS}/a/{id_}.csv"
        change(path, lambda x: x + 5 * (np.arange(len(x)) == 3)[:, None])
        after, _ = indicators(*words)
        assert changed(before, after) == expected
        before = after


def test_devel_decides_when_to_stop_and_test_does_not(indicators, home):
    before, package = indicators("features=difficulty_a", "difficulty.epochs=6", "difficulty.lr=10",
                                 "difficulty.patience=1")  # fmt: skip
    about = package.autoencoders["difficulty_a"].about
    assert about["epochs"] < 6 and about["best_epoch"] == about["epochs"] - 1
    devel = np.concatenate([before["4"], before["5"]])
    assert about["devel"] == pytest.approx(devel.mean(dtype=float), rel=1e-6)


def test_one_fit_is_shared_by_targets_seeds_runs_and_orders(indicators, monkeypatch):
    fits = []
    monkeypatch.setattr(
        autoencoder, "train_seed", lambda *a, f=autoencoder.train_seed: fits.append(1) or f(*a)
    )
    first, package = indicators("features=[b,difficulty_a,a]")
    assert package.features == ["b", "difficulty_a", "a"]
    assert package.columns["difficulty_a"] == ["difficulty_a"]
    again, package = indicators("features=difficulty_a", "target=arousal", "seeds=2", "lr=0.1")
    assert package.features == ["difficulty_a"] and len(fits) == 1 and not changed(first, again)
    other, _ = indicators("features=difficulty_a", "difficulty.lr=0.001")
    raw, _ = indicators("features=difficulty_a", "standardise=false")
    windows, _ = indicators("features=difficulty_a", "hop=3")
    assert len(fits) == 4
    assert all(changed(first, values) == set("312456") for values in (other, raw, windows))


def test_how_the_models_are_trained_is_nothing_to_it(indicators, tmp_path):
    expected, _ = indicators("features=difficulty_a")
    own = "warmup=0.5", "clip=0.01", "weight_decay=1", "noise=1", "loss_over=batch"
    again, _ = indicators("features=difficulty_a", *own, f"data.cache={tmp_path}/other")
    assert not changed(expected, again)


def test_the_auto_encoder_alone_may_be_standardised(indicators):
    both, _ = indicators("features=[a,difficulty_a]", "standardise=[a]")
    alone, _ = indicators("features=difficulty_a", "standardise=[a]")
    assert not changed(both, alone)
    with pytest.raises(MuseError, match=r"b is not among the features \(difficulty_a, a\)"):
        indicators("features=difficulty_a", "standardise=[b]")


def test_targets_that_standardise_differently_are_trained_apart(indicators, home):
    package = home / "data/c3_muse_stress"
    (package / SETS / "a").rename(package / SETS / "vggish")  # standardised for arousal
    words = "features=difficulty_vggish", "standardise=null"
    with pytest.raises(MuseError, match=r"valence: none; arousal: vggish.*target=valence,arousal"):
        indicators(*words)
    arousal, _ = indicators(*words, "target=arousal")
    valence, _ = indicators(*words, "target=valence")
    assert changed(arousal, valence)


def test_a_damaged_fit_is_made_again_and_an_interrupted_one_continues(indicators, monkeypatch):
    class Interrupted:
        count = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def update(self):
            self.count += 1
            if self.count == 2:
                raise KeyboardInterrupt

    words = "features=difficulty_a", "difficulty.epochs=4"
    expected, _ = indicators(*words)
    (path,) = Path(package_cache()).glob("difficulty/*.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with monkeypatch.context() as patched:
        patched.setattr(autoencoder, "terminal", SimpleNamespace(bar=lambda **_: Interrupted()))
        with pytest.raises(KeyboardInterrupt):
            indicators(*words)
    trained = []
    monkeypatch.setattr(
        "muse.training.loop.train_epoch", lambda *a: trained.append(1) or train_epoch(*a)
    )
    again, _ = indicators(*words)
    assert len(trained) == 2 and not changed(expected, again)
    assert not list(path.parent.glob("*.checkpoint"))


def package_cache() -> str:
    from muse.config.compose import load_config

    return load_config("train", ["task=stress", "features=a"]).data.cache


def test_a_run_keeps_its_auto_encoder_for_other_recordings(train, make_config, home, capsys):
    folder, result = train("features=[a,difficulty_a]", "target=valence")
    assert "weights/difficulty_a.safetensors" in result["files"]
    shutil.rmtree(package_cache())
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}"))
    assert capsys.readouterr().out.count(", equal") == 3
    new = home / "new/c3_muse_stress"
    (new / SETS).mkdir(parents=True)
    shutil.copytree(home / f"data/c3_muse_stress/{SETS}/a", new / SETS / "a")
    muse.commands.predict.run(make_config("predict", f"run={folder}", "data.root=new", "out=x"))
    for path in (folder / "predictions").rglob("*.csv"):
        target, _, name = path.relative_to(folder / "predictions").parts
        same = home / "x/predictions" / target / "test" / name
        assert same.read_bytes() == path.read_bytes()


def test_the_settings_of_an_indicator_are_in_the_id_of_runs_that_have_one(make_config, home):
    def id_with(*words: str) -> str:
        config = make_config("train", "task=stress", *words)
        return id_of(config, load_inputs(config))

    assert id_with("features=a") == id_with("features=a", "difficulty.lr=0.005")
    ids = [
        id_with("features=[a,difficulty_a]"),
        id_with("features=difficulty_a"),
        id_with("features=difficulty_a", "difficulty.lr=0.005"),
        id_with("features=difficulty_a", "standardise=[a]"),
        id_with("features=[a]"),
    ]
    assert len(set(ids)) == 5
    words = "task=stress", "features=difficulty_a", *RUN
    without = make_config("train", *words, "difficulty=null")
    with pytest.raises(MuseError, match="difficulty=null: expected the settings of the auto-enc"):
        with_difficulty(without, load_inputs(without), CPU)
    config = make_config("train", *words, *SMALL)
    package = load_inputs(config)
    assert id_of(config, package) == id_of(config, with_difficulty(config, package, CPU))


def test_the_command_writes_what_training_computes(train, make_config, home, capsys):
    _, computed = train("features=[a,difficulty_a]", "target=valence")
    words = ["task=stress", "features=a", "standardise=true", "window=8", "hop=4", *SMALL]
    config = make_config("difficulty", *words)
    muse.commands.difficulty.run(config)
    out = capsys.readouterr().out
    made = home / "outputs/difficulty/stress" / SETS / "difficulty_a"
    table = pd.concat([pd.read_csv(made / f"{id_}.csv") for id_ in "31"])
    values = table["difficulty_a"].to_numpy(np.float32).astype(float)
    row = next(line.split() for line in out.splitlines() if line.startswith("difficulty_a"))
    assert row[:2] == ["difficulty_a", "train"] and row[-3:] == ["2", "of", "2"]
    np.testing.assert_allclose([float(v) for v in row[2:4]], [values.mean(), values.std()], 1e-5)
    assert float(row[4]) == pytest.approx(values.mean(), abs=5e-5)  # the inputs' variance is 1
    about = json.loads((made / "difficulty.json").read_text())
    assert about["settings"]["hidden"] == 3 and about["standardised"] == ["a"]
    assert (made / "difficulty.png").stat().st_size > 1000
    with pytest.raises(MuseError, match="is there already, and nothing is replaced"):
        muse.commands.difficulty.run(config)
    shutil.copytree(made, home / "data/c3_muse_stress" / SETS / "difficulty_a")
    folder, read = train("features=[a,difficulty_a]", "target=valence")
    assert not (folder / "weights/difficulty_a.safetensors").exists()
    assert read["targets"]["valence"]["devel"] == computed["targets"]["valence"]["devel"]
    with pytest.raises(MuseError, match=r"difficulty_a: its auto-encoder was fitted on all of tr"):
        train("features=difficulty_a", "crossfit=2")


def test_where_nothing_can_be_written_nothing_is_trained(home, make_config, monkeypatch):
    words = ["task=stress", "features=a", "standardise=true", "window=8", "hop=4", *SMALL]
    monkeypatch.setattr("muse.commands.difficulty.fit_autoencoders", None)  # never called
    Path("taken").touch()
    with pytest.raises(MuseError, match=r"taken/feature_segments: cannot be written"):
        muse.commands.difficulty.run(make_config("difficulty", *words, "out=taken"))


def test_an_indicator_that_is_cut_short_is_not_there(home, make_config, monkeypatch):
    words = ["task=stress", "features=a", "standardise=true", "window=8", "hop=4", *SMALL]
    monkeypatch.setattr("muse.commands.difficulty.save_figure", None)  # after the CSV files
    with pytest.raises(TypeError):
        muse.commands.difficulty.run(make_config("difficulty", *words, "out=cut"))
    assert not list(Path("cut/feature_segments").iterdir())


def test_a_fold_has_an_auto_encoder_that_has_not_seen_what_it_holds_out(train, home, make_config,
                                                                         capsys):  # fmt: skip
    words = "features=difficulty_a", "target=valence", "folds=3"

    def weights(folder: Path) -> list[bytes]:
        files = [folder / f"weights/difficulty_a/fold_{k}.safetensors" for k in (1, 2, 3)]
        return [load_file(file)["model.network.output.weight"].tobytes() for file in files]

    folder, before = train(*words)
    folder = folder.rename(home / "before")
    kept = weights(folder)
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}"))
    assert capsys.readouterr().out.count(", equal") == 3  # by the auto-encoders of the folds
    path = home / f"data/c3_muse_stress/{SETS}/a/6.csv"
    change(path, lambda x: x + 5 * (np.arange(len(x)) == 3)[:, None])
    folder, after = train(*words)
    folds = before["targets"]["valence"]["folds"]
    assert [row["recordings"] for row in folds] == [
        row["recordings"] for row in after["targets"]["valence"]["folds"]
    ]
    pairs = zip(folds, kept, weights(folder), strict=True)
    same = {"6" in row["recordings"]: old == new for row, old, new in pairs}
    assert same[True]  # what it holds out is nothing to a fold
    assert not same[False]  # the others have it in train or in the inner devel


def test_so_has_a_fold_of_crossfit(train, monkeypatch):
    seen = []

    def note(config, settings, base, *rest):
        seen.append({recording.id for recording in base.partitions["train"]})
        return fitted(config, settings, base, *rest)

    fitted = difficulty.fitted
    monkeypatch.setattr(difficulty, "fitted", note)
    folder, _ = train("features=difficulty_a", "target=valence", "crossfit=2", "workers=1")
    assert seen == [{"3", "1"}, {"1"}, {"3"}]
    assert len(list((folder / "crossfit/predictions/valence/train").iterdir())) == 2


def test_segments_have_an_indicator_in_their_frames(make_config, tmp_path):
    sent_package(tmp_path)
    own = "features=difficulty_a", "class_weights=balanced", f"data.root={tmp_path}"
    words = ["task=sent", *own, *RUN, *SMALL]
    config = make_config("train", *words)
    package = with_difficulty(config, load_inputs(config), CPU)
    (values,) = package.partitions["devel"][0].features
    inside = np.array([0, *[1] * 6, 0, 0, *[1] * 5, 0, 0])
    assert values.shape == (16, 1) and np.array_equal(values[:, 0] > 0, inside)


@pytest.fixture
def fuse(make_config, train):
    """fuse("beside=…", …) -> run folder and result.json of a fusion of models on a and b."""
    runs = [
        str(train(f"features={name}", "target=arousal")[0].rename(f"run_{name}")) for name in "ab"
    ]

    def fuse(*words: str) -> tuple[Path, dict]:
        words = ["task=stress", "target=arousal", f"runs=[{','.join(runs)}]", *RUN, *SMALL, *words]
        config = make_config("fuse", *words)
        muse.commands.fuse.run(config)
        folder = Path(config.job.folder)
        return folder, json.loads((folder / "result.json").read_text())

    return fuse


@pytest.mark.slow
def test_feature_sets_beside_predictions(fuse, indicators, make_config, home, capsys):
    expected, _ = indicators("features=difficulty_a", "target=arousal")
    folder, result = fuse("beside=[difficulty_a,difficulty_b]")
    assert result["features"] == ["a", "b", "difficulty_a", "difficulty_b"]
    assert list(result["members"]) == ["a", "b"]
    # inputs of the auto-encoders are standardised as in the members, predictions are not
    assert result["targets"]["arousal"]["standardised"] == ["a_features", "b_features"]
    weights = load_file(folder / "weights/arousal.safetensors")
    assert weights["model.project.weight"].shape == (4, 4)
    kept = make_run_indicator(folder)
    assert not changed(expected, {id_: kept[id_] for id_ in expected})
    muse.commands.evaluate.run(make_config("evaluate", f"run={folder}"))
    assert capsys.readouterr().out.count(", equal") == 3
    _, result = fuse("beside=a")
    assert result["features"] == ["a", "b", "a_features"]
    assert result["targets"]["arousal"]["standardised"] == ["a_features"]
    path = home / f"data/c3_muse_stress/{SETS}/a/3.csv"
    table = pd.read_csv(path)
    table["timestamp"] += 1
    table.to_csv(path, index=False)
    with pytest.raises(MuseError, match=r"recording 3 has a prediction at 0 ms, but .*no frame"):
        fuse("beside=a")
    with pytest.raises(MuseError, match=r"method=mean is a mean of predictions, in which beside="):
        fuse("beside=a", "method=mean")


def test_names_of_indicators(home):
    package = home / "data/c3_muse_stress"
    known = {"both": FeatureSet("x", members=["a", "b"])}
    plan = plan_features(["b", "difficulty_both"], known, package)
    assert plan.names == ["b", "difficulty_both"] and plan.read == ["b", "a"]
    assert plan.computed == {"difficulty_both": ["a", "b"]}
    with pytest.raises(MuseError, match=r"there is no feature set 'c' in .*; it has a, b"):
        plan_features(["difficulty_c"], {}, package)
    shutil.copytree(package / SETS / "b", package / SETS / "difficulty_a")
    assert plan_features(["difficulty_a"], {}, package).computed == {}
