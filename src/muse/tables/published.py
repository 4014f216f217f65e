"""Numbers of the papers' tables, as published; numbers/README.md has their sources."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

NUMBERS = Path(__file__).parent / "numbers"
MODALITIES = {"A": "audio", "V": "video", "T": "text", "B": "bio"}
BASELINE = "baseline"  # the system whose numbers a paper quotes of another
METRICS = {  # as the CSVs call them -> as a task has them; with % in per cent
    "CCC": "ccc",
    "F1 macro %": "f1",
    "0.66 F1 + 0.34 UAR %": {"micro_f1": 0.66, "uar": 0.34},
}


@dataclass(frozen=True)
class Row:
    """A row of a published table, or one of that kind that the user asks for."""

    system: str
    features: str  # as the CSV calls them; several are joined by +
    modalities: tuple[str, ...] = field(default=(), compare=False)
    published: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Table:
    """A published table, as far as it is about one task."""

    number: str
    task: str
    targets: list[str]  # without `combined`
    combined: bool  # whether it has their mean
    partitions: list[str]  # those that it has numbers of
    rows: list[Row]
    numbers: dict[tuple[Row, str, str], float]  # row, target, partition -> score
    metric: str | dict[str, float]  # of the numbers, see TaskConfig.metric
    percent: bool  # whether the numbers are in per cent


@dataclass(frozen=True)
class Paper:
    """What a paper publishes, and the file beside its numbers: which runs may stand there."""

    name: str
    tables: list[Table]
    settings: dict  # the YAML, see numbers/README.md

    @property
    def tasks(self) -> dict[str, list[str]]:
        """Task -> targets, without `combined`."""
        found: dict[str, dict] = {}
        for table in self.tables:
            found.setdefault(table.task, {}).update(dict.fromkeys(table.targets))
        return {task: list(targets) for task, targets in found.items()}

    def of_table(self, table: Table) -> dict:
        """What the YAML says of a table."""
        return self.settings["tables"][table.number]

    def row_name(self, row: Row) -> str:
        """How a row is called: by its system alone where it has no features."""
        if not row.features:
            return row.system
        features = row.features
        if not row.published and "members" in self.settings["systems"][row.system]:
            fusion = self.settings.get("own_fusion", "{features}")
            features = fusion.format(features=features.replace("+", " + "))
        form = self.settings.get("row", "{features}, {system}")
        return form.format(system=row.system, features=features)

    def title(self, table: Table) -> str:
        """The paper, the number of the table, what is in it, and the task."""
        about = self.of_table(table).get("about")
        number = f"Table {table.number} ({about})" if about else f"Table {table.number}"
        return f"{self.settings['paper']}, {number}, {table.task}"


def read_paper(name: str) -> Paper:
    """Read the numbers of a paper that ship with muse."""
    settings = yaml.safe_load((NUMBERS / f"{name}.yaml").read_text(encoding="utf-8"))
    rows = _numbers(name)
    rows["target"] = rows["target"].replace(r"^combined .*", "combined", regex=True)
    tables = []
    for number, given in settings["tables"].items():
        shown = rows["table"].isin([number, *given.get("with", [])])
        shown &= rows["target"].isin(given.get("targets", rows["target"]))
        groups = rows[shown].groupby("task", sort=False)
        tables += [_table(number, task, group) for task, group in groups]
    return Paper(name, tables, settings)


def _numbers(name: str) -> pd.DataFrame:
    texts = dict.fromkeys(["table", "features", "modality"], str)
    return pd.read_csv(NUMBERS / f"{name}.csv", dtype=texts, keep_default_na=False)


def _table(number: str, task: str, rows: pd.DataFrame) -> Table:
    values = {
        (Row(r.system, r.features, tuple(r.modality.split("+"))), r.target, r.partition): r.value
        for r in rows.itertuples()
    }
    targets = [target for target in rows["target"].unique() if target != "combined"]
    (metric,) = rows["metric"].unique()
    return Table(
        number,
        task,
        targets,
        "combined" in set(rows["target"]),
        [part for part in ("devel", "test") if part in set(rows["partition"])],
        list(dict.fromkeys(row for row, _, _ in values)),
        values,
        METRICS[metric],
        "%" in metric,
    )


def quoted_elsewhere(name: str, task: str) -> list[str]:
    """What later papers give as the results of this one for a task, in words."""
    found = []
    for path in sorted(NUMBERS.glob("*.yaml")):
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        if settings.get("quotes") == name:
            rows = _numbers(path.stem)
            rows = rows[(rows["system"] == BASELINE) & (rows["task"] == task)]
            found += [f"{task} {row.target} {row.partition} {row.value:.4f} ({settings['paper']})"
                      for row in rows.itertuples()]  # fmt: skip
    return found
