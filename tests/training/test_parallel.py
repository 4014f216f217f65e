"""Seeds and folds in processes of their own give what they give one after another."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from muse import cores
from muse.commands.train import run
from muse.config.shared import PARTITIONS
from muse.errors import MuseError
from muse.training import parallel
from muse.training.prepare import ModelPlan
from tests.conftest import stress_package
from tests.training.test_loop import frames

SETTINGS = ("task=stress", "features=a", "seeds=3", "epochs=3", "window=6", "hop=3", "bootstrap=0",
            "model.hidden=4", "model.dropout=0.3", "crossfit=2", "tensorboard=false",
            "plots=false")  # fmt: skip


@pytest.fixture
def train(make_config, tmp_path, monkeypatch):
    """train(jobs, ...) -> the folder of a finished run on as many processes."""
    stress_package(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)

    def go(jobs: int, *words: str):
        config = make_config("train", *SETTINGS, f"data.root={tmp_path}", f"workers={jobs}", *words)
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
        monkeypatch.setattr(parallel, "start_method", lambda: name)

    return choose


def test_results_do_not_depend_on_the_number_of_processes(train):
    alone, three = train(1), train(3)
    assert numbers(alone) == numbers(three)
    assert epochs(alone) == epochs(three)
    assert len(epochs(alone)) == 2 * (3 + 2) * 3  # targets, seeds and folds, epochs


def test_memory_is_given_back_at_the_end_of_a_run(train, monkeypatch):
    calls = []
    monkeypatch.setattr(parallel, "give_back_memory", lambda: calls.append(True))
    train(1, "seeds=2", "target=valence", "crossfit=0")
    assert calls == [True]


@pytest.mark.slow
def test_nor_on_how_they_are_started(train, method, monkeypatch):
    monkeypatch.setattr("muse.data.windows.MAPPED", 0)  # features stay in their files
    method("spawn")
    spawned = train(2, "target=valence")
    method("fork")
    forked = train(2, "target=valence")
    assert epochs(spawned) == epochs(forked)


def test_a_fault_in_one_stops_the_others(train, monkeypatch):
    def fails(*_):
        raise MuseError("seed 101 has diverged")

    monkeypatch.setattr(parallel, "train_one", fails)
    with pytest.raises(MuseError, match="seed 101 has diverged"):
        train(2)


def test_more_folds_than_recordings_are_refused_before_training(train, monkeypatch):
    monkeypatch.setattr(parallel, "train_one", None)  # never called
    with pytest.raises(MuseError, match=r"crossfit=5: train has 2 recordings"):
        train(1, "crossfit=5")


def test_a_process_that_is_killed_is_told(train, monkeypatch):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(parallel, "train_one", killed)
    with pytest.raises(MuseError, match="killed from outside"):
        train(2)


def test_so_is_one_that_is_killed_while_it_hands_over_its_outcome(train, monkeypatch):
    parent, send = os.getpid(), Connection._send_bytes

    def half(connection, data):
        if os.getpid() == parent or len(data) < 2000:
            return send(connection, data)
        connection._send(struct.pack("!i", len(data)) + data[:1000])
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Connection, "_send_bytes", half)
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

    monkeypatch.setattr(parallel, "train_one", slow)
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
        config = make_config("train", "task=stress", *small, "workers=-1", *words)
        job = ModelPlan(["valence"], [], None, dict.fromkeys(PARTITIONS, frames(1)), {}, {}, {})
        return parallel.processes(config, torch.device(device), units, job)

    return of


def test_processes_never_exceed_the_cores(count, monkeypatch):
    monkeypatch.setattr(cores, "free_memory", lambda: None)
    assert {n: count(10, f"workers={n}") for n in (-1, 1, 3, 9)} == {
        -1: 4,
        1: 1,
        3: 3,
        9: 4,
    }
    assert count(2, "workers=9") == 2
    assert count(10, "workers=-1", "threads=2") == 1
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
        "1 process at a time, not 4: each may take 0.4 GB, and 0.0 GB of memory are free. "
        "workers=4 starts as many all the same."
    ]
    assert count(10, "workers=4") == 4  # an explicit number is the user's
    small = 2 * cores.PROCESS_BYTES + cores.STEP_BYTES
    monkeypatch.setattr(cores, "free_memory", lambda: small)
    assert count(10) == min(4, small // each)
    assert count(10, "model.hidden=2048", "batch_size=256") == 1


def descendants(parent: int) -> set[int]:
    """Ids of the processes that a process has started, and of those that these have."""
    started: dict[int, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            above = int(path.read_text().rpartition(")")[2].split()[1])
            started.setdefault(above, set()).add(int(path.parent.name))
    found = started.get(parent, set())
    return found.union(*(descendants(child) for child in found))


def runs(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(cores.cores(-1) < 2 or not Path("/proc/self/stat").exists(), reason="Linux")
@pytest.mark.parametrize(
    "words",
    [["workers=2"], pytest.param(["-m", "workers=2", "lr=0.1,0.2"], marks=pytest.mark.slow)],
)
def test_no_process_outlives_a_run_that_was_killed(tmp_path, words):
    stress_package(tmp_path)
    settings = [w for w in SETTINGS if not w.startswith("epochs")]
    settings += ["target=valence", "epochs=100000", "patience=100000", f"data.root={tmp_path}"]
    command = [sys.executable, "-m", "muse", "train", *words, *settings]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    children: set[int] = set()
    try:
        deadline = time.time() + 300
        while len(list(tmp_path.rglob("seed_10?.safetensors"))) < 2:  # two are being trained
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.05)
        children = descendants(process.pid)
        process.kill()
        process.wait()
        deadline = time.time() + 300
        while any(map(runs, children)):
            assert time.time() < deadline
            time.sleep(0.05)
        assert len(children) >= 2
    finally:
        for one in filter(runs, {process.pid, *children}):
            os.kill(one, signal.SIGKILL)
