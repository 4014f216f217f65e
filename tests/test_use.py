"""`muse evaluate` and `muse predict` on finished runs, and on damaged and foreign run folders."""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import muse.commands.evaluate
import muse.commands.predict
import muse.commands.train
import muse.training.seeds
from muse.errors import MuseError
from muse.files import checksum, digest_of
from muse.runs.read import read_run
from muse.scoring import ccc
from tests.conftest import edit, sent_package, stress_package

SMALL = ["epochs=3", "seeds=2", "model.hidden=6", "model.head=5", "batch_size=4", "bootstrap=20"]


@pytest.fixture
def finished(make_config, tmp_path):
    """finished(stress_package, "task=stress", ...) -> the folder of a run on tmp_path/data."""

    def finish(make_package, *words: str) -> Path:
        make_package(tmp_path / "data")
        words = [*SMALL, "features=a", "standardise=true", *words, f"data.root={tmp_path / 'data'}"]
        config = make_config("train", *words)
        muse.commands.train.run(config)
        return Path(config.job.folder)

    return finish


@pytest.fixture
def evaluate(make_config, tmp_path, capsys):
    """evaluate(folder, ...) -> scores as in the JSON file, and what was printed."""

    def evaluate(folder: Path, *words: str) -> tuple[dict, str]:
        out = tmp_path / "scores.json"
        out.unlink(missing_ok=True)
        muse.commands.evaluate.run(make_config("evaluate", f"run={folder}", f"out={out}", *words))
        return json.loads(out.read_text())["targets"], capsys.readouterr().out

    return evaluate


@pytest.fixture
def predict(make_config, tmp_path):
    """predict(folder, ...) -> the folder with the predictions."""

    def predict(folder: Path, *words: str) -> Path:
        out = tmp_path / "predicted"
        muse.commands.predict.run(make_config("predict", f"run={folder}", f"out={out}", *words))
        return out

    return predict


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.csv")}


def test_a_run_is_read_through_a_link_and_nothing_is_written(finished, evaluate, predict, tmp_path):
    run = finished(stress_package, "task=stress", "target=valence")
    before = {path: path.lstat() for path in [run, *run.rglob("*")]}
    link = tmp_path / "link"
    link.symlink_to(run, target_is_directory=True)
    scores, _ = evaluate(link)
    assert scores["valence"]["devel"] == read_run(str(run)).result["targets"]["valence"]["devel"]
    out = predict(link)
    assert files(out / "predictions") == files(run / "predictions")
    after = {path: path.lstat() for path in [run, *run.rglob("*")]}
    assert after.keys() == before.keys() and link.is_symlink()
    for path, now in after.items():
        assert (now.st_mtime_ns, now.st_ctime_ns) == (
            before[path].st_mtime_ns, before[path].st_ctime_ns
        )  # fmt: skip


@pytest.mark.parametrize(
    ("make_package", "words"),
    [
        (stress_package, ["task=stress"]),
        (stress_package, ["task=stress", "joint=true", "model=attention_lstm", "model.heads=2"]),
        (stress_package, ["task=stress", "recordings=1", "features=[b,a]"]),
        (sent_package, ["task=sent", "model=gru"]),
    ],
)
def test_scores_and_predictions_are_those_of_the_run_to_the_last_digit(
    finished, evaluate, predict, make_package, words
):
    folder = finished(make_package, *words)
    scores, text = evaluate(folder)
    result = json.loads((folder / "result.json").read_text())
    for target, part in result["targets"].items():
        assert scores[target] == {p: part[p] for p in ("train", "devel", "test")}
    assert text.count(", equal") == 6 and "other data" not in text
    out = predict(folder)
    assert files(out / "predictions") == files(folder / "predictions")
    assert files(out / "logits") == files(folder / "logits")


def test_one_partition_of_other_data(finished, evaluate, tmp_path):
    folder = finished(stress_package, "task=stress")
    label = tmp_path / "data/c3_muse_stress/label_segments/valence/4.csv"
    edit(label, 3, "500,1,0.75")
    scores, text = evaluate(folder, "partition=devel")
    assert list(scores["valence"]) == ["devel"] and "other data" in text
    predicted = pd.read_csv(folder / "predictions/valence/devel/4.csv")["value"].to_numpy()
    gold = pd.read_csv(label)["value"].to_numpy(np.float32)
    assert scores["valence"]["devel"]["ccc"] == pytest.approx(ccc(predicted, gold), abs=1e-9)


def test_what_cannot_be_scored(finished, evaluate, tmp_path):
    folder = finished(stress_package, "task=stress")
    labels = tmp_path / "data/c3_muse_stress/label_segments"
    for target in ("valence", "arousal"):
        (labels / target / "2.csv").unlink()
    assert "test" not in evaluate(folder)[0]["valence"]
    with pytest.raises(MuseError, match=r"partition=test: .* has no labels for it"):
        evaluate(folder, "partition=test")
    shutil.rmtree(labels)
    with pytest.raises(MuseError, match="there are no labels of the target valence"):
        evaluate(folder)
    with pytest.raises(MuseError, match="partition=dev: expected one of train, devel, test"):
        evaluate(folder, "partition=dev")


def test_scores_never_replace_a_file(finished, make_config, tmp_path):
    folder = finished(stress_package, "task=stress")
    (tmp_path / "mine.json").write_text("mine")
    words = [f"run={folder}", f"out={tmp_path / 'mine.json'}"]
    with pytest.raises(MuseError, match="the file is there already"):
        muse.commands.evaluate.run(make_config("evaluate", *words))
    assert (tmp_path / "mine.json").read_text() == "mine"


def test_predictions_need_neither_labels_nor_partitions(finished, predict, tmp_path):
    folder = finished(stress_package, "task=stress")
    package = tmp_path / "data/c3_muse_stress"
    shutil.rmtree(package / "label_segments")
    shutil.rmtree(package / "metadata")
    out = predict(folder, "zip=true")
    expected = {}
    for target in ("valence", "arousal"):
        for partition, ids in {"train": "13", "devel": "4", "test": "2"}.items():
            for id_ in ids:
                path = folder / "predictions" / target / partition / f"{id_}.csv"
                expected[f"{target}/{id_}.csv"] = pd.read_csv(path)
    with zipfile.ZipFile(tmp_path / "predicted.zip") as archive:
        assert sorted(archive.namelist()) == sorted(expected)
        for name, frame in expected.items():  # other recordings in a batch: other rounding
            pd.testing.assert_frame_equal(pd.read_csv(archive.open(name)), frame, rtol=1e-4)
    assert {path.name for path in (out / "predictions/valence").iterdir()} == {"test"}


def test_paths_may_begin_with_the_home_folder(finished, make_config, tmp_path, monkeypatch):
    run = finished(stress_package, "task=stress", "target=valence")
    monkeypatch.setenv("HOME", str(tmp_path))
    given = f"run=~/{run.relative_to(tmp_path)}"
    muse.commands.predict.run(make_config("predict", given, "out=~/here"))
    muse.commands.evaluate.run(make_config("evaluate", given, "out=~/scores.json"))
    assert files(tmp_path / "here") and (tmp_path / "scores.json").is_file()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # of a user of a container, often
    with pytest.raises(MuseError, match=r"~/here: the home folder is not known\. Set"):
        muse.commands.predict.run(make_config("predict", given, "out=~/here"))


def test_a_run_on_few_recordings_says_that_it_leaves_out_others(finished, predict, capsys):
    folder = finished(stress_package, "task=stress", "target=valence", "recordings=1")
    capsys.readouterr()
    predict(folder)
    assert "recordings=1, for debugging: as in its training, the other" in capsys.readouterr().out


def test_the_archive_has_one_partition_and_is_the_same_every_time(finished, predict, tmp_path):
    folder = finished(stress_package, "task=stress")
    predict(folder, "zip=true")
    first = (tmp_path / "predicted.zip").read_bytes()
    predict(folder, "zip=true", "overwrite=true", "partition=test")
    assert (tmp_path / "predicted.zip").read_bytes() == first
    assert not (tmp_path / "predicted/predictions/valence/train").exists()  # of the first call
    with pytest.raises(MuseError, match="the archive has one partition, but there are train, dev"):
        predict(folder, "zip=true", "overwrite=true", "partition=[train,devel]")


def test_predictions_replace_nothing_unasked(finished, predict, tmp_path):
    folder = finished(stress_package, "task=stress")
    out = predict(folder)
    with pytest.raises(MuseError, match="predictions are there already"):
        predict(folder)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(MuseError, match=r"has not written, such as thesis\.txt"):
        predict(folder, "overwrite=true")
    shutil.rmtree(out)
    (tmp_path / "predicted.zip").write_text("mine")
    with pytest.raises(MuseError, match=r"predicted\.zip: predictions are there already"):
        predict(folder, "zip=true")


def test_a_package_of_other_features_is_refused(finished, evaluate, predict, tmp_path):
    folder = finished(stress_package, "task=stress")
    sets = tmp_path / "data/c3_muse_stress/feature_segments"
    for path in (sets / "a").iterdir():
        path.write_text(path.read_text().replace("a_1", "other"))
    with pytest.raises(MuseError, match="column 'other' where the model was trained on 'a_1'"):
        predict(folder)
    shutil.rmtree(sets / "a")
    shutil.copytree(sets / "b", sets / "a")
    with pytest.raises(MuseError, match="1 columns, the model was trained on 2"):
        evaluate(folder)
    shutil.rmtree(sets / "a")
    with pytest.raises(MuseError, match="there is no feature set 'a'"):
        evaluate(folder)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("result.json", cut, r"result\.json: damaged, not valid JSON"),
        ("result.json", damage, r"result\.json: damaged"),
        ("result.json", lambda p: p.write_text("{}"), r"result\.json: no result of `muse train`"),
        ("result.json", lambda p: p.write_text('{"format": 1}'), "this muse reads format 2"),
        ("result.json", lambda p: p.write_text("[" * 100_000), r"result\.json: damaged"),
        ("result.json", Path.unlink, r"not finished \(status finished\). Continue it with: muse r"),
        ("config.yaml", lambda p: p.write_text(p.read_text() + "\n"), "changed since the run was"),
        ("config.yaml", lambda p: p.write_bytes(b"\xff\xfe"), "damaged, not valid YAML"),
        ("config.yaml", Path.unlink, "no run folder, it has no config.yaml"),
        ("weights/valence.safetensors", damage, r"valence\.safetensors: changed since"),
        ("weights/valence.safetensors", cut, r"valence\.safetensors: changed since"),
        ("weights/valence.safetensors", Path.unlink, "the file is missing. Copy the run folder"),
    ],
)
def test_a_damaged_run_folder_is_told(finished, evaluate, name, harm, message):
    folder = finished(stress_package, "task=stress")
    harm(folder / name)
    with pytest.raises(MuseError, match=message):
        evaluate(folder)


def test_no_run_folder(tmp_path, finished):
    with pytest.raises(MuseError, match="there is no such run folder"):
        read_run(str(tmp_path / "nothing"))
    folder = finished(stress_package, "task=stress")
    with pytest.raises(MuseError, match=f"no config.yaml.*There are: {folder}"):
        read_run(str(folder.parent))


def forge(folder: Path, name: str, change) -> None:
    """Change a file of a run as somebody would who knows the checksums."""
    path = folder / name
    path.write_text(change(path.read_text()))
    result = json.loads((folder / "result.json").read_text())
    del result["digest"]
    result["files"][name] = checksum(path.read_bytes())
    (folder / "result.json").write_text(json.dumps(result | {"digest": digest_of(result)}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lr: !!python/object/apply:os.mkdir [executed]", "could not determine a constructor"),
        ("lr: ${oc.env:HOME}", "expected plain values, nothing to be filled in"),
        ("features: ['${oc.create:[x]}']", "expected plain values, nothing to be filled in"),
        ("features: &x [a]\nseeds: *x", "an alias; expected plain values"),
        ("lr: -1", r"lr=-1\.0: expected more than 0"),
        ("novel: 1", "there is no setting 'novel'"),
        ("task: 3", "config.yaml"),
    ],
)
def test_a_forged_config_executes_nothing(finished, evaluate, monkeypatch, tmp_path, line, message):
    folder = finished(stress_package, "task=stress")
    monkeypatch.chdir(tmp_path)
    drop = {part.split(":")[0] for part in line.splitlines()}

    def change(text: str) -> str:
        kept = yaml.safe_load(text)
        return yaml.safe_dump({k: v for k, v in kept.items() if k not in drop}) + line + "\n"

    forge(folder, "config.yaml", change)
    with pytest.raises(MuseError, match=message):
        evaluate(folder)
    assert not (tmp_path / "executed").exists()


def test_a_class_of_others_is_built_only_for_whom_the_user_trusts(
    finished, evaluate, monkeypatch, tmp_path
):
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "from muse.models.recurrent import Recurrent\n"
        "Path('imported').touch()\n"
        "class Model(Recurrent):\n"
        "    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    folder = finished(stress_package, "task=stress", "model._target_=mine.Model")
    (tmp_path / "imported").unlink()
    sys.modules.pop("mine")
    with pytest.raises(MuseError, match=r"mine\.Model, which is not one of muse's.*trust=\[mine"):
        evaluate(folder)
    assert not (tmp_path / "imported").exists() and "mine" not in sys.modules
    scores, _ = evaluate(folder, "trust=[mine.Model]")
    sys.modules.pop("mine")
    assert scores["valence"]["devel"] == read_run(str(folder)).result["targets"]["valence"]["devel"]


def test_overwriting_leaves_what_is_not_ours(finished, predict):
    folder = finished(stress_package, "task=stress")
    out = predict(folder)
    note = out / "predictions/valence/devel/notes.csv"
    note.write_text("mine")
    with pytest.raises(MuseError, match=r"has not written, such as .*notes\.csv"):
        predict(folder, "overwrite=true")
    assert note.read_text() == "mine" and (out / "predictions/valence/devel/4.csv").exists()


def test_predictions_that_are_not_finite_are_no_predictions(finished, predict, monkeypatch):
    """Of test: the run ends with its devel scores. Of another package: an error."""

    def with_nan(model, frames):
        output = predicted(model, frames)
        if len(output) == 14:  # of recording 2, the only one of test
            output[3] = np.nan
        return output

    predicted = muse.training.seeds.predict
    monkeypatch.setattr("muse.training.seeds.predict", with_nan)
    monkeypatch.setattr("muse.inference.apply.predict", with_nan)
    folder = finished(stress_package, "task=stress", "target=valence")
    part = json.loads((folder / "result.json").read_text())["targets"]["valence"]
    assert part["test"] is None and [row["test"] for row in part["seeds"]] == [None, None]
    assert part["devel"]["ccc"] == max(row["devel"] for row in part["seeds"])
    assert "valence, test, recording 2, frame 4" in (folder / "train.log").read_text()
    assert not (folder / "predictions/valence/test").exists()
    with pytest.raises(MuseError, match="valence, test, recording 2, frame 4"):
        predict(folder)


def test_a_feature_beyond_float32_is_refused_before_training(finished):
    def unusual(root: Path) -> Path:
        folder = stress_package(root)
        for path in (folder / "feature_segments/a").iterdir():
            scale = "e36" if path.stem == "2" else "e-3"
            path.write_text(
                re.sub(r"(-?\d+),(-?\d+)\n", rf"\g<1>{scale},\g<2>{scale}\n", path.read_text())
            )
        return folder

    with pytest.raises(MuseError, match="recording 2: standardised on train, a feature is larger"):
        finished(unusual, "task=stress", "target=valence")
