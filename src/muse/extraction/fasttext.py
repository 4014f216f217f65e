"""Vectors of fastText for the words of transcripts: `muse extract fasttext`.

Bojanowski et al., Enriching Word Vectors with Subword Information, 2017, as in Stappen et al., MuSe
2020, section 4.3: 300 columns. The published text files (.vec) have one vector per word. Vectors of
other words from their parts, with which that paper finds 96 % of its words, need fastText's own
binary file and are not made: such words get zeros, and a warning counts them.
"""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from muse.config.extract import ExtractConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.extraction.feature_files import Extractor, Times, find_files
from muse.extraction.words import ENDINGS, extract_words, is_word, read_words, settings_of_text
from muse.files import check_regular, checksum_of
from muse.terminal import counted

ADVICE = (
    "Expected the vectors of fastText as text: "
    "https://dl.fbaipublicfiles.com/fasttext/vectors-crawl/cc.en.300.vec.gz (English; cc.de "
    "for German), unpacked by gzip -d, then weights=cc.en.300.vec."
)
RULE = "1"  # raise it when the same files give other numbers
SHOWN = 5  # words without a vector in a warning


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract fasttext` does; MuseError for vectors that cannot be used."""
    words: set[str] = set()
    for path in find_files(config.source, ENDINGS).values():
        try:
            words |= {form for text in read_words(path, config.text).texts for form in forms(text)}
        except MuseError:  # said when its turn comes; the others go on
            continue
    file = _vector_file(config.weights)
    wanted = frozenset(words)
    columns = len(next(iter(read_vectors(file, wanted).values()))) if wanted else 0
    return Extractor(
        ENDINGS,
        {"name": "muse.extraction.fasttext", "version": RULE},
        {"weights": checksum_of(file), **settings_of_text(config.text)},
        lambda path: 2 * 2**20 + len(wanted) * (200 + 4 * columns),
        partial(extract_fasttext, config=config, wanted=wanted),
    )


def extract_fasttext(
    path: Path, times_of: Times, config: ExtractConfig, wanted: frozenset[str]
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording, see `extract_words`.

    Args:
        wanted: the words of all recordings, of which each process reads the vectors once.
    """
    known = read_vectors(_vector_file(config.weights), wanted)

    def vectors(texts: list[str]) -> tuple[np.ndarray, list[str]]:
        return look_up(texts, known)

    return extract_words(path, times_of, config, "fasttext", vectors)


def look_up(texts: list[str], known: dict[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """The vector of each text, zeros without one: (texts, columns) float32; and warnings."""
    columns = len(next(iter(known.values())))
    found = [next((known[form] for form in forms(text) if form in known), None) for text in texts]
    zeros = np.zeros(columns, np.float32)
    spoken = [(text, vector) for text, vector in zip(texts, found, strict=True) if is_word(text)]
    lacking = [text for text, vector in spoken if vector is None]
    notes = []
    if lacking:
        first = ", ".join(list(dict.fromkeys(lacking))[:SHOWN])
        notes.append(
            f"{len(lacking)} of {counted(len(spoken), 'word')} have no vector, such as {first}: "
            "zeros."
        )
    return np.stack([zeros if vector is None else vector for vector in found]), notes


def forms(text: str) -> list[str]:
    """How a word may stand among the vectors: as it is, without punctuation around it, small."""
    inner = text.strip("".join({c for c in text if not c.isalnum()}))
    return [text, inner, text.lower(), inner.lower()]


@lru_cache(maxsize=1)
def read_vectors(path: Path, wanted: frozenset[str]) -> dict[str, np.ndarray]:
    """The vectors of ``wanted`` words in a file of any size: word -> (columns,) float32.

    The file is text: a line with the number of words and of columns, then for each word a line with
    it and its numbers, separated by spaces.

    Raises MuseError for a file of another kind, a damaged line, or one that has none of the words.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            head = file.readline(100).split()
            if len(head) != 2 or not all(number.isdigit() for number in head):
                raise MuseError(f"{path}: line 1 has no two numbers. {ADVICE}")
            columns = int(head[1])
            for number, line in enumerate(file, start=2):
                word, _, numbers = line.partition(" ")
                if word in wanted and word not in found:
                    found[word] = _vector(path, number, numbers, columns)
    except UnicodeDecodeError:
        raise MuseError(f"{path}: no text in UTF-8. {ADVICE}") from None
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}). {ADVICE}") from None
    if not found:
        raise MuseError(
            f"{path}: has a vector for none of {counted(len(wanted), 'word')}. Is it of the "
            "language of the transcripts?"
        )
    return found


def _vector(path: Path, number: int, text: str, columns: int) -> np.ndarray:
    try:
        vector = np.array(text.split(), dtype=np.float32)
    except ValueError:
        vector = np.empty(0)
    if len(vector) != columns or not np.isfinite(vector).all():
        raise MuseError(f"{path}: line {number}: expected {columns} numbers. {ADVICE}")
    return vector


def _vector_file(weights: str | None) -> Path:
    if weights is None:
        raise MuseError(f"weights= is missing. {ADVICE}")
    path = path_of(weights)
    if path.suffix.lower() in (".bin", ".gz", ".zip"):
        raise MuseError(f"weights={path}: not a text file. {ADVICE}")
    check_regular(path, ADVICE)
    return path
