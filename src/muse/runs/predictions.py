"""What finished runs have predicted of the same recordings, with the labels they have kept."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from muse.config.shared import PARTITIONS
from muse.data.cache import CachedTable
from muse.data.checks import check_rows, check_segments
from muse.data.csv_table import parse_table
from muse.data.heads import head_of
from muse.data.recordings import Recording, build_recording
from muse.errors import MuseError
from muse.files import checksum, read_regular
from muse.runs.read import SavedRun

ALL = "all"  # the recordings of all partitions, of runs whose predictions are all out-of-fold


def load_together(runs: Sequence[SavedRun], target: str, partition: str) -> list[Recording]:
    """The recordings that have labels, with the predictions of each run as a feature set.

    Args:
        runs: of one task, see `muse.files.check_plain`.
        partition: train, devel, test or all.

    Returns:
        Recordings in the order of their ids. The k-th feature set has the values of the k-th run
        for the target, see `muse.data.heads`.

    Raises:
        MuseError: a run without a score of the partition; runs with other recordings, frames or
            labels; a file that was changed, or holds something else; `all` of a run that was
            trained on some of its recordings.
    """
    found = [_labelled(run, target, partition) for run in runs]
    for run, ids in zip(runs, found, strict=True):
        _check_ids(runs[0], found[0], run, ids)
    task, recordings = runs[0].config.task, []
    for id_ in sorted(found[0], key=lambda id_: (len(id_), id_)):  # 2 before 10
        names = [ids[id_] for ids in found]
        tables = [
            _read(run, name, "labels", ["value"]) for run, name in zip(runs, names, strict=True)
        ]
        for run, table in zip(runs[1:], tables[1:], strict=True):
            _check_labels(runs[0], tables[0], run, table)
        head = head_of(task, targets=[target])
        predicted = [
            _read(run, name, head.folder, head.columns(head.outputs[0]))
            for run, name in zip(runs, names, strict=True)
        ]
        part = PurePosixPath(names[0]).parts[1]
        recordings.append(build_recording(task, part, id_, predicted, {target: tables[0]}))
    return recordings


def _labelled(run: SavedRun, target: str, partition: str) -> dict[str, str]:
    """Recording id -> TARGET/PARTITION/ID.csv, of which the run has labels."""
    if partition == ALL and not run.result.get("folds"):
        raise MuseError(
            f"partition=all: {run.folder} was trained on the recordings of train. Compare on devel;"
            " all is for cross-validation, where no model has seen what it predicts."
        )
    if partition != ALL and run.result["targets"][target].get(partition) is None:
        raise MuseError(
            f"partition={partition}: {run.folder} has no {partition} score of {target}, since it "
            "has no labels or no predictions there that can be scored. Leave the run out."
        )
    partitions = PARTITIONS if partition == ALL else (partition,)
    homes = {PurePosixPath("labels", target, part) for part in partitions}
    names = [PurePosixPath(name) for name in run.result["files"]]
    return {n.stem: str(n.relative_to("labels")) for n in names
            if n.parent in homes and n.suffix == ".csv"}  # fmt: skip


def _check_ids(first: SavedRun, expected: dict, run: SavedRun, ids: dict) -> None:
    for id_ in sorted(expected.keys() ^ ids.keys()):
        here, there = (first, run) if id_ in expected else (run, first)
        name = f"labels/{expected.get(id_) or ids[id_]}"
        raise MuseError(
            f"{here.folder / name}: {there.folder} has no such recording. Compare runs on the same "
            "recordings."
        )


def _check_labels(
    first: SavedRun, expected: CachedTable, run: SavedRun, table: CachedTable
) -> None:
    """Raise MuseError unless the labels of a recording are those of the first run."""
    check_rows(expected, table)
    check_segments(expected, table)
    wrong = np.flatnonzero(expected.values != table.values)
    if len(wrong):
        raise MuseError(
            f"{table.path}: row {wrong[0] + 2} has label {table.values[wrong[0], 0]:g}, the same "
            f"row of {expected.path} has {expected.values[wrong[0], 0]:g}. Compare runs on the "
            "same labels."
        )


def _read(run: SavedRun, name: str, kind: str, columns: list[str]) -> CachedTable:
    """A CSV file of a run; it is read once, so it needs no cache."""
    name = f"{kind}/{name}"
    if name not in run.result["files"]:
        raise MuseError(f"{run.folder / name}: the run has no such file. Leave the run out.")
    data = read_regular(run.file(name))
    table = parse_table(run.folder / name, data)
    if table.columns != columns or np.isnan(table.values).any():
        raise MuseError(
            f"{run.folder / name}: expected the columns {', '.join(columns)} beside timestamp and "
            f"segment_id, with a value in each row; found {', '.join(table.columns)}"
            f"{' with missing values' * bool(np.isnan(table.values).any())}."
        )
    return CachedTable(**vars(table), path=run.folder / name, digest=checksum(data), missing=0,
                       first_missing=None)  # fmt: skip
