"""An archive from a stranger: damaged, changed or made to do harm, it is refused by name."""

import json
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import muse.commands.export
import muse.commands.predict
import muse.commands.train
import muse.runs.archive
from muse.config.compose import load_config
from muse.errors import MuseError
from muse.files import checksum, digest_of
from tests.conftest import stress_package

SMALL = ["task=stress", "target=valence", "features=a", "epochs=1", "seeds=1", "model.hidden=4",
         "model.layers=1", "bootstrap=0", "tensorboard=false", "plots=false",
         "workers=1"]  # fmt: skip
WEIGHTS = "weights/valence.safetensors"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """An archive; the package is beside it."""
    home = tmp_path_factory.mktemp("exported")
    stress_package(home / "data")
    words = [*SMALL, f"data.root={home / 'data'}", f"data.cache={home / 'cache'}"]
    muse.commands.train.run(load_config("train", words, str(home / "run")))
    words = [f"run={home / 'run'}", f"out={home / 'model.zip'}"]
    muse.commands.export.run(load_config("export", words))
    return home / "model.zip"


@pytest.fixture(scope="module")
def config(exported):
    """What `muse predict` is asked for; composing it takes longer than all else."""
    words = ["model=x", f"data.root={exported.parent / 'data'}", "out=x"]
    return load_config("predict", words)


@pytest.fixture
def refused(config, tmp_path, monkeypatch):
    """refused(archive) -> what `muse predict` says; nothing is left or written anywhere."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def refused(archive: Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(MuseError) as error:
            muse.commands.predict.run(replace(config, model=str(archive), out=f"{tmp_path}/out"))
        assert sorted(tmp_path.rglob("*")) == before
        assert str(archive) in str(error.value) and str(temporary) not in str(error.value)
        return str(error.value)

    return refused


def rewritten(exported: Path, out: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with other content."""
    with zipfile.ZipFile(exported) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out


def forged(entries: dict[str, bytes], change: Callable[[dict], None]) -> None:
    """Change result.json and make its checksum right again."""
    result = json.loads(entries["result.json"])
    del result["digest"]
    change(result)
    entries["result.json"] = json.dumps(result | {"digest": digest_of(result)}).encode()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_archive_is_none(exported, tmp_path, refused, kept):
    data, archive = exported.read_bytes(), tmp_path / "cut.zip"
    archive.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    assert "no zip archive, or damaged" in refused(archive)


def test_a_changed_byte_of_the_weights_is_found(exported, tmp_path, refused):
    data = bytearray(exported.read_bytes())
    with zipfile.ZipFile(exported) as archive:
        at = {entry.filename: entry.header_offset for entry in archive.infolist()}
    start = at[WEIGHTS] + 30 + len(WEIGHTS)
    for offset in (start + 5, start + 3000):
        data[offset] ^= 4
        (tmp_path / "changed.zip").write_bytes(data)
        data[offset] ^= 4
        text = refused(tmp_path / "changed.zip")
        assert f"entry '{WEIGHTS}': damaged (Bad CRC-32" in text


def test_changed_weights_are_found_whatever_the_checksums_of_zip_say(exported, tmp_path, refused):
    def change(entries):
        data = bytearray(entries[WEIGHTS])
        data[-1] ^= 1
        entries[WEIGHTS] = bytes(data)

    archive = rewritten(exported, tmp_path / "changed.zip", change)
    assert f"changed.zip/{WEIGHTS}: changed since the model was exported" in refused(archive)


def test_so_are_they_if_the_result_was_changed_with_them(exported, tmp_path, refused):
    def change(entries):
        data = bytearray(entries[WEIGHTS])
        data[-1] ^= 1
        entries[WEIGHTS] = bytes(data)
        forged(entries, lambda result: result["files"].update({WEIGHTS: checksum(bytes(data))}))

    text = refused(rewritten(exported, tmp_path / "changed.zip", change))
    assert f"{WEIGHTS}: damaged, its content does not fit its checksum" in text


CHANGES = {
    "a missing file": (lambda e: e.pop(WEIGHTS), f"{WEIGHTS}: the file is missing"),
    "a foreign file": (lambda e: e.update(x=b"x"), "x: `muse export` has not written this file"),
    "no result": (lambda e: e.pop("result.json"), "no archive of `muse export`"),
    "a result that is none": (lambda e: e.update({"result.json": b"[1]"}), "does not say its form"),
    "a changed result": (
        lambda e: e.update({"result.json": e["result.json"].replace(b"stress", b"strass")}),
        "result.json: damaged or changed by hand",
    ),
    "another format": (
        lambda e: forged(e, lambda result: result.update(exported=2)),
        "has format 2, this muse reads format 1",
    ),
    "a run folder as it is": (
        lambda e: forged(e, lambda result: result.pop("exported")),
        "no archive of `muse export`",
    ),
    "a model that is code": (
        lambda e: _with_config(e, b"muse.models.recurrent.Recurrent", b"os.system"),
        "names the model class os.system, which is not one of muse's",
    ),
    "settings that are filled in": (
        lambda e: _with_config(e, b"title: MuSe-Stress 2021", b"title: ${oc.env:HOME}"),
        "expected plain values, nothing to be filled in",
    ),
    "a tag of Python": (
        lambda e: _with_config(e, b"title: MuSe-Stress 2021", b"title: !!python/name:os.system"),
        "damaged, not valid YAML",
    ),
}


def _with_config(entries: dict[str, bytes], old: bytes, new: bytes) -> None:
    config = entries["config.yaml"].replace(old, new)
    assert config != entries["config.yaml"]
    entries["config.yaml"] = config
    forged(entries, lambda r: r["files"].update({"config.yaml": checksum(config)}))


@pytest.mark.parametrize("what", CHANGES)
def test_an_archive_that_was_changed(exported, tmp_path, refused, what):
    change, expected = CHANGES[what]
    assert expected in refused(rewritten(exported, tmp_path / "changed.zip", change))


NAMES = ["../outside", "/outside", "a/../../outside", "a//b", "./a", "a\\b", "C:/a", "C:a", "a/",
         "a\nb", ""]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_entry_leads_out_of_it(exported, tmp_path, refused, name):
    archive = Path(shutil.copy(exported, tmp_path / "bad.zip"))
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(zipfile.ZipInfo(name), "x")
    text = refused(archive)
    assert f"entry {name!r}: its name leads out of the archive, or is no plain name" in text


def test_nor_by_a_name_that_ends_early(exported, tmp_path, refused):
    data = exported.read_bytes().replace(b"card.json", b"card\0json")
    (tmp_path / "bad.zip").write_bytes(data)
    assert r"entry 'card\x00json': its name leads" in refused(tmp_path / "bad.zip")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_only_plain_files_are_unpacked(exported, tmp_path, refused, kind):
    archive = Path(shutil.copy(exported, tmp_path / "bad.zip"))
    entry = zipfile.ZipInfo("weights/link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(entry, "/etc/passwd")
    assert "entry 'weights/link': it is a link or a special file" in refused(archive)


@pytest.mark.parametrize("name", ["card.json", "CARD.json"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_entry_is_there_twice(exported, tmp_path, refused, name):
    archive = Path(shutil.copy(exported, tmp_path / "bad.zip"))
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(name, "x")
    assert f"entry {name!r}: it is there twice" in refused(archive)


def test_no_file_is_a_folder(exported, tmp_path, refused):
    archive = Path(shutil.copy(exported, tmp_path / "bad.zip"))
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("card.json/a", "x")
    assert "entry 'card.json/a': 'card.json' is a file" in refused(archive)


def test_a_bomb_is_not_unpacked(exported, tmp_path, refused):
    archive = Path(shutil.copy(exported, tmp_path / "bomb.zip"))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as more:
        more.writestr("weights/a.safetensors", bytes(2**24))
    assert "bytes unpacked; expected at most" in refused(archive)


def test_nor_is_one_that_says_it_is_small(exported, tmp_path, refused):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as more:
        more.writestr("weights/a.safetensors", bytes(2**20))
    data = archive.read_bytes().replace(struct.pack("<L", 2**20), struct.pack("<L", 1000))
    archive.write_bytes(data)
    assert "entry 'weights/a.safetensors': damaged" in refused(archive)


def test_its_texts_and_entries_are_bounded(exported, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(muse.runs.archive, "MOST_TEXT", 1000)
    assert "bytes; expected at most 1000" in refused(exported)
    monkeypatch.setattr(muse.runs.archive, "MOST_ENTRIES", 2)
    assert "has 5 entries; expected at most 2" in refused(exported)


@pytest.mark.parametrize(
    ("at", "value", "expected"), [(8, 1, "it is encrypted"), (10, 1, "its compression method is 9")]
)
def test_what_cannot_be_read_is_said(exported, tmp_path, refused, at, value, expected):
    """Flags (8) and method (10) of the first entry, in the list at the end of the archive."""
    data = bytearray(exported.read_bytes())
    start = data.index(b"PK\1\2")
    data[start + at] |= value
    (tmp_path / "bad.zip").write_bytes(data)
    assert f"entry 'MODEL_CARD.md': {expected}" in refused(tmp_path / "bad.zip")


def test_a_folder_or_any_other_file_is_no_archive(tmp_path, refused):
    assert "not a regular file" in refused(tmp_path)
    (tmp_path / "numbers.npy").write_bytes(np.arange(9).tobytes())
    assert "no zip archive" in refused(tmp_path / "numbers.npy")
