"""A run that was stopped anywhere ends in the same numbers as one that never was."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import muse.cli.app
import muse.commands.resume
import muse.commands.train
from muse.errors import MuseError
from muse.runs.folder import set_status
from tests.conftest import edit, stress_package

SETTINGS = [
    "task=stress",
    "features=[a,b]",
    "standardise=true",
    "window=8",
    "hop=3",
    "epochs=4",
    "seeds=2",
    "lr=0.01",
    "lr_patience=0",
    "batch_size=4",
    "bootstrap=20",
    "model.hidden=6",
    "model.layers=2",
    "model.dropout=0.4",
    "crossfit=2",
]


class Killed(BaseException):
    """Ends a process as a power failure would: nothing catches it."""


@pytest.fixture
def whole(make_config, tmp_path):
    """The run folder of an uninterrupted run on a package below tmp_path."""
    stress_package(tmp_path)
    config = make_config("train", *SETTINGS, f"data.root={tmp_path}")
    muse.commands.train.run(config)
    folder = Path(config.job.folder)
    return folder.rename(tmp_path / "whole")


@pytest.fixture
def resume(make_config):
    def resume(folder: Path, *words: str) -> None:
        muse.commands.resume.run(make_config("resume", f"resume={folder}", *words))

    return resume


def content(folder: Path) -> dict:
    """All that a run leaves but times: file -> bytes, or JSON without `seconds`."""
    left = {}
    for path in sorted(folder.rglob("*.*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith("tensorboard"):
            left[name] = path.read_bytes()
    result = json.loads(left.pop("result.json"))
    lines = [json.loads(line) for line in left.pop("metrics.jsonl").splitlines()]
    for timed in (result, *lines):
        del timed["seconds"]
    del result["digest"]
    return left | {"result": result, "metrics": lines}


def kill_at(monkeypatch, where: str, count: int) -> None:
    """Let the count-th call of a function from now on end the process."""
    owner, _, name = where.rpartition(".")
    owner = {"Adam": torch.optim.Adam}.get(owner) or sys.modules[owner]
    original, calls = getattr(owner, name), iter(range(1, 10**6))

    def killing(*arguments, **options):
        if next(calls) == count:
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, killing)


POINTS = [
    [("Adam.step", 1)],  # before anything is there
    [("Adam.step", 22)],  # inside a later epoch
    [("muse.training.loop.predict", 3)],  # between training and the score of an epoch
    [("muse.training.checkpoint.write_tensors", 3)],  # before a checkpoint
    [("muse.runs.Path.replace", 9)],  # a checkpoint written and not yet in place
    [("muse.training.seeds.predict", 2)],  # after the last epoch of a seed
    [("muse.training.save.save_model_file", 2)],  # between two targets
    [("muse.training.run.save_job", 2)],
    [("muse.runs.folder.write_json", 2)],  # all done but the result
    [("Adam.step", 2), ("Adam.step", 30), ("muse.training.loop.predict", 2)],  # again and again
]


@pytest.mark.parametrize("points", POINTS, ids=lambda points: points[-1][0] + str(points[-1][1]))
def test_it_ends_in_the_same_numbers_wherever_it_was_killed(
    whole, make_config, resume, monkeypatch, tmp_path, points
):
    config = make_config("train", *SETTINGS, f"data.root={tmp_path}")
    folder = Path(config.job.folder)
    for number, (where, count) in enumerate(points):
        with monkeypatch.context() as patch:
            if where.startswith("muse.runs.Path"):
                patch.setattr(Path, "replace", _counted(Path.replace, count))
            else:
                kill_at(patch, where, count)
            with pytest.raises(Killed):
                resume(folder) if number else muse.commands.train.run(config)
    torch.rand(5)  # the process that continues has another state
    resume(folder)
    expected, got = content(whole), content(folder)
    assert got.pop("train.log") and expected.pop("train.log")
    assert got == expected
    seeds = [seed for part in got["result"]["targets"].values() for seed in part["seeds"]]
    assert any(seed["test_last"] != seed["test"] for seed in seeds)
    assert not (folder / "checkpoints").exists()
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"


def _counted(original, count: int):
    calls = iter(range(1, 10**6))

    def replace(self, target):
        if next(calls) == count:
            raise Killed
        return original(self, target)

    return replace


def killed(make_config, monkeypatch, tmp_path, *words: str) -> Path:
    """The folder of a run that was killed in its second epoch."""
    stress_package(tmp_path)
    config = make_config("train", *SETTINGS, f"data.root={tmp_path}", *words)
    with monkeypatch.context() as patch:
        kill_at(patch, "muse.training.loop.predict", 3)
        with pytest.raises(Killed):
            muse.commands.train.run(config)
    return Path(config.job.folder)


def test_other_data_are_not_trained_on(make_config, resume, monkeypatch, tmp_path):
    folder = killed(make_config, monkeypatch, tmp_path)
    edit(tmp_path / "c3_muse_stress/label_segments/valence/3.csv", 2, "0,1,0.5")
    with pytest.raises(MuseError, match="made with other settings or data"):
        resume(folder)


def test_other_settings_are_not_trained_with(make_config, resume, monkeypatch, tmp_path):
    folder = killed(make_config, monkeypatch, tmp_path)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("lr: 0.01", "lr: 0.02"))
    with pytest.raises(MuseError, match="changed since the run began"):
        resume(folder)
    set_status(folder, "interrupted")  # makes its checksum right again
    with pytest.raises(MuseError, match="made with other settings or data"):
        resume(folder)


def test_the_checkpoint_of_another_seed_or_target_is_refused(
    make_config, resume, monkeypatch, tmp_path
):
    folder = killed(make_config, monkeypatch, tmp_path)
    (path,) = (folder / "checkpoints").rglob("*.safetensors")
    path.rename(path.with_name("seed_102.safetensors"))
    with pytest.raises(MuseError, match="the checkpoint of another target or seed"):
        resume(folder)


def test_a_damaged_checkpoint_is_told(make_config, resume, monkeypatch, tmp_path):
    folder = killed(make_config, monkeypatch, tmp_path)
    (path,) = (folder / "checkpoints").rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(MuseError, match="does not fit its checksum"):
        resume(folder)
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"


def test_two_processes_do_not_train_the_same_run(make_config, resume, monkeypatch, tmp_path):
    folder = killed(make_config, monkeypatch, tmp_path)
    with (
        FileLock(folder / "checkpoints" / ".lock"),
        pytest.raises(MuseError, match="another process is training this run"),
    ):
        resume(folder)


def test_data_may_have_moved(make_config, resume, monkeypatch, tmp_path):
    folder = killed(make_config, monkeypatch, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "c3_muse_stress").rename(tmp_path / "elsewhere/c3_muse_stress")
    with pytest.raises(MuseError, match="no package of MuSe-Stress"):
        resume(folder)
    resume(folder, f"data.root={tmp_path / 'elsewhere'}")
    assert (folder / "result.json").exists()


def test_a_finished_run_is_left_as_it_is(whole, resume):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    resume(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def alike(folder: Path) -> dict:
    """What a run leaves but times, its log, and how its command was put."""
    left = content(folder)
    del left["train.log"], left["status.json"]  # it has a checksum of config.yaml
    settings = left.pop("config.yaml").splitlines()[1:]
    del left["result"]["command"], left["result"]["files"]["config.yaml"]
    return left | {"settings": settings}


def stopped(make_config, monkeypatch, where: str, count: int, *words: str) -> Path:
    """The folder of a run that was killed at the count-th call of a function."""
    config = make_config("train", *words)
    with monkeypatch.context() as patch:
        kill_at(patch, where, count)
        with pytest.raises(Killed):
            muse.commands.train.run(config)
    return Path(config.job.folder)


@pytest.mark.parametrize(
    ("where", "count", "changes"),
    [
        ("muse.training.save.save_model_file", 2, ["epochs=6", "patience=4"]),
        ("muse.runs.folder.write_json", 2, ["seeds=[103,101]", "bootstrap=10", "crossfit=0"]),
        ("muse.training.save.save_model_file", 1, ["patience=null", "epochs=5"]),
    ],
)
def test_it_ends_as_a_run_that_began_with_other_settings(
    make_config, resume, monkeypatch, tmp_path, where, count, changes
):
    stress_package(tmp_path)
    words = [*SETTINGS, f"data.root={tmp_path}", "tensorboard=false", "plots=false"]
    whole = make_config("train", *words, *changes)
    muse.commands.train.run(whole)
    folder = stopped(make_config, monkeypatch, where, count, *words)
    resume(folder, *changes)
    assert alike(folder) == alike(Path(whole.job.folder))
    line = (folder / "config.yaml").read_text().splitlines()[0]
    words = shlex.split(line)
    assert set(changes) <= set(words)
    assert len({word.split("=")[0] for word in words}) == len(words)  # each once
    assert json.loads((folder / "result.json").read_text())["command"] == line[2:]


@pytest.mark.parametrize("count", range(1, 5))
def test_a_change_of_settings_is_made_whole_or_not_at_all(
    make_config, resume, monkeypatch, tmp_path, count
):
    stress_package(tmp_path)
    words = [*SETTINGS, f"data.root={tmp_path}", "target=valence", "epochs=1", "seeds=1",
             "tensorboard=false", "plots=false"]  # fmt: skip
    folder = stopped(make_config, monkeypatch, "muse.runs.folder.write_json", 2, *words)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _counted(Path.replace, count))
        with pytest.raises(Killed):
            resume(folder, "epochs=2", "crossfit=0")
    changed = b"epochs: 2" in (folder / "config.yaml").read_bytes()
    assert changed == (count > 2)  # a status, the settings, a status, then training
    resume(folder)
    whole = make_config("train", *words, *(["epochs=2", "crossfit=0"] if changed else []))
    muse.commands.train.run(whole)
    assert alike(folder) == alike(Path(whole.job.folder))


def test_a_kernel_that_is_not_there_does_not_stay_in_the_settings(
    make_config, resume, monkeypatch, tmp_path
):
    folder = killed(make_config, monkeypatch, tmp_path)
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(MuseError, match=r"kernel=triton: .*Give kernel=products"):
        resume(folder, "population=3", "kernel=triton", "device=cpu")
    assert (folder / "config.yaml").read_bytes() == before
    resume(folder)
    assert (folder / "result.json").exists()


def test_epochs_that_are_trained_are_not_taken_back(make_config, resume, monkeypatch, tmp_path):
    stress_package(tmp_path)
    words = [*SETTINGS, f"data.root={tmp_path}", "target=valence", "crossfit=0"]
    folder = stopped(make_config, monkeypatch, "muse.training.save.save_model_file", 1, *words)
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(MuseError, match=r"4 epochs are trained; with epochs=3 patience=15 .* 3\."):
        resume(folder, "epochs=3")
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    resume(folder, "epochs=4")
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"


def test_a_finished_run_gets_no_other_settings(whole, resume, tmp_path):
    first = (whole / "config.yaml").read_text().partition("\n")
    (whole / "config.yaml").write_text(f"{first[0]} hydra.run.dir=whole\n{first[2]}")
    refused = r"Train anew: muse train .*task=stress .* epochs=9$"
    with pytest.raises(MuseError, match=refused) as caught:
        resume(whole, "epochs=9")
    assert "hydra.run.dir" not in str(caught.value)  # where a new run would be refused
    resume(whole, "epochs=4", "seeds=2")  # as they are


def test_a_run_that_another_process_finishes_meanwhile_keeps_its_files(whole, resume, monkeypatch):
    result = (whole / "result.json").read_bytes()
    (whole / "result.json").unlink()
    set_status(whole, "interrupted")
    before = content_of(whole)

    def finish(*arguments):
        (whole / "result.json").write_bytes(result)
        return check(*arguments)

    check = muse.commands.resume.check_trusted
    monkeypatch.setattr("muse.commands.resume.check_trusted", finish)
    with pytest.raises(MuseError, match="the run is finished"):
        resume(whole, "epochs=9")
    assert content_of(whole) == before | {whole / "result.json": result}


def content_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.*") if path.name != ".lock"}


def test_settings_that_are_kept_are_refused_with_those_that_are_not(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["muse", "outputs/train/x", "lr=0.1"])
    with pytest.raises(SystemExit) as caught:
        muse.cli.app.run("resume")
    assert str(caught.value).startswith("muse resume: lr: a run is continued with its own.")
    assert "epochs, patience, seeds, crossfit" in str(caught.value)


def test_a_checkpoint_past_the_end_is_refused(make_config, resume, monkeypatch, tmp_path):
    stress_package(tmp_path)
    words = [*SETTINGS, f"data.root={tmp_path}", "target=valence", "crossfit=0"]
    place = "muse.training.save.save_model_file"
    long, short = (
        stopped(make_config, monkeypatch, place, 1, *words, f"epochs={epochs}") for epochs in (4, 2)
    )
    for path in (long / "checkpoints/valence").iterdir():
        path.replace(short / "checkpoints/valence" / path.name)
    with pytest.raises(MuseError, match="4 epochs are trained; with epochs=2"):
        resume(short)


@pytest.mark.slow
def test_after_a_kill_from_outside(whole, tmp_path):
    words = [sys.executable, "-m", "muse", "train"]
    settings = [*SETTINGS, f"data.root={tmp_path}", "epochs=80", "patience=80", "target=valence"]
    process = subprocess.Popen([*words, *settings], cwd=tmp_path, env=os.environ)
    try:
        deadline = time.time() + 300
        while not list(tmp_path.glob("outputs/train/*/checkpoints/valence/*.safetensors")):
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (folder,) = (tmp_path / "outputs" / "train").iterdir()
    assert not (folder / "result.json").exists()
    done = subprocess.run(
        [*words, f"resume={folder.relative_to(tmp_path)}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    whole = subprocess.run([*words, *settings], cwd=tmp_path, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    (other,) = set((tmp_path / "outputs" / "train").iterdir()) - {folder}
    got, expected = content(folder), content(other)
    assert "Continuing" in got.pop("train.log").decode() and expected.pop("train.log")
    assert got == expected
