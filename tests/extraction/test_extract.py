"""`muse extract`: files side by side, provenance, going on, and files that fail."""

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands import extract as command
from muse.config.shared import TaskConfig
from muse.data.recordings import load_package
from muse.errors import MuseError
from muse.extraction import hrv
from tests.conftest import write
from tests.extraction.test_hrv import beats_of, ecg_of, write_ecg

pytestmark = pytest.mark.skipif(not find_spec("neurokit2"), reason="needs muse[hrv]")


@pytest.fixture
def recordings(tmp_path) -> Path:
    home = tmp_path / "ecg"
    home.mkdir()
    for name, mean in (("1", 0.7), ("2", 0.8), ("10", 0.9)):
        write_ecg(home / f"{name}.csv", ecg_of(beats_of(mean, 0.03, 12), 12))
    return home


@pytest.fixture
def extract(tmp_path, make_config, recordings):
    """extract("key=value", ...) runs muse extract hrv on the recordings."""

    def call(*words: str, workers: int = 1) -> Path:
        own = f"source=[{recordings}]", f"out={tmp_path}/package", f"workers={workers}"
        command.run(make_config("extract", "extractor=hrv", *own, *words))
        return tmp_path / "package/feature_segments/phys"

    return call


def test_a_file_per_recording_and_where_it_comes_from(extract, capsys):
    home = extract()
    assert "3 recordings written" in capsys.readouterr().out
    table = pd.read_csv(home / "10.csv")
    assert table.timestamp.tolist() == [500 * k for k in range(24)] and table.shape == (24, 22)
    about = json.loads((home / "extraction.json").read_text())
    assert about["tool"]["name"] == "neurokit2" and about["settings"]["window"] == 4
    assert list(about["files"]) == ["1", "10", "2"]


@pytest.mark.slow
def test_processes_give_the_same(extract, tmp_path):
    home = extract()
    alone = {path.name: path.read_bytes() for path in home.iterdir()}
    home.rename(tmp_path / "alone")
    extract(workers=2)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == alone


def test_rows_are_those_of_the_package(extract, tmp_path):
    """Labels every 0.25 s from 1 s on, with segments: so are the features."""
    rows = [(1000 + 250 * k, 1 + k // 8, 0) for k in range(16)]
    for id_ in ("1", "2", "10"):
        path = tmp_path / f"package/label_segments/valence/{id_}.csv"
        write(path, "timestamp,segment_id,value\n", rows)
    table = pd.read_csv(extract() / "2.csv")
    assert table.timestamp.tolist() == [row[0] for row in rows]
    assert table.segment_id.tolist() == [row[1] for row in rows]


def test_only_what_has_changed_is_made_again(extract, recordings, monkeypatch, capsys):
    home = extract()
    (home / "2.csv").unlink()  # as if it had been stopped before
    write_ecg(recordings / "10.csv", ecg_of(beats_of(0.6, 0.03, 12), 12))
    read = []
    original = hrv._signals
    monkeypatch.setattr(
        hrv, "_signals", lambda path, *a: (read.append(path.stem), original(path, *a))[1]
    )
    extract()
    assert sorted(read) == ["10", "2"]
    assert "2 recordings written, 1 were there already" in capsys.readouterr().out


def test_rows_that_come_later_are_followed(extract, tmp_path, capsys):
    """Labels imported after the features: the same command brings them to the same rows."""
    home = extract()
    rows = [(1000 + 250 * k, 1, 0) for k in range(16)]
    write(tmp_path / "package/label_segments/valence/2.csv", "timestamp,segment_id,value\n", rows)
    extract()
    assert "1 recording written, 2 were there already" in capsys.readouterr().out
    assert pd.read_csv(home / "2.csv").timestamp.tolist() == [row[0] for row in rows]


def test_one_broken_file_stops_no_other(extract, recordings):
    (recordings / "3.csv").write_text("timestamp,ECG,RESP\n0,x,0\n")
    (recordings / "4.csv").write_bytes(b"")
    with pytest.raises(MuseError, match=r"2 of 5 files failed; the others are done") as error:
        extract()
    assert "3.csv: row 2, column ECG: 'x' is not a number" in str(error.value)
    assert "4.csv: the file is empty" in str(error.value)
    home = recordings.parent / "package/feature_segments/phys"
    assert sorted(path.name for path in home.glob("*.csv")) == ["1.csv", "10.csv", "2.csv"]


def test_a_tool_that_crashes_stops_no_other(extract, monkeypatch):
    original = hrv.find_peaks

    def find_peaks(ecg, rate):
        if len(find_peaks.calls) == 1:
            find_peaks.calls.append(0)
            raise ZeroDivisionError("division by zero")
        find_peaks.calls.append(0)
        return original(ecg, rate)

    find_peaks.calls = []
    monkeypatch.setattr(hrv, "find_peaks", find_peaks)
    with pytest.raises(
        MuseError, match=r"(?s)1 of 3 files failed.*2\.csv: ZeroDivisionError: division"
    ):
        extract()


def test_features_of_another_way_are_not_mixed(extract):
    home = extract()
    with pytest.raises(MuseError, match=r"made in another way \(window was 4\.0, is 5\.0\)"):
        extract("window=5")
    (home / "extraction.json").unlink()
    with pytest.raises(MuseError, match="features that muse extract has not made"):
        extract()


def test_sources(extract, recordings, tmp_path):
    with pytest.raises(MuseError, match=r"nowhere: there is no such file or folder"):
        extract(f"source=[{tmp_path}/nowhere]")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MuseError, match=r"empty: no files with the ending \.csv"):
        extract(f"source=[{tmp_path}/empty]")
    (tmp_path / "empty" / "2.csv").write_text("x")
    with pytest.raises(MuseError, match=r"recording 2 has another file"):
        extract(f"source=[{recordings},{tmp_path}/empty]")


def test_the_features_can_be_trained_on(extract, make_config, tmp_path):
    """Empty fields of frames without a trusted heart rate are zeros, as elsewhere."""
    extract()
    for id_ in ("1", "2", "10"):
        path = tmp_path / f"package/label_segments/valence/{id_}.csv"
        write(path, "timestamp,value\n", [(500 * k, k) for k in range(24)])
    partitions = {"1": "train", "2": "devel", "10": "test"}
    write(tmp_path / "package/metadata/partition.csv", "Id,Partition\n", partitions.items())
    config = make_config("train", "task=stress", "task.folder=package", "features=phys",
                         f"data.root={tmp_path}", "target=valence")  # fmt: skip
    assert isinstance(config.task, TaskConfig)
    package = load_package(config.task, ["valence"], ["phys"], {}, config.data)
    assert np.isfinite(package.partitions["train"][0].features[0]).all()
    assert len(package.columns["phys"]) == 21


@pytest.mark.slow
def test_killed_and_begun_again(recordings, tmp_path):
    """Whatever moment it is killed at, there are whole files only, and the rest is made later."""
    for k in range(20):
        write_ecg(recordings / f"a{k}.csv", ecg_of(beats_of(0.8, 0.03, 12), 12))
    words = ["extract", "hrv", f"in={recordings}"]
    whole, home = tmp_path / "whole", tmp_path / "package"
    subprocess.run([sys.executable, "-m", "muse", *words, f"out={whole}"], check=True)
    written: list[Path] = []
    for number in (1, 9):
        process = subprocess.Popen([sys.executable, "-m", "muse", *words, f"out={home}"])
        while len(written) < number and process.poll() is None:
            written = [*home.glob("feature_segments/phys/[!.]*.csv")]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert all(pd.read_csv(path).shape == (24, 22) for path in written)
    subprocess.run([sys.executable, "-m", "muse", *words, f"out={home}"], check=True)
    for path in (whole / "feature_segments/phys").glob("[!.]*"):
        assert (home / "feature_segments/phys" / path.name).read_bytes() == path.read_bytes()
