"""`muse train` from CSV files to the run folder, on packages of a few frames."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors import SafetensorError, safe_open

from muse.commands.train import run
from muse.config.fields import numbers_of
from muse.errors import MuseError
from muse.runs.read import read_run
from muse.scoring import ccc
from muse.training.prepare import id_of, load_inputs
from muse.training.run import _warn_constant
from tests.conftest import edit, sent_package, stress_package

SMALL = ["epochs=3", "seeds=2", "model.hidden=6", "model.head=5", "batch_size=4", "bootstrap=20"]


@pytest.fixture
def train(make_config, tmp_path):
    """train("task=stress", ...) -> the run folder and its result.json."""

    def train(*overrides: str, root: Path = tmp_path) -> tuple[Path, dict]:
        config = make_config("train", f"data.root={root}", *SMALL, *overrides)
        run(config)
        folder = Path(config.job.folder)
        return folder, json.loads((folder / "result.json").read_text())

    return train


def column(folder: Path, name: str = "value") -> np.ndarray:
    """One column of all recordings of a partition, in the order of the ids."""
    return np.concatenate(
        [pd.read_csv(path)[name].to_numpy(np.float32) for path in sorted(folder.iterdir())]
    )


def test_the_run_folder_of_a_regression_task(train, tmp_path):
    package = stress_package(tmp_path)
    folder, result = train(
        "task=stress", "features=[a,b]", "standardise=true", "window=8", "hop=4", "plots=true"
    )
    assert result["format"] == 2 and result["task"] == "stress" and not result["synthetic"]
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"
    assert yaml.safe_load((folder / "config.yaml").read_text())["window"] == 8
    for target in ("valence", "arousal"):
        part = result["targets"][target]
        assert part["standardised"] == ["a", "b"]
        assert [row["seed"] for row in part["seeds"]] == [101, 102]
        best = max(part["seeds"], key=lambda row: row["devel"])
        assert part["best_seed"] == best["seed"]
        assert part["over_seeds"]["devel"]["mean"] == pytest.approx(
            np.mean([row["devel"] for row in part["seeds"]])
        )
        for partition, ids in {"train": "13", "devel": "4", "test": "2"}.items():
            predicted = folder / "predictions" / target / partition
            assert sorted(path.stem for path in predicted.iterdir()) == list(ids)
            labels = folder / "labels" / target / partition
            score = ccc(column(predicted), column(labels))  # files alone give the score
            assert score == pytest.approx(part[partition]["ccc"], abs=1e-12)
        gold = pd.read_csv(package / "label_segments" / target / "4.csv")
        kept = pd.read_csv(folder / "labels" / target / "devel" / "4.csv")
        assert kept.columns.tolist() == ["timestamp", "segment_id", "value"]
        pd.testing.assert_frame_equal(kept, gold)
        assert best["devel"] == part["devel"]["ccc"] and best["test"] == part["test"]["ccc"]
        assert (folder / "plots" / f"{target}.png").exists()
    both = [result["targets"][t]["devel"]["ccc"] for t in ("valence", "arousal")]
    assert result["combined"]["devel"] == pytest.approx(np.mean(both))


def test_metrics_have_a_line_per_target_seed_and_epoch(train, tmp_path):
    stress_package(tmp_path)
    folder, result = train("task=stress", "features=a", "standardise=true", "plots=true")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    keys = [(line["target"], line["seed"], line["epoch"]) for line in lines]
    assert keys == [
        (t, s, e) for t in ("valence", "arousal") for s in (101, 102) for e in (1, 2, 3)
    ]
    best = max(line["devel"] for line in lines if line["target"] == "arousal")
    assert result["targets"]["arousal"]["devel"]["ccc"] == best
    assert list((folder / "tensorboard" / "arousal" / "seed_102").glob("events*"))
    assert all(line["train"] == 1 - line["loss"] for line in lines)
    assert (folder / "plots" / "curves.png").exists()


def test_weights_hold_what_is_needed_to_use_them(train, tmp_path):
    stress_package(tmp_path)
    folder, result = train("task=stress", "features=[b,a]", "standardise=[a]", "target=valence")
    with safe_open(folder / result["targets"]["valence"]["weights"], "numpy") as file:
        about = json.loads(json.loads(file.metadata()["muse"])["about"])
        mean, scale = file.get_tensor("input.mean"), file.get_tensor("input.scale")
        assert file.get_tensor("model.project.weight").shape == (6, 3)
    assert about["features"] == {"b": ["b_0"], "a": ["a_0", "a_1"]}
    assert about["model"]["hidden"] == 6 and about["targets"] == ["valence"]
    x = np.concatenate([np.arange(15) + 30, np.arange(13) + 10])
    np.testing.assert_allclose(mean, [0, x.mean(), -2 * x.mean()], rtol=1e-6)
    np.testing.assert_allclose(scale, [1, x.std(), 2 * x.std()], rtol=1e-6)
    assert "combined" not in result


def test_the_run_folder_of_a_class_task(train, tmp_path):
    sent_package(tmp_path)
    folder, result = train("task=sent", "features=a", "standardise=true", "plots=true")
    part = result["targets"]["valence"]
    assert np.sum(part["devel"]["confusion"]) == part["devel"]["segments"] == 2
    predicted = pd.read_csv(folder / "predictions/valence/devel/4.csv")
    logits = pd.read_csv(folder / "logits/valence/devel/4.csv")
    labels = pd.read_csv(folder / "labels/valence/devel/4.csv")
    assert predicted[["timestamp", "segment_id"]].to_numpy().tolist() == [[250, 1], [2250, 2]]
    assert labels["value"].tolist() == [4, 1]
    assert logits.columns.tolist()[2:] == [f"c_{k}" for k in range(5)] and len(logits) == 11
    last = logits.groupby("segment_id").last()[[f"c_{k}" for k in range(5)]]
    assert predicted["value"].tolist() == last.to_numpy().argmax(1).tolist()
    assert (folder / "plots/arousal.png").exists()


def test_test_is_also_scored_with_the_weights_of_the_last_epoch(train, tmp_path, monkeypatch):
    stress_package(tmp_path)
    words = ["task=stress", "features=a", "target=valence", "standardise=true", "lr=0.01",
             "lr_patience=9"]  # fmt: skip

    def scored(direction: int, *more: str) -> dict:
        epochs = iter(range(1, 99))
        monkeypatch.setattr("muse.training.seeds.mean_score", lambda *_: direction * next(epochs))
        return train(*words, "seeds=1", *more)[1]["targets"]["valence"]

    falling, rising, one = scored(-1), scored(1), scored(1, "epochs=1")
    assert (falling["best_epoch"], rising["best_epoch"]) == (1, 3)
    assert falling["test"]["ccc"] == one["test"]["ccc"] != rising["test"]["ccc"]
    assert falling["test_last"] == rising["test_last"] == rising["test"]["ccc"]
    (seed,) = falling["seeds"]
    assert (seed["test"], seed["test_last"]) == (falling["test"]["ccc"], falling["test_last"])
    assert falling["over_seeds"]["test_last"]["mean"] == falling["test_last"]


def test_what_missing_does_from_end_to_end(train, make_config, tmp_path):
    package = stress_package(tmp_path)
    words = ["task=stress", "target=valence", "features=a", "standardise=true"]
    whole = train(*words, "missing=error")[1]
    assert whole["targets"]["valence"]["devel"]["ccc"]
    edit(package / "feature_segments/a/4.csv", 3, "500,1,,1")
    config = make_config("train", f"data.root={tmp_path}", *SMALL, *words, "missing=error")
    with pytest.raises(MuseError, match=r"a: 1 missing .*4\.csv, row 3, column a_0.*missing=zero"):
        run(config)
    counts = {}
    for missing in ("zero", "drop"):
        folder, result = train(*words, f"missing={missing}")
        counts[missing] = len(column(folder / "predictions/valence/devel"))
        assert len(column(folder / "labels/valence/devel")) == counts[missing]
    assert counts == {"zero": 16, "drop": 15}
    assert whole["run_id"] != result["run_id"]


def test_float16_features_from_end_to_end(train, tmp_path):
    stress_package(tmp_path)
    words = ["task=stress", "target=valence", "features=b", "standardise=true"]
    scores = {}
    for storage in ("float32", "float16"):
        folder, _ = train(*words, f"storage={storage}", f"data.cache={tmp_path / storage}")
        scores[storage] = column(folder / "predictions/valence/test")
        assert len(list((tmp_path / storage).rglob("*.half.npy"))) == 4 * (storage == "float16")
    # eighths below 64 have few digits: float16 holds them exactly
    np.testing.assert_array_equal(scores["float16"], scores["float32"])


def test_standardisation_over_windows_is_a_run_of_its_own(train, tmp_path):
    stress_package(tmp_path)
    words = ["task=stress", "target=valence", "features=a", "standardise=true", "window=8", "hop=3"]
    runs = [train(*words, *more) for more in ([], ["standardise_over=windows"])]
    assert runs[0][1]["run_id"] != runs[1][1]["run_id"]
    means = []
    for folder, _ in runs:
        with safe_open(folder / "weights/valence.safetensors", "np") as file:
            means.append(file.get_tensor("input.mean"))
    assert means[0][0] != means[1][0]


def test_constant_predictions_are_reported(make_config, caplog):
    config = make_config("train", "task=stress", "features=a", "lr=10")
    output = np.array([[0.3, 0.3], [0.3, 0.4], [0.3, 0.2]], np.float32)
    _warn_constant(config, ["valence", "arousal"], output)
    (record,) = caplog.records
    assert record.getMessage() == (
        "valence: the predictions of the best seed are constant on devel. Give a lower learning "
        "rate (lr=10 now), or standardise the features (standardise=true)."
    )


def test_joint_trains_one_model_with_an_output_per_target(train, tmp_path):
    stress_package(tmp_path)
    folder, result = train("task=stress", "features=a", "standardise=true", "joint=true")
    assert {part["weights"] for part in result["targets"].values()} == {
        "weights/valence+arousal.safetensors"
    }
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 6  # 2 seeds, 3 epochs
    row = [[r["devel"] for r in result["targets"][t]["seeds"]] for t in ("valence", "arousal")]
    assert np.mean(row, axis=0).max() == pytest.approx(result["combined"]["devel"])


def test_without_test_labels_there_are_predictions_and_no_score(train, tmp_path):
    package = stress_package(tmp_path)
    (package / "label_segments/arousal/2.csv").unlink()
    folder, result = train("task=stress", "features=a", "standardise=true")
    assert result["targets"]["arousal"]["test"] is None
    assert result["targets"]["arousal"]["seeds"][0]["test"] is None
    assert result["targets"]["arousal"]["test_last"] is None
    assert result["combined"]["test"] is None and result["targets"]["valence"]["test"]
    assert (folder / "predictions/arousal/test/2.csv").exists()
    assert not (folder / "labels/arousal/test").exists()


def test_joint_scores_each_target_that_has_labels(train, tmp_path):
    package = stress_package(tmp_path)
    (package / "label_segments/valence/2.csv").unlink()
    _, result = train("task=stress", "features=a", "standardise=true", "joint=true")
    assert result["targets"]["valence"]["test"] is None
    assert result["targets"]["arousal"]["test"]["frames"] == 14
    assert result["targets"]["arousal"]["seeds"][0]["test"] is not None


def test_a_run_never_begins_in_a_folder_that_has_something(make_config, tmp_path):
    stress_package(tmp_path)
    config = make_config("train", f"data.root={tmp_path}", *SMALL, "task=stress", "features=a")
    config.job.folder = str(tmp_path / "c3_muse_stress")
    with pytest.raises(MuseError, match="the folder is not empty"):
        run(config)
    assert not (tmp_path / "c3_muse_stress/config.yaml").exists()


def test_the_same_run_gives_the_same_numbers_and_id(train, tmp_path):
    package = stress_package(tmp_path / "one")
    settings = ["task=stress", "features=a", "standardise=true"]
    _, first = train(*settings, root=tmp_path / "one")
    package.rename(tmp_path / "c3_muse_stress")
    _, again = train(*settings, "data.readers=1", "tensorboard=false", "plots=false", root=tmp_path)
    assert again["run_id"] == first["run_id"] and again["targets"] == first["targets"]
    _, other = train(*settings, "lr=0.01")
    assert other["run_id"] != first["run_id"]


def test_threads_are_in_the_run_id_where_there_are_several(make_config, tmp_path):
    """They change the order of sums; the ids of runs with one thread are as before."""
    stress_package(tmp_path)
    words = ["task=stress", "features=a", f"data.root={tmp_path}"]
    one, two = (make_config("train", *words, f"threads={threads}") for threads in (1, 2))
    package = load_inputs(one)
    assert id_of(one, package) == id_of(make_config("train", *words), package)
    assert id_of(one, package) != id_of(two, package)
    assert "threads" not in numbers_of(one)


def test_names_may_be_as_long_as_a_file_system_allows(train, tmp_path):
    package, long = stress_package(tmp_path), "x" * 251
    for path in [*package.rglob("4.csv")]:
        path.rename(path.with_name(f"{long}.csv"))
    metadata = package / "metadata/partition.csv"
    metadata.write_text(metadata.read_text().replace("4,devel", f"{long},devel"))
    folder, _ = train("task=stress", "features=a", "standardise=true", "target=valence")
    assert (folder / f"predictions/valence/devel/{long}.csv").exists()


def test_a_full_disk_at_a_checkpoint_is_no_traceback(train, tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("muse.runs.tensors.save_file", full)
    stress_package(tmp_path)
    with pytest.raises(MuseError, match=r"seed_101\.safetensors: cannot be written \(No space"):
        train("task=stress", "features=a")


@pytest.mark.slow
def test_nobody_needs_to_read_what_a_run_says(tmp_path):
    """`muse train | true`, and both outputs closed: the run is finished all the same."""
    stress_package(tmp_path)
    words = " ".join(
        ["task=stress", "features=a", "target=valence", f"data.root={tmp_path}", *SMALL]
    )
    line = f"{sys.executable} -m muse train {words} hydra.run.dir=run 2>&- >&-"
    assert subprocess.run(line, shell=True, cwd=tmp_path).returncode == 0
    line = f"set -o pipefail; {sys.executable} -m muse train {words} hydra.run.dir=again | true"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("run", "again"):
        assert json.loads((tmp_path / name / "status.json").read_text())["status"] == "finished"


def test_published_standardisation_is_the_default(make_config, tmp_path):
    package = stress_package(tmp_path)
    (package / "feature_segments/a").rename(package / "feature_segments/vggish")
    config = make_config("train", f"data.root={tmp_path}", *SMALL, "task=stress", "features=vggish")
    run(replace(config, epochs=1, seeds=[101]))
    result = json.loads((Path(config.job.folder) / "result.json").read_text())
    assert result["targets"]["arousal"]["standardised"] == ["vggish"]
    assert result["targets"]["valence"]["standardised"] == []


def test_a_diverged_run_says_where(make_config, tmp_path):
    folder = stress_package(tmp_path)
    edit(folder / "label_segments/valence/3.csv", 5, "1500,1,3e38")  # its square is infinite
    settings = [*SMALL, "task=stress", "features=a", "loss=mse"]
    config = make_config("train", f"data.root={tmp_path}", *settings)
    with pytest.raises(MuseError, match=r"seed 101, epoch \d, .*lower learning rate"):
        run(config)
    assert json.loads((Path(config.job.folder) / "status.json").read_text())["status"] == "failed"


def test_debug_fast_ends_any_training_in_seconds(make_config, tmp_path):
    stress_package(tmp_path)
    config = make_config(
        "train", f"data.root={tmp_path}", "task=stress", "features=a", "+debug=fast"
    )
    run(config)
    result = json.loads((Path(config.job.folder) / "result.json").read_text())
    (seed,) = result["targets"]["valence"]["seeds"]
    assert seed["epochs"] == 2 and result["targets"]["valence"]["train"]["recordings"] == 2
    assert config.recordings == 2 and config.bootstrap == 0


@pytest.mark.parametrize(
    "model",
    [
        "lstm",
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("gru", "attention", "attention_lstm")),
    ],
)
def test_debug_overfit_learns_two_recordings_by_heart(make_config, tmp_path, caplog, model):
    stress_package(tmp_path, frames=60)
    words = ["task=stress", "features=[a,b]", "target=valence", f"model={model}", "model.layers=1"]
    config = make_config("train", f"data.root={tmp_path}", *words, "+debug=overfit")
    with caplog.at_level("INFO"):
        run(config)
    part = json.loads((Path(config.job.folder) / "result.json").read_text())["targets"]["valence"]
    assert part["train"]["ccc"] > 0.9
    lines = (Path(config.job.folder) / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["best"] == part["train"]["ccc"]  # train has picked the epoch
    assert "best of 1 seed on train" in caplog.text and f"{part['train']['ccc']:.4f}" in caplog.text


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_an_interrupted_run_says_so_and_does_not_count(tmp_path, number):
    stress_package(tmp_path / "data", frames=300)
    words = ["task=stress", "features=a", "standardise=true", "epochs=9999", "patience=9999"]
    process = subprocess.Popen(
        [sys.executable, "-m", "muse", "train", *words],
        cwd=tmp_path,
        env=os.environ,
        preexec_fn=lambda: signal.signal(
            number, signal.SIG_DFL
        ),  # a job in the background ignores it
    )
    try:
        deadline = time.time() + 300
        while not list(tmp_path.glob("outputs/train/*/metrics.jsonl")):
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(300) == 130
    finally:
        process.kill()
    (folder,) = (tmp_path / "outputs" / "train").iterdir()
    assert json.loads((folder / "status.json").read_text())["status"] == "interrupted"
    assert not (folder / "result.json").exists()


def test_a_weighted_sum_of_metrics_is_the_score_of_a_run(train, tmp_path):
    sent_package(tmp_path)
    metric = "task.metric={micro_f1:0.66,uar:0.34}"
    folder, result = train("task=sent", "features=a", "standardise=true", "target=valence", metric)
    name = "0.66*micro_f1+0.34*uar"
    part = read_run(str(folder)).result["targets"]["valence"]
    devel = part["devel"]
    assert result["metric"] == name
    assert devel[name] == pytest.approx(0.66 * devel["micro_f1"] + 0.34 * devel["uar"])
    best = max(part["seeds"], key=lambda row: row["devel"])
    assert best["devel"] == devel[name] and best["test"] == part["test"][name]
