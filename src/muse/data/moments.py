"""Mean and deviation of columns, kept in the cache: a second start reads no feature for them."""

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.data.cache_files import write_in_cache
from muse.errors import MuseError
from muse.files import checksum, read_regular

MARK = 16  # bytes of a checksum


@dataclass(frozen=True)
class Moments:
    """Of some frames, per column: (columns,) float64 each, NaN left out."""

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray  # sum of squared deviations from the mean

    def merge(self, other: "Moments") -> "Moments":
        """Of the frames of both (Chan, Golub and LeVeque 1983)."""
        count = np.maximum(self.count + other.count, 1)
        shift = other.mean - self.mean
        mean = self.mean + shift * other.count / count
        squares = self.squares + other.squares + shift**2 * self.count * other.count / count
        return Moments(self.count + other.count, mean, squares)

    def split(self, parts: int) -> "list[Moments]":
        """Of so many equal parts of the columns, which lie side by side."""
        each = (np.split(x, parts) for x in (self.count, self.mean, self.squares))
        return [Moments(*part) for part in zip(*each, strict=True)]


def moments_of(values: np.ndarray, rows: np.ndarray) -> Moments:
    """Moments of ``rows`` (frames,) of values (all rows, columns), in two passes.

    A row that is there several times counts as often.
    For a memory map of the cache they are stored beside it.
    """
    kept = _file(values, rows)
    if kept and kept.exists():
        with suppress(OSError, ValueError, EOFError):
            data = read_regular(kept)
            if data[-MARK:] == _mark(kept, data[:-MARK]):  # else damaged: they are made again
                return Moments(*np.load(io.BytesIO(data), allow_pickle=False))
    whole = np.array_equal(rows, np.arange(len(values)))
    chosen = np.asarray(values if whole else values[rows], dtype=np.float64)
    count = (~np.isnan(chosen)).sum(axis=0).astype(float)
    mean = np.nansum(chosen, axis=0) / np.maximum(count, 1)
    chosen -= mean
    moments = Moments(count, mean, np.nansum(np.square(chosen, out=chosen), axis=0))
    if kept:
        with suppress(MuseError):  # a cache that may only be read costs time, nothing else
            data = io.BytesIO()
            np.save(data, np.stack([moments.count, moments.mean, moments.squares]))
            marked = data.getvalue() + _mark(kept, data.getvalue())
            write_in_cache(kept, lambda file: file.write(marked))
    return moments


def _mark(kept: Path, data: bytes) -> bytes:
    """The checksum at the end of a file of moments; with its name, since files may be swapped."""
    return checksum(kept.name.encode() + data).encode()


def _file(values: np.ndarray, rows: np.ndarray) -> Path | None:
    """Where the moments of these rows are kept; None if the values are not in the cache."""
    name = getattr(values, "filename", None)
    if not name:
        return None
    which = hashlib.blake2b(rows.astype("<i8").tobytes(), digest_size=8).hexdigest()
    return Path(name).with_suffix(f".moments_{which}.npy")
