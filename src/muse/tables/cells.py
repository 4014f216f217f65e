"""Tables of papers: for every cell the run that is best on devel, beside the published number."""

from dataclasses import dataclass, field, replace

import numpy as np

from muse.config.shared import FeatureSet
from muse.tables.candidates import Cell, Runs
from muse.tables.published import MODALITIES, Paper, Row, Table
from muse.tables.systems import System, resolved, tried


@dataclass
class Line:
    """A row of a table: target -> cell, `combined` included where all targets have one."""

    name: str
    cells: dict[str, Cell]
    published: dict[tuple[str, str], float] = field(default_factory=dict)  # target, partition


@dataclass(frozen=True)
class Sources:
    """What the cells of a table are found in, and by which rules."""

    paper: Paper
    table: Table
    rows: list[Row]  # those that are shown
    systems: dict[str, System]
    runs: Runs
    feature_sets: dict[str, FeatureSet]

    def find(self, row: Row, target: str) -> Cell | None:
        """The run that is best on devel of those that may fill a row; or it, retrained."""
        row, retrained = resolved(row, self.table.task, self.systems)
        cell = self.chosen(row, target)
        return self.runs.retrained(cell, target) if cell and retrained else cell

    def chosen(self, row: Row, target: str) -> Cell | None:
        """The run that is best on devel of those of the system of a row."""
        system = self.required(row)
        if self.systems[row.system].single:
            rows = tried(row, self.table.task, self.systems)
            cells = [self.runs.best(self.read_of(one), target, system) for one in rows]
            return max(filter(None, cells), key=lambda cell: cell.devel, default=None)
        members = self.members(row, target)
        if not members:
            return None
        return self.runs.fused(members, target, system, self.beside(row))

    def required(self, row: Row) -> System:
        """The settings that runs must have for a row; none where it takes runs of any model."""
        if not row.published and self.paper.settings.get("own_rows") == "any":
            return System()
        system = self.systems[row.system]
        return replace(system, run=system.run | system.run_of.get(self.table.task, {}))

    def read_of(self, row: Row) -> list[str]:
        """The feature sets of a row's runs; an alias such as `bio` stands for its folders."""
        names = self.systems[row.system].read_of(row.features)
        known = self.feature_sets
        return [
            folder
            for name in names
            for folder in (known[name].members if name in known else []) or [name]
        ]

    def beside(self, row: Row) -> list[str]:
        """The feature sets that a late fusion reads beside the predictions of its members."""
        forms = self.systems[row.system].beside
        return [form.format(name) for name in row.features.split("+") for form in forms]

    def members(self, row: Row, target: str) -> list[Cell]:
        """The runs that a late fusion is of; none if it is none, or one of them is missing."""
        cells = [
            max(
                filter(None, (self.find(one, target) for one in rows)),
                key=lambda cell: cell.devel,
                default=None,
            )
            for rows in self.member_rows(row, target)
        ]
        return cells if all(cells) else []

    def member_rows(self, row: Row, target: str) -> list[list[Row]]:
        """For each member of a late fusion the rows among which it is the best on devel."""
        system = self.systems[row.system]
        singles = [one for one in self.rows if self.systems[one.system].single]
        if system.modalities is not None and row.published:
            named = system.modalities.get(self.table.task, {}).get(target, {})
            return [[one for one in singles if self._is_of(one, letter, named.get(letter))]
                    for letter in row.modalities]  # fmt: skip
        members = system.members or {}
        names = row.features.split("+") if row.features else system.fused.get(target, [])
        rows = [
            Row(name, features)
            for features in names
            for name in members.get(features, members.get("*", []))
        ]
        shown = {one: one for one in singles}  # which know whether they are published
        return [[shown.get(one, one)] for one in rows]

    def _is_of(self, row: Row, letter: str, named: str | None) -> bool:
        known = self.feature_sets.get(row.features)
        return named in (None, row.features) and known and known.modality == MODALITIES[letter]


def line_of(sources: Sources, row: Row) -> Line:
    """A row with the cells that runs fill, and what is published of it."""
    table = sources.table
    found = {target: sources.find(row, target) for target in table.targets}
    line = Line(
        sources.paper.row_name(row),
        {target: cell for target, cell in found.items() if cell},
        {key[1:]: value for key, value in table.numbers.items() if key[0] == row},
    )
    if table.combined:
        combine(line, table.targets)
    return line


def combine(line: Line, targets: list[str]) -> None:
    """Add `combined`: the mean of independently chosen cells, as the papers have it."""
    cells = [line.cells.get(target) for target in targets]
    if len(targets) > 1 and all(cells):
        parts = [[cell.devel for cell in cells], [cell.test for cell in cells]]
        means = [None if None in part else float(np.mean(part)) for part in parts]
        line.cells["combined"] = Cell(*means, None)
