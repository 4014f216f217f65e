"""The finished runs that may stand in a table: the best on devel of those that fit a cell."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from muse.errors import MuseError
from muse.runs.finished import FinishedRun
from muse.scoring import metric_name
from muse.tables.published import Table
from muse.tables.systems import System

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """A system on a target: devel and test, in the metric of its table, and where they are from."""

    devel: float | None  # None: trained on devel as well
    test: float | None
    run: Path | None  # None for a mean of cells
    intervals: dict[str, list[float]] = field(default_factory=dict)  # partition -> 95 %, low, high


class Runs:
    """The finished runs that a table may show: those of its task.

    Args:
        synthetic: whether they are on synthetic data; None: if there are no others.
        test: weights that test is scored with: of the `best` epoch on devel, or of the `last`.
    """

    def __init__(
        self, runs: list[FinishedRun], table: Table, synthetic: bool | None, test: str = "best"
    ):
        runs = [r for r in runs if r.result["task"] == table.task]
        runs = [r for r in runs if r.comparable or (r.whole and r.personalised)]
        real = [r for r in runs if not r.result["synthetic"]]
        self.synthetic = bool(runs) and not real if synthetic is None else synthetic
        self.runs = [r for r in runs if r.result["synthetic"] == self.synthetic]
        self.table = table
        self.test = test

    def best(self, features: list[str], target: str, system: System) -> Cell | None:
        """The run of a system on these feature sets that is best on devel; several: early fused."""
        return self._best(
            target,
            lambda run: (
                not run.fusion
                and run.personalised == system.personalised
                and sorted(run.result["features"]) == sorted(features)
                and _has(run, system)
            ),
        )

    def fused(
        self, members: list[Cell], target: str, system: System, beside: list[str] | None = None
    ) -> Cell | None:
        """The late fusion of exactly these runs, and these feature sets beside, best on devel."""
        wanted = sorted(str(cell.run.resolve()) for cell in members)
        return self._best(
            target,
            lambda run: (
                _resolved(run.result.get("members", {}).values()) == wanted
                and _has(run, system, {"beside": beside or None})
            ),
        )

    def retrained(self, cell: Cell, target: str) -> Cell | None:
        """The run of a cell after it was trained again, on train and devel."""
        wanted = [str(cell.run.resolve())]
        return next(
            (
                self._cell(run, target)
                for run in self.runs
                if run.retrained
                and target in run.result["targets"]
                and _resolved([run.result["retrained"]["run"]]) == wanted
            ),
            None,
        )

    def _best(self, target: str, fits) -> Cell | None:
        cells = [
            self._cell(run, target)
            for run in self.runs
            if not run.retrained and target in run.result["targets"] and fits(run)
        ]
        scored = (cell for cell in cells if cell.devel is not None)
        return max(scored, key=lambda cell: cell.devel, default=None)

    def _cell(self, run: FinishedRun, target: str) -> Cell:
        """The scores of a run in the metric of the table; none where the run has not its parts."""
        metric, scale = self.table.metric, 100 if self.table.percent else 1
        weights = metric if isinstance(metric, dict) else {metric: 1}
        part = run.result["targets"][target]
        scores = {
            name: scale * sum(weight * part[name][score] for score, weight in weights.items())
            for name in ("devel", "test")
            if part[name] and weights.keys() <= part[name].keys()
        }
        # intervals, and test_last, are of the metric that the run was trained for
        own = run.result["metric"] == metric_name(metric)
        intervals = {
            name: [scale * limit for limit in part[name]["interval"]]
            for name in scores
            if own and part[name].get("interval")
        }
        if self.test == "last":
            last = part.get("test_last")  # runs of version 0.1 have none
            scores["test"] = None if last is None or not own else scale * last
            intervals.pop("test", None)
        return Cell(scores.get("devel"), scores.get("test"), run.folder, intervals)


def _has(run: FinishedRun, system: System, more: dict | None = None) -> bool:
    """Whether a run has the settings of a system, and ``more`` settings."""
    if not system.model.items() <= run.result["model"].items():
        return False
    wanted = system.run | (more or {})
    try:
        given = {name: getattr(run.settings, name, None) for name in wanted}
    except MuseError as error:
        log.warning("left out: %s", error)
        return False
    return all(_sorted(given[name]) == _sorted(value) for name, value in wanted.items())


def _sorted(value: object) -> object:
    """A list of names in a fixed order, anything else as it is."""
    return sorted(value) if isinstance(value, list) else value


def _resolved(folders) -> list[str]:
    return sorted(str(Path(folder).resolve()) for folder in folders)
