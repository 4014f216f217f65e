"""Checks between the files of a package: rows and columns must correspond."""

import logging

import numpy as np

from muse.data.cache import CachedTable
from muse.errors import MuseError, raise_faults

SHOWN = 3  # recordings that a warning names
log = logging.getLogger(__name__)


def check_rows(first: CachedTable, other: CachedTable) -> None:
    """Raise MuseError unless both files have the same timestamps row by row."""
    faults = []
    count = min(len(first.timestamps), len(other.timestamps))
    wrong = np.flatnonzero(first.timestamps[:count] != other.timestamps[:count])
    if len(wrong):
        row = wrong[0]
        faults.append(
            f"{other.path}: row {row + 2} has timestamp {other.timestamps[row]:g}, the same row of "
            f"{first.path} has {first.timestamps[row]:g}{_and_others(wrong)}. Rows must correspond "
            f"one to one.{_advice(other)}"
        )
    if len(first.timestamps) != len(other.timestamps):
        faults.append(
            f"{other.path}: {len(other.timestamps)} rows below the header, but {first.path} has "
            f"{len(first.timestamps)}. Rows must correspond one to one.{_advice(other)}"
        )
    raise_faults(faults)


def check_segments(first: CachedTable, other: CachedTable) -> None:
    """Raise MuseError unless both files have the same segment_id row by row."""
    count = min(len(first.segments), len(other.segments))
    one, two = first.segments[:count], other.segments[:count]
    wrong = np.flatnonzero((one != two) & ~(np.isnan(one) & np.isnan(two)))
    if len(wrong):
        row = wrong[0]
        raise MuseError(
            f"{other.path}: row {row + 2} has segment_id {other.segments[row]:g}, the same row of "
            f"{first.path} has {first.segments[row]:g} (nan: none){_and_others(wrong)}."
        )


def _advice(table: CachedTable) -> str:
    """Of a feature set: how sets with other rows are used."""
    own = table.path.parent.parent.name == "feature_segments"
    return " A feature set with time steps of its own needs align=labels." * own


def _and_others(rows: np.ndarray) -> str:
    return f" ({len(rows)} rows differ)" if len(rows) > 1 else ""


def common_columns(tables: list[CachedTable]) -> list[str]:
    """Return the feature names that all recordings share, or raise MuseError for those that differ.

    Feature files need timestamps; one without them is refused here, too.
    """
    faults = []
    for table in tables:
        if np.isnan(table.timestamps).any():
            faults.append(
                f"{table.path}: no column timestamp; expected timestamp, segment_id, then features "
                "(words with start and end need align=labels or align=words)."
            )
        first = tables[0]
        if table.columns != first.columns:
            theirs, ours = len(table.columns), len(first.columns)
            what = f"{theirs} features, {first.path} has {ours}"
            if theirs == ours:
                k = next(k for k in range(ours) if table.columns[k] != first.columns[k])
                what = f"feature {table.columns[k]!r} where {first.path} has {first.columns[k]!r}"
            faults.append(f"{table.path}: {what}. All recordings need the same columns.")
    raise_faults(faults)
    return tables[0].columns if tables else []


def report_missing(tables: dict[tuple[str, str], CachedTable | None], missing: str) -> None:
    """Log how many feature values are NaN; if ``missing`` is `error`, raise MuseError.

    With `keep` nothing is said.

    Args:
        tables: (feature set, recording id) -> table.
    """
    for name in dict.fromkeys(name for name, _ in tables):
        gaps = [t for (own, _), t in tables.items() if own == name and t and t.missing]
        if not gaps:
            continue
        row, column = gaps[0].first_missing
        count = sum(table.missing for table in gaps)
        text = f"{name}: {count} missing values in {len(gaps)} recordings, the first in "
        text += f"{gaps[0].path}, row {row}, column {column}"
        if missing == "error":
            raise MuseError(f"{text}. Fill them in, or let missing=zero set them to zero.")
        if missing == "zero":
            log.warning("%s; zero is used (missing=error refuses them).", text)
        if missing == "drop":
            log.warning("%s; such frames of train and devel are left out, zero on test.", text)


def report_lacking(name: str, ids: list[str]) -> None:
    """Log which recordings have no file of a feature set, if there are any."""
    if ids:
        more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
        listed = ", ".join(ids[:SHOWN])
        log.warning("%s: no file of recording %s%s; it is zero there.", name, listed, more)


def reference(tables: list[CachedTable]) -> CachedTable:
    """The table that most agree with, so that one faulty file is not told of all the others."""
    votes: dict[bytes, list[CachedTable]] = {}
    for table in tables:
        votes.setdefault(table.timestamps.tobytes(), []).append(table)
    return max(votes.values(), key=len)[0]
