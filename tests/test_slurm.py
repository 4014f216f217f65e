"""Sweeps as jobs of Slurm: what sbatch is given, how jobs end, and how they go on."""

import json
import os
import signal
import time
from pathlib import Path

import hydra
import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus

from muse.cli.arguments import for_hydra
from muse.config.compose import _composing
from muse.errors import MuseError
from tests.conftest import stress_package
from tests.test_sweep import SMALL, muse_command

submitit = pytest.importorskip("submitit")


@pytest.fixture
def launcher(tmp_path):
    """launcher(WORDS) -> the launcher of `hydra/launcher=slurm`, as Hydra makes it."""

    def make(*words: str):
        words = [*SMALL, "hydra/launcher=slurm", f"hydra.sweep.dir={tmp_path}", *words]
        with _composing():
            config = hydra.compose("train", overrides=words, return_hydra_config=True)
        return Plugins.instance().instantiate_launcher(None, None, config)

    return make


def test_what_slurm_is_asked_for(launcher, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", ""), ("sbatch", f"cp $1 {tmp_path}/script; echo batch job 7")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(submitit.SlurmJob, "wait", lambda _: None)
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0)
    done = launcher("hydra.launcher.partition=gpu", "hydra.launcher.array_parallelism=2").launch(
        [["lr=0.1"], ["lr=0.2"], ["lr=0.3"]], 0
    )
    assert [one.return_value for one in done] == [None] * 3  # no job has left a result
    lines = (tmp_path / "script").read_text().splitlines()
    asked = dict(line[10:].split("=") for line in lines if line.startswith("#SBATCH --"))
    expected = {"partition": "gpu", "array": "0-2%2", "gpus-per-node": "1", "cpus-per-task": "4",
                "time": "240", "signal": "USR2@120", "job-name": "muse", "nodes": "1"}  # fmt: skip
    assert {key: asked[key] for key in expected} == expected
    assert "mem" not in asked and "account" not in asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_job_that_is_stopped_stops_in_order(launcher, monkeypatch, number):
    """Where Slurm sends SIGUSR2 the job is queued again, or it has failed."""
    again = []
    one = launcher()
    stopped = []

    def job(*_):
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt:
            stopped.append(True)
            raise

    monkeypatch.setattr(type(one).__base__, "__call__", job)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR2)}
    signal.signal(signal.SIGUSR2, lambda *arguments: again.append(arguments))
    try:
        with pytest.raises(SystemExit) as ended:
            one([], "hydra.sweep.dir", 0, "", {})
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert ended.value.code == 1 and stopped
    assert again == [(signal.SIGUSR2, None)] * (number == signal.SIGUSR2)


def test_a_job_that_has_failed_is_an_error(launcher, monkeypatch):
    one = launcher()
    done = JobReturn(status=JobStatus.FAILED)
    done.return_value = MuseError("diverged")
    monkeypatch.setattr(type(one).__base__, "__call__", lambda *_: done)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        with pytest.raises(MuseError, match="diverged"):
            one([], "hydra.sweep.dir", 0, "", {})
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_without_the_package_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr("muse.cli.arguments.find_spec", lambda _: None)
    with pytest.raises(MuseError, match="pip install 'muse\\[slurm\\]'"):
        for_hydra("train", ["-m", "hydra/launcher=slurm"])


@pytest.mark.slow
def test_jobs_that_fail_or_are_killed_or_have_no_time_left_go_on_with_the_same_command(tmp_path):
    stress_package(tmp_path / "data", frames=200)
    words = ["train", "-m", *SMALL, "epochs=400", "patience=400", "seeds=1", "features=a,c",
             "lr=0.01,0.02", "hydra/launcher=slurm", "hydra.launcher.cluster=local",
             "hydra.launcher.timeout_min=10", "hydra.launcher.gpus_per_node=null"]  # fmt: skip
    process = muse_command(tmp_path, *words)
    deadline, begun = time.time() + 300, set()
    while len(begun) < 2:
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
        begun = {p.parents[2] for p in tmp_path.glob("outputs/*/*/*/checkpoints/*/*.safetensors")}
    ids = {job_of(folder): folder for folder in begun}
    (over, stopped), (killed, _) = ids.items()
    os.kill(over, signal.SIGUSR2)  # as Slurm does before the time limit
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "4 of the jobs" in err
    assert out.count("no feature set 'c'") == 2
    assert json.loads((stopped / "status.json").read_text())["status"] == "interrupted"
    logs = [path.read_text() for path in tmp_path.glob("outputs/*/*/.submitit/*/*_log.err")]
    assert sum("Submitted job triggered an exception" in text for text in logs) == 3  # not 0
    process = muse_command(tmp_path, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "2 of the jobs" in err and "CCC, 2 jobs" in out
    for folder in begun:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        epochs = [json.loads(line)["epoch"] for line in lines]
        assert epochs == list(range(1, 401))  # none twice
        assert (folder / "train.log").read_text().count(" on cpu, run ") == 2


def job_of(folder: Path) -> int:
    """The process that trains in a folder: that which has its train.log open."""
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if path.readlink() == folder / "train.log":
                return int(path.parts[2])
        except OSError:
            continue
    raise AssertionError(f"nobody trains in {folder}")
