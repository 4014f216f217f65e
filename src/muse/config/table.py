"""Settings of `muse table` and `muse summary`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import names_of, one_of, setting
from muse.config.shared import DataConfig, FeatureSet, JobInfo
from muse.errors import MuseError


@dataclass
class SummaryConfig:
    """Settings of `muse summary`."""

    sweep: str = setting("The folder of the sweep.")
    show_test: bool = setting("Test scores of all jobs, not only of the one best on devel.")
    job: JobInfo | None = None


@dataclass
class TableConfig:
    """Settings of `muse table`."""

    table: str = setting("The table: muse2021 (Table 3 of the MuSe 2021 paper).")
    tasks: Any = setting("Sub-challenges; null: all of the table.")
    features: Any = setting("Rows, feature sets; null: those of the table.")
    fusions: Any = setting("Rows, late fusions: null (those of the table) or [[a,b],[a,b,c]].")
    root: str = setting("Folder below which runs are looked for.")
    train: str = setting("no, or missing: train and fuse what no run has done.")
    settings: Any = setting("With train=missing: settings of the runs, {epochs:20,model.layers:1}.")
    fusion_settings: Any = setting("The same for the fusions; null: the published ones.")
    synthetic: bool | None = setting("Runs on synthetic data; null: where there are no others.")
    format: str = setting("terminal, markdown, latex or csv.")
    out: str | None = setting("File for the table; null: it is printed.")
    data: DataConfig = setting("The packages and the cache, for train=missing.")
    feature_sets: dict[str, FeatureSet] = setting("What is known of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        one_of("table", self.table, ("muse2021",))
        one_of("train", self.train, ("no", "missing"))
        one_of("format", self.format, ("terminal", "markdown", "latex", "csv"))
        for name in ("settings", "fusion_settings"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, dict):
                raise MuseError(f"{name}={value}: expected such as {{epochs:20,lr:0.002}}.")
        for name in ("tasks", "features"):
            if getattr(self, name) is not None:
                setattr(self, name, names_of(name, getattr(self, name)))
        if self.fusions is not None:
            if not isinstance(self.fusions, list):
                raise MuseError(f"fusions={self.fusions}: expected lists such as [[a,b],[a,b,c]].")
            self.fusions = [names_of("fusions", members) for members in self.fusions]
