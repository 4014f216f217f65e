"""Transcripts as CSV and TextGrid, and the words of frames."""

from importlib.util import find_spec

import numpy as np
import pytest

from muse.config.extract import TextConfig
from muse.errors import MuseError
from muse.extraction.words import read_words, segments_of_frames, words_of_frames
from tests.conftest import write

INTERVALS = [(0.0, 0.5, ""), (0.5, 1.1, 'say ""hi""'), (1.1, 1.4, "sp"), (1.4, 2.25, "für")]


def settings(**own) -> TextConfig:
    return TextConfig(
        **{"unit": "ms", "tier": "words", "at": "middle", "pause": None, "subwords": "mean"} | own
    )


def test_csv_with_times_in_ms_and_s(tmp_path):
    rows = [(100, 200, "Good"), (250, 251, "."), (300, 900, "day")]
    write(tmp_path / "1.csv", "start,end,word\n", rows)
    words = read_words(tmp_path / "1.csv", settings())
    assert words.texts == ["Good", ".", "day"]
    assert words.starts.tolist() == [100, 250, 300] and words.ends.tolist() == [200, 251, 900]
    write(tmp_path / "2.csv", "text,start,end,x\n", [("a", 0.5, 1.25, 7), ("", 2, 3, 7)])
    words = read_words(tmp_path / "2.csv", settings(unit="s"))
    assert words.texts == ["a"] and words.ends.tolist() == [1250]


def test_faults_of_a_csv_name_their_rows(tmp_path):
    rows = [(0, 1, "a"), (5, 4, "b"), (3, "x", "c"), (-1, 0, "d")]
    write(tmp_path / "1.csv", "start,end,word\n", rows)
    with pytest.raises(MuseError, match=r"row 4: start '3' and end 'x'; expected numbers"):
        read_words(tmp_path / "1.csv", settings())
    write(tmp_path / "1.csv", "start,end,word\n", [rows[0], rows[1], rows[3]])
    with pytest.raises(MuseError) as error:
        read_words(tmp_path / "1.csv", settings())
    assert [fault.split(": ")[1] for fault in error.value.faults] == ["row 3", "row 4"]
    write(tmp_path / "1.csv", "start,end,word\n", [(5, 6, "a"), (4, 6, "b")])
    with pytest.raises(MuseError, match="row 3: starts before the one above"):
        read_words(tmp_path / "1.csv", settings())
    write(tmp_path / "1.csv", "start,word\n", [(5, "a")])
    with pytest.raises(MuseError, match=r"columns start, word\. Expected .* start, end, and word"):
        read_words(tmp_path / "1.csv", settings())
    write(tmp_path / "1.csv", "start,end,word\n", [(5, 6, "...")])
    with pytest.raises(MuseError, match="there are no words in it"):
        read_words(tmp_path / "1.csv", settings())


def long_grid(name: str = "words") -> str:
    """A TextGrid as Praat and the Montreal Forced Aligner write it."""
    intervals = "".join(
        f"        intervals [{k}]:\n            xmin = {start} \n            xmax = {end} \n"
        f'            text = "{text}" \n'
        for k, (start, end, text) in enumerate(INTERVALS, start=1)
    )
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0 \nxmax = 2.25 \n'
        "tiers? <exists> \nsize = 1 \nitem []: \n    item [1]:\n"
        f'        class = "IntervalTier" \n        name = "{name}" \n        xmin = 0 \n'
        f"        xmax = 2.25 \n        intervals: size = {len(INTERVALS)} \n{intervals}"
    )


def short_grid(name: str = "words") -> str:
    """The same in the short format: values alone."""
    intervals = "".join(f'{start}\n{end}\n"{text}"\n' for start, end, text in INTERVALS)
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2.25\n<exists>\n1\n'
        f'"IntervalTier"\n"{name}"\n0\n2.25\n{len(INTERVALS)}\n{intervals}'
    )


@pytest.mark.skipif(not find_spec("praatio"), reason="needs muse[networks]")
@pytest.mark.parametrize(
    ("text", "encoding"),
    [(long_grid(), "utf-8"), (short_grid(), "utf-8"), (long_grid("A - words"), "utf-16")],
)
def test_textgrids(tmp_path, text, encoding):
    path = tmp_path / "1.TextGrid"
    path.write_text(text, encoding=encoding)
    words = read_words(path, settings())
    assert words.texts == ['say "hi"', "für"]  # neither the empty interval nor the pause
    assert words.starts.tolist() == [500, 1400] and words.ends.tolist() == [1100, 2250]
    with pytest.raises(
        MuseError, match=r"0 tiers of intervals have the name phones; it has .*text"
    ):
        read_words(path, settings(tier="phones"))
    path.write_text(text[: len(text) // 2], encoding=encoding)
    with pytest.raises(MuseError, match=r"1\.TextGrid: no TextGrid"):
        read_words(path, settings())


def test_the_words_of_frames(tmp_path):
    """Frames of 0.25 s: their middles are at 125, 375, 625, 875, 1125 ms."""
    rows = [(100, 250, "a"), (250, 251, "."), (300, 640, "b"), (700, 875, "c"), (1000, 1125, "d")]
    write(tmp_path / "1.csv", "start,end,word\n", rows)
    words = read_words(tmp_path / "1.csv", settings())
    times = np.arange(5) * 250.0
    assert words_of_frames(words, times, "middle", 0.5).tolist() == [0, 2, 2, -1, -1]
    assert words_of_frames(words, times, "start", 0.5).tolist() == [-1, -1, 2, 3, 4]


def test_sentences_of_one_topic_without_a_long_pause_are_a_segment(tmp_path, make_config):
    """Frames of 1 s: their middles are at 0.5, 1.5, ... s."""
    rows = [(0, 1000, "Hi.", "a"), (2900, 4000, "The", "a"), (6100, 6200, "car.", "a"),
            (8200, 9000, "Yes.", "a"), (9000, 10000, "No.", "b")]  # fmt: skip
    config = make_config("extract", "extractor=bert", "source=x", "out=x", "text.pause=2")
    times = np.arange(11) * 1000.0
    write(tmp_path / "1.csv", "start,end,word,topic\n", rows)
    found = segments_of_frames(read_words(tmp_path / "1.csv", config.text), times, config)
    nan = np.nan  # 1.9 s go on, 2.1 s inside a sentence too, 2 s behind it do not; nor does topic b
    expected = [1, 1, 1, 1, 1, 1, nan, nan, 2, 3, nan]
    assert np.array_equal(found, expected, equal_nan=True)
    write(tmp_path / "1.csv", "start,end,word\n", [(a, b, c[:2]) for a, b, c, _ in rows])
    found = segments_of_frames(read_words(tmp_path / "1.csv", config.text), times, config)
    expected = [1, 1, 1, 1, nan, nan, nan, nan, 3, 3, nan]
    assert np.array_equal(found, expected, equal_nan=True)
