"""`muse import`: a package out of a public data set, or of CSV files of one's own."""

import os
import shlex
from collections.abc import Sequence

import numpy as np

from muse.config.fields import path_of
from muse.config.importing import ImportConfig
from muse.config.shared import PARTITIONS
from muse.data.layout import ids_in
from muse.errors import MuseError
from muse.terminal import counted, in_columns

SHOWN = 100  # faults on the terminal


def run(config: ImportConfig) -> None:
    """Write it, then print what is there and how to go on.

    Raises:
        MuseError: all faults of the source in one text. Nothing is written then.
    """
    try:
        {"ceap": _ceap, "table": _table}[config.dataset](config)
    except MuseError as error:
        if len(error.faults) < 2:
            raise
        shown = [f"{k:>3}. {fault}" for k, fault in enumerate(error.faults[:SHOWN], start=1)]
        more = f" ({SHOWN} are shown)" if len(error.faults) > SHOWN else ""
        head = f"{len(error.faults)} faults{more}, nothing was written"
        raise MuseError("\n".join([head, *shown]), error.faults) from None


def _ceap(config: ImportConfig) -> None:
    from muse.extraction.ceap import CITATION, FEATURES, import_annotations, import_package

    source = path_of(config.source[0])
    if config.annotations:
        folder = path_of(config.out) / "annotations"
        people = import_annotations(source, folder)
        print(f"Ratings of 8 videos by {counted(len(people), 'person')} at 2 Hz: {folder}{os.sep}")
        print(f"{CITATION}\n\nmuse gold {shlex.quote(str(folder / 'valence'))} unit=s")
        return
    folder = path_of(config.out) / config.task.folder
    partitions = import_package(source, folder)
    rows = [["partition", "people", ""]]
    rows += [[p, str(len(n)), " ".join(f"P{k}" for k in n)] for p, n in partitions.items()]
    print(f"{folder}{os.sep}: eight videos of 60 s per person, a frame every 0.5 s\n")
    print(in_columns(rows))
    print("\nfeatures: " + ", ".join(f"{name} {len(c)}" for name, c in FEATURES.items()))
    print(f"targets: valence, arousal\n{CITATION}\n")
    _print_next(config, list(FEATURES), train=["standardise=true"])


def _table(config: ImportConfig) -> None:
    from muse.extraction.table import import_table

    folder, found, partitions = import_table(config)
    rows = [["partition", "recordings", "frames"]]
    for partition in PARTITIONS:
        own = [len(rows.times) for id_, rows in found.items() if partitions[id_] == partition]
        rows.append([partition, str(len(own)), str(sum(own))])
    steps = [np.median(np.diff(rows.times)) for rows in found.values() if len(rows.times) > 1]
    print(f"{folder}{os.sep}: a frame every {np.median(steps) / 1000:g} s\n")
    print(f"{in_columns(rows)}\n")
    home = folder.parents[1] / "feature_segments"
    sets = sorted(p.name for p in home.glob("[!.]*") if ids_in(p))
    labels = [t for t in config.task.targets if (folder.parents[1] / "label_segments" / t).is_dir()]
    if not sets or not labels:
        lacking = "value=COLUMN, for labels" if sets else "features=NAME, for features"
        print(f"Import the rest into the same package: muse import table FILES {lacking}.")
        return
    targets = [] if labels == config.task.targets else [f"task.targets=[{','.join(labels)}]"]
    _print_next(config, sets, targets)


def _print_next(
    config: ImportConfig, sets: list[str], both: Sequence[str] = (), train: Sequence[str] = ()
) -> None:
    """The commands that check the package and train on it, with more settings for both or one."""
    task, root = f"task={config.task.name}", f"data.root={config.out}"
    features = f"features=[{','.join(sets)}]" if len(sets) > 1 else f"features={sets[0]}"
    print(shlex.join(["muse", "check", task, *both, root]))
    print(shlex.join(["muse", "train", task, features, *both, *train, root]))
