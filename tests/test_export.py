"""`muse export`: what is in the archive, what is not, and that it predicts as the run does."""

import json
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import muse.commands.evaluate
import muse.commands.export
import muse.commands.predict
import muse.commands.train
from muse.config.compose import load_config
from muse.errors import MuseError
from muse.files import digest_of
from muse.runs.read import read_result
from tests.conftest import PARTITION_OF, edit, sent_package, stress_package

SMALL = ["features=a", "epochs=1", "seeds=1", "model.hidden=4", "model.layers=1", "bootstrap=20",
         "standardise=true", "tensorboard=false", "plots=false", "workers=1"]  # fmt: skip
NAMES = {id_: f"anna_{id_}_1999" for id_ in PARTITION_OF}


def renamed(folder: Path) -> Path:
    """The recordings of a package get names that are found nowhere else."""
    for path in sorted(folder.glob("*_segments/*/*.csv")):
        path.rename(path.with_name(f"{NAMES[path.stem]}.csv"))
    rows = "".join(f"{NAMES[id_]},{partition}\n" for id_, partition in PARTITION_OF.items())
    (folder / "metadata/partition.csv").write_text(f"Id,Partition\n{rows}")
    groups = "".join(f"{name},person_of_{name}\n" for name in NAMES.values())
    (folder.parent / "persons.csv").write_text(f"id,group\n{groups}")
    return folder.parent


def trained(home: Path, make_package, *words: str) -> Path:
    """The folder of a run on a package with such names, below ``home``."""
    data = renamed(make_package(home / "private_data"))
    small = [word for word in SMALL if not (word.startswith("model.") and "model=svm" in words)]
    words = [*small, f"data.root={data}", f"data.cache={home / 'private_cache'}", *words]
    muse.commands.train.run(load_config("train", words, str(home / "private_run")))
    return home / "private_run"


@pytest.fixture(scope="module")
def of_folds(tmp_path_factory):
    """A run of two folds over persons."""
    home = tmp_path_factory.mktemp("of_folds")
    groups = f"groups={home / 'private_data/persons.csv'}"
    return trained(home, stress_package, "task=stress", "target=valence", "folds=2", groups)


@pytest.fixture
def export(make_config, tmp_path):
    """export(folder, ...) -> the archive."""

    def export(folder: Path, *words: str) -> Path:
        out = tmp_path / f"model{len(list(tmp_path.glob('*.zip')))}.zip"
        muse.commands.export.run(make_config("export", f"run={folder}", f"out={out}", *words))
        return out

    return export


@pytest.fixture
def predict(make_config, tmp_path):
    """predict("run=...", ...) -> file -> bytes of the predictions."""

    def predict(*words: str) -> dict[str, bytes]:
        out = tmp_path / f"predicted{len(list(tmp_path.glob('predicted*')))}"
        muse.commands.predict.run(make_config("predict", f"out={out}", *words))
        return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.csv")}

    return predict


def content(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as entries:
        return {name: entries.read(name) for name in entries.namelist()}


def card_of(archive: Path) -> dict:
    return json.loads(content(archive)["card.json"])


RUNS = {
    "one model of two targets": (stress_package, ["task=stress", "joint=true", "features=[b,a]"]),
    "with a difficulty indicator": (
        stress_package,
        ["task=stress", "target=valence", "features=[b,difficulty_a]", "difficulty.epochs=1"],
    ),
    "fitted on train and devel": (sent_package, ["task=sent", "target=valence", "model=svm"]),
}


SLOW = ["fitted on train and devel"]


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.slow] * (k in SLOW)) for k in RUNS]
)
def test_an_archive_predicts_as_the_run_does(kind, export, predict, make_config, tmp_path, capsys):
    make_package, words = RUNS[kind]
    run = trained(tmp_path, make_package, *words)
    archive = export(run)
    data = f"data.root={tmp_path / 'private_data'}"
    expected = predict(f"run={run}")
    run.rename(tmp_path / "away")
    found = predict(f"model={archive}", data)
    assert found == expected and found
    muse.commands.evaluate.run(make_config("evaluate", f"model={archive}", data))
    text = capsys.readouterr().out
    assert text.count(", equal") == 3 * len(card_of(archive)["scores"]) and str(archive) in text
    if "difficulty" in kind:
        with pytest.raises(MuseError, match="reads difficulty_a, which an auto-encoder computes"):
            export(tmp_path / "away", "onnx=true")


def test_of_folds_the_mean_predicts_and_nobody_knows_what_each_has_seen(
    of_folds, export, predict, make_config, capsys
):
    archive, data = export(of_folds), f"data.root={of_folds.parent / 'private_data'}"
    assert predict(f"model={archive}", data) == predict(f"run={of_folds}")
    with pytest.raises(MuseError, match="does not say from which: their score would be too good"):
        muse.commands.evaluate.run(make_config("evaluate", f"model={archive}", data))
    label = of_folds.parent / "private_data/c3_muse_stress/label_segments/valence/anna_4_1999.csv"
    before = label.read_text()
    edit(label, 3, "500,1,0.75")
    try:  # other data are no data of the training
        words = [f"model={archive}", data, "partition=devel"]
        capsys.readouterr()
        muse.commands.evaluate.run(make_config("evaluate", *words))
    finally:
        label.write_text(before)
    assert "by the mean of the folds' models" in capsys.readouterr().out


def test_predictions_and_what_folds_held_out_are_in_it_if_asked_for(
    of_folds, export, make_config, capsys
):
    archive = export(of_folds, "predictions=true")
    entries = content(archive)
    names = [name for name in entries if name.startswith("predictions/")]
    assert "predictions/valence/devel/anna_4_1999.csv" in names and len(names) == 4
    assert all(entries[name] == (of_folds / name).read_bytes() for name in names)
    assert str(of_folds.parent).encode() not in b"".join(entries.values())
    capsys.readouterr()
    words = [f"model={archive}", f"data.root={of_folds.parent / 'private_data'}"]
    muse.commands.evaluate.run(make_config("evaluate", *words))
    assert capsys.readouterr().out.count(", equal") == 3


def test_nothing_in_it_names_a_recording_a_person_a_folder_or_a_machine(of_folds, export):
    archive = export(of_folds)
    entries = content(archive)
    private = ["private", "anna", "1999", "person_of", str(of_folds.parent), platform.node(),
               str(Path.home()), "/tmp"]  # fmt: skip
    for name, data in [("the archive", archive.read_bytes()), *entries.items()]:
        for word in private:
            assert word.encode() not in data and word not in name, (name, word)
    run = read_result(of_folds)
    assert "anna_1_1999" in json.dumps(run["targets"]) and "person" in json.dumps(run["groups"])
    assert str(of_folds.parent) in json.dumps(run)  # so all of it would have been found


def test_equal_runs_have_equal_archives(of_folds, export):
    assert export(of_folds).read_bytes() == export(of_folds).read_bytes()


def test_the_card_says_what_a_reader_must_know(of_folds, export, tmp_path):
    run = read_result(of_folds)
    made = {"a": {"tool": {"name": "opensmile", "version": "2.5"}, "settings": {"step": 0.5}}}
    content_ = {key: value for key, value in run.items() if key != "digest"} | {"extracted": made}
    (of_folds / "result.json").write_text(json.dumps(content_ | {"digest": digest_of(content_)}))
    archive = export(of_folds, "licence=CC-BY-4.0")
    (of_folds / "result.json").write_text(json.dumps(run))
    card, text = card_of(archive), content(archive)["MODEL_CARD.md"].decode()
    assert card["licence"] == "CC-BY-4.0" and "Licence: CC-BY-4.0" in text
    assert card["features"][0]["columns"] == ["a_0", "a_1"]
    assert card["features"][0]["extracted"] == made["a"]
    assert "name opensmile, version 2.5; step 0.5" in text
    pooled, kept = run["targets"]["valence"]["pooled"], card["scores"]["valence"]["pooled"]
    assert kept["ccc"] == pooled["ccc"] and kept["interval"] == pooled["interval"]
    low, high = pooled["interval"]
    row = f"| valence | pooled | CCC | {pooled['ccc']:.4f} | {low:.3f} to {high:.3f} | 4 |"
    assert row.replace("| CCC ", "") in text
    assert card["data"]["digest"] == run["data"]["digest"] and run["data"]["digest"] in text
    # projection 2 * 4, LSTM 4 * (4 * 4 + 4 * 4) + 2 * 16, head 4 * 64 + 64 and 64 + 1
    assert {m["parameters"] for m in card["files"].values()} == {8 + 128 + 32 + 320 + 65}
    assert "no diagnosis" in text and "not recorded" not in text and "SYNTHETIC" not in text
    assert "Licence: not stated" in content(export(of_folds))["MODEL_CARD.md"].decode()


def test_what_cannot_be_exported(of_folds, export, make_config, tmp_path):
    with pytest.raises(MuseError, match="no such run folder"):
        export(tmp_path / "nowhere")
    with pytest.raises(MuseError, match="a fusion reads the predictions of its members"):
        export(Path(__file__).parent / "runs_of_format_2/fuse/mean")
    with pytest.raises(MuseError, match=r"out=model: expected the name of an archive, FILE\.zip"):
        make_config("export", f"run={of_folds}", "out=model")
    (tmp_path / "there.zip").write_text("mine")
    words = [f"run={of_folds}", f"out={tmp_path / 'there.zip'}"]
    with pytest.raises(MuseError, match="is there already"):
        muse.commands.export.run(make_config("export", *words))
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_a_run_or_a_model(make_config, of_folds, export):
    with pytest.raises(MuseError, match=r"run=x model=y\.zip exclude each other"):
        make_config("predict", "run=x", "model=y.zip", "out=z")
    with pytest.raises(MuseError, match=r"no value for run.*model=FILE\.zip"):
        make_config("predict", "out=z")
    assert make_config("predict", "run=x", "model=null", "out=z").model is None
    odd = "it's [1], a {model}.zip"
    assert make_config("evaluate", f"model={odd}").model == odd
    archive = export(of_folds)
    with pytest.raises(MuseError, match=r"a file, not a run folder. For .*: model=.*model0\.zip"):
        muse.commands.evaluate.run(make_config("evaluate", f"run={archive}"))


@pytest.mark.slow
def test_an_own_class_must_be_trusted(export, predict, tmp_path, monkeypatch):
    (tmp_path / "own_model_of_lab.py").write_text(
        "from torch import nn\n\n\nclass Own(nn.Module):\n"
        "    def __init__(self, inputs, outputs):\n        super().__init__()\n"
        "        self.output = nn.Linear(inputs, outputs)\n\n"
        "    def forward(self, features, lengths):\n        return self.output(features)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    target = "own_model_of_lab.Own"
    words = [w for w in SMALL if not w.startswith("model.")]
    data = renamed(stress_package(tmp_path / "private_data"))
    words += ["task=stress", "target=valence", f"data.root={data}", f"model._target_={target}"]
    muse.commands.train.run(load_config("train", words, str(tmp_path / "run")))
    archive = export(tmp_path / "run")
    with pytest.raises(MuseError, match=r"names the model class own_model_of_lab\.Own"):
        predict(f"model={archive}", f"data.root={data}")
    found = predict(f"model={archive}", f"data.root={data}", f"trust=[{target}]")
    assert found == predict(f"run={tmp_path / 'run'}", f"trust=[{target}]")
    with pytest.raises(MuseError, match=r"onnx=true: .*, which is not one of muse's"):
        export(tmp_path / "run", "onnx=true")


@pytest.mark.slow
def test_in_an_empty_environment(of_folds, export, tmp_path):
    archive = export(of_folds)
    away = of_folds.rename(of_folds.with_name("away"))
    keep = ("PATH", "PYTHONPATH", "LANG")
    environment = {key: os.environ[key] for key in keep if key in os.environ}
    (tmp_path / "home").mkdir()
    words = ["predict", f"model={archive.name}", f"data.root={of_folds.parent / 'private_data'}"]
    archive.rename(tmp_path / "home" / archive.name)
    done = subprocess.run(
        [sys.executable, "-m", "muse", *words, "out=here"],
        cwd=tmp_path / "home",
        env=environment | {"HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    away.rename(of_folds)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "home/here/predictions").rglob("*.csv"))) == 4
