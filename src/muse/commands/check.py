"""`muse check`: every fault of a package at once, or what is in it."""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from muse import terminal
from muse.config.package import CheckConfig
from muse.config.shared import PARTITIONS
from muse.data.layout import feature_folders, find_package
from muse.data.recordings import Package, load_package
from muse.data.statistics import (
    FeatureStatistics,
    features_of,
    frame_step,
    labels_of,
    notes_on,
    size_of,
)
from muse.errors import Faults, MuseError
from muse.files import write_json, write_text
from muse.plots import draw_distributions, save_figure
from muse.terminal import in_columns

SHOWN = 100  # faults on the terminal; faults.txt has all of them


def run(config: CheckConfig) -> None:
    """Print the faults, or sizes, labels and features per partition; both are kept in `out`.

    Raises:
        MuseError: no package, or one with faults.
    """
    out = Path(config.out)
    if out.is_dir() and any(out.iterdir()):
        raise MuseError(f"out={out}: the folder is not empty. Give a new one.")
    folder = find_package(config.task, config.data.root)
    faults = Faults(stop=False)
    with faults.noted():
        package = load_package(
            config.task,
            config.task.targets,
            config.features or feature_folders(folder),
            config.feature_sets,
            config.data,
            missing="keep",
            faults=faults,
        )
    if faults.found:
        _tell(out, folder, faults.found)
    _describe(config, out, package)


def _tell(out: Path, folder: Path, found: list[str]) -> None:
    write_text(out / "faults.txt", "".join(f"{fault}\n" for fault in found))
    for number, fault in enumerate(found[:SHOWN], start=1):
        print(f"{number:>3}. {fault}")
    more = f" ({SHOWN} are shown)" if len(found) > SHOWN else ""
    word = "fault" if len(found) == 1 else "faults"
    raise MuseError(f"{folder}: {len(found)} {word}{more}; the list is in {out / 'faults.txt'}")


def _describe(config: CheckConfig, out: Path, package: Package) -> None:
    task, step = config.task, frame_step(package) or config.task.step
    sizes = {p: size_of(package.partitions[p], step) for p in PARTITIONS}
    labels = {
        target: {
            p: values
            for p in PARTITIONS
            if (values := labels_of(task, package, p, target)) is not None
        }
        for target in task.targets
    }
    features: dict[str, dict[str, FeatureStatistics]] = {}
    total = len(package.features) * sum(size.recordings for size in sizes.values())
    with terminal.bar(total=total, desc="features", unit="file") as bar:
        for k, name in enumerate(package.features):
            features[name] = {p: features_of(package, p, k, bar.update) for p in PARTITIONS}
    listed = {r.id for group in package.partitions.values() for r in group}
    notes = list(notes_on(task, package, features, config.feature_sets, listed))

    mark = ", SYNTHETIC data" if package.synthetic else ""
    print(f"{task.title}: {package.folder} is sound{mark}; a frame every {step:g} s\n")
    label_rows = (
        _class_rows(labels, task.classes) if task.head == "classes" else _label_rows(labels)
    )
    for rows in (_size_rows(sizes), label_rows, _feature_rows(features)):
        print(f"{in_columns(rows)}\n")
    if notes:
        print("to be looked at", *notes, sep="\n- ", end="\n\n")
    write_json(
        out / "report.json",
        {
            "task": task.name,
            "folder": str(package.folder),
            "synthetic": package.synthetic,
            "digests": package.digests,
            "step_seconds": step,
            "partitions": {p: asdict(size) for p, size in sizes.items()},
            "labels": {t: {p: _summary(v, task.classes) for p, v in parts.items()}
                       for t, parts in labels.items()},
            "features": {n: {p: _without_contents(s) for p, s in parts.items()}
                         for n, parts in features.items()},
            "notes": notes,
        },
    )  # fmt: skip
    title = f"{task.title}, distribution of the labels{' (synthetic data)' * package.synthetic}"
    save_figure(draw_distributions(title, labels, task.classes), out / "labels.png")
    print(f"report.json and labels.png in {out}{os.sep}")


def _size_rows(sizes: dict) -> list[list[str]]:
    dropped = any(size.used < size.frames for size in sizes.values())
    rows = [["partition", "recordings", "hours", "frames", *["in use"] * dropped, "segments"]]
    for partition, size in sizes.items():
        used = [str(size.used)] * dropped
        hours = _hours(size.seconds)
        counts = [str(size.frames), *used, str(size.segments)]
        rows.append([partition, str(size.recordings), hours, *counts])
    return rows


def _hours(seconds: float) -> str:
    """Hours, minutes and seconds, as Table 1 has them."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _label_rows(labels: dict[str, dict[str, np.ndarray]]) -> list[list[str]]:
    rows = [["labels", "", "frames", "mean", "deviation", "lowest", "highest"]]
    for target, parts in labels.items():
        for partition in PARTITIONS:
            if partition not in parts:
                rows.append([target, partition, "no labels", "", "", "", ""])
                continue
            found = _summary(parts[partition], 0)
            values = (found[name] for name in ("mean", "deviation", "lowest", "highest"))
            numbers = [f"{value:.4f}" for value in values]
            rows.append([target, partition, str(found["count"]), *numbers])
    return rows


def _class_rows(labels: dict[str, dict[str, np.ndarray]], classes: int) -> list[list[str]]:
    rows = [["labels", "", "segments", *(f"class {c}" for c in range(classes))]]
    for target, parts in labels.items():
        for partition in PARTITIONS:
            if partition not in parts:
                rows.append([target, partition, "no labels", *[""] * classes])
                continue
            found = _summary(parts[partition], classes)
            rows.append([target, partition, str(found["count"]), *map(str, found["classes"])])
    return rows


def _summary(values: np.ndarray, classes: int) -> dict:
    """Of all labels of a target in a partition."""
    if classes:
        counts = np.bincount(values.astype(int), minlength=classes)
        return {"count": len(values), "classes": counts.tolist()}
    wide = values.astype(np.float64)
    return {
        "count": len(wide),
        "mean": wide.mean(),
        "deviation": wide.std(),
        "lowest": wide.min(),
        "highest": wide.max(),
    }


def _feature_rows(features: dict[str, dict[str, FeatureStatistics]]) -> list[list[str]]:
    head = ["features", "columns", "", "frames", "missing values", "all-zero frames"]
    rows = [[*head, "constant columns", "lowest", "highest"]]
    for name, parts in features.items():
        for k, (partition, found) in enumerate(parts.items()):
            first = [name, str(found.columns)] if not k else ["", ""]
            counts = [str(found.frames), str(found.missing), str(found.zero_frames)]
            limits = [f"{found.low:.4g}", f"{found.high:.4g}"]
            rows.append([*first, partition, *counts, _constant(found.constant), *limits])
    return rows


def _constant(columns: list[str]) -> str:
    if not columns:
        return "0"
    return f"{len(columns)}: {', '.join(columns[:2])}{' …' if len(columns) > 2 else ''}"


def _without_contents(found: FeatureStatistics) -> dict:
    return {key: value for key, value in asdict(found).items() if key != "contents"}
