"""Classes of segments as a table, as JSON, and as a package to train on."""

from pathlib import Path

import numpy as np
import pandas as pd

import muse
from muse.classes.figure import class_figure
from muse.classes.make import ClassResult, SegmentTable, Source
from muse.classes.package import (
    bring_features,
    cut_features,
    write_classes,
    write_metadata,
)
from muse.config.classes import ClassesConfig
from muse.config.shared import PARTITIONS
from muse.files import new_folder, write_json, write_text
from muse.plots import draw_distributions, save_figure
from muse.terminal import heading, in_columns

STABLE = 0.9  # adjusted Rand index of two seeds below which there is a warning


def format_classes(table: SegmentTable, result: ClassResult) -> str:
    """Table 2 of the MuSe 2021 paper, with what the classes are."""
    recipe, sizes = result.recipe, result.sizes
    how = "quantiles of the segment mean"
    if result.classes.cuts is None:
        how = (
            f"{recipe.algorithm}, {len(table.names)} features in {recipe.components} "
            f"components ({100 * result.space.explained.sum():.0f} % of the variance)"
        )
    line = (
        f"{table.target}: {how}, silhouette {result.classes.silhouette:.3f} (train), "
        f"{result.silhouette_all:.3f} (all partitions)"
    )
    rows = [["class", *PARTITIONS, "mean signal", "most distinctive, in deviations from the mean"]]
    for number in range(recipe.classes):
        counts = [f"{sizes[p][number]} ({100 * sizes[p][number] / sizes[p].sum():.1f} %)"
                  if p in sizes else "no labels" for p in PARTITIONS]  # fmt: skip
        top = ", ".join(f"{table.names[k]} {result.means[number, k]:+.1f}"
                        for k in result.top_of_class[number])  # fmt: skip
        rows.append([str(number), *counts, f"{result.signal[number]:.4f}", top])
    totals = [str(sizes[p].sum()) if p in sizes else "" for p in PARTITIONS]
    return f"{line}\n{in_columns([*rows, ['sum', *totals, '', '']])}"


def warnings_of(
    config: ClassesConfig, source: Source, results: dict[str, ClassResult]
) -> list[str]:
    """What is valid but may be a mistake, target by target."""
    warnings = []
    for target, result in results.items():
        own = _warnings(config, source.tables[target], result)
        without = sum(r.labels[target] is None for r in source.package.partitions["test"])
        if without:
            own.append(f"no labels, so no classes, of {without} recordings of test")
        warnings += [f"{target}: {text}" for text in own]
    return warnings


def _warnings(config: ClassesConfig, table: SegmentTable, result: ClassResult) -> list[str]:
    warnings = []
    if result.smallest < config.smallest:
        chance = 100 / result.recipe.classes
        warnings.append(
            f"the smallest class has {result.smallest * chance:.1f} % of the training segments, "
            f"less than {config.smallest:g} of the chance level ({chance:.1f} %)"
        )
    for partition, sizes in result.sizes.items():
        empty = ", ".join(map(str, np.flatnonzero(sizes == 0)))
        if empty:
            warnings.append(f"no segment of {partition} has class {empty}")
    if result.classes.stability < STABLE:
        warnings.append(
            f"another seed finds other classes (adjusted Rand index "
            f"{result.classes.stability:.2f}); more starts, fewer classes or another algorithm may "
            "be stable"
        )
    same = [name for name, flat in zip(table.names, result.space.constant, strict=True) if flat]
    if same:
        warnings.append(f"the same in all training segments, and not used: {', '.join(same)}")
    if result.agreement < 1:
        warnings.append(
            "train has the class that is most probable in the mixture, devel and test that of the "
            "nearest centre (assign=probability: all the most probable); on train both agree for "
            f"{100 * result.agreement:.1f} % of the segments"
        )
    return warnings


def report(config: ClassesConfig, source: Source, results: dict[str, ClassResult]) -> dict:
    """Everything that the classes follow from, to be read by others."""
    targets = {}
    for target, result in results.items():
        space, classes = result.space, result.classes
        targets[target] = {
            "algorithm": result.recipe.algorithm,
            "classes": result.recipe.classes,
            "features": source.tables[target].names,
            "feature_mean": space.centre.tolist(),
            "feature_deviation": space.scale.tolist(),
            "components": space.axes.tolist(),
            "component_factor": space.factor.tolist(),
            "component_offset": space.offset.tolist(),
            "explained": space.explained.tolist(),
            "centres": classes.centres.tolist(),
            "mixture": classes.mixture_parts,
            "cuts": None if classes.cuts is None else classes.cuts.tolist(),
            "silhouette": classes.silhouette,
            "silhouette_all_partitions": result.silhouette_all,
            "stability": classes.stability,
            "sizes": {p: sizes.tolist() for p, sizes in result.sizes.items()},
            "smallest_over_chance": result.smallest,
            "agreement_on_train": result.agreement,
            "class_signal": result.signal.tolist(),
            "class_features": result.means.tolist(),
            "distinctive": result.distinctive.tolist(),
        }
    return {
        "command": config.job.command,
        "muse": muse.__version__,
        "source": str(source.package.folder),
        "digests": source.package.digests,
        "synthetic": source.package.synthetic,
        "segments": config.segments or "segment_id",
        "seed": config.seed,
        "starts": config.starts,
        "assign": config.assign,
        "peak_support": config.peak_support,
        "rescale": config.rescale,
        "targets": targets,
    }


def write_package(
    config: ClassesConfig, folder: Path, source: Source, results: dict[str, ClassResult]
) -> None:
    """Write the package with classes, and in its folder `classes` how they were made.

    Raises MuseError if something is at its place, or a feature file does not fit the labels.
    """
    package = source.package
    with new_folder(folder) as draft:
        write_metadata(draft, package)
        shares = {}
        for target, result in results.items():
            table = source.tables[target]
            rows = table.rows.assign(class_id=result.found)
            write_classes(draft / "label_segments" / target, rows)
            features = pd.DataFrame(table.features, columns=table.names).map("{:.6g}".format)
            text = pd.concat([rows, features], axis=1).to_csv(index=False, lineterminator="\n")
            write_text(draft / f"classes/{target}_segments.csv", text)
            title = heading(f"{target}, {result.recipe.algorithm}", "most distinctive features",
                            package.synthetic)  # fmt: skip
            names = [table.names[k] for k in result.top]
            figure = class_figure(title, names, result.means[:, result.top], result.sizes["train"])
            save_figure(figure, draft / f"classes/{target}.png")
            shares[target] = {p: result.found[table.of(p)] for p in result.sizes}
        title = heading(config.to.title, "classes of the segments", package.synthetic)
        counts = {target: result.recipe.classes for target, result in results.items()}
        save_figure(draw_distributions(title, shares, counts), draft / "classes/labels.png")
        write_json(draft / "classes/report.json", report(config, source, results))
        if config.segments:
            cut_features(draft, package, source.feature_sets, source.segments, config.link)
        elif source.feature_sets:
            bring_features(draft, package, source.feature_sets, config.link)
