"""Transcripts of segments as tokens: a frame for each token, which its id stands for.

A segment becomes what the tokenizer makes of its words: the token that begins a text, those of the
words, and the token that ends it, at most as many as a window has; words behind that are left out.
A segment without words has the first and the last token.
"""

import hashlib
import math
from pathlib import Path

import numpy as np

from muse import terminal
from muse.config.fields import path_of
from muse.data.cache import CachedTable, derived_table
from muse.data.csv_table import Table, read_rows
from muse.errors import Faults, MuseError, raise_faults
from muse.files import read_bytes

RULE = 1  # raise it when the same files give other tokens
EXPECTED = "Expected a transcript: the columns start (ms), segment_id, and word or text."
Words = list[tuple[float, float, str]]  # start in ms, segment_id, word


def token_tables(
    paths: list[Path],
    segments: dict[str, set[float]],
    tokenizer: str,
    length: int | None,
    cache: Path,
    faults: Faults,
) -> list[CachedTable | None]:
    """The tokens of transcripts, from the cache or else made; None for one with a noted fault.

    Args:
        paths: a CSV file for each recording, see `read_words`.
        segments: recording -> the segments that its labels name; some may have no words.
        tokenizer: folder with tokenizer.json, in the format of the library tokenizers.
        length: most tokens of a segment, the first and the last included; None: any number.

    Returns:
        Tables with one column, `token`: float32, which holds whole numbers below 2**24. Tokens are
        evenly spaced in time, from their segment's first word to that of the next segment.

    Raises MuseError for a tokenizer that cannot be used, and as `read_words`.
    """
    file = path_of(tokenizer) / "tokenizer.json"
    content = read_bytes(file, "Expected tokenizer=FOLDER, that of model.weights.")
    encoder = load_tokenizer(file, content, length)
    tables: list[CachedTable | None] = []
    for path in terminal.bar(paths, "tokens", unit="recording"):
        tables.append(None)
        with faults.noted():
            named = sorted(segments.get(path.stem, ()))
            words = read_words(path)
            if not (words or named):
                raise MuseError(f"{path}: no word has a segment_id, and no labels name a segment.")
            digest = _digest(repr((RULE, length, _digest(content), words, named)).encode())
            tables[-1] = derived_table(
                path,
                digest,
                lambda words=words, named=named: _tokens(words, named, encoder),
                cache,
            )
    return tables


def named_segments(labels: dict[str, dict[str, CachedTable | None]]) -> dict[str, set[float]]:
    """Recording -> the segments that have a row in its labels: target -> recording -> table."""
    found: dict[str, set[float]] = {}
    for id_, table in (item for of in labels.values() for item in of.items()):
        ids = table.segments if table else np.array([])
        found.setdefault(id_, set()).update(ids[~np.isnan(ids)].tolist())
    return found


def load_tokenizer(path: Path, content: bytes, length: int | None):
    """The tokenizer of a file's ``content``, made to cut texts at ``length`` tokens, not to pad.

    Raises MuseError if it is none, or none that begins and ends a text with a token.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MuseError(
            "tokenizer= needs the package transformers: pip install 'muse[text]', in a checkout "
            "pip install -c constraints.txt -e '.[text]'."
        ) from None
    try:
        found = Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises no class of its own
        raise MuseError(f"{path}: no tokenizer ({error}). Download it again.") from None
    found.no_padding()
    found.no_truncation()
    added = len(found.encode("").ids)
    if added != 2:
        raise MuseError(
            f"{path}: adds {added} tokens to a text; expected one before it and one behind it, "
            "[CLS] and [SEP], as the tokenizer of an ALBERT does."
        )
    if length is not None:
        if length < 3:
            raise MuseError(f"window={length}: expected 3 or more, of which two are no words.")
        found.enable_truncation(length)
    return found


def read_words(path: Path) -> Words:
    """The words of a transcript that are in a segment, in the order of the file.

    An empty segment_id is outside any segment. A row may have several words, or none: a segment of
    such rows has no words.

    Raises MuseError, with all faults of the file, for columns that are missing, fields that are no
    numbers, words out of order, and a segment that begins again.
    """
    (first, header), *rows = read_rows(path, EXPECTED)
    text = [name for name in ("word", "text") if name in header]
    if len(text) != 1 or not {"start", "segment_id"} <= set(header):
        raise MuseError(f"{path}: row {first} has the columns {', '.join(header)}. {EXPECTED}")
    faults: list[str] = []
    words: Words = []
    seen: set[float] = set()
    for number, row in rows:
        fields = dict.fromkeys(header, "") | dict(zip(header, row, strict=False))
        if not fields["segment_id"]:
            continue
        try:
            start, segment = float(fields["start"]), float(fields["segment_id"])
        except ValueError:
            start = segment = math.nan
        if not (math.isfinite(start) and math.isfinite(segment)):
            found = f"start {fields['start']!r} and segment_id {fields['segment_id']!r}"
            faults.append(f"{path}: row {number}: {found}; expected numbers.")
            continue
        before = words[-1] if words else (start, None, "")
        if start < before[0]:
            faults.append(f"{path}: row {number}: starts before the row above.")
        if segment != before[1] and segment in seen:
            faults.append(
                f"{path}: row {number}: segment {segment:g} begins again; the words of a segment "
                "must follow one another."
            )
        seen.add(segment)
        words.append((start, segment, fields[text[0]]))
    raise_faults(faults)
    return words


def _tokens(words: Words, named: list[float], encoder) -> Table:
    """The tokens of all segments, those of ``named`` without words at their place by number."""
    order = list(dict.fromkeys(segment for _, segment, _ in words))
    lacking = [segment for segment in named if segment not in order]
    order = sorted([*order, *lacking]) if order == sorted(order) else [*order, *lacking]
    tokens, of, times = [], [], []
    time = words[0][0] if words else 0.0
    for segment in order:
        own = [(start, word) for start, number, word in words if number == segment]
        ids = encoder.encode(" ".join(word for _, word in own if word)).ids
        time = own[0][0] if own else time
        tokens += ids
        of += [segment] * len(ids)
        times += [time] * len(ids)
    count, starts = np.arange(len(times)), np.array(times)
    first = np.flatnonzero(np.diff(starts, prepend=-np.inf) > 0)
    knots = np.append(starts[first], times[-1] + len(times) - first[-1])  # the last: 1 ms each
    spaced = np.interp(count, np.append(first, len(times)), knots)
    return Table(["token"], np.array(tokens, np.float32)[:, None], spaced, np.array(of, float))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
