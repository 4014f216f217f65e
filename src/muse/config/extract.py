"""The settings of `muse extract`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.shared import JobInfo
from muse.errors import MuseError


@dataclass
class HrvConfig(Settings):
    """What `muse extract hrv` reads of the files, and how it smooths the signals at the frames."""

    KEY = "hrv."

    ecg: str = setting("hrv: column of the raw ECG.")
    resp: str | None = setting("hrv: column of the respiration; null: without.")
    bpm: str | None = setting("hrv: column of the heart rate per minute; null: from the R peaks.")
    rate: float | None = setting("hrv: rows per second; null: from the column timestamp (ms).",
                                 low=50)  # fmt: skip
    smooth: int = setting("hrv: frames of the Savitzky-Golay filter of ECG, RESP and BPM; 1: none.",
                          low=1)  # fmt: skip
    order: int = setting("hrv: order of its polynomial.", low=0)

    def __post_init__(self):
        super().__post_init__()
        if 1 < self.smooth <= self.order:
            raise MuseError(f"hrv.order={self.order}: expected less than hrv.smooth={self.smooth}.")


@dataclass
class LldConfig(Settings):
    """How `muse extract lld` brings descriptors of 10 ms to frames."""

    KEY = "lld."

    frame: str = setting(
        "lld: what a frame has of the descriptors of 10 ms: their mean over it, or the one nearest "
        "to its middle.",
        choices=("mean", "nearest"),
    )


@dataclass
class ExtractConfig(Settings):
    """Settings of `muse extract`."""

    extractor: str = setting("What is extracted.", choices=("hrv", "egemaps", "lld"))
    source: Any = setting("Files, or folders of them, one file per recording; in= is the same.",
                          names=True)  # fmt: skip
    out: str = setting("Folder of the package; gets feature_segments/FEATURES.")
    features: str = setting("Name of the feature set that is written.")
    step: float = setting("Seconds from frame to frame, where the package has no rows of the "
                          "recording yet.", above=0)  # fmt: skip
    window: float | None = setting("Seconds that a frame is computed over; unless given, that of "
                                   "the extractor.", above=0)  # fmt: skip
    workers: int = setting("Files side by side; -1: one per core, as far as memory goes.",
                           low=-1, identity=False)  # fmt: skip
    hrv: HrvConfig = setting("Heart-rate variability.")
    lld: LldConfig = setting("Low-level descriptors.")
    job: JobInfo | None = None
