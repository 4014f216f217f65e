"""`muse classes`: from continuous signals to classes per segment, as a package of their own."""

import os
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from muse.classes.make import ClassResult, Source, load_source, make_classes
from muse.classes.report import format_classes, warnings_of, write_package
from muse.classes.search import search
from muse.config.classes import ClassesConfig
from muse.config.fields import path_of
from muse.config.overrides import CONFIG_DIR_FLAGS
from muse.data.statistics import frame_step
from muse.errors import MuseError
from muse.files import check_free, write_text
from muse.terminal import heading, in_columns

SHOWN = 10  # rows of a target on the terminal; search.csv has all


def run(config: ClassesConfig) -> None:
    """Print the classes of each target and write a package with them; or, with lists, a search.

    Raises:
        MuseError: no package, segments or labels to make classes from; classes that are too
            small with `too_small=refuse`; a package or search.csv at the new one's place.
    """
    folder = path_of(config.out) / config.to.folder
    table = path_of(config.out) / "search.csv"
    check_free(table if config.search else folder)
    source = load_source(config)
    if config.search:
        _print_search(config, source, search(config, source.tables), table)
        return
    results = {
        target: make_classes(config, source.tables[target], config.candidates(target)[0])
        for target in config.targets
    }
    title = f"{config.task.title} to {config.to.title}"
    print(heading(title, "classes per segment", source.package.synthetic))
    for target, result in results.items():
        print(f"\n{format_classes(source.tables[target], result)}")
    warnings = warnings_of(config, source, results)
    if warnings:
        print("\nwarnings", *warnings, sep="\n- ")
    _refuse_small(config, results)
    write_package(config, folder, source, results)
    _print_summary(config, folder, source, results)


def _print_search(config: ClassesConfig, source: Source, table: pd.DataFrame, path: Path) -> None:
    """Write all recipes to ``path`` and print the best of each target."""
    numbers = table.select_dtypes("float").columns
    table[numbers] = table[numbers].map(lambda v: "" if np.isnan(v) else f"{v:.3f}")
    table = table.astype(str)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    title = "search for classes per segment"
    print(heading(config.task.title, title, source.package.synthetic))
    best = []
    for target, own in table.groupby("target", sort=False):
        own = own.drop(columns="target")
        more = f"\n({len(own) - SHOWN} more in search.csv)" if len(own) > SHOWN else ""
        rows = [own.columns.tolist(), *own.head(SHOWN).to_numpy().tolist()]
        print(f"\n{target}\n{in_columns(rows)}{more}")
        first = own.iloc[0]
        words = " ".join(f"{key}={first[key]}" for key in ("algorithm", "classes", "components"))
        best.append(
            f"{target}: no recipe meets smallest={config.smallest:g}"
            if first["remark"]
            else f"target={target} {words}"
        )
    print(f"\n{path} has all of them. No package is written; the settings of the best:")
    print(*(f"  {line}" for line in best), sep="\n")


def _refuse_small(config: ClassesConfig, results: dict[str, ClassResult]) -> None:
    small = [target for target, found in results.items() if found.smallest < config.smallest]
    if small and config.too_small == "refuse":
        raise MuseError(
            f"{', '.join(small)}: a class is smaller than smallest={config.smallest:g} of the "
            "chance level, and too_small=refuse. Nothing is written. Try fewer classes, or search: "
            "'algorithm=[kmeans,gmm]' 'components=[2,3,5]'."
        )


def _print_summary(
    config: ClassesConfig, folder: Path, source: Source, results: dict[str, ClassResult]
) -> None:
    """Where everything is, and the command that trains on it."""
    print(f"\n{folder}{os.sep}")
    print("  in classes/ the report, figures, and every segment with its features")
    if not source.feature_sets:
        print("There are no features in the package that could be taken along: put feature_segments"
              f" with the column segment_id into {folder}.")  # fmt: skip
        return
    words = ["muse", "train", f"task={config.to.name}"]
    counts = {target: found.recipe.classes for target, found in results.items()}
    step = frame_step(source.package)
    if any(count != config.to.classes_of(target) for target, count in counts.items()):
        words.append(f"task.classes={next(iter(counts.values()))}")
    if step and not np.isclose(step, config.to.step):
        words.append(f"task.step={step:g}")
    if set(config.targets) != set(config.to.targets):
        one = len(config.targets) == 1
        given = ",".join(config.targets)
        words.append(f"target={given}" if one else f"task.targets=[{given}]")
    words += [f"align={config.align}"] * bool(config.align)
    typed = shlex.split(config.job.command)
    own = [word for before, word in pairwise(typed) if before in CONFIG_DIR_FLAGS]
    words += [f"features={source.feature_sets[0]}", f"data.root={config.out}"]
    print(shlex.join([*words, *(w for folder in own for w in ("--config-dir", folder))]))
