"""Numbers of the papers' tables, as published; README.md in this folder has their sources."""

import csv
from dataclasses import dataclass
from pathlib import Path

MODALITIES = {"A": "audio", "V": "video", "T": "text", "B": "bio"}


@dataclass(frozen=True)
class Row:
    """A system of a table: a feature set, or the late fusion of the best of some modalities."""

    features: str  # as the CSV calls it
    modalities: tuple[str, ...]  # one for a feature set, several for a fusion


@dataclass(frozen=True)
class Table:
    """The numbers of a paper's table."""

    targets: dict[str, list[str]]  # task -> targets, without `combined`
    rows: dict[str, list[Row]]  # task -> rows, as published
    values: dict[tuple[str, str, str, str], float]  # task, features, target, partition
    percent: set[str]  # tasks with F1 in per cent
    quoted: dict[tuple[str, str, str], dict[str, float]]  # task, target, partition -> paper -> CCC

    def is_percent(self, task: str) -> bool:
        """Whether the numbers of a task are F1 in per cent, not CCC."""
        return task in self.percent

    def value(self, task: str, row: str, target: str, partition: str) -> float | None:
        """A number as published: CCC, or F1 in per cent."""
        return self.values.get((task, row, target, partition))


def read_table(name: str) -> Table:
    """Read the numbers of a table that ships with muse."""
    with (Path(__file__).parent / f"{name}.csv").open(newline="") as file:
        everything = list(csv.DictReader(file))
    lines = [line for line in everything if line["paper"] == name]
    targets: dict[str, list[str]] = {}
    rows: dict[str, list[Row]] = {}
    values = {}
    for line in lines:
        task, features = line["task"], line["features"]
        row = Row(features, tuple(line["modality"].split("+")))
        if row not in rows.setdefault(task, []):
            rows[task].append(row)
        if line["target"] != "combined" and line["target"] not in targets.setdefault(task, []):
            targets[task].append(line["target"])
        values[task, features, line["target"], line["partition"]] = float(line["value"])
    percent = {line["task"] for line in lines if "%" in line["metric"]}
    quoted: dict[tuple[str, str, str], dict[str, float]] = {}
    for line in everything:
        if line["paper"] != name:  # a baseline that a later paper gives for this table
            key = line["task"], line["target"], line["partition"]
            quoted.setdefault(key, {})[line["paper"]] = float(line["value"])
    return Table(targets, rows, values, percent, quoted)
