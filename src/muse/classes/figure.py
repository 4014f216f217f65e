"""The figure of what distinguishes classes of segments."""

import numpy as np
from matplotlib.figure import Figure

COLORS = ("#00798c", "#edae49", "#d1495b", "#66a182", "#7d5ba6", "#444444")


def class_figure(title: str, names: list[str], means: np.ndarray, sizes: np.ndarray) -> Figure:
    """Draw the mean of features in each class, as bars from the mean of all segments.

    After Figure 3 of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge.

    Args:
        names: the features, the most distinctive first.
        means: (classes, features) in standard deviations of the training segments.
        sizes: (classes,) training segments.
    """
    classes, features = means.shape
    figure = Figure(figsize=(2.6 + 1.75 * classes, 1.2 + 0.34 * features), layout="constrained")
    panels = figure.subplots(1, classes, sharex=True, sharey=True, squeeze=False)[0]
    limit = 1.1 * max(0.5, np.abs(means).max())
    where = np.arange(features)
    for number, panel in enumerate(panels):
        panel.barh(where, means[number], color=COLORS[number % len(COLORS)], height=0.7)
        panel.axvline(0, color="black", lw=0.8)
        panel.set_title(f"class {number} (n = {sizes[number]})", fontsize=10)
        panel.grid(alpha=0.25, axis="x")
        panel.set_axisbelow(True)
    panels[0].set_yticks(where, [name.replace("_", " ") for name in names], fontsize=9)
    panels[0].invert_yaxis()
    panels[0].set_xlim(-limit, limit)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("class mean, in standard deviations of the training segments", fontsize=9)
    return figure
