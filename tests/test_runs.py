"""`muse runs`, and the word `latest`, on runs that are in the repository."""

import errno
import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

import muse.commands.evaluate
import muse.commands.runs
from muse.errors import MuseError
from muse.files import checksum
from muse.runs.find import run_folder
from muse.runs.finished import finished_runs
from muse.runs.read import read_result

OLD = Path(__file__).parent / "runs_of_format_2"
ORDER = ["fuse/mean", "train/one", "fuse/lstm", "train/two"]  # from the newest


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working folder with outputs/; train/two has failed, after all others had finished."""
    shutil.copytree(OLD, tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    end(tmp_path / "outputs/train/two", "failed", "no feature set 'c'")
    for age, name in enumerate(ORDER):
        for file in ("status.json", "result.json"):
            path = tmp_path / "outputs" / name / file
            if path.exists():
                os.utime(path, (10**9 - age, 10**9 - age))
    return tmp_path


def end(folder: Path, state: str, reason: str) -> None:
    (folder / "result.json").unlink(missing_ok=True)
    config = checksum((folder / "config.yaml").read_bytes())
    status = {"status": state, "reason": reason, "config": config}
    (folder / "status.json").write_text(json.dumps(status))


def listed(make_config, capsys, *words: str) -> list[list[str]]:
    """The rows of the table, by columns."""
    muse.commands.runs.run(make_config("runs", *words))
    rows = capsys.readouterr().out.splitlines()
    head = rows[0].split()
    at = [rows[0].index(name) for name in head] + [None]
    return [[row[a:b].strip() for a, b in pairwise(at)] for row in rows]


def test_runs_are_listed_the_newest_first(home, make_config, capsys):
    head, *rows = listed(make_config, capsys)
    assert head == ["changed", "state", "task", "target", "features", "devel", "run"]
    assert [row[-1] for row in rows] == [f"outputs/{name}" for name in ORDER]
    assert [row[1] for row in rows] == ["finished"] * 3 + ["failed"]
    one = read_result(home / "outputs/train/one")
    devel = [part["devel"][one["metric"]] for part in one["targets"].values()]
    assert rows[1][2:6] == ["stress", ", ".join(one["targets"]), "+".join(one["features"]),
                            ", ".join(f"{score:.4f}" for score in devel)]  # fmt: skip
    assert rows[0][4].startswith("fusion of ") and rows[3][5] == ""


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["state=failed"], ["train/two"]),
        (["root=outputs/fuse", "task=stress"], ["fuse/mean", "fuse/lstm"]),
        (["target=valence", "state=finished", "root=outputs/train"], ["train/one"]),
    ],
)
def test_runs_are_filtered(home, make_config, capsys, words, names):
    rows = listed(make_config, capsys, *words)[1:]
    assert [row[-1] for row in rows] == [f"outputs/{name}" for name in names]


def test_no_run_that_fits(home, make_config, capsys):
    with pytest.raises(MuseError, match="no run that fits; there are 4 others"):
        listed(make_config, capsys, "features=joy")
    with pytest.raises(MuseError, match="root=nowhere: there is no such folder"):
        listed(make_config, capsys, "root=nowhere")
    muse.commands.runs.run(make_config("runs", "count=1"))
    assert "3 older runs are not shown: count=null lists all." in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_is_reported(home, make_config, capsys, caplog, monkeypatch):
    (home / "outputs" / "secret").mkdir(parents=True)
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("secret"):  # whoever runs the tests may read every folder
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    listed(make_config, capsys)
    list(finished_runs(Path("outputs")))
    said = "left out: outputs/secret: cannot be read (Permission denied)."
    assert [record.getMessage() for record in caplog.records] == [said, said]


def test_the_latest_run_is_the_newest_that_can_be_used(home):
    assert run_folder("latest") == Path("outputs/fuse/mean")
    with pytest.raises(MuseError, match="no run to be continued below outputs"):
        run_folder("latest", finished=False)  # to resume would fail again
    end(home / "outputs/train/one", "interrupted", "")
    assert run_folder("latest", finished=False) == Path("outputs/train/one")
    (home / "latest").mkdir()
    assert run_folder("latest") == Path("latest")  # a folder of that name
    assert run_folder("elsewhere") == Path("elsewhere")
    with pytest.raises(MuseError, match=r"result\.json: is a file; expected a run folder"):
        run_folder("outputs/fuse/mean/result.json")


def test_the_latest_run_is_scored(home, make_config, capsys):
    shutil.rmtree("outputs/fuse")
    words = ["run=latest", f"data.root={home / 'outputs/data'}"]
    muse.commands.evaluate.run(make_config("evaluate", *words))
    assert "outputs/train/one" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("state", "reason", "begun", "told"),
    [
        ("interrupted", "", False, "Continue it with: muse resume "),
        ("failed", "outputs: No space left on device", True, "Continue it with: muse resume "),
        ("failed", "no feature set 'c'", False, "Remove the cause and train anew"),
        ("failed", "seed 101: Training has diverged", True, "Remove the cause and train anew"),
    ],
)
def test_resume_is_advised_where_it_helps(home, state, reason, begun, told):
    folder = (home / "outputs/train/one").rename(home / "outputs/train/of mine")
    end(folder, state, reason)
    if begun:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/seed_101.safetensors").touch()
    with pytest.raises(MuseError) as caught:
        read_result(folder)
    assert told in str(caught.value)
    assert "resume " not in told or str(caught.value).endswith(f"resume '{folder}'")
