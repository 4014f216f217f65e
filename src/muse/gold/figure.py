"""The figure of a gold standard, after Figure 1 of the MuSe 2021 paper (Stappen et al.)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from muse.gold.pipeline import Gold

FUSED, MEAN, SIGNAL = "#e07b00", "#2f6db5", "#2a9d5c"
GREYS = ("#222222", "#666666", "#777777", "#444444", "#808080")
STYLES = ("-", "--", ":", "-.")
TITLES = {
    "raters": "raters",
    "aligned": "aligned",
    "shifts": "time shift: a rater above 0 is late, and read that much later",
    "fused": "fused",
}
NAMED = 8  # raters up to which each is in the legend


def draw_gold(title: str, target: str, gold: Gold, signal: str | None) -> Figure:
    """Raters, their aligned versions, the time shifts between them, the fused signal and the mean.

    Args:
        target: what is rated, the name of the y axis.
        signal: name of a physiological signal among the raters, drawn in green.
    """
    heights = {"raters": 2, "aligned": 2, "shifts": 1.2, "fused": 2}
    if not gold.shifts.any():
        heights = {"raters": 2, "fused": 2}
    total = sum(heights.values())
    figure = Figure(figsize=(10, 1 + 1.15 * total), layout="constrained")
    at = figure.subplot_mosaic([[row] for row in heights], sharex=True,
                               height_ratios=list(heights.values()))  # fmt: skip
    time = gold.frames.times / 1000
    few = len(gold.raters) <= NAMED
    titles = TITLES | ({"raters": "raters (weight)"} if few and gold.weights is not None else {})
    _traces(at["raters"], time, gold.before, gold, signal)
    if "aligned" in at:
        _traces(at["aligned"], time, gold.after, gold, signal)
        at["aligned"].set_ylim(at["raters"].get_ylim())
        _traces(at["shifts"], time, gold.shifts, gold, signal)
        at["shifts"].axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    at["fused"].plot(time, gold.after.T, color="#d5d5d5", lw=0.7)
    at["fused"].plot(time, gold.mean, color=MEAN, lw=1.5, label="plain average")
    at["fused"].plot(time, gold.fused, color=FUSED, lw=1.8, label="gold standard")
    at["fused"].set_xlabel("time (s)")
    for name, panel in at.items():
        panel.set_title(titles[name], fontsize=9, loc="left")
        panel.set_ylabel("time shift (s)" if name == "shifts" else target, fontsize=8)
        panel.margins(x=0)
        panel.grid(alpha=0.25)
        panel.tick_params(labelsize=8)
    for panel in (at["raters"], at["fused"]) if few else (at["fused"],):
        panel.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False,
                     ncols=NAMED, borderaxespad=0.2)  # fmt: skip
    figure.suptitle(title, fontsize=11)
    return figure


def _traces(
    panel: Axes, time: np.ndarray, values: np.ndarray, gold: Gold, signal: str | None
) -> None:
    """A line for each rater, and its weight in the legend."""
    many = len(values) > NAMED
    for k, (name, trace) in enumerate(zip(gold.raters, values, strict=True)):
        weight = "" if gold.weights is None else f" ({gold.weights.shares[k]:.2f})"
        physio = name == signal
        color = SIGNAL if physio else "#555555" if many else GREYS[k % len(GREYS)]
        label = f"{'' if physio else 'rater '}{name}{weight}"
        style = "-" if many or physio else STYLES[k % len(STYLES)]
        alpha = 0.45 if many and not physio else 1
        panel.plot(time, trace, style, color=color, lw=0.7 if many else 1.1, alpha=alpha,
                   label=label)  # fmt: skip
