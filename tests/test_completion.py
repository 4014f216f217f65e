"""Tab completion, by the queries that bash makes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from muse.cli.main import main

MUSE = Path(sys.executable).with_name("muse")


@pytest.fixture
def query(tmp_path, monkeypatch, capfd):
    """query("muse tr") -> what the shell gets for a line with the cursor at its end."""

    def ask(line: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [str(MUSE), "-sc", "query=bash"])
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        monkeypatch.chdir(tmp_path)
        main()
        said = capfd.readouterr()
        assert not said.err
        return said.out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("muse tr", ["train"]),
        ("muse train str", ["stress"]),
        ("muse train task=s", ["task=sent", "task=stress"]),
        (
            "muse train task=stress model=g",
            ["model=gated_cnn", "model=gated_cnn_lstm", "model=gru"],
        ),
        ("muse train stress model.hid", ["model.hidden="]),
        ("muse train batch", ["batch_size="]),  # before a task is chosen
        ("muse train stress data.", ["data.cache=", "data.readers=", "data.root="]),
        ("muse train stress features=eg", ["features=egemaps"]),
        ("muse train stress --con", ["--config-dir"]),
        ("muse train --config-dir own task=m", ["task=mine"]),
        ("muse check task=phy", ["task=physio"]),
        ("muse gold ratings gold=l", ["gold=lag"]),
        ("muse gold ratings align.me", ["align.method="]),
        ("muse classes str", ["stress"]),
        ("muse import ceap /a/folder ann", ["annotations="]),
        ("muse evaluate mod", []),
        ("muse evaluate out", ["outputs/train/a", "outputs/train/b", "out="]),
        ("muse predict run=outputs/train/b", ["run=outputs/train/b"]),
        ("muse evaluate run=x partition=t", ["partition=train", "partition=test"]),
        ("muse compare outputs/train/a out", ["outputs/train/a", "outputs/train/b", "out="]),
        ("muse compare a b partition=", ["partition=devel", "partition=test", "partition=all"]),
        ("muse nothing x", []),
    ],
)
def test_what_a_shell_asks(tmp_path, query, line, found):
    for name in "ab":
        (tmp_path / "outputs/train" / name).mkdir(parents=True)
        (tmp_path / "outputs/train" / name / "config.yaml").touch()
    (tmp_path / "own/task").mkdir(parents=True)
    (tmp_path / "own/task/mine.yaml").write_text("defaults: [stress, _self_]\nname: mine\n")
    assert query(line) == found


def test_bash_completes_with_the_installed_script(tmp_path):
    script = """
        eval "$(muse -sc install=bash)"
        complete -p muse
        COMP_LINE='muse train stress model=att'; COMP_POINT=27
        COMP_WORDS=(muse train stress model=att); COMP_CWORD=3
        hydra_bash_completion 2>/dev/null
        echo "${COMPREPLY[@]}"
    """
    path = f"{MUSE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[0].endswith("-F hydra_bash_completion muse"), done.stderr
    assert done.stdout.splitlines()[1] == "model=attention model=attention_lstm"
