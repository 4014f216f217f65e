"""What a training prints before and after it: the size of the data, the table of scores."""

from itertools import zip_longest

import numpy as np

from muse.config.train import TrainConfig
from muse.data.recordings import Package
from muse.scoring import metric_name, metric_title
from muse.terminal import format_interval, format_spread, heading, in_columns


def combined(config: TrainConfig, targets: list[dict]) -> dict:
    """Mean over targets of devel, test and, with folds, pooled; None if a target has no score."""
    means = {}
    for partition in ("devel", "test", *(["pooled"] if config.folds else [])):
        scores = [
            part[partition] and part[partition][metric_name(config.task.metric)] for part in targets
        ]
        means[partition] = None if None in scores else float(np.mean(scores))
    return means


def sizes(package: Package) -> str:
    """Recordings and frames of each partition, in a line."""
    parts = []
    for partition, recordings in package.partitions.items():
        frames = sum(len(recording.rows) for recording in recordings)
        parts.append(f"{partition} {len(recordings)} recordings, {frames} frames")
    return "; ".join(parts)


def summary_of_targets(config: TrainConfig, results: list[dict]) -> str:
    """The table of runs with a target each, and the mean over targets.

    Args:
        config: settings of one of the runs.
        results: the content of their result.json.
    """
    targets = {target: part for result in results for target, part in result["targets"].items()}
    averaged = [targets[target] for target in config.task.among("combined", list(targets))]
    whole = {"targets": targets, "combined": combined(config, averaged)}
    inputs = {
        target: config.describe(one["features"]) for one in results for target in one["targets"]
    }
    same = len(set(inputs.values())) == 1
    what = " and ".join(f"{text} ({target})" for target, text in inputs.items())
    return summary(config, results[0] | whole, None if same else what)


def summary(config: TrainConfig, result: dict, what: str | None = None) -> str:
    """The table at the end: a line per target, then their mean.

    Args:
        what: the models read, in words; None: the features of the result.
    """
    metric, count = result["metric"], len(config.seeds)
    what = what or config.describe(result["features"])
    title = heading(config.task.title, what, result["synthetic"])
    of_fit = any("C" in part for part in result["targets"].values())
    best = "C" if of_fit else f"of {count} seed{'s' * (count > 1)}"
    title += f": {metric_title(metric)}, best {best} on {config.best_on}"
    if config.retrained:
        title += f" in {config.retrained.run}, retrained on train and devel: no devel score"
    if of_fit:
        title += "; devel by the model of train, test by that of train and devel"
    rows = [["", "devel", "95 % interval", "mean of seeds", "test", "95 % interval", "seed",
             "C" if of_fit else "epoch"]]  # fmt: skip
    for target, part in result["targets"].items():
        row = [target]
        for scores in (part["devel"], part["test"]):
            row.append(f"{scores[metric]:.4f}" if scores else "no labels")
            row.append(format_interval(scores))
        over = part["over_seeds"]["devel"]
        row.insert(3, format_spread(over) if over else "")
        if config.retrained:
            row[1] = "trained on"
        chosen = f"{part['C']:g}" if "C" in part else str(part["best_epoch"])
        rows.append([*row, str(part["best_seed"]), chosen])
    if "combined" in result:
        devel, test = (result["combined"][p] for p in ("devel", "test"))
        devel = "" if devel is None else f"{devel:.4f}"
        test = "no labels" if test is None else f"{test:.4f}"
        rows.append(["combined", devel, "", "", test, "", "", ""])
    if config.best_on == "train":
        trained = [f"{part['train'][metric]:.4f}" for part in result["targets"].values()]
        for row, cell in zip_longest(rows, ["train", *trained], fillvalue=""):
            row.insert(1, cell)
    return f"{title}\n{in_columns(rows)}"
