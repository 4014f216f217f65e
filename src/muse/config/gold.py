"""The settings of `muse gold`, step by step, and the checks across them."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.shared import JobInfo
from muse.errors import MuseError

UNITS = {"ms": 1.0, "s": 1000.0, "min": 60000.0}  # milliseconds of each unit of time


SMOOTHING = ("savgol", "average", "none")


@dataclass
class SmoothConfig(Settings):
    """Step 1: smoothing of each rater."""

    KEY = "smooth."

    method: str = setting("savgol (Savitzky-Golay), average (moving) or none.", choices=SMOOTHING)
    window: int = setting("Frames that are smoothed over.", low=1)
    order: int = setting("Order of the polynomial of savgol.", low=0)

    def __post_init__(self):
        super().__post_init__()
        if self.method == "savgol":
            _check_order(self.KEY, self.window, self.order)


@dataclass
class StandardiseConfig(Settings):
    """Step 2: raters use the scale differently."""

    KEY = "standardise."

    over: str = setting("To zero mean, unit variance per rater over: corpus, recording or none.",
                        choices=("corpus", "recording", "none"))  # fmt: skip
    scale: bool = setting("Then into [-1, 1] per rater.")


@dataclass
class AlignConfig(Settings):
    """Step 3: raters react at different speeds."""

    KEY = "align."

    method: str = setting(
        "one_step or gctw (canonical time warping by one step, or to its minimum), lag or none.",
        choices=("one_step", "gctw", "lag", "none"),
    )
    max_lag: float = setting("lag, dba: longest lag considered, in seconds.", above=0)
    polynomials: int = setting("one_step, gctw: polynomial basis functions of a warping path.",
                               low=1)  # fmt: skip
    tangents: int = setting("one_step, gctw: hyperbolic tangents among the basis functions.",
                            low=0)  # fmt: skip
    regularisation: float = setting("one_step, gctw: of the correlation analysis, 0 to below 1.",
                                    low=0, below=1)  # fmt: skip
    energy: float = setting("gctw: share of the correlation that its components keep.",
                            above=0, high=1)  # fmt: skip
    rounds: int = setting("one_step, gctw: rounds at most; fewer when nothing changes any more.",
                          low=1)  # fmt: skip
    steps: int = setting("gctw: Gauss-Newton steps in each round.", low=1)
    stiffness: float = setting("gctw: penalty on paths that leave the uniform one; 0: none.", low=0)


@dataclass
class FuseStepConfig(Settings):
    """Step 4: one signal from several."""

    KEY = "fuse."

    method: str = setting("ewe (weighted by agreement), mean, or dba (DTW barycentre).",
                          choices=("ewe", "mean", "dba"))  # fmt: skip
    agreement: str = setting("ewe: pairwise (mean over the other raters) or mean_of_others.",
                             choices=("pairwise", "mean_of_others"))  # fmt: skip
    measure: str = setting("ewe: ccc or correlation.", choices=("ccc", "correlation"))
    weights_from: str = setting("ewe: agreement of the raw (not aligned) or aligned traces.",
                                choices=("raw", "aligned"))  # fmt: skip


@dataclass
class PostConfig(SmoothConfig):
    """Step 5: smoothing of the fused signal."""

    KEY = "post."

    clip: bool = setting("Clip into [-1, 1].")


@dataclass
class PhysioConfig(Settings):
    """Step 6: a physiological signal that replaces a rater."""

    KEY = "physio."

    signal: str | None = setting("Folder with one CSV per recording; null: no such signal.")
    column: str | None = setting("Its column; null: the only one beside timestamp.")
    name: str = setting("What it is called among the raters.")
    unit: str | None = setting("Unit of its timestamps: ms, s or min; null: as the raters'.",
                               choices=UNITS)  # fmt: skip
    offset: float = setting("Seconds added to its timestamps.")
    replace: str = setting("Which rater is replaced: the lowest weight of all (global) or of each "
                           "recording; none.", choices=("none", "global", "recording"))  # fmt: skip
    window: int = setting("Frames of its Savitzky-Golay smoothing, after downsampling.", low=1)
    order: int = setting("Order of the polynomial.", low=0)
    over: str = setting("Standardised over: recording (levels differ between people) or corpus.",
                        choices=("recording", "corpus"))  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if (self.signal is None) != (self.replace == "none"):
            raise MuseError(
                f"physio.signal={self.signal} with physio.replace={self.replace}: with gold=physio "
                "give the folder of the signal, physio.signal=FOLDER; without, neither."
            )
        _check_order(self.KEY, self.window, self.order)


@dataclass
class GoldConfig(Settings):
    """Settings of `muse gold`."""

    raters: str = setting("Folder with one CSV per recording: timestamp, a column per rater.")
    unit: str = setting("Unit of the timestamps: ms, s or min.", choices=UNITS)
    offset: float = setting("Seconds added to the timestamps.")
    step: float | None = setting("Seconds from frame to frame; null: as in the files.", above=0)
    target: str | None = setting("Name of the target; null: that of the raters' folder.")
    out: str = setting("Package folder: label_segments/TARGET and gold/TARGET are written.")
    ids: Any = setting("Ids of a rater with several: {4:1,7:2}, or a CSV file id,rater.")
    leave_out: Any = setting("Columns or raters to leave out: [frame,3].", names=True, null=True)
    segments: str | None = setting("Folder of CSV files start, end (ms), segment_id; null: none.")
    rows: str | None = setting("Feature set folder whose rows the labels get; null: the raters'.")
    ends: str = setting("Where not all raters have values at the ends: trim, or hold the value.",
                        choices=("trim", "hold"))  # fmt: skip
    max_gap: float = setting("Longest gap in seconds that is interpolated in a rater's trace.",
                             low=0)  # fmt: skip
    smooth: SmoothConfig = setting("Smoothing of each rater.")
    standardise: StandardiseConfig = setting("Standardising of each rater.")
    align: AlignConfig = setting("Alignment of the raters.")
    fuse: FuseStepConfig = setting("Fusion of the raters.")
    post: PostConfig = setting("Smoothing of the fused signal.")
    physio: PhysioConfig = setting("A physiological signal that replaces a rater.")
    figures: int | None = setting("Recordings that are drawn; null: all.", low=0)
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.segments is not None and self.rows is not None:
            raise MuseError("segments and rows: the rows of a feature set bring their segments.")


def _check_order(key: str, window: int, order: int) -> None:
    if order >= window:
        raise MuseError(
            f"{key}order={order}: a polynomial through {key}window={window} frames has an order of "
            f"at most {window - 1}."
        )
