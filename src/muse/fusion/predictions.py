"""Predictions of finished runs, read as if they were feature sets of a package."""

from dataclasses import dataclass
from pathlib import Path

from muse.config.shared import PARTITIONS, DataConfig, TaskConfig
from muse.cores import cores
from muse.data.cache import CachedTable, load_tables
from muse.data.checks import common_columns
from muse.data.heads import head_of
from muse.data.labels import load_labels
from muse.data.layout import find_package, read_partitions
from muse.data.recordings import Package, build_recording, digest_of_tables
from muse.errors import STOP, MuseError


@dataclass(frozen=True)
class Member:
    """What is fused: a finished run, or a folder of predictions made elsewhere."""

    name: str
    folder: Path  # with the predictions
    result: dict | None  # of a run of muse
    run: Path  # its folder; of a seed of a run that of the run


def load_predictions(
    task: TaskConfig,
    target: str,
    members: list[Member],
    data: DataConfig,
    out_of_fold: bool = False,
) -> Package:
    """Read the predictions of a target, frame by frame, with the labels beside them.

    Labels are those that the first run of muse has kept, or without one those of the package.
    With ``out_of_fold`` the predictions of train are those by models that have not seen them.

    Raises MuseError for predictions that are missing or do not match in recordings or frames, and
    for runs whose labels differ.
    """
    cache, readers = Path(data.cache), data.readers or cores(-1)
    homes = [_homes(task, target, member, out_of_fold) for member in members]
    ids = _common_ids(homes)
    where = [(partition, id_) for partition in PARTITIONS for id_ in ids[partition]]
    names = [member.name for member in members]
    tables: dict[tuple[str, str], CachedTable] = {}
    columns = {}
    head = head_of(task, targets=[target])
    expected = head.columns(head.outputs[0])
    for name, home in zip(names, homes, strict=True):
        paths = [home[partition] / f"{id_}.csv" for partition, id_ in where]
        read = load_tables(paths, cache, readers, f"predictions of {name}")
        tables |= {(name, id_): table for (_, id_), table in zip(where, read, strict=True)}
        columns[name] = common_columns(read)
        _check_values(read)
        if columns[name] != expected:
            raise MuseError(
                f"{read[0].path}: the columns {', '.join(columns[name])}; expected "
                f"{', '.join(expected)} beside timestamp and segment_id."
            )
    ours = [member for member in members if member.result]
    folder = Path(ours[0].result["data"]["folder"]) if ours else find_package(task, data.root)
    if not ours:
        _check_partitions(ids, read_partitions(folder), folder, members[0].folder)
    kept = [_kept_labels(m.run / "labels" / target, where, cache, readers) for m in ours]
    labels = kept[0] if kept else load_labels(folder, target, where, cache, readers, STOP)
    for member, others in zip(ours[1:], kept[1:], strict=True):
        for _, id_ in where:
            if _digest(others[id_]) != _digest(labels[id_]):
                raise MuseError(
                    f"{member.folder}: the labels of recording {id_} are not those of "
                    f"{ours[0].folder}. Fuse runs on the same data."
                )
    loaded = {partition: [] for partition in PARTITIONS}
    for partition, id_ in where:
        sets = [tables[name, id_] for name in names]
        loaded[partition].append(build_recording(task, partition, id_, sets, {target: labels[id_]}))
    digests = {p: digest_of_tables(p, ids[p], names, tables, {target: labels}) for p in PARTITIONS}
    synthetic = any(member.result["synthetic"] for member in ours)
    return Package(folder, names, columns, loaded, digests, synthetic)


def has_predictions(task: TaskConfig, target: str, folder: Path) -> bool:
    """Whether a folder has predictions in a folder of the target's name."""
    kinds = (folder / head_of(task).folder / target, folder / target)
    return any((place / "devel").is_dir() for place in kinds)


def _homes(task: TaskConfig, target: str, member: Member, out_of_fold: bool) -> dict[str, Path]:
    """Partition -> the folder with a member's CSV files."""
    kind = head_of(task).folder
    places = [member.folder / kind / target, member.folder / target, member.folder]
    home = next((place for place in places if (place / "devel").is_dir()), None)
    if home is None:
        raise MuseError(
            f"{member.folder}: no {kind} of {target}; expected {places[0]} or {places[1]} with the "
            f"folders {', '.join(PARTITIONS)}, a CSV file per recording."
        )
    homes = {partition: home / partition for partition in PARTITIONS}
    if out_of_fold and "folds" not in (member.result or {}):  # where all predictions are
        homes["train"] = member.folder / "crossfit" / kind / target / "train"
        if not homes["train"].is_dir():
            raise MuseError(
                f"{member.folder}: has no out-of-fold predictions. Train it with crossfit=5, or "
                "fuse with out_of_fold=false."
            )
    return homes


def _common_ids(homes: list[dict[str, Path]]) -> dict[str, list[str]]:
    """Partition -> recordings, which must be the same in all folders."""
    common = {}
    for partition in PARTITIONS:
        folders = [home[partition] for home in homes]
        found = [{path.stem for path in folder.glob("*.csv")} for folder in folders]
        for folder, ids in zip(folders, found, strict=True):
            if not ids:
                raise MuseError(f"{folder}: no CSV files; expected one per recording.")
            if ids != found[0]:
                name = sorted(ids ^ found[0])[0]
                here, there = folder, folders[0]
                if name not in ids:
                    here, there = there, here
                raise MuseError(
                    f"{here / name}.csv: {there} has no such recording. Fuse predictions of the "
                    "same recordings."
                )
        common[partition] = sorted(found[0], key=lambda id_: (len(id_), id_))  # 2 before 10
        for other in set(common) - {partition}:
            twice = found[0] & set(common[other])
            if twice:
                raise MuseError(
                    f"{folders[0] / min(twice)}.csv: the recording is in {other} as well; "
                    "expected each recording in one partition."
                )
    return common


def _check_partitions(
    ids: dict[str, list[str]], expected: dict[str, list[str]], package: Path, folder: Path
) -> None:
    """Raise MuseError unless predictions made elsewhere are of the partitions of the package."""
    path = package / "metadata/partition.csv"
    home = {id_: partition for partition, group in expected.items() for id_ in group}
    there = {id_: partition for partition, group in ids.items() for id_ in group}
    for id_, partition in there.items():
        if home.get(id_) != partition:
            place = f"is in {home[id_]}" if id_ in home else "has no partition"
            raise MuseError(
                f"{folder}: recording {id_} is in {partition}, but {place} in {path}. Put the "
                "predictions into the partitions of the package."
            )
    missing = [id_ for id_ in home if id_ not in there]
    if missing:
        more = f" (nor of {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise MuseError(
            f"{folder}: no predictions of recording {missing[0]}{more}, which is in "
            f"{home[missing[0]]} in {path}. A fusion needs all recordings of the package."
        )


def _check_values(tables: list[CachedTable]) -> None:
    """Raise MuseError for a prediction that is missing: there is nothing to put in its place."""
    for table in tables:
        if table.missing:
            row, column = table.first_missing
            raise MuseError(
                f"{table.path}: row {row}, column {column}: no value ({table.missing} in the file);"
                " a fusion needs a prediction for each frame."
            )


def _kept_labels(
    home: Path, where: list[tuple[str, str]], cache: Path, readers: int
) -> dict[str, CachedTable | None]:
    """Recording -> labels as a run has kept them; None where it has none (of test)."""
    labels: dict[str, CachedTable | None] = dict.fromkeys(id_ for _, id_ in where)
    found = [(p, id_) for p, id_ in where if p != "test" or (home / p / f"{id_}.csv").exists()]
    paths = [home / partition / f"{id_}.csv" for partition, id_ in found]
    tables = load_tables(paths, cache, readers, "labels")
    return labels | {id_: table for (_, id_), table in zip(found, tables, strict=True)}


def _digest(table: CachedTable | None) -> str | None:
    return table.digest if table else None
