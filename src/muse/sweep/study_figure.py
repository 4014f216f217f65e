"""The picture of a study: its history, the importance of its settings, the value of each."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

FINISHED, PRUNED, BEST = "#2f6db5", "#8c8c8c", "#d1495b"
FEW = 6  # numbers that have a tick each
MOST = 20  # values of a setting that have a label each


def draw_study(
    title: str, value: str, table: pd.DataFrame, axes: list[str], importance: dict[str, float]
) -> Figure:
    """Draw the value of every trial in their order, and against each setting.

    Args:
        value: what is maximised, on the y axes.
        table: columns trial, state, value and, as text, the settings.
        axes: the settings.
        importance: setting -> its share of the variance; may be empty.
    """
    axes = [*importance, *(axis for axis in axes if axis not in importance)]
    columns = min(4, max(3, len(axes)))
    rows = 1 + -(-len(axes) // columns)
    figure = Figure(figsize=(1 + 3.2 * columns, 0.8 + 3.1 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    table = table[table["value"].notna()].sort_values("trial")
    history = figure.add_subplot(grid[0, :-1])
    _draw_history(history, table, value)
    _draw_importance(figure.add_subplot(grid[0, -1]), importance)
    for k, axis in enumerate(axes):
        panel = figure.add_subplot(grid[1 + k // columns, k % columns], sharey=history)
        _draw_setting(panel, table, axis)
        if k % columns == 0:
            panel.set_ylabel(value, fontsize=8)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _points(panel, at, table: pd.DataFrame) -> None:
    """A dot for each trial; the best one is marked, those that were pruned are crosses."""
    done = (table["state"] == "finished").to_numpy()
    at, values = np.asarray(at), table["value"].to_numpy(float)
    panel.plot(at[~done], values[~done], "x", color=PRUNED, ms=5, label="pruned, last value")
    panel.plot(at[done], values[done], "o", color=FINISHED, ms=4, label="finished")
    if done.any():
        best = np.flatnonzero(done)[values[done].argmax()]
        panel.plot(at[best], values[best], "o", color=BEST, ms=7, label="best")
    panel.grid(alpha=0.25)


def _draw_history(panel, table: pd.DataFrame, value: str) -> None:
    reached = table["value"].where(table["state"] == "finished").cummax().ffill()
    panel.step(table["trial"], reached, where="post", color=BEST, lw=1.2, label="best so far")
    _points(panel, table["trial"], table)
    panel.set_xlabel("trial")
    panel.set_title("history", loc="left")
    panel.set_ylabel(value, fontsize=8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(fontsize=7, frameon=False, ncols=4, loc="lower right",
                 bbox_to_anchor=(1, 1), borderaxespad=0.2)  # fmt: skip


def _draw_importance(panel, importance: dict[str, float]) -> None:
    names = list(importance)[::-1]
    panel.barh(range(len(names)), [importance[name] for name in names], color=FINISHED)
    panel.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    panel.set(xlim=(0, 1), title="importance (fANOVA)", xlabel="share of the variance")
    panel.grid(alpha=0.25, axis="x")
    if not names:
        panel.text(0.5, 0.5, "too few trials", ha="center", transform=panel.transAxes)


def _draw_setting(panel, table: pd.DataFrame, axis: str) -> None:
    numbers = pd.to_numeric(table[axis], errors="coerce")
    texts = list(dict.fromkeys(table[axis]))
    if numbers.notna().all() and len(texts) > 1:
        at = numbers
        if numbers.min() > 0 and numbers.max() >= 10 * numbers.min():
            panel.set_xscale("log")
        elif len(texts) <= FEW:
            panel.set_xticks(sorted(numbers.unique()))
    else:
        at = [texts.index(text) for text in table[axis]]
        if len(texts) <= MOST:
            panel.set_xticks(range(len(texts)), texts, fontsize=8, parse_math=False)
        panel.margins(x=0.2)
    _points(panel, at, table)
    panel.set_xlabel(axis, parse_math=False)
