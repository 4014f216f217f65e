"""The settings of `muse import`, and the checks across them."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.gold import UNITS
from muse.config.shared import JobInfo, TaskConfig
from muse.errors import MuseError


@dataclass
class ImportConfig(Settings):
    """Settings of `muse import`."""

    dataset: str = setting("ceap (the download of CEAP-360VR), or table (CSV files of your own).",
                           choices=("ceap", "table"))  # fmt: skip
    source: Any = setting("Folder of the download; or CSV files, or folders of them.", names=True)
    task: TaskConfig = setting("The sub-challenge.")
    out: str = setting("Folder of the packages; the package is the task's folder in it.")
    annotations: bool = setting("ceap: write the raters' traces by video instead of a package.")
    time: str = setting("table: column of the time.")
    unit: str | None = setting("table: unit of the time: ms, s or min.", choices=UNITS)
    id: str | None = setting("table: column of the recording; null: one file per recording.")
    value: Any = setting("table: column of the label; or feature columns (null: all others).",
                         names=True, null=True)  # fmt: skip
    target: str | None = setting("table: target that the labels are of; null: named as the column.")
    features: str | None = setting("table: name of the feature set; null: the values are labels.")
    step: float | None = setting("table: seconds from frame to frame; null: as in the package.",
                                 above=0)  # fmt: skip
    max_gap: float = setting("table: longest gap in seconds that is interpolated.", low=0)
    gaps: str = setting("table: longer gaps: error, drop (no frames) or empty (features only).",
                        choices=("error", "drop", "empty"))  # fmt: skip
    partition: Any = setting("table: CSV file id,partition; or shares [0.6,0.2,0.2] at random.")
    seed: int = setting("table: of the shares.", low=0)
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.task.classes:
            raise MuseError(f"task={self.task.name} has classes; expected a task with signals.")
        if self.dataset == "ceap":
            if len(self.source) > 1:
                raise MuseError(f"source={', '.join(self.source)}: expected one folder.")
        else:
            self._check_table()

    def _check_table(self) -> None:
        if self.annotations:
            raise MuseError("annotations=true belongs to `muse import ceap`.")
        if self.unit is None:
            raise MuseError(f"no unit: in what is {self.time}? Give unit=ms, unit=s or unit=min.")
        if isinstance(self.partition, list):
            _check_shares(self.partition)
        elif self.partition is not None:
            self.partition = str(self.partition)
        if self.features is None:
            self._check_labels()
        elif self.target is not None:
            raise MuseError("features and target: import the labels first, then the features.")

    def _check_labels(self) -> None:
        if self.value is None or len(self.value) > 1:
            raise MuseError(
                "expected value=COLUMN, the column of the labels, one target at a time; or "
                "features=NAME, the name of the feature set that the columns become."
            )
        self.target = self.target or self.value[0]
        if self.target not in self.task.targets:
            raise MuseError(
                f"target={self.target}: the targets of task={self.task.name} are "
                f"{', '.join(self.task.targets)}. Say which one {self.value[0]} is with target=, "
                "or describe your data in a task of your own."
            )
        if self.gaps == "empty":
            raise MuseError(
                "gaps=empty: a frame without a label cannot be trained on; gaps=drop leaves it out."
            )


def _check_shares(shares: list) -> None:
    numbers = all(isinstance(s, int | float) and not isinstance(s, bool) and s > 0 for s in shares)
    if len(shares) != 3 or not numbers or abs(sum(shares) - 1) > 1e-6:
        raise MuseError(
            f"partition={shares}: expected three shares above 0 with the sum 1, of train, devel "
            "and test: [0.6,0.2,0.2]; or a CSV file id,partition."
        )
