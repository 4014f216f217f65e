"""`muse check`: every fault of a package at once, or what is in it."""

import os
from dataclasses import asdict
from pathlib import Path

from muse import terminal
from muse.config.fields import path_of
from muse.config.package import CheckConfig
from muse.config.shared import PARTITIONS
from muse.data.layout import feature_names, find_package
from muse.data.recordings import Package, load_package
from muse.data.statistics import features_of, frame_step, labels_of, notes_on, size_of, summary_of
from muse.errors import Faults, MuseError
from muse.files import write_json, write_text
from muse.plots import draw_distributions, save_figure
from muse.terminal import counted, in_columns

SHOWN = 100  # faults on the terminal; faults.txt has all of them


def run(config: CheckConfig) -> None:
    """Print the faults, or sizes, labels and features per partition; both are kept in `out`.

    Raises:
        MuseError: no package, or one with faults.
    """
    out = path_of(config.out)
    if out.is_dir() and any(out.iterdir()):
        raise MuseError(f"out={out}: the folder is not empty. Give a new one.")
    folder = find_package(config.task, config.data.root)
    names = config.features or [n for n in feature_names(folder) if not _is_words(config, n)]
    if not names:
        raise MuseError(
            f"{folder}: has nothing but transcripts, which a tokenizer is needed for: muse check "
            f"task={config.task.name} features={feature_names(folder)[0]} tokenizer=FOLDER"
        )
    faults = Faults(stop=False)
    with faults.noted():
        package = load_package(
            config.task,
            config.task.targets,
            names,
            config.feature_sets,
            config.data,
            missing="keep",
            align=config.align,
            tokenizer=config.tokenizer,
            faults=faults,
        )
    if faults.found:
        _report_faults(out, folder, faults.found)
    _describe(config, out, package)


def _is_words(config: CheckConfig, name: str) -> bool:
    """Whether a feature set is a transcript, of which there are no numbers to check."""
    return name in config.feature_sets and config.feature_sets[name].words


def _report_faults(out: Path, folder: Path, found: list[str]) -> None:
    write_text(out / "faults.txt", "".join(f"{fault}\n" for fault in found))
    for number, fault in enumerate(found[:SHOWN], start=1):
        print(f"{number:>3}. {fault}")
    more = f" ({SHOWN} are shown)" if len(found) > SHOWN else ""
    total = counted(len(found), "fault")
    raise MuseError(f"{folder}: {total}{more}; the list is in {out / 'faults.txt'}")


def _describe(config: CheckConfig, out: Path, package: Package) -> None:
    task, step = config.task, frame_step(package) or config.task.step
    sizes = {p: size_of(package.partitions[p], step) for p in PARTITIONS}
    labels = {t: {p: labels_of(task, package, p, t) for p in PARTITIONS} for t in task.targets}
    labels = {t: {p: v for p, v in parts.items() if v is not None} for t, parts in labels.items()}
    features = {}
    total = len(package.features) * sum(size["recordings"] for size in sizes.values())
    with terminal.bar(total=total, desc="features", unit="file") as bar:
        for k, name in enumerate(package.features):
            features[name] = {p: features_of(package, p, k, bar.update) for p in PARTITIONS}
    listed = {r.id for group in package.partitions.values() for r in group}
    report = {
        "task": task.name,
        "folder": str(package.folder),
        "synthetic": package.synthetic,
        "digests": package.digests,
        "step_seconds": step,
        "partitions": sizes,
        "labels": {t: {p: summary_of(v, task.classes_of(t)) for p, v in parts.items()}
                   for t, parts in labels.items()},
        "features": {n: {p: asdict(s) for p, s in parts.items()} for n, parts in features.items()},
        "notes": [
            *notes_on(task, package, features, config.feature_sets, listed),
            *(
                f"{name}: a transcript, not checked; features={name} tokenizer=FOLDER does"
                for name in feature_names(package.folder)
                if _is_words(config, name) and name not in package.features
            ),
        ],
    }  # fmt: skip
    for parts in report["features"].values():
        for statistics in parts.values():
            del statistics["contents"]
    classes = {target: task.classes_of(target) for target in task.targets}
    _print(task.title, max(classes.values()), report)
    write_json(out / "report.json", report)
    title = f"{task.title}, distribution of the labels{' (synthetic data)' * package.synthetic}"
    save_figure(draw_distributions(title, labels, classes), out / "labels.png")
    print(f"report.json and labels.png in {out}{os.sep}")


def _print(title: str, classes: int, report: dict) -> None:
    """The content of report.json as tables."""
    mark = ", SYNTHETIC data" * report["synthetic"]
    print(f"{title}: {report['folder']} is valid{mark}; a frame every {report['step_seconds']:g} s")
    sizes, labels = _size_rows(report["partitions"]), _label_rows(report["labels"], classes)
    for rows in (sizes, labels, _feature_rows(report["features"])):
        print(f"\n{in_columns(rows)}")
    if report["notes"]:
        print("\nwarnings", *report["notes"], sep="\n- ")
    print()


def _size_rows(sizes: dict) -> list[list[str]]:
    dropped = any(size["used"] < size["frames"] for size in sizes.values())
    names = ["recordings", "seconds", "frames", *["used"] * dropped, "segments"]
    heads = {"seconds": "hours", "used": "in use"}
    rows = [["partition", *(heads.get(name, name) for name in names)]]
    for partition, size in sizes.items():
        cells = size | {"seconds": _hours(size["seconds"])}
        rows.append([partition, *(str(cells[name]) for name in names)])
    return rows


def _hours(seconds: float) -> str:
    """Hours, minutes and seconds, as Table 1 has them."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _label_rows(labels: dict, classes: int) -> list[list[str]]:
    moments = ["mean", "deviation", "lowest", "highest"]
    names = [f"class {c}" for c in range(classes)] or moments
    rows = [["labels", "", "segments" if classes else "frames", *names]]
    for target, parts in labels.items():
        for partition in PARTITIONS:
            cells = ["no labels", *[""] * len(names)]
            if found := parts.get(partition):
                values = found["classes"] if classes else [f"{found[m]:.4f}" for m in moments]
                cells = [str(found["count"]), *map(str, values)]
                cells += [""] * (len(names) + 1 - len(cells))
            rows.append([target, partition, *cells])
    return rows


def _feature_rows(features: dict) -> list[list[str]]:
    head = ["features", "columns", "", "frames", "missing values", "all-zero frames"]
    rows = [[*head, "constant columns", "lowest", "highest"]]
    for name, parts in features.items():
        for k, (partition, found) in enumerate(parts.items()):
            first = ["", ""] if k else [name, str(found["columns"])]
            counts = [str(found[key]) for key in ("frames", "missing", "zero_frames")]
            limits = [f"{found[key]:.4g}" for key in ("low", "high")]
            rows.append([*first, partition, *counts, _constant(found["constant"]), *limits])
    return rows


def _constant(columns: list[str]) -> str:
    examples = ", ".join(columns[:2]) + " …" * (len(columns) > 2)
    return f"{len(columns)}: {examples}" if columns else "0"
