"""The picture of a comparison: differences between systems with their intervals."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

DIFFERENCE, MEANS = "#2f6db5", "#e07b00"


def draw_differences(title: str, metric: str, rows: pd.DataFrame) -> Figure:
    """Draw the difference of each pair with its 95 % interval, a panel for each target.

    Args:
        metric: whose difference it is, on the x axis.
        rows: the same pairs in the same order for each target; columns target, first, second,
            difference, low, high, p_holm and mean_difference (of the means over seeds), NaN where
            there is none.
    """
    targets = list(dict.fromkeys(rows["target"]))
    most = rows["target"].value_counts().max()
    figure = Figure(figsize=(2.5 + 4 * len(targets), 2 + 0.42 * most), layout="constrained")
    panels = figure.subplots(1, len(targets), squeeze=False, sharex=True, sharey=True)[0]
    for panel, target in zip(panels, targets, strict=True):
        own = rows[rows["target"] == target]
        height = np.arange(len(own))
        panel.axvline(0, color="#444444", lw=1)
        known = own["low"].notna().to_numpy()
        panel.hlines(height[known], own["low"][known], own["high"][known], color=DIFFERENCE, lw=2)
        panel.plot(own["difference"], height, "o", color=DIFFERENCE, label="best seeds")
        if own["mean_difference"].notna().any():
            panel.plot(own["mean_difference"], height, "D", color=MEANS, mfc="none",
                       label="means over seeds")  # fmt: skip
            panel.legend(fontsize=8, frameon=False, loc="upper right", ncols=2,
                         bbox_to_anchor=(1, 1.12), borderaxespad=0)  # fmt: skip
        for y, (gap, p) in enumerate(zip(own["difference"], own["p_holm"], strict=True)):
            text = "" if np.isnan(p) else f"p {p:.3f}" if p >= 0.001 else "p < 0.001"
            panel.annotate(text, (gap, y), (0, 5), textcoords="offset points", ha="center",
                           fontsize=8)  # fmt: skip
        pairs = own["first"] + " \N{MINUS SIGN} " + own["second"]
        panel.set_yticks(height, pairs, fontsize=8, parse_math=False)
        panel.set_ylim(most - 0.5, -0.5)  # the first pair is above
        panel.set_title(target, loc="left", fontsize=10)
        panel.set_xlabel(f"difference of {metric}")
        panel.grid(alpha=0.25, axis="x")
    about = "95 % intervals over recordings; p of the permutation test, corrected (Holm)"
    figure.suptitle(f"{title}\n{about}", fontsize=10)
    return figure
