"""Temporary folders: what a killed process has left goes, and nothing else."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from muse.errors import MuseError
from muse.files import DEAD_SECONDS
from muse.temporary import PREFIX, temporary_folder

HOLDER = """
from muse.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "large").touch()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def tmp(tmp_path, monkeypatch) -> Path:
    """The system's folder of temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def holder(before: str = "") -> tuple[subprocess.Popen, Path]:
    """A process that has a temporary folder, old enough to be looked at, and this folder.

    Args:
        before: code that it runs first.
    """
    words = [sys.executable, "-c", before + HOLDER]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    age(folder.parent)
    return process, folder


def age(folder: Path) -> None:
    before = time.time() - DEAD_SECONDS - 1
    os.utime(folder, (before, before))


def test_a_temporary_folder_is_the_users_alone_and_goes(tmp):
    with temporary_folder() as folder:
        (home,) = tmp.iterdir()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700 and list(folder.iterdir()) == []
        with temporary_folder() as other:
            assert other != folder
    assert list(tmp.iterdir()) == []


def test_no_temporary_folder_can_be_made(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    with pytest.raises(MuseError, match=r"\(No usable temporary directory found .* Set TMPDIR"):
        temporary_folder().__enter__()


def test_that_of_a_killed_process_goes_with_the_next_and_no_other_does(tmp):
    killed, left = holder()
    alive, used = holder()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    others = [tmp / "muse_results", tmp / f"{PREFIX}of_another_program"]  # without our lock
    for other in others:
        other.mkdir()
        age(other)
    linked = tmp / f"{PREFIX}link"
    linked.symlink_to(used.parent)
    assert (left / "large").exists()
    with temporary_folder():
        assert not left.parent.exists() and (used / "large").exists()
        assert all(other.exists() for other in (*others, linked))
    assert alive.communicate("\n") == ("", None) and not used.exists()


def test_one_that_is_just_made_stays(tmp):
    process, left = holder()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    os.utime(left.parent)
    with temporary_folder():
        assert left.exists()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks(tmp, monkeypatch, code):
    """The folders of others are left alone, since it cannot be seen whether they are used."""
    other, used = holder()

    def refuse(*_):
        raise OSError(code, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    with temporary_folder() as folder:
        assert folder.is_dir() and used.exists()
    assert not folder.parent.exists()
    other.communicate("\n")


def test_the_folders_of_other_machines_stay(tmp):
    """Their locks may not be seen here, though the file system is the same."""
    process, left = holder("import platform\nplatform.node = lambda: 'another'\n")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with temporary_folder():
        assert left.exists()
