"""Transcripts as tokens: every id, segment and time by hand."""

import sys

import numpy as np
import pytest

from muse.config.shared import DataConfig
from muse.data.recordings import load_package
from muse.data.transcript import load_tokenizer, read_words
from muse.errors import MuseError
from tests.conftest import PARTITION_OF, edit, write
from tests.tiny_albert import write_albert

WORDS = ["the", "car", "is", "fast", "##er", "red", ","]  # ids 4 to 10
LINES = [(100, 150, 1, "The"), (200, 300, 1, "faster"), (300, 400, "", "red"),
         (500, 600, 2, '"red, car"'), (900, 950, 4, "unheard"), (900, 999, 4, "is")]  # fmt: skip


@pytest.fixture
def home(tmp_path):
    """A package of Topic: of the segments 1 to 4 the third has no words."""
    folder = tmp_path / "c2_muse_topic"
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITION_OF.items())
    for id_ in PARTITION_OF:
        path = folder / f"feature_segments/transcript/{id_}.csv"
        write(path, "start,end,segment_id,word\n", LINES)
        rows = [(segment, segment % 3) for segment in (1, 2, 3, 4)]
        write(folder / f"label_segments/valence/{id_}.csv", "segment_id,class_id\n", rows)
    write_albert(tmp_path / "albert", WORDS)
    return tmp_path


@pytest.fixture
def load(make_config, home):
    def load(length=300, targets=("valence",), **options):
        task = make_config("train", "task=topic", "features=x").task
        data = DataConfig(str(home), str(home / "cache"), 1)
        tokenizer = str(home / "albert")
        return load_package(task, [*targets], ["transcript"], {}, data, tokenizer=tokenizer,
                            length=length, **options)  # fmt: skip

    return load


def tokens(recording) -> dict[int, list[int]]:
    """Segment -> its tokens."""
    ids = np.asarray(recording.features[0])[:, 0]
    return {
        int(recording.segments[start]): ids[start : start + count].astype(int).tolist()
        for start, count in recording.samples.tolist()
    }


def test_frames_are_the_tokens_of_each_segment(load):
    package = load()
    assert package.columns == {"transcript": ["token"]}
    recording = package.partitions["devel"][0]
    assert tokens(recording) == {
        1: [2, 4, 7, 8, 3],
        2: [2, 9, 10, 5, 3],
        3: [2, 3],
        4: [2, 1, 6, 3],
    }
    assert recording.labels["valence"].tolist() == [1] * 5 + [2] * 5 + [0] * 2 + [1] * 4
    # evenly from 100 to 500 ms, from there to 900 ms with the segment without words, then 1 ms each
    expected = [100 + 80 * k for k in range(5)] + [500 + 400 / 7 * k for k in range(7)]
    np.testing.assert_allclose(recording.timestamps, [*expected, 900, 901, 902, 903])
    assert package.digest == load(storage="float16").digest  # ids are never rounded


def test_what_is_behind_the_window_is_left_out(load):
    assert tokens(load(4).partitions["test"][0]) == {
        1: [2, 4, 7, 3], 2: [2, 9, 10, 3], 3: [2, 3], 4: [2, 1, 6, 3]
    }  # fmt: skip
    assert all(len(ids) <= 3 for ids in tokens(load(3).partitions["test"][0]).values())
    assert len({load(n).digest for n in (3, 4, 300)}) == 3
    with pytest.raises(MuseError, match="window=2: expected 3 or more"):
        load(2)


def test_segments_without_words_are_there_wherever_labels_name_them(load, home):
    assert tokens(load(targets=[]).partitions["test"][0]).keys() == {1, 2, 3, 4}
    (home / "c2_muse_topic/label_segments/valence/2.csv").unlink()  # of test
    assert tokens(load().partitions["test"][0]).keys() == {1, 2, 4}
    path = home / "c2_muse_topic/feature_segments/transcript/2.csv"
    edit(path, 6, "900,950,3,")
    assert tokens(load().partitions["test"][0])[3] == [2, 3]
    write(path, "start,end,segment_id,word\n", [])
    with pytest.raises(MuseError, match=r"2.csv: no word has a segment_id, and no labels"):
        load()
    path = home / "c2_muse_topic/feature_segments/transcript/4.csv"
    write(path, "start,segment_id,word\n", [])  # nobody speaks
    got = load(ids={"devel": ["4"]}).partitions["devel"][0]
    assert tokens(got) == {s: [2, 3] for s in (1, 2, 3, 4)}
    assert got.timestamps.tolist() == list(range(8))


def test_texts_of_several_words_are_the_same_as_their_words(load, home):
    before = tokens(load().partitions["devel"][0])
    rows = [(0, 1, "the faster"), (1, 2, '"red, car"'), (2, 4, "unheard is")]
    write(home / "c2_muse_topic/feature_segments/transcript/4.csv", "start,segment_id,text\n", rows)
    package = load()
    assert tokens(package.partitions["devel"][0]) == before
    write_albert(home / "albert", WORDS[::-1])
    assert load().digest != package.digest  # another tokenizer


def test_words_that_other_readers_take_for_missing_stay_words(tmp_path):
    write(tmp_path / "1.csv", "start,segment_id,word\n", [(0, 1, "null"), (1, 1, "NA"), (1, 1, "")])
    assert read_words(tmp_path / "1.csv") == [(0, 1, "null"), (1, 1, "NA"), (1, 1, "")]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("start,end,word", [(0, 1, "a")], "row 1 has the columns start, end, word. Expected a"),
        ("start,segment_id,word,text", [(0, 1, "a", "b")], "row 1 has the columns start, segm"),
        ("start,segment_id,word", [(0, 1, "a"), ("x", 1, "b")], "row 3: start 'x' and segment_id"),
        ("start,segment_id,word", [(0, "x", "a")], "row 2: start '0' and segment_id 'x'; expected"),
        ("start,segment_id,word", [("inf", 1, "a")], "row 2: start 'inf' and"),
        ("start,segment_id,word", [(5, 1, "a"), (4, 1, "b")], "row 3: starts before the row above"),
        ("start,segment_id,word", [(0, 1, "a"), (1, 2, "b"), (2, 1, "c")],
         "row 4: segment 1 begins again"),
    ],
)  # fmt: skip
def test_files_that_are_no_transcripts_are_refused(tmp_path, header, rows, message):
    write(tmp_path / "1.csv", f"{header}\n", rows)
    with pytest.raises(MuseError, match=f"1.csv: {message}"):
        read_words(tmp_path / "1.csv")


def test_a_tokenizer_that_does_not_fit_is_refused(home, monkeypatch):
    path = home / "albert/tokenizer.json"
    with pytest.raises(MuseError, match=r"tokenizer.json: no tokenizer \("):
        load_tokenizer(path, b"{}", 300)
    from tokenizers import Tokenizer

    plain = Tokenizer.from_str(path.read_text())
    plain.post_processor = None
    with pytest.raises(MuseError, match="adds 0 tokens to a text; expected one before it and one"):
        load_tokenizer(path, plain.to_str().encode(), 300)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MuseError, match="tokenizer= needs the package transformers: pip install"):
        load_tokenizer(path, path.read_bytes(), 300)


def test_without_a_tokenizer_words_are_no_features(make_config, home):
    config = make_config("train", "task=topic", "features=transcript", f"data.root={home}")
    with pytest.raises(MuseError, match=r"\.csv: words, not numbers; expected tokenizer=FOLDER"):
        load_package(config.task, ["valence"], ["transcript"], {}, config.data)
