"""A wheel built from the checkout, in an environment of its own and outside the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def muse(tmp_path_factory):
    """The console script of an environment that has the wheel and sees the dependencies only."""
    home = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", home, CHECKOUT]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = home.glob("muse-*.whl")
    environment = home / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True,
                   capture_output=True)  # fmt: skip
    (packages,) = environment.glob("lib/python*/site-packages")
    # where torch and the others are; a .pth file in there, such as an editable muse, is not read
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    where = subprocess.run([python, "-c", "import muse; print(muse.__file__)"], cwd=home,
                           capture_output=True, text=True)  # fmt: skip
    assert where.stdout.startswith(str(packages)), where
    return environment / "bin" / "muse"


@pytest.mark.slow
def test_the_wheel_has_all_that_the_commands_need(muse, tmp_path):
    def call(*words: str) -> str:
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run([muse, *words], cwd=tmp_path, env=clean, capture_output=True,
                              text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("synth", "stress", "scale=0.05", "features=egemaps")
    assert "is valid, SYNTHETIC data" in call("check", "stress")
    call("train", "stress", "features=egemaps", "+debug=fast", "target=valence")
    (folder,) = (tmp_path / "outputs" / "train").iterdir()
    assert json.loads((folder / "result.json").read_text())["synthetic"]
    run = f"run={folder.relative_to(tmp_path)}"
    assert ", equal" in call("evaluate", run)
    assert "files of train, devel, test" in call("predict", run, "out=predictions")
    assert "1 finished run" in call("report")
    assert "Leon Sorokin" in (tmp_path / "report.html").read_text()
    assert "physio, sent, stress, wilder" in call("train", "--help")
    assert "ewe, gctw, lag, mean, physio, raaw" in call("gold", "--help")
    assert "task@to" in call("classes", "--help")


CLOCK = """from datetime import datetime

import hydra.core.utils


class Noon(datetime):
    @classmethod
    def now(cls):
        return cls(2021, 7, 1, 12)


hydra.core.utils.datetime = Noon
"""


@pytest.mark.slow
def test_runs_started_at_the_same_moment_have_folders_of_their_own(muse, tmp_path):
    """Each fails for want of a package, and keeps the reason in its own folder."""
    clock = tmp_path / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(CLOCK)  # Python imports it when it starts
    words = [muse, "train", "stress", "features=a", "data.root=nowhere"]
    with_clock = os.environ | {"PYTHONPATH": str(clock)}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runs = [subprocess.Popen(words, cwd=tmp_path, env=with_clock, **silent) for _ in range(3)]
    assert [run.wait() for run in runs] == [1] * 3
    folders = list((tmp_path / "outputs" / "train").iterdir())
    assert len(folders) == 3 and all((folder / "status.json").exists() for folder in folders)
    started = {folder.name.rpartition("_")[0] for folder in folders}
    assert started == {"2021-07-01_12-00-00_stress"}
