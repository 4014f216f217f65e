"""What came out of a sweep: every job by its devel score, and which setting matters."""

import csv
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from muse.errors import MuseError
from muse.files import write_text
from muse.runs.identity import numbers_of
from muse.runs.read import read_result, read_settings
from muse.scoring import metric_title
from muse.sweep.state import LINK_FILE, job_folders, state_of
from muse.terminal import in_columns

log = logging.getLogger(__name__)

SHOWN = 20  # failures on the terminal


@dataclass(frozen=True)
class Row:
    """A finished job and one of its targets."""

    target: str
    settings: dict[str, str]  # all that change numbers
    devel: float  # of the best seed
    mean: float  # over seeds
    deviation: float | None
    test: float | None  # of the best seed
    seed: int
    epoch: int
    run: Path
    metric: str
    title: str


@dataclass(frozen=True)
class Failure:
    """A job that has no result."""

    state: str
    reason: str
    command: str
    folder: Path


def report(root: Path, show_test: bool) -> int:
    """Print the leaderboard of a sweep and write it as CSV; return the number of failures.

    Test is shown for the row that devel has chosen, for all only with ``show_test``.

    Raises MuseError for a folder that has no jobs.
    """
    folders = job_folders(root)
    if not folders:
        raise MuseError(f"{root}: no jobs here; expected the folder of a sweep of `muse train -m`.")
    rows, failures = [], []
    for folder in folders:
        try:
            rows += _rows(folder)
        except MuseError as error:
            failures.append(Failure("damaged", str(error), "", folder))
            continue
        if state_of(folder) != "finished":
            failures.append(_failure(folder))
    axes = _axes(rows)
    targets = list(dict.fromkeys(row.target for row in rows))
    lines = [["target", *axes, "devel", "mean", "deviation", "test", "seed", "epoch", "run"]]
    for target in targets:
        ranked = sorted((r for r in rows if r.target == target), key=lambda row: -row.devel)
        tests = [row.test if show_test or not k else None for k, row in enumerate(ranked)]
        table = [_cells(row, axes, test) for row, test in zip(ranked, tests, strict=True)]
        count = f"{len(ranked)} job{'s' * (len(ranked) > 1)}"
        print(f"\n{ranked[0].title}, {target}: {metric_title(ranked[0].metric)}, {count}")
        head = [*axes, "devel", "mean of seeds", "test", "seed", "epoch", "run"]
        print(in_columns([head, *table]))
        for effect in _effects(ranked, axes):
            print(effect)
        for row, test in zip(ranked, tests, strict=True):
            numbers = [row.devel, row.mean, row.deviation, test]
            cells = ["" if number is None else repr(number) for number in numbers]
            values = [row.settings[axis] for axis in axes]
            lines.append([target, *values, *cells, str(row.seed), str(row.epoch), str(row.run)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(root / "leaderboard.csv", text.getvalue())
    print(f"\n{root / 'leaderboard.csv'}")
    for failure in failures[:SHOWN]:
        print(f"\n{failure.state}: {failure.folder}\n  {failure.reason}\n  {failure.command}")
    if len(failures) > SHOWN:
        print(f"\nand {len(failures) - SHOWN} more without a result")
    return len(failures)


def _rows(folder: Path) -> Iterator[Row]:
    """A row per target of a finished job."""
    if state_of(folder) != "finished":
        return
    run = folder
    if not (folder / "result.json").exists():
        try:
            run = Path(yaml.safe_load((folder / LINK_FILE).read_text())["run"])
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            path = folder / LINK_FILE
            raise MuseError(f"{path}: damaged. Delete it; the sweep writes it again.") from None
    result, config = read_result(run), read_settings(run)
    settings = dict(_flat(numbers_of(config)))
    if config.fusion and config.method != "lstm":  # its weights and seed follow from the method
        settings = {name: value for name, value in settings.items() if not _of_model(name)}
    settings["task"] = config.task.name
    settings["features"] = "+".join(config.features)
    title = config.task.title + (", SYNTHETIC data" if result["synthetic"] else "")
    for target, part in result["targets"].items():
        over, metric = part["over_seeds"]["devel"], result["metric"]
        yield Row(
            target,
            settings,
            part["devel"][metric],
            over["mean"],
            over["deviation"],
            part["test"] and part["test"][metric],
            part["best_seed"],
            part["best_epoch"],
            run,
            metric,
            title,
        )


def _flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as `model.hidden` -> text; a task is its name."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name == "task":
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            text = f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
            yield name, text


def _of_model(name: str) -> bool:
    """Whether a setting is one that some models do not have."""
    return name == "seeds" or name.startswith("model.")


def _axes(rows: list[Row]) -> list[str]:
    """The settings that vary between jobs."""
    names = dict.fromkeys(name for row in rows for name in row.settings)
    varying = [
        n for n in names
        if len({r.settings.get(n, "") for r in rows if n in r.settings or not _of_model(n)}) > 1
    ]  # fmt: skip
    for row in rows:
        row.settings.update({name: row.settings.get(name, "") for name in varying})
    return [name for name in varying if name != "target"]


def _cells(row: Row, axes: list[str], test: float | None) -> list[str]:
    spread = "" if row.deviation is None else f" ± {row.deviation:.4f}"
    return [
        *(row.settings[axis] for axis in axes),
        f"{row.devel:.4f}",
        f"{row.mean:.4f}{spread}",
        "" if test is None else f"{test:.4f}",
        str(row.seed),
        str(row.epoch),
        str(row.run),
    ]


def _effects(rows: list[Row], axes: list[str]) -> Iterator[str]:
    """Mean devel score (over jobs, of the mean over seeds) per value of each axis."""
    effects = []
    for axis in axes:
        values: dict[str, list[float]] = {}
        for row in rows:
            values.setdefault(row.settings[axis], []).append(row.mean)
        means = {value: float(np.mean(scores)) for value, scores in values.items()}
        if len(means) > 1:
            effects.append((max(means.values()) - min(means.values()), axis, means))
    if effects:
        order = ", the setting with the largest differences first" if len(effects) > 1 else ""
        yield f"\nmean devel score per value{order}"
    for _, axis, means in sorted(effects, reverse=True):
        ranked = sorted(means.items(), key=lambda item: -item[1])
        yield f"  {axis:<20} " + "  ".join(f"{value}: {mean:.4f}" for value, mean in ranked)


def _failure(folder: Path) -> Failure:
    try:
        status = yaml.safe_load((folder / "status.json").read_text()) or {}
    except (OSError, yaml.YAMLError):
        status = {}
    command = status.get("command", "")
    config = folder / "config.yaml"
    if not command and config.exists():
        command = config.read_text(errors="replace").split("\n")[0].removeprefix("# ")
    return Failure(state_of(folder), status.get("reason", ""), command, folder)
