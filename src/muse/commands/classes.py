"""`muse classes`: from continuous signals to classes per segment, as a package of their own."""

import logging
import os
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np

from muse.classes.figure import plot_class_features
from muse.classes.make import Described, Made, describe, make
from muse.classes.package import (
    bring_features,
    check_free,
    cut_features,
    new_package,
    write_classes,
    write_metadata,
)
from muse.classes.report import in_words, notes_on, report, segment_rows
from muse.classes.search import search
from muse.classes.signals import keep_all, load_segments, load_signals
from muse.config.classes import ClassesConfig
from muse.config.fields import path_of
from muse.config.overrides import CONFIG_DIR_FLAGS
from muse.data.layout import expand_features, feature_folders
from muse.data.recordings import Package
from muse.data.segments import Segment
from muse.data.statistics import frame_step
from muse.errors import MuseError
from muse.files import write_json, write_text
from muse.plots import plot_distributions
from muse.terminal import counted, heading

log = logging.getLogger(__name__)


def run(config: ClassesConfig) -> None:
    """Print the classes of each target and write a package with them; or, with lists, a search.

    Raises:
        MuseError: no package, segments or labels to make classes from; classes that are too
            small with `too_small=refuse`; a package at the new one's place.
    """
    folder = path_of(config.out) / config.to.folder
    if not config.search:
        check_free(folder)
    task = keep_all(config.task) if config.segments else config.task
    package = load_signals(task, config.targets, config.feature_sets, config.data)
    sets = _feature_sets(config, package)
    limits = path_of(config.segments) if config.segments else None
    segments = load_segments(package, limits)
    number = counted(sum(map(len, segments.values())), "segment")
    log.info("%s: %s in %s", package.folder, number, counted(len(segments), "recording"))
    described = {
        t: describe(package, segments, t, config.candidates(t)[0].features, config.peak_support)
        for t in config.targets
    }
    if config.search:
        search(config, described, package.synthetic)
        return
    made = {
        target: make(found, config.candidates(target)[0], config.seed, config.starts, config.assign)
        for target, found in described.items()
    }
    title = f"{config.task.title} to {config.to.title}"
    print(heading(title, "classes per segment", package.synthetic))
    for target in config.targets:
        print(f"\n{in_words(described[target], made[target])}")
    notes = [note for t in config.targets for note in notes_on(config, described[t], made[t])]
    notes += _without_labels(config, package)
    if notes:
        print("\nto be looked at", *notes, sep="\n- ")
    _refuse(config, made)
    _write(config, folder, package, sets, segments, described, made)
    _tell(config, folder, package, sets, made)


def _feature_sets(config: ClassesConfig, package: Package) -> list[str]:
    """Feature sets that the new package gets."""
    if config.features:
        return expand_features(config.features, config.feature_sets, package.folder)
    return feature_folders(package.folder) if package.features else []


def _without_labels(config: ClassesConfig, package: Package) -> list[str]:
    return [
        f"{target}: no labels, so no classes, of {count} recordings of test"
        for target in config.targets
        if (count := sum(r.labels[target] is None for r in package.partitions["test"]))
    ]


def _refuse(config: ClassesConfig, made: dict[str, Made]) -> None:
    small = [target for target, found in made.items() if found.smallest < config.smallest]
    if small and config.too_small == "refuse":
        raise MuseError(
            f"{', '.join(small)}: a class is smaller than smallest={config.smallest:g} of the "
            "chance level, and too_small=refuse. Nothing is written. Try fewer classes, or search: "
            "'algorithm=[kmeans,gmm]' 'components=[2,3,5]'."
        )


def _write(
    config: ClassesConfig,
    folder: Path,
    package: Package,
    sets: list[str],
    segments: dict[str, list[Segment]],
    described: dict[str, Described],
    made: dict[str, Made],
) -> None:
    """The package, and in its folder `classes` what was done."""
    with new_package(folder) as draft:
        write_metadata(draft, package)
        for target, found in described.items():
            own = made[target]
            home = draft / "label_segments" / target
            write_classes(home, found.recordings, found.segments, own.found)
            write_text(draft / f"classes/{target}_segments.csv", segment_rows(found, own))
            name = heading(f"{target}, {own.recipe.algorithm}", "most distinctive features",
                           package.synthetic)  # fmt: skip
            plot_class_features(draft / f"classes/{target}.png", name,
                                [found.names[k] for k in own.shown], own.means[:, own.shown],
                                own.sizes["train"])  # fmt: skip
        shares = {
            t: {p: own.found[described[t].partitions == p] for p in own.sizes}
            for t, own in made.items()
        }
        title = heading(config.to.title, "classes of the segments", package.synthetic)
        plot_distributions(draft / "classes/labels.png", title, shares,
                           max(m.recipe.classes for m in made.values()))  # fmt: skip
        write_json(draft / "classes/report.json", report(config, package, described, made))
        if config.segments:
            cut_features(draft, package, sets, segments)
        elif sets:
            bring_features(draft, package, sets, config.link)


def _tell(
    config: ClassesConfig, folder: Path, package: Package, sets: list[str], made: dict[str, Made]
) -> None:
    """Where everything is, and the command that trains on it."""
    print(f"\n{folder}{os.sep}")
    print("  in classes/ the report, pictures, and every segment with its features")
    if not sets:
        print("There are no features in the package that could be taken along: put feature_segments"
              f" with the column segment_id into {folder}.")  # fmt: skip
        return
    words = ["muse", "train", f"task={config.to.name}"]
    count = made[config.targets[0]].recipe.classes
    step = frame_step(package)
    if count != config.to.classes:
        words.append(f"task.classes={count}")
    if step and not np.isclose(step, config.to.step):
        words.append(f"task.step={step:g}")
    if set(config.targets) != set(config.to.targets):
        words += [f"target={target}" for target in config.targets]
    typed = shlex.split(config.job.command)
    own = [word for before, word in pairwise(typed) if before in CONFIG_DIR_FLAGS]
    words += [f"features={sets[0]}", f"data.root={config.out}"]
    print(shlex.join([*words, *(w for folder in own for w in ("--config-dir", folder))]))
