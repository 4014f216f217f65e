"""`muse extract fasttext`: words at frames, those without a vector, files that are none."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands import extract as command
from muse.errors import MuseError
from tests.conftest import write

VECTORS = "4 3\n, 9 9 9\nGood 1 2 3\nday 0.5 -1 1e-3\nunused x y z\n"
ROWS = [(0, 700, "Good"), (700, 701, "."), (1000, 1500, "Day!"), (1500, 2500, "Audi")]


@pytest.fixture
def extract(tmp_path, make_config):
    """extract("key=value", ...) runs muse extract fasttext on two transcripts; the folder."""
    write(tmp_path / "in/7.csv", "start,end,word\n", ROWS)
    write(tmp_path / "in/8.csv", "start,end,word\n", ROWS[:3])
    (tmp_path / "en.vec").write_text(VECTORS)

    def call(*words: str) -> Path:
        places = f"source=[{tmp_path}/in]", f"out={tmp_path}/package", f"weights={tmp_path}/en.vec"
        command.run(make_config("extract", "extractor=fasttext", "workers=1", *places, *words))
        return tmp_path / "package/feature_segments/fasttext"

    return call


def test_words_are_repeated_for_their_duration(extract, caplog):
    """Middles of frames at 250, 750, ... ms; "Day!" is day among the vectors."""
    home = extract()
    table = pd.read_csv(home / "7.csv")
    assert list(table) == ["timestamp", "fasttext_0", "fasttext_1", "fasttext_2"]
    expected = [[1, 2, 3], [0, 0, 0], [0.5, -1, 0.001], [0, 0, 0], [0, 0, 0]]
    assert np.allclose(table.to_numpy()[:, 1:], expected)
    assert "7.csv: 1 of 3 words have no vector, such as Audi: zeros." in caplog.text
    about = json.loads((home / "extraction.json").read_text())["settings"]
    assert len(about["weights"]) == 16 and about["at"] == "middle"


def test_segments_are_those_of_the_transcript_unless_the_package_has_rows(extract, tmp_path):
    """The first segment ends at 701 ms, before the middle of the second frame."""
    table = pd.read_csv(extract("text.pause=0.2") / "7.csv")
    assert table.segment_id.fillna(0).tolist() == [1, 0, 2, 2, 2] and table.shape == (5, 5)
    rows = [(250 * k, 4, 0) for k in range(3)]
    write(tmp_path / "package/label_segments/valence/7.csv", "timestamp,segment_id,value\n", rows)
    table = pd.read_csv(extract("text.pause=0.2") / "7.csv")
    assert table.segment_id.tolist() == [4, 4, 4]


def test_a_broken_transcript_stops_no_other(extract, tmp_path):
    write(tmp_path / "in/9.csv", "start,end,word\n", [(5, 4, "day")])
    with pytest.raises(MuseError, match=r"1 of 3 files failed.*\n.*9\.csv: row 2"):
        extract()
    assert len(list((tmp_path / "package/feature_segments/fasttext").glob("*.csv"))) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Good 1 2 3\n", r"line 1 has no two numbers\. .*cc\.en\.300\.vec"),
        (b"4 3\nGood 1 2\n", r"line 2: expected 3 numbers"),
        (b"4 3\nGood 1 2 nan\n", r"line 2: expected 3 numbers"),
        (b"4 3\nGut 1 2 3\n", r"a vector for none of \d+ words"),
        (b"4 3\n\xff\xfe 1 2 3\n", r"no text in UTF-8"),
    ],
)
def test_files_that_are_no_vectors(extract, tmp_path, content, said):
    (tmp_path / "en.vec").write_bytes(content)
    with pytest.raises(MuseError, match=said):
        extract()


def test_a_binary_file_is_refused(extract, tmp_path):
    with pytest.raises(MuseError, match=r"cc\.de\.300\.bin: not a text file"):
        extract(f"weights={tmp_path}/cc.de.300.bin")
