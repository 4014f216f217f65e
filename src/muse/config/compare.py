"""Settings of `muse compare`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.shared import JobInfo
from muse.errors import MuseError


@dataclass
class CompareConfig(Settings):
    """Settings of `muse compare`."""

    runs: Any = setting("Run folders, two or more; latest: the newest finished run below outputs.",
                        names=True)  # fmt: skip
    names: Any = setting("What the runs are called in the table, in their order; null: what "
                         "distinguishes them.", names=True, null=True)  # fmt: skip
    partition: str = setting("Recordings: of devel, of test, or all, which only cross-validation "
                             "predicts without having seen them.",
                             choices=("devel", "test", "all"))  # fmt: skip
    target: str | None = setting("Target; null: each that all runs have.")
    pairs: str = setting("All pairs of runs, or the first run against each of the others.",
                         choices=("all", "first"))  # fmt: skip
    resamples: int = setting("Resamples of the bootstrap, and random swaps where there are more "
                             "possible ones.", low=100, high=100_000)  # fmt: skip
    seed: int = setting("Of the random numbers.", low=0)
    format: str = setting("Format of the table.", choices=("terminal", "markdown", "latex", "csv"))
    out: str | None = setting("File for the table; null: it is printed.")
    plot: str | None = setting("PNG file for the picture; null: beside out, or none without it.")
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        if len(self.runs) < 2:
            raise MuseError(f"runs=[{self.runs[0]}]: a comparison needs two runs or more.")
        if self.names and len(self.names) != len(self.runs):
            raise MuseError(
                f"names has {len(self.names)} names for {len(self.runs)} runs; expected one each."
            )
        if self.plot is not None and not self.plot.endswith(".png"):
            raise MuseError(f"plot={self.plot}: expected a name that ends in .png.")
        if self.out is not None and self.out.endswith(".png"):
            raise MuseError(f"out={self.out}: that is for the table; expected plot=FILE.png.")
