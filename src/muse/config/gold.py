"""The settings of `muse gold`, step by step, and the checks across them."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import at_least, names_of, one_of, setting
from muse.config.shared import JobInfo
from muse.errors import MuseError

UNITS = {"ms": 1.0, "s": 1000.0, "min": 60000.0}  # milliseconds of each unit of time


@dataclass
class SmoothConfig:
    """Step 1: smoothing of each rater."""

    method: str = setting("savgol (Savitzky-Golay), average (moving) or none.")
    window: int = setting("Frames that are smoothed over.")
    order: int = setting("Order of the polynomial of savgol.")

    def __post_init__(self):
        one_of("smooth.method", self.method, ("savgol", "average", "none"))
        _window("smooth", self.window, self.order if self.method == "savgol" else 0)


@dataclass
class StandardiseConfig:
    """Step 2: raters use the scale differently."""

    over: str = setting("To zero mean, unit variance per rater over: corpus, recording or none.")
    scale: bool = setting("Then into [-1, 1] per rater.")

    def __post_init__(self):
        one_of("standardise.over", self.over, ("corpus", "recording", "none"))


@dataclass
class AlignConfig:
    """Step 3: raters react at different speeds."""

    method: str = setting(
        "one_step, gctw (canonical time warping: one Gauss-Newton step, to its minimum), lag, none."
    )
    max_lag: float = setting("lag, dba: longest lag considered, in seconds.")
    polynomials: int = setting("one_step, gctw: polynomial basis functions of a warping path.")
    tangents: int = setting("one_step, gctw: hyperbolic tangents among the basis functions.")
    regularisation: float = setting("one_step, gctw: of the correlation analysis, 0 to below 1.")
    energy: float = setting("gctw: share of the correlation that its components keep.")
    rounds: int = setting("one_step, gctw: rounds at most; fewer when nothing changes any more.")
    steps: int = setting("gctw: Gauss-Newton steps in each round.")
    stiffness: float = setting("gctw: penalty on paths that leave the uniform one; 0: none.")

    def __post_init__(self):
        one_of("align.method", self.method, ("one_step", "gctw", "lag", "none"))
        if not self.max_lag > 0:
            raise MuseError(f"align.max_lag={self.max_lag}: expected seconds, above 0.")
        for name in ("polynomials", "rounds", "steps"):
            at_least(f"align.{name}", getattr(self, name), 1)
        at_least("align.tangents", self.tangents, 0)
        at_least("align.stiffness", self.stiffness, 0)
        if not 0 <= self.regularisation < 1:
            raise MuseError(
                f"align.regularisation={self.regularisation}: expected 0 or more and below 1."
            )
        if not 0 < self.energy <= 1:
            raise MuseError(f"align.energy={self.energy}: expected above 0 and at most 1.")


@dataclass
class FuseStepConfig:
    """Step 4: one signal from several."""

    method: str = setting("ewe (weighted by agreement), mean, or dba (DTW barycentre).")
    agreement: str = setting("ewe: pairwise (mean over the other raters) or mean_of_others.")
    measure: str = setting("ewe: ccc or correlation.")
    weights_from: str = setting("ewe: agreement of the raw (not aligned) or aligned traces.")

    def __post_init__(self):
        one_of("fuse.method", self.method, ("ewe", "mean", "dba"))
        one_of("fuse.agreement", self.agreement, ("pairwise", "mean_of_others"))
        one_of("fuse.measure", self.measure, ("ccc", "correlation"))
        one_of("fuse.weights_from", self.weights_from, ("raw", "aligned"))


@dataclass
class PostConfig:
    """Step 5: smoothing of the fused signal."""

    method: str = setting("average (moving), savgol or none.")
    window: int = setting("Frames that are smoothed over.")
    order: int = setting("Order of the polynomial of savgol.")
    clip: bool = setting("Clip into [-1, 1].")

    def __post_init__(self):
        one_of("post.method", self.method, ("average", "savgol", "none"))
        _window("post", self.window, self.order if self.method == "savgol" else 0)


@dataclass
class PhysioConfig:
    """Step 6: a physiological signal that replaces a rater."""

    signal: str | None = setting("Folder with one CSV per recording; null: no such signal.")
    column: str | None = setting("Its column; null: the only one beside timestamp.")
    name: str = setting("What it is called among the raters.")
    unit: str | None = setting("Unit of its timestamps: ms, s or min; null: as the raters'.")
    offset: float = setting("Seconds added to its timestamps.")
    replace: str = setting(
        "Which rater is replaced: the lowest weight of all (global) or of each recording; none."
    )
    window: int = setting("Frames of its Savitzky-Golay smoothing, after downsampling.")
    order: int = setting("Order of the polynomial.")
    over: str = setting("Standardised over: recording (levels differ between people) or corpus.")

    def __post_init__(self):
        one_of("physio.replace", self.replace, ("none", "global", "recording"))
        one_of("physio.over", self.over, ("recording", "corpus"))
        if (self.signal is None) != (self.replace == "none"):
            raise MuseError(
                f"physio.signal={self.signal} with physio.replace={self.replace}: with gold=physio "
                "give the folder of the signal, physio.signal=FOLDER; without, neither."
            )
        if self.unit is not None:
            one_of("physio.unit", self.unit, UNITS)
        _window("physio", self.window, self.order)


@dataclass
class GoldConfig:
    """Settings of `muse gold`."""

    raters: str = setting("Folder with one CSV per recording: timestamp, a column per rater.")
    unit: str = setting("Unit of the timestamps: ms, s or min.")
    offset: float = setting("Seconds added to the timestamps.")
    step: float | None = setting("Seconds from frame to frame; null: as in the files.")
    target: str | None = setting("Name of the target; null: that of the raters' folder.")
    out: str = setting("Package folder: label_segments/TARGET and gold/TARGET are written.")
    ids: Any = setting("Ids of a rater with several: {4:1,7:2}, or a CSV file id,rater.")
    leave_out: Any = setting("Columns or raters to leave out: [frame,3].")
    segments: str | None = setting("Folder of CSV files start, end (ms), segment_id; null: none.")
    rows: str | None = setting("Feature set folder whose rows the labels get; null: the raters'.")
    ends: str = setting("Where not all raters have values at the ends: trim, or hold the value.")
    max_gap: float = setting("Longest gap in seconds that is interpolated in a rater's trace.")
    smooth: SmoothConfig = setting("Smoothing of each rater.")
    standardise: StandardiseConfig = setting("Standardising of each rater.")
    align: AlignConfig = setting("Alignment of the raters.")
    fuse: FuseStepConfig = setting("Fusion of the raters.")
    post: PostConfig = setting("Smoothing of the fused signal.")
    physio: PhysioConfig = setting("A physiological signal that replaces a rater.")
    figures: int | None = setting("Recordings that are drawn; null: all.")
    job: JobInfo | None = None

    def __post_init__(self):
        one_of("unit", self.unit, UNITS)
        one_of("ends", self.ends, ("trim", "hold"))
        if self.leave_out is not None:
            self.leave_out = names_of("leave_out", self.leave_out)
        if self.step is not None and not self.step > 0:
            raise MuseError(f"step={self.step}: expected seconds, above 0.")
        at_least("max_gap", self.max_gap, 0)
        if self.figures is not None:
            at_least("figures", self.figures, 0)
        if self.segments is not None and self.rows is not None:
            raise MuseError("segments and rows: the rows of a feature set bring their segments.")


def _window(step: str, window: int, order: int) -> None:
    at_least(f"{step}.window", window, 1)
    at_least(f"{step}.order", order, 0)
    if order >= window:
        raise MuseError(
            f"{step}.order={order}: a polynomial through {step}.window={window} frames has an "
            f"order of at most {window - 1}."
        )
