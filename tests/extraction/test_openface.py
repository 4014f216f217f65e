"""Action units of OpenFace: its files, and a stand-in for its program, which is not at hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands import extract as command
from muse.errors import MuseError
from muse.extraction.openface import UNITS, extract_units, extractor


def rows_of(seconds: float = 2.0, rate: int = 30) -> pd.DataFrame:
    """A row per picture: the unit k has the intensity of its row divided by 100, plus k."""
    count = round(seconds * rate)
    table = pd.DataFrame({"frame": np.arange(1, count + 1), "face_id": 0})
    table["timestamp"] = (np.arange(count) / rate).round(3)
    table["confidence"], table["success"] = 0.98, 1
    for k, name in enumerate(UNITS):
        table[name] = np.arange(count) / 100 + k
    table["AU28_c"] = 1
    return table


def write_openface(path: Path, table: pd.DataFrame) -> Path:
    """As OpenFace writes it: a space after each comma."""
    table = table.rename(columns=lambda name: name if name == "frame" else f" {name}")
    table.to_csv(path, index=False)
    return path


def half_seconds(seconds: float) -> np.ndarray:
    return np.arange(int(seconds / 0.5)) * 500.0


def test_the_17_units_at_the_frames(tmp_path):
    """30 rows a second: every 15th; zeros where there is no face."""
    table = rows_of()
    table.loc[10:20, "success"] = 0  # around 0.5 s
    times, columns, notes = extract_units(write_openface(tmp_path / "1.csv", table), half_seconds)
    assert times.tolist() == [0, 500, 1000, 1500]
    assert list(columns) == UNITS and len(UNITS) == 17
    assert UNITS[:3] == ["AU01_r", "AU02_r", "AU04_r"] and UNITS[-1] == "AU45_r"
    for k, values in enumerate(columns.values()):
        assert values == pytest.approx([k, 0, 0.3 + k, 0.45 + k])
    assert notes == [f"{tmp_path / '1.csv'}: OpenFace has no face in 1 of 4 frames: zeros."]


def test_of_several_faces_the_surest(tmp_path):
    table = rows_of()
    other = table.assign(face_id=1, confidence=0.99, **dict.fromkeys(UNITS, 4.5))
    other.loc[30:, "success"] = 0  # not a face any more
    both = pd.concat([table, other]).sort_values(["frame", "face_id"], kind="stable")
    _, columns, notes = extract_units(write_openface(tmp_path / "1.csv", both), half_seconds)
    assert columns["AU01_r"] == pytest.approx([4.5, 4.5, 0.3, 0.45]) and not notes


def test_frames_after_the_recording_are_zeros(tmp_path):
    path = write_openface(tmp_path / "1.csv", rows_of())
    times = np.array([0.0, 1966, 2500])
    _, columns, notes = extract_units(path, lambda _: times)
    assert columns["AU02_r"] == pytest.approx([1, 1.58, 0]) and "1 of 3 frames" in notes[0]
    with pytest.raises(MuseError, match="none of its 1 frames is between 0 and 2 s"):
        extract_units(path, lambda _: times[2:])


def test_files_that_are_not_of_openface(tmp_path):
    path = write_openface(tmp_path / "1.csv", rows_of().drop(columns=["success", "AU45_r"]))
    with pytest.raises(MuseError, match=r"no column success, AU45_r; expected a file of OpenFace"):
        extract_units(path, half_seconds)
    table = rows_of()
    table.loc[3, "AU05_r"] = np.nan
    with pytest.raises(MuseError, match=r"row 5: an empty field"):
        extract_units(write_openface(path, table), half_seconds)


PROGRAM = """#!/bin/sh
# as FeatureExtraction: -f FILE -out_dir FOLDER -of NAME -aus
[ -s "$2" ] || { echo "Failed to open the video file"; exit 1; }
cp "$(dirname "$0")/units.csv" "$4/$6.csv"
"""


@pytest.fixture
def program(tmp_path, monkeypatch) -> None:
    """A program with the name and the arguments of OpenFace's, which copies a table."""
    home = tmp_path / "bin"
    home.mkdir()
    (home / "FeatureExtraction").write_text(PROGRAM)
    (home / "FeatureExtraction").chmod(0o755)
    write_openface(home / "units.csv", rows_of())
    monkeypatch.setenv("PATH", str(home), prepend=":")


def test_videos_go_through_the_program(tmp_path, make_config, program, capsys):
    home = tmp_path / "in"
    home.mkdir()
    (home / "-odd name:1.mp4").write_bytes(b"video")
    (home / "2.mp4").touch()
    write_openface(home / "3.csv", rows_of(1.0))
    own = f"source=[{home}]", f"out={tmp_path}/package", "workers=1"
    with pytest.raises(MuseError, match=r"1 of 3 files failed") as caught:
        command.run(make_config("extract", "extractor=fau", *own))
    reason = f"{home}/2.mp4: OpenFace has failed (Failed to open the video file)."
    assert caught.value.faults[0].startswith(reason)
    written = tmp_path / "package/feature_segments/fau"
    table = pd.read_csv(written / "-odd name:1.csv")
    assert list(table) == ["timestamp", *UNITS] and table.AU02_r.tolist() == [1, 1.15, 1.3, 1.45]
    assert len(pd.read_csv(written / "3.csv")) == 2
    about = json.loads((written / "extraction.json").read_text())
    assert about["tool"]["name"] == "OpenFace" and about["settings"]["columns"] == UNITS


def test_without_openface(tmp_path, make_config, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "1.mp4").write_bytes(b"video")
    own = f"source=[{tmp_path}/1.mp4]", f"out={tmp_path}/package"
    with pytest.raises(MuseError, match="OpenFace 2, whose program FeatureExtraction is not on"):
        extractor(make_config("extract", "extractor=fau", *own))
    write_openface(tmp_path / "2.csv", rows_of())
    own = f"source=[{tmp_path}/2.csv]", f"out={tmp_path}/package"
    assert extractor(make_config("extract", "extractor=fau", *own)).tool["name"] == "OpenFace"
