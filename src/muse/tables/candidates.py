"""The finished runs that may stand in a table: the best on devel of those that fit a cell."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from muse.config.train import TrainConfig
from muse.runs.read import FinishedRun, read_settings
from muse.tables.systems import System


@dataclass(frozen=True)
class Cell:
    """A system on a target: devel and test, CCC or F1 in per cent, and where they come from."""

    devel: float | None  # None: trained on devel
    test: float | None
    run: Path | None  # None for a mean of cells
    intervals: dict[str, list[float]] = field(default_factory=dict)  # partition -> 95 %, low, high


class Candidate:
    """A finished run whose settings are read when they are asked for."""

    def __init__(self, run: FinishedRun):
        self.run, self.result = run, run.result

    @cached_property
    def settings(self) -> TrainConfig:
        return read_settings(self.run.folder)

    def has(self, system: System) -> bool:
        """Whether it has the settings that a system must have."""
        return system.model.items() <= self.result["model"].items() and all(
            getattr(self.settings, name) == value for name, value in system.run.items()
        )


class Runs:
    """The finished runs of a task that a table may show.

    Args:
        synthetic: whether they are on synthetic data; None: if there are no others.
        test: weights that test is scored with: of the `best` epoch on devel, or of the `last`.
    """

    def __init__(
        self, runs: list[FinishedRun], task: str, synthetic: bool | None, test: str = "best"
    ):
        runs = [r for r in runs if r.result["task"] == task and not r.result["debug"]]
        real = [r for r in runs if not r.result["synthetic"]]
        self.synthetic = bool(runs) and not real if synthetic is None else synthetic
        self.runs = [Candidate(r) for r in runs if r.result["synthetic"] == self.synthetic]
        self.test = test

    def best(self, features: list[str], target: str, system: System) -> Cell | None:
        """The run of a system on these feature sets that is best on devel; several: early fused."""
        wanted = sorted(features)
        return self._best(
            target,
            lambda c: not c.run.fusion and sorted(c.result["features"]) == wanted and c.has(system),
        )

    def fused(
        self, members: list[Cell], target: str, system: System, beside: list[str] | None = None
    ) -> Cell | None:
        """The late fusion of exactly these runs, and these feature sets beside, best on devel."""
        wanted = sorted(str(cell.run.resolve()) for cell in members)
        return self._best(
            target,
            lambda c: (
                sorted(str(Path(m).resolve()) for m in c.result.get("members", {}).values())
                == wanted
                and c.has(system)
                and sorted(getattr(c.settings, "beside", None) or []) == sorted(beside or [])
            ),
        )

    def _best(self, target: str, fits) -> Cell | None:
        cells = [
            _cell(c.run, target, self.test)
            for c in self.runs
            if target in c.result["targets"] and c.result["targets"][target]["devel"] and fits(c)
        ]
        return max(cells, key=lambda cell: cell.devel, default=None)


def _cell(run: FinishedRun, target: str, weights: str) -> Cell:
    metric, part = run.result["metric"], run.result["targets"][target]
    scale = 100 if metric == "f1" else 1  # the papers give F1 in per cent
    scores = {name: scale * part[name][metric] for name in ("devel", "test") if part[name]}
    intervals = {
        name: [scale * limit for limit in part[name]["interval"]]
        for name in scores
        if part[name].get("interval")
    }
    if weights == "last":
        last = part.get("test_last")  # runs of version 0.1 have none
        scores["test"] = None if last is None else scale * last
        intervals.pop("test", None)
    return Cell(scores.get("devel"), scores.get("test"), run.folder, intervals)
