"""What the README says is so: its worked example runs, and it names every setting."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from muse.config.commands import SCHEMAS

README = Path(__file__).parents[1] / "README.md"
DATA = Path(__file__).parents[1] / "docs" / "data.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_worked_example_with_own_data_and_model(tmp_path):
    for source in [*blocks("yaml"), *blocks("python")]:
        name = source.split("\n")[0].removeprefix("# ")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    (script,) = blocks("sh")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shutil.which("bash"), "-e", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Interviews: lab/interviews is valid, SYNTHETIC data" in done.stdout
    assert "Interviews, egemaps, SYNTHETIC data: CCC, best of 2 seeds on devel" in done.stdout
    assert done.stdout.count(", equal") == 3 and "arousal" not in done.stdout


@pytest.mark.parametrize("command", SCHEMAS)
def test_every_setting_is_in_the_tables(command):
    tables = "\n".join(README.read_text().split("## Settings")[1].split("## The run folder")[:1])
    tables += DATA.read_text()
    for field in fields(SCHEMAS[command]):
        if field.name not in ("job", "feature_sets", "data"):
            assert f"`{field.name}`" in tables or f"`{field.name}." in tables, field.name
