"""Folds: packages in which no recording, and no group of them, is on two sides.

A fold is a package with other partitions: what trains on it fits its scaling on `train`, chooses
epoch and seed on `devel`, and knows nothing of `test`, the recordings that are held out.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from muse.config.fields import path_of
from muse.config.train import TrainConfig
from muse.data.csv_table import read_rows
from muse.data.recordings import Package, Recording
from muse.data.split import subjects_of
from muse.errors import MuseError
from muse.terminal import counted

SPLIT_SEED = 2021  # of all random splits: folds are the same for every model and feature set
UNLABELLED = "unlabelled"  # partition of a fold: recordings that are predicted, but not scored


@dataclass(frozen=True)
class Fold:
    """A package in which one part is held out."""

    package: Package  # train, devel, test (held out) and, where there are some, UNLABELLED
    groups: list[str]  # that are held out; without a file of groups each recording is one


def make_folds(config: TrainConfig, package: Package) -> list[Fold]:
    """The folds of `folds` or of `crossfit`, in their order; none where neither is set.

    Each subject of a personalised run is a fold, of their own train, devel and test.

    With `folds` every recording that has labels of all targets is held out once; of the others
    `inner_devel` of the groups are devel, and `train_share` of what is left is train. With
    `crossfit` every recording of train is held out once, and devel is that of the package.

    Raises MuseError for more folds than there are groups to hold out, and as `read_groups`.
    """
    if config.personalised:
        return [
            Fold(_with(package, **{p: [r] for p, r in own.items()}), [subject])
            for subject, own in subjects_of(package).items()
        ]
    if config.crossfit:
        return _crossfit(config, package)
    if not config.folds:
        return []
    everything = [r for group in package.partitions.values() for r in group]
    labelled = [r for r in everything if all(r.labels[t] is not None for t in config.targets)]
    ids = {r.id for r in labelled}
    unlabelled = [r for r in everything if r.id not in ids]
    group_of = groups_of_recordings(config, package)
    names = _in_order({group_of[r.id] for r in labelled})
    folds = []
    for number, held_out in enumerate(_split(config, names), start=1):
        rest = [name for name in names if name not in held_out]
        devel = _inner_devel(config, rest, number)
        train = share_of([name for name in rest if name not in devel], config.train_share)
        parts = {"train": train, "devel": devel, "test": held_out}
        chosen = {p: [r for r in labelled if group_of[r.id] in of] for p, of in parts.items()}
        folds.append(Fold(_with(package, **chosen, **{UNLABELLED: unlabelled}), held_out))
    return folds


def _crossfit(config: TrainConfig, package: Package) -> list[Fold]:
    train, count = package.partitions["train"], config.crossfit
    if count > len(train):
        raise MuseError(
            f"crossfit={count}: train has {len(train)} recordings; expected at most one fold for "
            "each."
        )
    fold_of = {recording.id: number % count for number, recording in enumerate(train)}
    if config.groups:
        group_of = groups_of_recordings(config, package)
        names = _in_order({group_of[r.id] for r in train})
        _check_groups(f"crossfit={count}", names, count)
        fold_of = {r.id: names.index(group_of[r.id]) % count for r in train}
    folds = []
    for number in range(count):
        held_out = [r for r in train if fold_of[r.id] == number]
        rest = [r for r in train if fold_of[r.id] != number]
        parts = {"train": rest, "devel": package.partitions["devel"], "test": held_out}
        folds.append(Fold(_with(package, **parts), [r.id for r in held_out]))
    return folds


def take_share(config: TrainConfig, package: Package) -> Package:
    """The package with `train_share` of its training recordings; with folds see `make_folds`.

    The digest of train is another then, so that the run is not taken for one on all of them.
    """
    if config.train_share == 1 or config.folds:
        return package
    group_of = groups_of_recordings(config, package)
    train = package.partitions["train"]
    used = share_of(_in_order({group_of[r.id] for r in train}), config.train_share)
    chosen = [r for r in train if group_of[r.id] in used]
    text = repr([package.digests["train"], [r.id for r in chosen]])
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return replace(
        package,
        partitions=package.partitions | {"train": chosen},
        digests=package.digests | {"train": digest},
    )


def share_of(names: list[str], share: float) -> list[str]:
    """A share of the names, at least one; that of a smaller share is a part of it."""
    if share == 1:
        return names
    from sklearn.utils import shuffle

    return shuffle(names, random_state=SPLIT_SEED)[: max(1, round(share * len(names)))]


def used_groups(config: TrainConfig, package: Package) -> dict[str, str] | None:
    """The groups that the numbers of a run depend on beside its data; None without any.

    What `train_share` takes of a package is in the digest of its data.
    """
    if config.groups and (config.folds or config.crossfit):
        return groups_of_recordings(config, package)
    return None


def groups_of_recordings(config: TrainConfig, package: Package) -> dict[str, str]:
    """Recording id -> group, for all recordings of the package; its id without `groups`."""
    ids = [r.id for group in package.partitions.values() for r in group]
    return read_groups(path_of(config.groups), ids) if config.groups else {id_: id_ for id_ in ids}


def read_groups(path: Path, ids: list[str]) -> dict[str, str]:
    """Read the group of each of ``ids`` from a CSV file with the columns id and group.

    Further columns and rows of other recordings are ignored.

    Raises MuseError, with the row, for a file that is missing or has no such columns, an empty
    group, a recording that is named twice, and for a recording without a row.
    """
    advice = "Expected a CSV file with the columns id,group, and a row for each recording."
    (first, header), *rows = read_rows(path, advice)
    if header.count("id") != 1 or header.count("group") != 1:
        raise MuseError(f"{path}: row {first} has the columns {', '.join(header)}. {advice}")
    found: dict[str, str] = {}
    row_of: dict[str, int] = {}
    for number, row in rows:
        id_, group = (dict(zip(header, row, strict=False)).get(k, "") for k in ("id", "group"))
        if not id_ or not group:
            what = "group" if id_ else "id"
            raise MuseError(f"{path}: row {number} has no {what}. {advice}")
        if id_ in found:
            raise MuseError(
                f"{path}: row {number}: recording {id_} is in group {group}, but row {row_of[id_]} "
                f"has it in {found[id_]}. Name each recording once."
            )
        found[id_], row_of[id_] = group, number
    missing = [id_ for id_ in ids if id_ not in found]
    if missing:
        more = f" (nor of {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise MuseError(f"{path}: no row of recording {missing[0]}{more}. {advice}")
    return {id_: found[id_] for id_ in ids}


def _split(config: TrainConfig, names: list[str]) -> list[list[str]]:
    """The groups that each fold holds out: every group once."""
    from sklearn.model_selection import KFold, LeaveOneOut  # slow to import

    if config.folds == "loso":
        least, splitter = 3, LeaveOneOut()
    else:  # two groups must be left of the largest fold: one to train on, one for the inner devel
        least = {2: 4}.get(config.folds, config.folds)
        splitter = KFold(config.folds, shuffle=True, random_state=SPLIT_SEED)
    _check_groups(f"folds={config.folds}", names, least)
    return [[names[k] for k in held_out] for _, held_out in splitter.split(names)]


def _check_groups(asked: str, names: list[str], least: int) -> None:
    if len(names) < least:
        raise MuseError(
            f"{asked}: the recordings with labels are of {counted(len(names), 'group')} "
            f"({', '.join(names)}); expected {least} or more. Without groups= each recording is "
            "a group of its own."
        )


def _inner_devel(config: TrainConfig, rest: list[str], number: int) -> list[str]:
    """The groups of ``rest`` that choose epoch and seed of a fold: at least one, never all."""
    from sklearn.model_selection import train_test_split

    count = min(max(1, round(config.inner_devel * len(rest))), len(rest) - 1)
    return train_test_split(rest, test_size=count, random_state=SPLIT_SEED + number)[1]


def _with(package: Package, **partitions: list[Recording]) -> Package:
    """The package with other partitions; without those that are empty beside the usual three."""
    there = {p: group for p, group in partitions.items() if group or p != UNLABELLED}
    return replace(package, partitions=there)


def _in_order(names: set[str]) -> list[str]:
    """2 before 10, whatever the order of the files."""
    return sorted(names, key=lambda name: (len(name), name))
