"""Settings of `muse table`, `muse summary` and `muse runs`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, names_of, setting
from muse.config.shared import DataConfig, FeatureSet, JobInfo, TaskConfig
from muse.errors import MuseError

PAPERS = ("muse2021", "cai2021", "hamieh2021", "muse2020", "li2023")
STATES = ("finished", "running", "interrupted", "failed", "pruned", "damaged")


@dataclass
class SummaryConfig(Settings):
    """Settings of `muse summary`."""

    sweep: str = setting("The folder of the sweep, or of a study of muse tune.")
    show_test: bool = setting("Test scores of all jobs, not only of the one best on devel.")
    database: str | None = setting("The database of a study, if it is not in its folder; its URL.")
    job: JobInfo | None = None


@dataclass
class RunsConfig(Settings):
    """Settings of `muse runs`."""

    root: str = setting("The folder below which runs are listed.")
    target: str | None = setting("Only runs with this target; null: with any.")
    features: Any = setting("Only runs that use this feature set, or all of these; null: any.",
                            names=True, null=True)  # fmt: skip
    state: str | None = setting("Only runs in this state; null: in any.", choices=STATES)
    count: int | None = setting("How many are listed, the newest; null: all.", low=1)
    task: TaskConfig | None = setting("Only runs of this sub-challenge; null: all.", default=None)
    job: JobInfo | None = None


@dataclass
class TableConfig(Settings):
    """Settings of `muse table`."""

    table: str = setting("The paper: muse2021 (Table 3 of the MuSe 2021 paper), cai2021 (Tables 2 "
                         "to 6 of Cai et al., 2021), hamieh2021 (Tables 1 to 9 of Hamieh et al., "
                         "2021), muse2020 (Tables 2 to 4 of the MuSe 2020 paper), or li2023 "
                         "(Tables 2 to 6 of Li et al., 2023).",
                         choices=PAPERS)  # fmt: skip
    tables: Any = setting("Numbers of the paper's tables, [2,4]; null: all.",
                          names=True, null=True)  # fmt: skip
    tasks: Any = setting("Sub-challenges; null: all of the table.", names=True, null=True)
    systems: Any = setting("Rows, only those of these systems; null: of all of the table.",
                           names=True, null=True)  # fmt: skip
    features: Any = setting("Rows, feature sets, a+b for early fusion; null: those of the table.",
                            names=True, null=True)  # fmt: skip
    fusions: Any = setting("Rows, late fusions: null (those of the table) or [[a,b],[a,b,c]].")
    partitions: Any = setting("Partitions that are shown, [devel,test]; null: those that the table "
                              "has published numbers of.", choices=("devel", "test"),
                              names=True, null=True)  # fmt: skip
    members: str = setting("What the late fusions of muse2021 fuse: paper (the feature sets that "
                           "it names, else those best on devel), or devel.",
                           choices=("paper", "devel"))  # fmt: skip
    test: str = setting("Test scores with the weights of the best epoch on devel, or of the last "
                        "epoch, as the published code.", choices=("best", "last"))  # fmt: skip
    root: str = setting("Folder below which runs are looked for.")
    train: str = setting("no, or missing: train and fuse what no run has done.",
                         choices=("no", "missing"))  # fmt: skip
    settings: Any = setting("With train=missing: settings of the runs, {epochs:20,model.layers:1}; "
                            "those of a model for the systems whose model has them.")  # fmt: skip
    fusion_settings: Any = setting("The same for the fusions; null: the published ones.")
    personal_settings: Any = setting("The same for muse personalise, where a paper has models of "
                                     "single subjects; null: its defaults.")  # fmt: skip
    synthetic: bool | None = setting("Runs on synthetic data; null: where there are no others.")
    format: str = setting("Format of the table.", choices=("terminal", "markdown", "latex", "csv"))
    out: str | None = setting("File for the table; null: it is printed.")
    data: DataConfig = setting("The packages and the cache, for train=missing.")
    feature_sets: dict[str, FeatureSet] = setting("Metadata of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        for name in ("settings", "fusion_settings", "personal_settings"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, dict):
                raise MuseError(f"{name}={value}: expected such as {{epochs:20,lr:0.002}}.")
        if self.fusions is not None:
            if not isinstance(self.fusions, list):
                raise MuseError(f"fusions={self.fusions}: expected lists such as [[a,b],[a,b,c]].")
            self.fusions = [names_of("fusions", members) for members in self.fusions]
