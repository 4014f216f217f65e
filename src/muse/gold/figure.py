"""The picture of a gold standard, after Figure 1 of the MuSe 2021 paper (Stappen et al.)."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from muse.gold.pipeline import Gold
from muse.plots import save_figure

FUSED, MEAN, SIGNAL = "#e07b00", "#2f6db5", "#2a9d5c"
GREYS = ("#222222", "#666666", "#777777", "#444444", "#808080")
STYLES = ("-", "--", ":", "-.")
NAMED = 8  # raters up to which each is in the legend


def plot_gold(path: Path, title: str, gold: Gold, signal: str | None) -> None:
    """Draw raters, their aligned versions and the paths between, the fused signal and the mean.

    Args:
        signal: name of a physiological signal among the raters, drawn in green.
    """
    aligned = bool(np.any(gold.shifts))
    rows = ["raters", "aligned", "paths", "fused"] if aligned else ["raters", "fused"]
    ratios = {"raters": 2, "aligned": 2, "paths": 1.2, "fused": 2}
    figure = Figure(figsize=(10, 1 + 1.15 * sum(ratios[r] for r in rows)), layout="constrained")
    panels = figure.subplots(
        len(rows), 1, sharex=True, gridspec_kw={"height_ratios": [ratios[r] for r in rows]}
    )
    at = dict(zip(rows, np.atleast_1d(panels), strict=True))
    time = gold.frames.times / 1000
    _traces(at["raters"], time, gold.before, gold, signal)
    named = gold.weights is not None and len(gold.raters) <= NAMED
    _title(at["raters"], f"raters{' (weight)' * named}")
    if aligned:
        _traces(at["aligned"], time, gold.after, gold, signal)
        _title(at["aligned"], "aligned")
        _traces(at["paths"], time, gold.shifts, gold, signal)
        at["paths"].axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
        at["paths"].set_ylabel("seconds", fontsize=8)
        _title(at["paths"], "warping paths: how far ahead of the frame each rater is read")
    low, high = at["raters"].get_ylim()
    for name in ("aligned",) if aligned else ():
        at[name].set_ylim(low, high)
    for trace in gold.after:
        at["fused"].plot(time, trace, color="#d5d5d5", lw=0.7)
    at["fused"].plot(time, gold.mean, color=MEAN, lw=1.5, label="plain average")
    at["fused"].plot(time, gold.fused, color=FUSED, lw=1.8, label="gold standard")
    _title(at["fused"], "fused")
    at["fused"].legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, ncols=2, frameon=False,
                       borderaxespad=0.2)  # fmt: skip
    at["fused"].set_xlabel("time (s)")
    for panel in at.values():
        panel.margins(x=0)
        panel.grid(alpha=0.25)
        panel.tick_params(labelsize=8)
    if len(gold.raters) <= NAMED:
        at["raters"].legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False,
                            ncols=len(gold.raters), borderaxespad=0.2)  # fmt: skip
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


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


def _title(panel: Axes, text: str) -> None:
    panel.set_title(text, loc="left", fontsize=9)
