"""A run folder from a stranger: nothing outside it is written, nothing but its files is read."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

import muse.commands.resume
import muse.commands.train
from muse.config.compose import load_config
from muse.errors import MuseError
from muse.files import checksum, digest_of, write_text
from muse.fusion.members import members_of
from muse.runs.folder import set_status
from muse.runs.identity import settings_key
from muse.runs.read import read_run, read_unfinished
from muse.sweep.jobs import run_job
from muse.sweep.leaderboard import report
from tests.conftest import stress_package

SMALL = ("task=stress", "features=a", "target=valence", "epochs=1", "seeds=1", "bootstrap=0",
         "model.hidden=4", "model.layers=1", "standardise=true", "tensorboard=false", "plots=false",
         "workers=1")  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run."""
    home = tmp_path_factory.mktemp("trained")
    stress_package(home / "data")
    words = [*SMALL, f"data.root={home / 'data'}", f"data.cache={home / 'cache'}"]
    muse.commands.train.run(load_config("train", words, str(home / "run")))
    return home / "run"


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of a finished run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def interrupted(finished):
    """The same without its result, as if it had been interrupted; `resume` continues it."""
    (finished / "result.json").unlink()
    set_status(finished, "interrupted")
    return finished


def forge(folder: Path, change) -> None:
    """Change result.json and make its checksum right again."""
    result = json.loads((folder / "result.json").read_text())
    del result["digest"]
    change(result)
    (folder / "result.json").write_text(json.dumps(result | {"digest": digest_of(result)}))


LINKED = ["train.log", "metrics.jsonl", ".status.json.draft", "plots", "predictions/valence",
          "weights/valence.safetensors", "checkpoints", "tensorboard", "."]  # fmt: skip


@pytest.mark.parametrize("name", LINKED)
def test_a_link_in_a_run_folder_is_not_written_through(interrupted, make_config, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    place = interrupted / name
    if name == ".":
        place = tmp_path / "link"
        place.symlink_to(interrupted)
    else:
        if place.exists():
            place.rename(tmp_path / "moved")
        place.symlink_to(outside / "file" if "." in name else outside)
    config = make_config("resume", f"resume={place if name == '.' else interrupted}")
    with pytest.raises(MuseError, match="a link"):
        muse.commands.resume.run(config)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "mine"


def test_nor_in_a_sweep_that_is_continued(make_config, tmp_path, monkeypatch):
    stress_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    config = make_config("train", *SMALL)
    (tmp_path / "outside").mkdir()
    Path("sweep").mkdir()
    Path("sweep", settings_key(config)).symlink_to(tmp_path / "outside")
    assert run_job(config, Path("sweep")) is None
    assert not list((tmp_path / "outside").iterdir())


def test_a_draft_that_was_planted_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for name in (".board.csv.draft", "board.csv"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    write_text(tmp_path / "board.csv", "theirs")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "board.csv").is_symlink()


def test_a_target_that_is_a_path_is_refused(interrupted):
    path = interrupted / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["task"]["targets"] = ["../../../outside"]
    settings["target"] = None
    path.write_text(yaml.safe_dump(settings))
    set_status(interrupted, "interrupted")
    with pytest.raises(MuseError, match="expected a name, not a path"):
        read_unfinished(interrupted)


@pytest.mark.parametrize("key", ["features", "targets", "members"])
def test_so_is_a_name_in_a_result(finished, key):

    def change(result: dict) -> None:
        part = result["targets"]["valence"]
        named = {"features": ["../a"], "targets": {"../a": part}, "members": {"../a": "x"}}
        result[key] = named[key]

    forge(finished, change)
    with pytest.raises(MuseError, match="no result of `muse train`"):
        read_run(str(finished))


@pytest.mark.parametrize("name", ["config.yaml", "result.json", "weights/valence.safetensors"])
def test_only_regular_files_are_read(finished, name):
    (finished / name).unlink()
    os.mkfifo(finished / name)
    with pytest.raises(MuseError, match=r"not a regular file|no run folder|not finished"):
        read_run(str(finished)).file(name)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", ["[1]", "3", '{"status": [1]}', '{"status":', BOMB, "[" * 99999])
def test_a_damaged_status_is_shown_in_the_leaderboard(finished, tmp_path, text):
    (finished / "result.json").unlink()
    (finished / "status.json").write_text(text)
    assert report(tmp_path, show_test=False) == 1


def test_so_is_a_damaged_result(finished, tmp_path, capsys):
    forge(finished, lambda result: result["targets"]["valence"].pop("over_seeds"))
    assert report(tmp_path, show_test=False) == 1
    assert "no result of `muse train`" in capsys.readouterr().out


def test_a_fusion_refuses_a_damaged_result(finished, make_config, tmp_path):
    forge(finished, lambda result: result.update(data=None))
    whole = tmp_path / "whole"
    words = ["task=stress", "target=valence", f"runs=[{finished},{whole}]"]
    with pytest.raises(MuseError, match="no result of `muse train`"):
        members_of(make_config("fuse", *words), [str(finished)])


def test_a_fusion_reads_nothing_through_a_link(finished, make_config, tmp_path):
    path = finished / "predictions/valence/devel/4.csv"
    path.rename(tmp_path / "4.csv")
    path.symlink_to(tmp_path / "4.csv")
    words = ["task=stress", "target=valence", f"runs=[{finished},{tmp_path}]"]
    with pytest.raises(MuseError, match="a link"):
        members_of(make_config("fuse", *words), [str(finished)])


def test_weights_may_be_read_by_whoever_may_read_the_result(finished):
    modes = {path.stat().st_mode for path in finished.rglob("*") if path.is_file()}
    assert len(modes) == 1


def test_drafts_of_a_killed_process_go(interrupted, make_config):
    draft, young = interrupted / "plots/.0123.draft", interrupted / ".4567.draft"
    for path in (draft, young):
        path.write_text("half")
    os.utime(draft, (1e9, 1e9))
    muse.commands.resume.run(make_config("resume", f"resume={interrupted}"))
    assert not draft.exists() and young.exists()
    name = "config.yaml"
    assert read_run(str(interrupted)).result["files"][name] == checksum(
        (interrupted / name).read_bytes()
    )
