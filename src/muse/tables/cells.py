"""Tables of papers: for every cell the run that is best on devel, beside the published number."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config.shared import FeatureSet
from muse.errors import MuseError
from muse.runs.read import FinishedRun
from muse.tables.published import MODALITIES, Table
from muse.tables.systems import Systems

LETTERS = {modality: letter for letter, modality in MODALITIES.items()}


@dataclass(frozen=True)
class Cell:
    """A system on a target: devel and test, CCC or F1 in per cent, and where they come from."""

    devel: float
    test: float | None
    run: Path | None  # None for a mean of cells


@dataclass
class Line:
    """A row of a table: target -> cell, `combined` included where all targets have one."""

    name: str
    cells: dict[str, Cell]


class Runs:
    """The finished runs of a task that a table may show.

    Args:
        synthetic: whether they are on synthetic data; None: if there are no others.
        test: weights that test is scored with: of the `best` epoch on devel, or of the `last`.
    """

    def __init__(
        self, runs: list[FinishedRun], task: str, synthetic: bool | None, test: str = "best"
    ):
        runs = [r for r in runs if r.result["task"] == task and r.comparable]
        real = [r for r in runs if not r.result["synthetic"]]
        self.synthetic = bool(runs) and not real if synthetic is None else synthetic
        self.runs = [r for r in runs if r.result["synthetic"] == self.synthetic]
        self.test = test

    def best(self, features: list[str], target: str, model: dict) -> Cell | None:
        """The run of these feature sets, fused early if several, that is best on devel.

        Args:
            model: settings that the model of the run must have.
        """
        return self._best(
            target, model, lambda r: not r.fusion and sorted(r.result["features"]) == features
        )

    def fused(self, members: list[Cell], target: str, model: dict) -> Cell | None:
        """The late fusion of exactly these runs that is best on devel; ``model`` as in `best`."""
        wanted = sorted(str(cell.run.resolve()) for cell in members)
        return self._best(
            target,
            model,
            lambda r: (
                sorted(str(Path(m).resolve()) for m in r.result.get("members", {}).values())
                == wanted
            ),
        )

    def _best(self, target: str, model: dict, fits) -> Cell | None:
        cells = [
            _cell(r, target, self.test)
            for r in self.runs
            if target in r.result["targets"]
            and model.items() <= r.result["model"].items()
            and fits(r)
        ]
        return max(cells, key=lambda cell: cell.devel, default=None)


def _cell(run: FinishedRun, target: str, weights: str) -> Cell:
    metric, part = run.result["metric"], run.result["targets"][target]
    scale = 100 if metric == "f1" else 1  # the papers give F1 in per cent
    score = part["test"] and part["test"][metric]
    if weights == "last":
        score = part.get("test_last")  # runs of version 0.1 have none
    test = None if score is None else scale * score
    return Cell(scale * part["devel"][metric], test, run.folder)


@dataclass(frozen=True)
class Fusion:
    """A fusion that a table wants: for each target the members."""

    name: str
    members: dict[str, list[Cell]]  # target -> runs; a target is absent if a member is missing
    model: dict  # settings that the model of the fusion must have


def feature_lines(
    names: list[str],
    table: Table,
    task: str,
    runs: Runs,
    feature_sets: dict[str, FeatureSet],
    systems: Systems,
) -> list[Line]:
    """A row for each feature set; an alias such as `bio` stands for its folders.

    A row of the table takes runs with the table's model, a row that it does not have any run.
    """
    published = {row.features for row in table.rows[task]}
    lines = []
    for name in names:
        features = sorted((feature_sets[name].members if name in feature_sets else []) or [name])
        model = systems.model if name in published else {}
        found = {target: runs.best(features, target, model) for target in table.targets[task]}
        lines.append(Line(name, {t: cell for t, cell in found.items() if cell}))
    return lines


def asked_fusions(asked: list[list[str]], targets: list[str], lines: list[Line]) -> list[Fusion]:
    """The fusions that a user has asked for, whatever their model.

    Raises MuseError for a fusion of feature sets that are no rows.
    """
    by_name = {line.name: line for line in lines}
    fusions = []
    for members in asked:
        for name in members:
            if name not in by_name:
                raise MuseError(
                    f"fusions: {name} is no row of the table; it has {', '.join(by_name)}."
                )
        rows = {t: [by_name[name].cells.get(t) for name in members] for t in targets}
        complete = {t: cells for t, cells in rows.items() if all(cells)}
        fusions.append(Fusion(f"late fusion: {' + '.join(members)}", complete, {}))
    return fusions


def published_fusions(
    table: Table,
    task: str,
    lines: list[Line],
    feature_sets: dict[str, FeatureSet],
    systems: Systems,
) -> Iterator[Fusion]:
    """The fusions of a table: of the feature sets that the paper names, else the best on devel."""
    for row in table.rows[task]:
        if len(row.modalities) < 2:
            continue
        members = {}
        for target in table.targets[task]:
            cells = [
                _member(lines, m, target, feature_sets, systems.member(task, target, m))
                for m in row.modalities
            ]
            if all(cells):
                members[target] = cells
        yield Fusion(row.features, members, systems.model)


def _member(
    lines: list[Line],
    letter: str,
    target: str,
    feature_sets: dict[str, FeatureSet],
    named: str | None,
) -> Cell | None:
    """The cell of the feature set ``named``; None: that of the modality that is best on devel."""
    cells = [
        line.cells[target]
        for line in lines
        if line.name in feature_sets
        and LETTERS.get(feature_sets[line.name].modality) == letter
        and named in (None, line.name)
        and target in line.cells
    ]
    return max(cells, key=lambda cell: cell.devel, default=None)


def unnamed_members(table: Table, task: str, systems: Systems) -> list[str]:
    """Modalities of the table's fusions whose feature set the paper does not name, in words."""
    letters = {m for row in table.rows[task] if len(row.modalities) > 1 for m in row.modalities}
    return [
        f"{task} {target} {MODALITIES[letter]}"
        for target in table.targets[task]
        for letter in sorted(letters)
        if systems.member(task, target, letter) is None
    ]


def combine(line: Line, targets: list[str]) -> None:
    """Add `combined`: the mean of independently chosen cells, as the papers have it."""
    cells = [line.cells.get(target) for target in targets]
    if len(targets) > 1 and all(cells):
        tests = [cell.test for cell in cells]
        test = None if None in tests else float(np.mean(tests))
        line.cells["combined"] = Cell(float(np.mean([cell.devel for cell in cells])), test, None)
