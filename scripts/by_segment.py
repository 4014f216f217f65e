"""Make a package with a recording for each segment, and files of groups for cross-validation.

    python scripts/by_segment.py data/c3_muse_stress segments/c3_muse_stress

Segment 3 of recording 5 becomes recording 5_3, in the partition of recording 5; its rows are those
of the source, unchanged. metadata/person.csv has the recording that each segment is of, and
metadata/stimulus.csv its segment_id: in CEAP-360VR the person, and the video that was shown.
Frames outside any segment are left out. For labels with a row per frame.
"""

import argparse
import csv
import shutil
from pathlib import Path

from muse.data.layout import ids_in, read_partitions
from muse.errors import MuseError
from muse.files import check_free, new_folder, write_text


def split_package(source: Path, out: Path) -> tuple[int, int]:
    """Write the package ``out``; returns the numbers of recordings and of rows left out.

    Raises MuseError for a source without segments, files that differ in them, and an ``out`` that
    is there already.
    """
    check_free(out)
    partition_of = {id_: p for p, ids in read_partitions(source).items() for id_ in ids}
    segments: dict[str, list[str]] = {}  # recording -> segment_id of its segments
    left_out = 0
    with new_folder(out) as draft:
        for home in sorted([*source.glob("feature_segments/*"), *source.glob("label_segments/*")]):
            for id_ in [id_ for id_ in ids_in(home) if id_ in partition_of]:
                parts, outside = split_file(home / f"{id_}.csv")
                left_out += outside
                found = list(parts)
                if segments.setdefault(id_, found) != found:
                    raise MuseError(f"{home / id_}.csv: segments {found}, before {segments[id_]}.")
                for number, text in parts.items():
                    write_text(draft / home.relative_to(source) / f"{id_}_{number}.csv", text)
        rows = [(f"{id_}_{n}", id_, n, partition_of[id_]) for id_ in partition_of
                for n in segments.get(id_, [])]  # fmt: skip
        for name, header, column in (("partition", "Id,Partition", 3), ("person", "id,group", 1),
                                     ("stimulus", "id,group", 2)):  # fmt: skip
            lines = "".join(f"{row[0]},{row[column]}\n" for row in rows)
            write_text(draft / "metadata" / f"{name}.csv", f"{header}\n{lines}")
        for mark in source.glob(
            "*.txt"
        ):  # where the data come from, and whether they are synthetic
            shutil.copy(mark, draft)
    return len(rows), left_out


def split_file(path: Path) -> tuple[dict[str, str], int]:
    """segment_id -> the rows of a CSV file with it, under the header; number of rows without."""
    header, *lines = path.read_text(encoding="utf-8-sig").splitlines()
    columns = next(csv.reader([header]))
    if "segment_id" not in columns or "timestamp" not in columns:
        raise MuseError(f"{path}: expected the columns timestamp and segment_id, found {header}.")
    parts: dict[str, list[str]] = {}
    outside = 0
    for line in filter(None, lines):
        number = next(csv.reader([line]))[columns.index("segment_id")].strip()
        if number:
            parts.setdefault(number, [header]).append(line)
        outside += not number
    if not parts:
        raise MuseError(f"{path}: no row has a segment_id.")
    return {number: "\n".join(rows) + "\n" for number, rows in parts.items()}, outside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="folder of the package")
    parser.add_argument("out", type=Path, help="folder of the new package")
    words = parser.parse_args()
    try:
        count, left_out = split_package(words.source, words.out)
    except MuseError as error:
        parser.exit(1, f"{error}\n")
    print(f"{count} recordings, {left_out} rows outside segments left out: {words.out}")


if __name__ == "__main__":
    main()
