"""Seeds and folds in processes of their own give what they give one after another."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from muse import cores
from muse.commands.train import run
from muse.config_parts import PARTITIONS
from muse.errors import MuseError
from muse.training import side_by_side
from muse.training.jobs import Job
from tests.conftest import stress_package
from tests.training.test_loop import frames

SETTINGS = ("task=stress", "features=a", "seeds=3", "epochs=3", "window=6", "hop=3", "bootstrap=0",
            "model.hidden=4", "model.dropout=0.3", "crossfit=2", "tensorboard=false")  # fmt: skip


@pytest.fixture
def train(make_config, tmp_path, monkeypatch):
    """train(jobs, ...) -> the folder of a finished run on as many processes."""
    stress_package(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)

    def go(jobs: int, *words: str):
        config = make_config("train", *SETTINGS, f"data.root={tmp_path}", f"jobs={jobs}", *words)
        run(config)
        return Path(config.job.folder)

    return go


def numbers(folder) -> dict:
    result = json.loads((folder / "result.json").read_text())
    return {key: result[key] for key in ("run_id", "targets", "combined")} | {
        name: digest for name, digest in result["files"].items() if name != "config.yaml"
    }


def epochs(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


@pytest.fixture
def method(monkeypatch):
    """method(name): start processes in this way."""

    def choose(name: str) -> None:
        monkeypatch.setattr(side_by_side, "start_method", lambda: name)

    return choose


def test_results_do_not_depend_on_the_number_of_processes(train):
    alone, three = train(1), train(3)
    assert numbers(alone) == numbers(three)
    assert epochs(alone) == epochs(three)
    assert len(epochs(alone)) == 2 * (3 + 2) * 3  # targets, seeds and folds, epochs


def test_memory_is_given_back_at_the_end_of_a_run(train, monkeypatch):
    calls = []
    monkeypatch.setattr(side_by_side, "give_back_memory", lambda: calls.append(True))
    train(1, "seeds=2", "target=valence", "crossfit=0")
    assert calls == [True]


def test_nor_on_how_they_are_started(train, method, monkeypatch):
    monkeypatch.setattr("muse.data.windows.MAPPED", 0)  # features stay in their files
    method("spawn")
    spawned = train(2, "target=valence")
    method("fork")
    forked = train(2, "target=valence")
    assert epochs(spawned) == epochs(forked)


def test_a_fault_in_one_stops_the_others(train):
    with pytest.raises(MuseError, match=r"crossfit=5: train has 2 recordings"):
        train(2, "crossfit=5")


def test_a_process_that_is_killed_is_told(train, monkeypatch):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(side_by_side, "train_one", killed)
    with pytest.raises(MuseError, match="killed from outside"):
        train(2)


def test_a_process_ends_with_the_one_who_asked(tmp_path, train, monkeypatch):
    """The parent dies without a word: its processes end at the next epoch and free the folder."""
    told = tmp_path / "pid"

    def slow(run, job, seed, on_epoch, checkpoints=None):
        with told.open("a") as file:
            print(os.getpid(), file=file)
        for _ in range(600):
            time.sleep(0.05)
            on_epoch({"seed": seed})

    monkeypatch.setattr(side_by_side, "train_one", slow)
    monkeypatch.setattr("muse.training.recorder.Recorder.on_epoch", lambda *_: None)
    child = os.fork()
    if not child:
        train(2)
        os._exit(0)
    while not told.exists() or len(told.read_text().split()) < 2:
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    end = time.monotonic() + 10
    pids = [int(pid) for pid in told.read_text().split()]
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, "a process goes on alone"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as file:
            return file.read().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def count(make_config, monkeypatch):
    """count(units, setting ...) -> processes for as many models, with four cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)

    def of(units: int, *words: str, device: str = "cpu") -> int:
        small = "features=x", "model.hidden=8", "model.layers=1", "batch_size=1"
        config = make_config("train", "task=stress", *small, "jobs=-1", *words)
        job = Job(["valence"], [], None, dict.fromkeys(PARTITIONS, frames(1)), {})
        return side_by_side.processes(config, torch.device(device), units, job)

    return of


def test_processes_never_exceed_the_cores(count, monkeypatch):
    monkeypatch.setattr(cores, "free_memory", lambda: None)
    assert {jobs: count(10, f"jobs={jobs}") for jobs in (-1, 1, 3, 9)} == {-1: 4, 1: 1, 3: 3, 9: 4}
    assert count(2, "jobs=9") == 2
    assert count(10, "jobs=-1", "threads=2") == 1
    assert count(10, device="cuda") == 1
    assert cores.cores(2) == 2


def test_processes_are_as_many_as_fit_into_the_free_memory_and_say_so(count, monkeypatch, caplog):
    each = cores.PROCESS_BYTES + 2**20  # the model and its data take less than 1 MB
    for free, expected in ((5 * each, 4), (4 * each, 4), (2.5 * each, 2), (0, 1)):
        caplog.clear()
        monkeypatch.setattr(cores, "free_memory", lambda free=free: int(free))
        assert count(10) == expected
        assert len(caplog.messages) == (expected < 4)
    assert caplog.messages == [
        "1 process at a time, not 4: each may take 0.4 GB, and 0.0 GB of memory are free. jobs=4 "
        "starts as many all the same."
    ]
    assert count(10, "jobs=4") == 4  # an explicit number is the user's
    monkeypatch.setattr(cores, "free_memory", lambda: 2 * cores.JOB_BYTES)
    assert count(10) == 4
    assert count(10, "model.hidden=2048", "batch_size=256") == 1
