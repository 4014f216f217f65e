"""Write a package with classes per segment: metadata, labels, and features of the source."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from muse import terminal
from muse.data.layout import SYNTHETIC_MARK, feature_folder, is_sound
from muse.data.recordings import Package, Recording
from muse.data.segments import Segment, segment_ids
from muse.errors import MuseError
from muse.files import write_text


def write_metadata(draft: Path, source: Package) -> None:
    """The partitions of the source, and its mark if it is synthetic."""
    (draft / "metadata").mkdir()
    shutil.copyfile(source.folder / "metadata/partition.csv", draft / "metadata/partition.csv")
    if source.synthetic:
        write_text(
            draft / SYNTHETIC_MARK,
            f"SYNTHETIC: classes of simulated signals, made by muse of {source.folder}.\n"
            "Nothing in here was recorded from a person; a score on it is no finding about "
            "emotion.\n",
        )


def write_classes(folder: Path, segments: pd.DataFrame) -> None:
    """Write <id>.csv with segment_id,class_id for each id in the column recording."""
    for id_, rows in segments.groupby("recording"):
        text = rows[["segment_id", "class_id"]].to_csv(index=False, lineterminator="\n")
        write_text(folder / f"{id_}.csv", text)


def bring_features(draft: Path, source: Package, sets: list[str], link: bool) -> None:
    """Link the feature sets of the source into the package, or copy them.

    Raises MuseError if the system makes no links.
    """
    home = draft / "feature_segments"
    home.mkdir(exist_ok=True)
    for name in terminal.bar(sets, "features", unit="set"):
        origin = feature_folder(source.folder.absolute(), name)
        copy = (draft if is_sound(source.folder, name) else home) / name
        if not link:
            shutil.copytree(origin, copy)
            continue
        try:
            copy.symlink_to(origin, target_is_directory=True)
        except OSError as error:
            raise MuseError(
                f"{origin} cannot be linked ({error.strerror}); link=false copies the features."
            ) from None


def cut_features(
    draft: Path, source: Package, sets: list[str], segments: dict[str, list[Segment]], link: bool
) -> None:
    """Write the feature sets of the source with other segments in the column segment_id.

    All other fields stay as they are; sound, which has none, is brought as by `bring_features`.
    Raises MuseError for a file whose rows are not the frames of the recording.
    """
    sounds = [name for name in sets if is_sound(source.folder, name)]
    bring_features(draft, source, sounds, link)
    sets = [name for name in sets if name not in sounds]
    recordings = [recording for group in source.partitions.values() for recording in group]
    jobs = [(name, recording) for name in sets for recording in recordings]
    for name, recording in terminal.bar(jobs, "features", unit="file"):
        path = source.folder / "feature_segments" / name / f"{recording.id}.csv"
        ids = segment_ids(segments[recording.id], len(recording.timestamps))
        _cut(path, draft / "feature_segments" / name / path.name, recording, ids)


def _cut(source: Path, copy: Path, recording: Recording, ids: np.ndarray) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file)
        names = [name.strip() for name in header]
        if "timestamp" not in names:
            raise ValueError("no column timestamp")
        if len(rows) != len(ids) or any(len(row) != len(names) for row in rows):
            raise ValueError(f"expected {len(ids)} rows of {len(names)} fields")
        times = np.array([float(row[names.index("timestamp")]) for row in rows])
        if (times != recording.timestamps).any():
            raise ValueError("its timestamps are not those of the labels")
    except OSError as error:
        raise MuseError(f"{source}: cannot be read ({error.strerror}).") from None
    except (ValueError, csv.Error) as error:
        raise MuseError(
            f"{source}: {error}. Rows of features and labels must correspond one to one."
        ) from None
    texts = ["" if np.isnan(id_) else number_text(id_) for id_ in ids]
    if "segment_id" in names:
        at = names.index("segment_id")
        for row, text in zip(rows, texts, strict=True):
            row[at] = text
    else:
        at = names.index("timestamp") + 1
        header.insert(at, "segment_id")
        for row, text in zip(rows, texts, strict=True):
            row.insert(at, text)
    with copy.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def number_text(value: float) -> str:
    """A segment_id or timestamp as text; a whole number has no decimal point."""
    return str(int(value)) if value == int(value) else repr(float(value))
