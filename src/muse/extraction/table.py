"""Ratings and features from long CSV files of one's own, as labels or a feature set of a package.

The first import of a recording makes its frames. Every later one, of another target or feature set,
gets the same rows, so labels and features correspond one to one.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from muse import terminal
from muse.config.fields import path_of
from muse.config.importing import ImportConfig
from muse.config.shared import PARTITIONS
from muse.data.csv_table import LISTED, parse_table
from muse.data.layout import SYNTHETIC_MARK, check_not_empty, is_name, read_partition_file
from muse.errors import Faults, MuseError, raise_faults
from muse.extraction.resample import new_frames, to_frames
from muse.extraction.table_files import Trace, read_traces, shortened
from muse.files import check_free, new_folder, read_bytes, write_rows, write_text

log = logging.getLogger(__name__)

Notes = dict[str, list[str]]  # kind of warning -> what it is about, a text per recording
COARSE = 20  # frames from row to row; with more the unit is probably wrong


@dataclass(frozen=True)
class Rows:
    """The frames of a recording in the package, and its values in them."""

    times: np.ndarray  # (frames,) ms
    segments: np.ndarray | None  # (frames,) segment_id, NaN outside any; None: there are none
    values: np.ndarray  # (frames, columns) float64


def import_table(config: ImportConfig) -> tuple[Path, dict[str, Rows], dict[str, str]]:
    """Write the labels or the feature set into the package, whole or not at all.

    Returns:
        The folder that was written, recording id -> what is in its file, and id -> partition.

    Raises:
        MuseError: all faults of the files, with row; recordings without a partition or the other
            way round; gaps that are too long; what is there already.
    """
    package = path_of(config.out) / config.task.folder
    kind, name = "label_segments", config.target
    if config.features is not None:
        kind, name = "feature_segments", config.features
    if not is_name(name):
        raise MuseError(f"{name!r}: expected the name of a target or feature set, no path.")
    check_free(package / kind / name)
    if (package / SYNTHETIC_MARK).exists():
        raise MuseError(f"{package}: a synthetic package; give another out= for data of your own.")
    columns, traces = read_traces(config)
    partitions = partitions_of(config, package, list(traces))
    left_out = [id_ for id_ in traces if id_ not in partitions]
    if left_out:
        log.warning("left out, since they are in no partition: %s", shortened(left_out))
    lacking = [id_ for id_, partition in partitions.items() if id_ not in traces
               and (partition != "test" or config.features is not None)]  # fmt: skip
    faults = Faults(stop=False)
    faults.found += [f"no rows of recording {id_}, which is in a partition." for id_ in lacking]
    found: dict[str, Rows] = {}
    notes: Notes = defaultdict(list)
    for id_ in terminal.bar([id_ for id_ in partitions if id_ in traces], "recordings"):
        with faults.noted():
            found[id_] = _in_frames(
                config, columns, traces[id_], rows_in_package(package, id_), notes
            )
    for alike in notes.values():
        log.warning("%s", terminal.first_of(alike))
    raise_faults(faults.found)
    if not found:
        raise MuseError(f"{package}: no recording of the files has a partition.")
    with new_folder(package / kind / name) as draft:
        headings = columns if config.features is not None else ["value"]
        for id_, rows in found.items():
            values = dict(zip(headings, rows.values.T.astype(np.float32), strict=True))
            write_rows(draft / f"{id_}.csv", rows.times, rows.segments, values)
        if not (package / "metadata" / "partition.csv").exists():
            lines = "".join(f"{id_},{partition}\n" for id_, partition in partitions.items())
            write_text(package / "metadata" / "partition.csv", f"Id,Partition\n{lines}")
    return package / kind / name, found, partitions


def partitions_of(config: ImportConfig, package: Path, ids: list[str]) -> dict[str, str]:
    """Recording id -> partition: of the package, else of the setting `partition`.

    Raises MuseError if there is neither, or both differ.
    """
    there, given = package / "metadata" / "partition.csv", config.partition
    if isinstance(given, list):
        order = np.random.default_rng(config.seed).permutation(len(ids))
        ends = np.round(np.cumsum(given) * len(ids)).astype(int)
        if min(np.diff(ends, prepend=0)) < 1:
            raise MuseError(
                f"partition={given}: {len(ids)} recordings are too few; each partition needs one."
            )
        parts = np.searchsorted(ends, np.argsort(order), side="right")
        chosen = {id_: PARTITIONS[part] for id_, part in zip(ids, parts, strict=True)}
    elif given is not None:
        chosen = _by_id(path_of(given))
    if not there.exists():
        if given is None:
            raise MuseError(
                f"{there}: not there yet. Give partition=FILE, a CSV file with a header and rows "
                "id,partition (train, devel or test), or shares: partition=[0.6,0.2,0.2]"
            )
        return chosen
    if given is not None and chosen != _by_id(there):
        raise MuseError(f"partition={given}: differs from {there}. Leave partition= out.")
    return _by_id(there)


def _by_id(path: Path) -> dict[str, str]:
    partitions = read_partition_file(path)
    check_not_empty(path, partitions)
    return {id_: part for part, ids in partitions.items() for id_ in ids}


def rows_in_package(package: Path, id_: str, but: Path | None = None) -> tuple[Path, Rows] | None:
    """The file whose rows a recording has in the package; labels come before features.

    Args:
        but: a feature set that is left out, since its rows follow the others.

    Raises MuseError for a file that is damaged or has no timestamps.
    """
    for kind in ("label_segments", "feature_segments"):
        for path in sorted((package / kind).glob(f"[!.]*/{id_}.csv")):
            if path.parent == but:
                continue
            table = parse_table(path, read_bytes(path))
            if np.isnan(table.timestamps).any():
                raise MuseError(f"{path}: no column timestamp; the new rows cannot follow it.")
            segments = None if np.isnan(table.segments).all() else table.segments
            return path, Rows(table.timestamps, segments, np.empty(0))
    return None


def _in_frames(
    config: ImportConfig,
    columns: list[str],
    trace: Trace,
    there: tuple[Path, Rows] | None,
    notes: Notes,
) -> Rows:
    """The values at the rows that are there, or else at frames of its own; warnings as notes."""
    pace = _pace(config, trace, there)
    times, first = trace.times, trace.times[0]
    if there is None:
        frames = new_frames(times, pace)
        rows = Rows(frames, np.ones(len(frames)), np.empty(0))
    else:
        rows = there[1]
    values = np.full((len(rows.times), len(columns)), np.nan)
    missing = np.isnan(trace.values)
    patterns, which = np.unique(missing, axis=1, return_inverse=True)
    bridged: set[tuple[float, float]] = set()
    for k, pattern in enumerate(patterns.T):
        of = np.flatnonzero(which.reshape(-1) == k)
        if pattern.all():
            continue
        found, gaps = to_frames(times[~pattern] - first, trace.values[~pattern][:, of],
                                rows.times - first, pace, 1000 * config.max_gap)  # fmt: skip
        values[:, of] = found
        bridged |= set(gaps)
    if bridged:
        ends = [(a + first, b + first) for a, b in sorted(bridged)]
        notes["interpolated"].append(f"{trace.where}: interpolated {_spans(ends)}")
    return _without_gaps(config, columns, trace, there, replace(rows, values=values), notes)


def _pace(config: ImportConfig, trace: Trace, there: tuple[Path, Rows] | None) -> float:
    """Milliseconds from frame to frame; MuseError if they cannot be right."""
    pace = 1000 * config.step if config.step else None
    if there is not None and len(there[1].times) > 1:
        own = float(np.median(np.diff(there[1].times)))
        if pace and not 0.99 * own <= pace <= 1.01 * own:
            raise MuseError(
                f"{there[0]}: a row every {own / 1000:g} s, not step={config.step:g}. The new rows "
                "must be the same: give step=null."
            )
        pace = own
    if pace is None:
        raise MuseError(f"{trace.where}: no rows of it in the package yet; give step=SECONDS.")
    length = trace.times[-1] - trace.times[0]
    if length < pace:
        raise MuseError(
            f"{trace.where}: {length / 1000:g} s from the first row to the last, less than a frame "
            f"of {pace / 1000:g} s. Is unit={config.unit} right?"
        )
    usual = float(np.median(np.diff(trace.times)))
    if usual > COARSE * pace:
        raise MuseError(
            f"{trace.where}: a row every {usual / 1000:g} s for frames of {pace / 1000:g} s. Is "
            f"unit={config.unit} right? If so, give a larger step."
        )
    return pace


def _without_gaps(
    config: ImportConfig,
    columns: list[str],
    trace: Trace,
    there: tuple[Path, Rows] | None,
    rows: Rows,
    notes: Notes,
) -> Rows:
    """The rows with what the setting `gaps` makes of frames without a value."""
    lacking = np.isnan(rows.values)
    frames = lacking.any(axis=1)
    if not frames.any():
        return rows
    runs_ = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames)) + 1)
    spans = _spans([(rows.times[r[0]], rows.times[r[-1]]) for r in runs_ if frames[r[0]]])
    of = f" of {shortened([columns[k] for k in np.flatnonzero(lacking.any(axis=0))])}"
    text = f"{trace.where}: no value{of} at {frames.sum()} of {len(frames)} frames: {spans}"
    if config.gaps == "empty":
        notes["empty"].append(f"{text}; the fields are empty")
        return rows
    if config.gaps == "drop" and there is None and not frames.all():
        notes["drop"].append(f"{text}; left out, segment_id counts the parts between")
        kept = np.flatnonzero(~frames)
        parts = 1.0 + np.cumsum(np.diff(kept, prepend=kept[0] - 1) > 1)
        return Rows(rows.times[kept], parts, rows.values[kept])
    advice = [f"a larger max_gap than {config.max_gap:g} s interpolates"]
    advice += ["gaps=drop leaves the frames out"] if there is None else []
    advice += ["gaps=empty leaves the fields empty"] if config.features is not None else []
    place = f" (the rows are those of {there[0]})" if there else ""
    raise MuseError(f"{text}{place}; {', '.join(advice)}.")


def _spans(ends: list[tuple[float, float]]) -> str:
    """Times of gaps in words, ``ends`` in ms."""
    words = [f"{a / 1000:g} to {b / 1000:g} s" for a, b in ends[:LISTED]]
    more = len(ends) - LISTED
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
