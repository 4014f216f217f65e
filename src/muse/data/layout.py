"""The layout of a challenge package: where it is, its partitions, its feature sets."""

from dataclasses import dataclass
from pathlib import Path

from muse.config.fields import path_of
from muse.config.shared import INDICATOR, PARTITIONS, FeatureSet, TaskConfig
from muse.data.csv_table import read_rows
from muse.errors import STOP, Faults, MuseError, did_you_mean, raise_faults

SOUND = "audio"  # the feature set that is the WAV files of this folder, if it has none of its own
LABELS = "label_"  # a feature set label_X without a folder of its own is the labels of X
DEVEL = "dev", "val", "valid", "validation", "development"  # names that devel has elsewhere
SYNTHETIC_MARK = "SYNTHETIC.txt"  # a file that `muse synth` puts into its packages


def find_package(task: TaskConfig, root: str) -> Path:
    """Return the package's folder below ``root``, or raise MuseError with the ways to get one."""
    folder = path_of(root) / task.folder
    if folder.is_dir():
        return folder
    if path_of(root).is_file():
        raise MuseError(f"data.root={root}: a file; expected the folder of the packages.")
    above = ""
    if Path(root).name == task.folder:
        above = f"\nGive the folder above it: data.root={Path(root).parent}"
    raise MuseError(
        f"no package of {task.title}: looked for {folder.absolute()}{above}\n"
        f"The real one is given to academic groups under a licence (https://www.muse-challenge.org)"
        f"; unpack it so that {folder} has feature_segments, label_segments and metadata, or say "
        "where it is with data.root=FOLDER or MUSE_DATA.\n"
        f"A synthetic one: muse synth task={task.name} out={root}"
    )


def read_partitions(folder: Path, faults: Faults = STOP) -> dict[str, list[str]]:
    """Return partition -> recording ids, in the order of metadata/partition.csv.

    The first column is the id, the last train, devel or test. Raises MuseError for a missing file,
    a missing header, an unknown partition, an id that is named twice or could lead out of the
    package.
    """
    return read_partition_file(folder / "metadata" / "partition.csv", faults)


def read_partition_file(path: Path, faults: Faults = STOP) -> dict[str, list[str]]:
    """As `read_partitions`, of a file anywhere."""
    (first, header), *rows = read_rows(
        path,
        "Copy it from the package; for data of your own write it: a header, then a row "
        "id,partition for each recording (train, devel or test).",
    )
    partitions: dict[str, list[str]] = {name: [] for name in PARTITIONS}
    if header[-1].lower() in partitions:
        with faults.noted():
            raise MuseError(
                f"{path}: row {first} is a recording ({','.join(header)}), expected the names of "
                "the columns. Put a header such as Id,Partition above it."
            )
    seen: dict[str, tuple[int, str]] = {}
    for number, row in rows:
        with faults.noted():
            name, partition = _checked_row(path, number, row, seen)
            seen[name] = (number, partition)
            partitions[partition].append(name)
    return partitions


def check_not_empty(path: Path, partitions: dict[str, list[str]]) -> None:
    """Raise MuseError for a partition of the file ``path`` without a recording."""
    raise_faults(
        [
            f"{path}: no recording is in {partition}. Expected "
            f"recordings in {', '.join(partitions)} (the labels of test may be missing)."
            for partition, ids in partitions.items()
            if not ids
        ]
    )


def _checked_row(path: Path, number: int, row: list[str], seen: dict) -> tuple[str, str]:
    """Recording and partition of a row of partition.csv."""
    name, partition = row[0], row[-1].lower()
    if not is_name(name):
        raise MuseError(
            f"{path}: row {number}: {name!r} is no recording id; expected the name of a CSV file "
            "without its ending and without a path separator."
        )
    if len(row) < 2 or partition not in PARTITIONS:
        hint = " The development partition is called devel here." if partition in DEVEL else ""
        raise MuseError(
            f"{path}: row {number}: {row[-1]!r} is no partition; expected train, devel or test."
            f"{hint}"
        )
    if name in seen:
        raise MuseError(
            f"{path}: row {number}: recording {name} is in {partition}, but row "
            f"{seen[name][0]} has it in {seen[name][1]}. A recording belongs to one partition."
        )
    return name, partition


def expand_features(
    names: list[str], feature_sets: dict[str, FeatureSet], package: Path | None = None
) -> list[str]:
    """Replace aliases such as `bio` with their folders and check that each folder exists.

    Without ``package`` nothing is looked up on disk. A folder of the alias's own name wins.
    Raises MuseError with the folders that there are.
    """
    folder = package / "feature_segments" if package else None
    expanded: list[str] = []
    for name in names:
        own = folder is not None and is_name(name) and (folder / name).is_dir()
        members = [] if own or name not in feature_sets else feature_sets[name].members
        expanded += [part for part in members or [name] if part not in expanded]
    for name in expanded if folder else []:
        if not (is_name(name) and feature_folder(package, name).is_dir()):
            there = feature_names(package)
            sound = f" Sound is {package / SOUND / 'ID.wav'}." * (name == SOUND)
            raise MuseError(
                f"features: there is no feature set {name!r} in {folder}; it has "
                f"{', '.join(there)}.{did_you_mean(name, there)}{sound}"
            )
    return expanded


@dataclass(frozen=True)
class FeaturePlan:
    """The feature sets of a model, and what they are made of."""

    names: list[str]  # side by side in this order, aliases expanded
    computed: dict[str, list[str]]  # difficulty indicator -> the feature sets it is computed from

    @property
    def read(self) -> list[str]:
        """The feature sets that are read from files, in the order in which they are needed."""
        needed = [part for name in self.names for part in self.computed.get(name, [name])]
        return list(dict.fromkeys(needed))


def plan_features(
    names: list[str], feature_sets: dict[str, FeatureSet], package: Path
) -> FeaturePlan:
    """As `expand_features`, with the difficulty indicators that a package has no folder of.

    `difficulty_X` stands for the indicator of the feature set or alias X.
    """
    computed = {
        name: expand_features([name.removeprefix(INDICATOR)], feature_sets, package)
        for name in names
        if name.startswith(INDICATOR)
        and name not in feature_sets
        and name not in feature_folders(package)
    }
    expanded = [
        part
        for name in names
        for part in ([name] if name in computed else expand_features([name], feature_sets, package))
    ]
    return FeaturePlan(list(dict.fromkeys(expanded)), computed)


def feature_folders(package: Path) -> list[str]:
    """Names of the folders of feature_segments, or MuseError if there is none."""
    folder = package / "feature_segments"
    there = (
        sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    )
    if not there:
        raise MuseError(f"{folder}: no feature sets here. Unpack the package's features into it.")
    return there


def feature_names(package: Path) -> list[str]:
    """Names of the feature sets of a package, sound included. Raises MuseError if it has none."""
    sound = [SOUND] * is_sound(package, SOUND)
    if sound and not any((package / "feature_segments").glob("*/")):
        return sound
    return feature_folders(package) + sound


def is_sound(package: Path, name: str) -> bool:
    """Whether a feature set is the WAV files of the package."""
    own = package / "feature_segments" / name
    return name == SOUND and (package / SOUND).is_dir() and not own.is_dir()


def feature_folder(package: Path, name: str) -> Path:
    """The folder of a feature set; for `label_X`, if it has none, that of the labels of X.

    That of sound is a folder of the package itself.
    """
    if is_sound(package, name):
        return package / name
    own, target = package / "feature_segments" / name, name.removeprefix(LABELS)
    labels = package / "label_segments" / target
    stands_for = target != name and is_name(target) and labels.is_dir()
    return labels if stands_for and not own.is_dir() else own


def recordings_in(package: Path, feature_set: str) -> list[str]:
    """Ids of the recordings that have a file of a feature set, or MuseError if none has."""
    folder = feature_folder(package, feature_set)
    ending = "wav" if is_sound(package, feature_set) else "csv"
    ids = ids_in(folder, ending)
    if not ids:
        raise MuseError(
            f"{folder}: no {ending.upper()} files. Expected the feature set {feature_set}, a file "
            "per recording."
        )
    return ids


def ids_in(folder: Path, ending: str = "csv") -> list[str]:
    """Recordings that have a CSV file in a folder, 2 before 10; hidden files are none."""
    ids = [path.stem for path in folder.glob(f"*.{ending}") if not path.name.startswith(".")]
    return sorted(ids, key=lambda id_: (len(id_), id_))


def is_name(name: str) -> bool:
    """Whether a text names a file or folder in the folder at hand, nothing outside it."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


def is_standardised(
    name: str, task: str, targets: list[str], feature_sets: dict[str, FeatureSet], override
) -> bool:
    """Whether a feature set is standardised for one of ``targets``.

    ``override`` is the setting `standardise`: None leaves it to what is known of the set.
    """
    if isinstance(override, bool):
        return override
    if override is not None:
        return name in override
    rule = feature_sets[name].standardise if name in feature_sets else False
    return rule if isinstance(rule, bool) else bool(set(rule.get(task, [])) & set(targets))
