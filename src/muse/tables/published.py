"""Numbers of the papers' tables, as published; numbers/README.md has their sources."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

MODALITIES = {"A": "audio", "V": "video", "T": "text", "B": "bio"}
PAPERS = {"cai2021": "Cai et al., 2021", "hamieh2021": "Hamieh et al., 2021"}


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
    quoted: pd.DataFrame  # task, target, partition, paper, value: what later papers give instead

    def is_percent(self, task: str) -> bool:
        """Whether the numbers of a task are F1 in per cent, not CCC."""
        return task in self.percent

    def value(self, task: str, row: str, target: str, partition: str) -> float | None:
        """A number as published: CCC, or F1 in per cent."""
        return self.values.get((task, row, target, partition))


def read_table(name: str) -> Table:
    """Read the numbers of a table that ships with muse."""
    everything = pd.read_csv(Path(__file__).parent / "numbers" / f"{name}.csv")
    own = everything[everything["paper"] == name]
    systems = own[["task", "features", "modality"]].drop_duplicates()
    targets, rows = {}, {}
    for task in own["task"].unique():
        found = own.loc[own["task"] == task, "target"].unique()
        targets[task] = [target for target in found if target != "combined"]
        listed = systems[systems["task"] == task]
        rows[task] = [Row(f, tuple(m.split("+"))) for _, f, m in listed.itertuples(index=False)]
    keys = own[["task", "features", "target", "partition"]].itertuples(index=False, name=None)
    values = dict(zip(keys, own["value"], strict=True))
    percent = set(own.loc[own["metric"].str.contains("%"), "task"])
    return Table(targets, rows, values, percent, everything[everything["paper"] != name])
