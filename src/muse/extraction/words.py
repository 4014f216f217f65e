"""Words and when they were spoken, from transcripts; and the words of frames.

A transcript is a CSV file with the columns word (or text), start and end, or a TextGrid of a forced
aligner such as the Montreal Forced Aligner.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config.extract import ExtractConfig, TextConfig
from muse.data.csv_table import read_rows
from muse.errors import MuseError, raise_faults
from muse.extraction.feature_files import Times
from muse.extraction.spans import frame_middles

ENDINGS = (".csv", ".textgrid")
EXPECTED = "Expected a transcript: the columns start, end, and word or text."
MILLISECONDS = {"ms": 1.0, "s": 1000.0}
STOPS = (".", "!", "?")  # the ends of sentences
# what aligners write where no word is, or none that they know
NO_WORDS = frozenset(("<eps>", "<unk>", "<sil>", "sil", "sp", "spn", "[noise]", "[laughter]"))


@dataclass(frozen=True)
class Words:
    """The words of a recording in the order of time, punctuation among them."""

    texts: list[str]
    starts: np.ndarray  # (words,) ms
    ends: np.ndarray  # (words,) ms, where the word is over
    topics: list[str]  # what is spoken about, empty where nobody says


def extract_words(
    path: Path, times_of: Times, config: ExtractConfig, name: str, vectors: Callable
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """Vectors of words at frames: repeated for the time of the word, zeros elsewhere.

    As Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 3.5.

    Args:
        path: a transcript. times_of: gets the seconds up to the end of its last word.
        name: of the columns, name_0 and so on.
        vectors: texts -> (words, columns) float32, and warnings.

    Returns:
        Times of the frames (frames,) ms, column -> values (frames,) float32, among them segment_id
        if ``config.text.pause`` makes segments, and warnings.
    """
    words = read_words(path, config.text)
    times = times_of(float(words.ends.max()) / 1000)
    found, notes = vectors(words.texts)
    at = words_of_frames(words, times, config.text.at, config.step)
    values = np.where((at >= 0)[:, None], found[at], np.float32(0))
    columns = {f"{name}_{k}": column for k, column in enumerate(values.T)}
    if config.text.pause is not None:
        columns["segment_id"] = segments_of_frames(words, times, config)
    return times, columns, [f"{path}: {note}" for note in notes]


def settings_of_text(config: TextConfig) -> dict:
    """The settings of transcripts that change features, for the provenance."""
    return {"tier": config.tier, "unit": config.unit, "at": config.at, "pause": config.pause}


def words_of_frames(words: Words, times: np.ndarray, at: str, step: float) -> np.ndarray:
    """The word at each frame: (frames,) int64, -1 where there is none.

    Args:
        words: at least one of them more than punctuation, as `read_words` sees to.
        times: (frames,) ms. at: "middle" or "start" of the frame. step: seconds of a frame that is
            the only one.
    """
    moments = _moments(times, at, step)
    spoken = np.flatnonzero([is_word(text) for text in words.texts])
    last = np.searchsorted(words.starts[spoken], moments, side="right") - 1
    found = spoken[np.maximum(last, 0)]
    return np.where((last >= 0) & (moments < words.ends[found]), found, -1)


def segments_of_frames(words: Words, times: np.ndarray, config: ExtractConfig) -> np.ndarray:
    """The segment that a frame is in: (frames,) float64, from 1; NaN in pauses between segments.

    Sentences about the same topic with less than ``text.pause`` seconds between them are one
    segment: Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 3.1.
    Without punctuation every word may be the end of a sentence.
    """
    sentences = any(text.endswith(STOPS) for text in words.texts)
    moments = _moments(times, config.text.at, config.step)
    ends = np.maximum.accumulate(words.ends)  # of a word and all before it
    found = np.full(len(times), np.nan)
    number, begin = 1, 0
    for k in range(1, len(words.texts) + 1):
        if k < len(words.texts):
            ended = not sentences or words.texts[k - 1].endswith(STOPS)
            paused = words.starts[k] - ends[k - 1] >= 1000 * config.text.pause
            if words.topics[k] == words.topics[k - 1] and not (ended and paused):
                continue
        inside = (moments >= words.starts[begin]) & (moments < ends[k - 1])
        found[inside] = number
        number, begin = number + 1, k
    return found


def _moments(times: np.ndarray, at: str, step: float) -> np.ndarray:
    """When in ms a frame is looked at."""
    return times if at == "start" else 1000 * frame_middles(times, step)[0]


def is_word(text: str) -> bool:
    """Whether a text is more than punctuation."""
    return any(character.isalnum() for character in text)


def read_words(path: Path, config: TextConfig) -> Words:
    """The words of a transcript.

    Raises MuseError, with all faults of the file, for what is no transcript, times that are no
    numbers or run backwards, and a file without words.
    """
    rows = _of_textgrid(path, config) if path.suffix.lower() == ".textgrid" else _of_csv(path)
    factor = 1000.0 if path.suffix.lower() == ".textgrid" else MILLISECONDS[config.unit]
    faults: list[str] = []
    before = -math.inf
    for number, text, start, end, _ in rows:
        if not 0 <= start <= end < math.inf:
            faults.append(
                f"{path}: {number}: {text!r} from {start:g} to {end:g}; expected times of 0 or "
                "more, the end behind the start."
            )
        elif start < before:
            faults.append(f"{path}: {number}: starts before the one above.")
        before = max(before, start)
    raise_faults(faults)
    if not any(is_word(text) for _, text, *_ in rows):
        raise MuseError(f"{path}: there are no words in it. {EXPECTED}")
    _, texts, starts, ends, topics = zip(*rows, strict=True)
    return Words(list(texts), factor * np.array(starts), factor * np.array(ends), list(topics))


def _of_csv(path: Path) -> list[tuple[str, str, float, float, str]]:
    """Row, text, start, end and topic of each word; MuseError with all faults."""
    (first, header), *rows = read_rows(path, EXPECTED)
    text = [name for name in ("word", "text") if name in header]
    if len(text) != 1 or not {"start", "end"} <= set(header):
        raise MuseError(f"{path}: row {first} has the columns {', '.join(header)}. {EXPECTED}")
    faults: list[str] = []
    found = []
    for number, row in rows:
        fields = dict.fromkeys(header, "") | dict(zip(header, row, strict=False))
        if not fields[text[0]] or fields[text[0]].lower() in NO_WORDS:
            continue
        try:
            times = float(fields["start"]), float(fields["end"])
        except ValueError:
            said = f"start {fields['start']!r} and end {fields['end']!r}"
            faults.append(f"{path}: row {number}: {said}; expected numbers.")
            continue
        found.append((f"row {number}", fields[text[0]], *times, fields.get("topic", "")))
    raise_faults(faults)
    return found


def _of_textgrid(path: Path, config: TextConfig) -> list[tuple[str, str, float, float, str]]:
    """Number of the interval, text, start and end in seconds of each word of a tier; no topic."""
    try:
        from praatio import textgrid
    except ImportError:
        raise MuseError(
            f"{path}: TextGrids need the package praatio: pip install 'muse[networks]', in a "
            "checkout pip install -c constraints.txt -e '.[networks]'."
        ) from None
    try:
        grid = textgrid.openTextgrid(str(path), False, "silence", "rename")
    except Exception as error:  # it raises what it likes for a file that is none
        raise MuseError(f"{path}: no TextGrid ({type(error).__name__}: {error}).") from None
    tiers = [tier for tier in grid.tiers if isinstance(tier, textgrid.IntervalTier)]
    tiers = [t for t in tiers if t.name == config.tier] or [
        t
        for t in tiers
        if t.name.endswith(f" - {config.tier}")  # speaker - words
    ]
    if len(tiers) != 1:
        raise MuseError(
            f"{path}: {len(tiers)} tiers of intervals have the name {config.tier}; it has "
            f"{', '.join(grid.tierNames) or 'none'}. Give text.tier=NAME."
        )
    return [
        (f"interval {number}", label, start, end, "")
        for number, (start, end, label) in enumerate(tiers[0].entries, start=1)
        if label and label.lower() not in NO_WORDS
    ]
