"""`muse classes`: from continuous signals to classes per segment, as a package of their own."""

import logging
import os
import shlex
from pathlib import Path

import numpy as np

import muse
from muse import runs
from muse.config import ClassesConfig
from muse.config_parts import PARTITIONS, path_of
from muse.data.class_package import (
    bring_features,
    check_free,
    cut_features,
    new_package,
    write_classes,
    write_metadata,
)
from muse.data.layout import expand_features, feature_folders
from muse.data.recordings import Package
from muse.data.segments import Segment
from muse.data.signals import keep_all, load_segments, load_signals
from muse.data.statistics import frame_step
from muse.errors import MuseError
from muse.gold.class_figure import plot_class_features
from muse.gold.class_search import search
from muse.gold.segment_classes import Described, Made, describe, make
from muse.plots import plot_distributions
from muse.words import heading, in_columns

SHOWN = 10  # features in the picture
TOLD = 3  # features of a class in the table
log = logging.getLogger(__name__)


def run(config: ClassesConfig) -> None:
    """Print the classes of each target and write a package with them; or, with lists, a search.

    Raises:
        MuseError: no package, segments or labels to make classes from; classes that are too
            small with `too_small=refuse`; a package at the new one's place.
    """
    folder = path_of(config.out) / config.to.folder
    check_free(folder)
    task = keep_all(config.task) if config.segments else config.task
    package = load_signals(task, config.targets, config.feature_sets, config.data)
    sets = _feature_sets(config, package)
    limits = path_of(config.segments) if config.segments else None
    segments = load_segments(package, limits)
    log.info("%s: %d segments in %d recordings", package.folder,
             sum(map(len, segments.values())), len(segments))  # fmt: skip
    described = {
        t: describe(package, segments, t, config.candidates(t)[0].features, config.peak_support)
        for t in config.targets
    }
    if config.search:
        search(config, described, package.synthetic)
        return
    made = {
        target: make(found, config.candidates(target)[0], config.seed, config.assign)
        for target, found in described.items()
    }
    title = f"{config.task.title} to {config.to.title}"
    print(heading(title, "classes per segment", package.synthetic))
    for target in config.targets:
        print(f"\n{_in_words(described[target], made[target])}")
    notes = [note for t in config.targets for note in _notes(config, t, described[t], made[t])]
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


def _in_words(described: Described, made: Made) -> str:
    """Table 2 of the MuSe 2021 paper, with what the classes are."""
    recipe, sizes = made.recipe, made.sizes
    share = 100 * made.space.explained.sum()
    line = (
        f"{described.target}: {recipe.algorithm}, {len(described.names)} features in "
        f"{recipe.components} components ({share:.0f} % of the variance), silhouette "
        f"{made.classes.silhouette:.3f}"
    )
    rows = [["class", *PARTITIONS, "mean signal", "most distinctive, in deviations from the mean"]]
    for number in range(recipe.classes):
        counts = [f"{sizes[p][number]} ({100 * sizes[p][number] / sizes[p].sum():.1f} %)"
                  if p in sizes else "no labels" for p in PARTITIONS]  # fmt: skip
        told = np.argsort(-np.abs(made.means[number]), kind="stable")[:TOLD]
        words = ", ".join(f"{described.names[k]} {made.means[number, k]:+.1f}" for k in told)
        rows.append([str(number), *counts, f"{made.signal[number]:.4f}", words])
    totals = [str(sizes[p].sum()) if p in sizes else "" for p in PARTITIONS]
    return f"{line}\n{in_columns([*rows, ['sum', *totals, '', '']])}"


def _notes(config: ClassesConfig, target: str, described: Described, made: Made) -> list[str]:
    """What is no fault but may be a mistake."""
    notes = []
    if made.smallest < config.smallest:
        notes.append(
            f"{target}: the smallest class has {100 * made.smallest / made.recipe.classes:.1f} % "
            f"of the training segments, less than {config.smallest:g} of the chance level "
            f"({100 / made.recipe.classes:.1f} %)"
        )
    for partition, sizes in made.sizes.items():
        empty = ", ".join(map(str, np.flatnonzero(sizes == 0)))
        if empty:
            notes.append(f"{target}: no segment of {partition} has class {empty}")
    same = [name for name, flat in zip(described.names, made.space.constant, strict=True) if flat]
    if same:
        notes.append(
            f"{target}: the same in all training segments, and not used: {', '.join(same)}"
        )
    if made.agreement < 1:
        notes.append(
            f"{target}: train has the class that is most probable in the mixture, devel and test "
            f"that of the nearest centre (assign=probability: the same); on train both agree for "
            f"{100 * made.agreement:.1f} % of the segments"
        )
    return notes


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
            runs.write_text(draft / f"classes/{target}_segments.csv", _segment_rows(found, own))
            best = np.argsort(-own.distinctive, kind="stable")[:SHOWN]
            name = heading(f"{target}, {own.recipe.algorithm}", "most distinctive features",
                           package.synthetic)  # fmt: skip
            plot_class_features(draft / f"classes/{target}.png", name,
                                [found.names[k] for k in best], own.means[:, best],
                                own.sizes["train"])  # fmt: skip
        shares = {t: {p: found[described[t].partitions == p] for p in made[t].sizes}
                  for t in made for found in [made[t].found]}  # fmt: skip
        title = heading(config.to.title, "classes of the segments", package.synthetic)
        plot_distributions(draft / "classes/labels.png", title, shares,
                           max(m.recipe.classes for m in made.values()))  # fmt: skip
        runs.write_json(draft / "classes/report.json", _report(config, package, described, made))
        if config.segments:
            cut_features(draft, package, sets, segments)
        elif sets:
            bring_features(draft, package, sets, config.link)


def _segment_rows(described: Described, made: Made) -> str:
    """Every segment: where it is, its class, its features."""
    lines = [
        ",".join(["recording,partition,segment_id,start,end,frames,class_id", *described.names])
    ]
    for k, (recording, segment) in enumerate(
        zip(described.recordings, described.segments, strict=True)
    ):
        first, last = recording.timestamps[[segment.start, segment.stop - 1]]
        where = [recording.id, described.partitions[k], f"{segment.id:g}", f"{first:g}"]
        where += [f"{last:g}", str(segment.stop - segment.start), str(made.found[k])]
        lines.append(",".join([*where, *(f"{v:.6g}" for v in described.features[k])]))
    return "\n".join(lines) + "\n"


def _report(
    config: ClassesConfig, package: Package, described: dict[str, Described], made: dict[str, Made]
) -> dict:
    """Everything that the classes follow from, to be read by others."""
    targets = {}
    for target, own in made.items():
        space, classes = own.space, own.classes
        targets[target] = {
            "algorithm": own.recipe.algorithm,
            "classes": own.recipe.classes,
            "features": described[target].names,
            "feature_mean": space.centre.tolist(),
            "feature_deviation": space.scale.tolist(),
            "components": space.axes.tolist(),
            "explained": space.explained.tolist(),
            "centres": classes.centres.tolist(),
            "cuts": None if classes.cuts is None else classes.cuts.tolist(),
            "silhouette": classes.silhouette,
            "sizes": {p: sizes.tolist() for p, sizes in own.sizes.items()},
            "smallest_over_chance": own.smallest,
            "agreement_on_train": own.agreement,
            "class_signal": own.signal.tolist(),
            "class_features": own.means.tolist(),
            "distinctive": own.distinctive.tolist(),
        }
    return {
        "command": config.job.command,
        "muse": muse.__version__,
        "source": str(package.folder),
        "digests": package.digests,
        "synthetic": package.synthetic,
        "segments": config.segments or "segment_id",
        "seed": config.seed,
        "assign": config.assign,
        "peak_support": config.peak_support,
        "targets": targets,
    }


def _tell(
    config: ClassesConfig, folder: Path, package: Package, sets: list[str], made: dict[str, Made]
) -> None:
    """Where everything is, and the command that trains on it."""
    print(f"\n{folder}{os.sep}")
    print("  label_segments, metadata, feature_segments; in classes/ the report, every segment with "
          "its features, pictures")  # fmt: skip
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
    print(shlex.join([*words, f"features={sets[0]}", f"data.root={config.out}"]))
