"""The feature sets of a package as tables with common rows, whatever their files are.

CSV files are numbers, or the words of transcripts that a tokenizer makes numbers of; WAV files are
sound.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config.shared import DataConfig, TaskConfig
from muse.cores import cores
from muse.data.align import Labels, Tables, align_tables
from muse.data.cache import load_tables
from muse.data.checks import reference, report_missing
from muse.data.heads import head_of
from muse.data.labels import load_labels
from muse.data.layout import feature_folder, is_sound
from muse.data.transcript import named_segments, token_tables
from muse.data.waveform import load_waveforms
from muse.errors import Faults, MuseError


@dataclass(frozen=True)
class Files:
    """Which files of a package are read, and how; see `muse.data.recordings.load_package`."""

    package: Path
    where: list[tuple[str, str]]  # partition and id of each recording
    data: DataConfig
    faults: Faults
    storage: str
    align: str | None
    tokenizer: str | None
    length: int | None  # tokens of a segment at most

    @property
    def cache(self) -> Path:
        """Its folder."""
        return Path(self.data.cache)


def read_features(
    task: TaskConfig, files: Files, names: list[str], labels: Labels, missing: str
) -> tuple[Tables, Labels]:
    """The tables of the feature sets ``names``, and the labels, at common rows with `align`.

    Args:
        labels: target -> recording id -> table.
        missing: what NaN features are, see `muse.data.recordings.load_package`.

    Raises MuseError for every fault of a file.
    """
    sounds = [name for name in names if is_sound(files.package, name)]
    others = [name for name in names if name not in sounds]
    if sounds and files.align not in (None, "labels"):
        raise MuseError(
            f"align={files.align}: {sounds[0]} is sound, of which each frame has as many samples. "
            "Give align=labels, or no align."
        )
    tables: Tables = {}
    for name in others:
        tables |= _read_csv(task, files, name, labels)
    with files.faults.noted():
        report_missing(tables, missing)
    if files.align and (others or not sounds):
        tables, labels = align_tables(
            *(task, files.align, others, files.where, tables, labels),
            *(files.cache, files.storage, files.faults),
        )
    for name in sounds:
        tables |= _read_sound(task, files, name, tables, labels)
    return tables, labels


def _read_csv(task: TaskConfig, files: Files, name: str, labels: Labels) -> Tables:
    """The tables of a feature set; with `align` without those that have no file."""
    home, faults = feature_folder(files.package, name), files.faults
    found = [id_ for _, id_ in files.where if not files.align or (home / f"{id_}.csv").exists()]
    if files.where and not found:
        raise MuseError(f"{home}: no CSV file of any of the recordings that are read.")
    paths = [home / f"{id_}.csv" for id_ in found]
    if files.tokenizer:
        named = named_segments(labels or _labels_there(task, files))
        read = token_tables(paths, named, files.tokenizer, files.length, files.cache, faults)
    else:
        readers = files.data.readers or cores(-1)
        storage = "float32" if files.align else files.storage
        read = load_tables(paths, files.cache, readers, name, faults, storage)
    return {(name, id_): table for id_, table in zip(found, read, strict=True)}


def _labels_there(task: TaskConfig, files: Files) -> Labels:
    """The labels that a package has, of which none are asked for."""
    optional = [("test", id_) for _, id_ in files.where]  # so that none has to be there
    return {
        target: load_labels(files.package, target, optional, files.cache, 1, files.faults)
        for target in task.targets
        if (files.package / "label_segments" / target).is_dir()
    }


def _read_sound(
    task: TaskConfig, files: Files, name: str, tables: Tables, labels: Labels
) -> Tables:
    """A feature set of sound, at the rows that the other files of a recording have.

    Args:
        tables: of the other feature sets.
    """
    frames = {}
    signals = [] if head_of(task).per_segment else list(labels.values())
    for _, id_ in files.where:
        read = [table for (_, own), table in tables.items() if own == id_]
        read += [of[id_] for of in signals if of[id_]]
        timed = [table for table in read if table and not np.isnan(table.timestamps).any()]
        if timed or not read:  # else the files that say it have faults
            frames[id_] = reference(timed) if timed else None
    home, optional = files.package / name, files.align is not None
    found = load_waveforms(task, home, frames, files.cache, files.faults, optional)
    return {(name, id_): found.get(id_) for _, id_ in files.where}
