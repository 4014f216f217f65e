"""Classes of segments in words, as a table and as JSON."""

import numpy as np

import muse
from muse.classes.make import Described, Made
from muse.config.classes import ClassesConfig
from muse.config.shared import PARTITIONS
from muse.data.recordings import Package
from muse.terminal import in_columns

HEAD = "recording,partition,segment_id,first_timestamp,last_timestamp,frames,class_id"
STABLE = 0.9  # adjusted Rand index of two seeds below which a note is made


def in_words(described: Described, made: Made) -> str:
    """Table 2 of the MuSe 2021 paper, with what the classes are."""
    recipe, sizes = made.recipe, made.sizes
    how = "quantiles of the segment mean"
    if made.classes.cuts is None:
        how = (
            f"{recipe.algorithm}, {len(described.names)} features in {recipe.components} "
            f"components ({100 * made.space.explained.sum():.0f} % of the variance)"
        )
    line = f"{described.target}: {how}, silhouette {made.classes.silhouette:.3f}"
    rows = [["class", *PARTITIONS, "mean signal", "most distinctive, in deviations from the mean"]]
    for number in range(recipe.classes):
        counts = [f"{sizes[p][number]} ({100 * sizes[p][number] / sizes[p].sum():.1f} %)"
                  if p in sizes else "no labels" for p in PARTITIONS]  # fmt: skip
        words = ", ".join(
            f"{described.names[k]} {made.means[number, k]:+.1f}" for k in made.told[number]
        )
        rows.append([str(number), *counts, f"{made.signal[number]:.4f}", words])
    totals = [str(sizes[p].sum()) if p in sizes else "" for p in PARTITIONS]
    return f"{line}\n{in_columns([*rows, ['sum', *totals, '', '']])}"


def notes_on(config: ClassesConfig, described: Described, made: Made) -> list[str]:
    """What is no fault but may be a mistake."""
    target, notes = described.target, []
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
    if made.classes.stability < STABLE:
        notes.append(
            f"{target}: another seed finds other classes (adjusted Rand index "
            f"{made.classes.stability:.2f}); more starts, fewer classes or another algorithm may "
            "be stable"
        )
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


def segment_rows(described: Described, made: Made) -> str:
    """Every segment: where it is, its class, its features."""
    lines = [",".join([HEAD, *described.names])]
    for k, (recording, segment) in enumerate(
        zip(described.recordings, described.segments, strict=True)
    ):
        first, last = recording.timestamps[[segment.start, segment.stop - 1]]
        where = [recording.id, described.partitions[k], f"{segment.id:g}", f"{first:g}"]
        where += [f"{last:g}", str(segment.stop - segment.start), str(made.found[k])]
        lines.append(",".join([*where, *(f"{v:.6g}" for v in described.features[k])]))
    return "\n".join(lines) + "\n"


def report(
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
            "stability": classes.stability,
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
        "starts": config.starts,
        "assign": config.assign,
        "peak_support": config.peak_support,
        "targets": targets,
    }
