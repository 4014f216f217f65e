"""One process per run folder, also where the file system refuses locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from muse.errors import MuseError
from muse.runs import lock
from muse.runs.lock import BusyError, locked
from tests.conftest import stress_package
from tests.test_sweep import SMALL

REFUSES = """import errno
import fcntl
import os


def flock(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


fcntl.flock = flock
"""


@pytest.fixture
def refused(monkeypatch):
    """A file system without locks."""

    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.fixture
def holder(tmp_path):
    """A process that has the folder, by the second way."""
    code = (
        "import sys, time; from pathlib import Path; from muse.runs import lock\n"
        "lock.HEARTBEAT_SECONDS = 0.2\n"
        "with lock.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE,
                               env=os.environ | {"MUSE_LOCKS": "files"}, text=True)  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_without_locks_a_file_keeps_others_out_and_goes_with_its_process(
    refused, holder, tmp_path, monkeypatch
):
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.01)
    with pytest.raises(BusyError, match="another process is training this run"), locked(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path), locked(tmp_path):  # its file is there still, and a process can ask twice
        assert (tmp_path / "checkpoints/.lease").exists()
    assert not (tmp_path / "checkpoints/.lease").exists()


def test_another_machine_is_waited_for_until_it_gives_no_sign_of_life(
    refused, tmp_path, monkeypatch
):
    monkeypatch.setattr(lock, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.01)
    path = tmp_path / "checkpoints/.lease"
    with locked(tmp_path):
        owner = path.read_text()
    here = next(line for line in owner.splitlines() if line.startswith("host="))
    path.write_text(owner.replace(here, "host=elsewhere"))
    stop = threading.Event()

    def renew():
        while not stop.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(BusyError), locked(tmp_path):
            pass
    finally:
        stop.set()
        thread.join()
    with locked(tmp_path):
        assert here in path.read_text()


def test_other_refusals_are_errors(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(MuseError, match=r"cannot be written .Input/output error"), locked(tmp_path):
        pass


@pytest.mark.slow
def test_two_processes_without_locks_train_each_job_of_a_sweep_once(tmp_path):
    stress_package(tmp_path / "data", frames=60)
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch/sitecustomize.py").write_text(REFUSES)  # Python imports it when it starts
    paths = [str(tmp_path / "patch"), os.environ.get("PYTHONPATH", "")]
    words = [sys.executable, "-m", "muse", "train", "-m", *SMALL, "epochs=20", "patience=20",
             "lr=0.01,0.02,0.03,0.04,0.05,0.06", "hydra/launcher=basic"]  # fmt: skip
    both = [
        subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, text=True)
        for _ in range(2)
    ]  # fmt: skip
    texts = [process.communicate(timeout=600)[0] for process in both]
    assert 0 in [process.returncode for process in both], texts  # whoever ended last
    logs = [path.read_text() for path in tmp_path.glob("outputs/sweep/*/*/train.log")]
    assert [text.count("on cpu, run ") for text in logs] == [1] * 6
    assert len(list(tmp_path.glob("outputs/sweep/*/*/result.json"))) == 6
