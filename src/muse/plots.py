"""Figures: signals and predictions, confusion matrices, learning curves, label distributions.

Functions `draw_...` return a figure, `save_figure` writes it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from muse.files import write_file
from muse.scoring import ccc

GOLD, PREDICTION = "#444444", "#d1495b"
PARTITION_COLORS = {"train": "#00798c", "devel": "#edae49", "test": "#d1495b"}


def draw_signals(
    title: str,
    target: str,
    recordings: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    variance: str,
    shown: int = 4,
) -> Figure:
    """Draw recordings from the best to the worst CCC, evenly picked.

    Args:
        target: what the signals are, on the y axis.
        recordings: id, timestamps in ms (frames,), gold standard (frames,), prediction (frames,).
        variance: of the CCC in the panels' titles, see muse.scoring.ccc.
    """
    scored = [(ccc(prediction, gold, variance), id_, time, gold, prediction)
              for id_, time, gold, prediction in recordings]  # fmt: skip
    scored.sort(key=lambda item: -item[0])
    picks = np.unique(np.linspace(0, len(scored) - 1, min(shown, len(scored))).round().astype(int))
    figure = Figure(figsize=(10, 0.7 + 1.9 * len(picks)), layout="constrained")
    panels = figure.subplots(len(picks), 1, squeeze=False, sharey=True)[:, 0]
    for panel, pick in zip(panels, picks, strict=True):
        score, id_, time, gold, prediction = scored[pick]
        panel.plot(time / 1000, gold, color=GOLD, lw=1.4, label="gold standard")
        panel.plot(time / 1000, prediction, color=PREDICTION, lw=1.4, label="prediction")
        panel.set_title(f"recording {id_} (CCC {score:.3f})", loc="left", fontsize=9)
        panel.set_ylabel(target)
        panel.margins(x=0)
        panel.grid(alpha=0.25)
    panels[0].legend(loc="upper right", fontsize=8, ncols=2, frameon=False)
    panels[-1].set_xlabel("time (s)")
    figure.suptitle(title, fontsize=11)
    return figure


def draw_confusion(title: str, target: str, confusion: Sequence[Sequence[int]]) -> Figure:
    """Draw a confusion matrix: share of each gold class (row) that is predicted as each column."""
    counts = np.asarray(confusion)  # (classes, classes)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        color = "white" if share[row, column] > 0.5 else "black"
        text = f"{100 * share[row, column]:.0f} %\n{counts[row, column]}"
        panel.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    panel.set(xlabel=f"predicted class of {target}", ylabel=f"gold class of {target}")
    panel.set_xticks(range(len(counts)))
    panel.set_yticks(range(len(counts)))
    figure.suptitle(title, fontsize=10)
    figure.colorbar(image, label="share of the gold class")
    return figure


def draw_curves(title: str, metric: str, records: Sequence[dict]) -> Figure:
    """Draw the training of every seed: scores over epochs, the best epoch, and the learning rate.

    Args:
        metric: what is on the y axis: `devel` of a record, or without it `loss`.
        records: of the epochs in their order: target, seed, epoch, loss, lr and, if it was looked
            at, devel; if the training loss is the CCC's, train.
    """
    targets = list(dict.fromkeys(record["target"] for record in records))
    seeds = list(dict.fromkeys(record["seed"] for record in records))
    with_devel = "devel" in records[0]
    figure = Figure(figsize=(1 + 5 * len(targets), 5), layout="constrained")
    panels = figure.subplots(2, len(targets), squeeze=False, sharex="col", height_ratios=(3, 1))
    for (scores, rates), target in zip(panels.T, targets, strict=True):
        for number, seed in enumerate(seeds):
            own = [r for r in records if (r["target"], r["seed"]) == (target, seed)]
            epochs, color = [r["epoch"] for r in own], f"C{number % 10}"
            watched = [r["devel" if with_devel else "loss"] for r in own]
            if with_devel and "train" in own[0]:
                scores.plot(epochs, [r["train"] for r in own], color=color, lw=0.8, ls=":")
            scores.plot(epochs, watched, color=color, lw=1.3, label=f"seed {seed}")
            if with_devel:
                best = int(np.argmax(watched))
                scores.plot(epochs[best], watched[best], "o", color=color)
            rates.step(epochs, [r["lr"] for r in own], color=color, lw=1.3, where="mid")
        scores.set(title=target, ylabel=metric)
        rates.set(xlabel="epoch", ylabel="learning rate", yscale="log")
        rates.xaxis.set_major_locator(MaxNLocator(integer=True))  # there are no half epochs
        for panel in (scores, rates):
            panel.grid(alpha=0.25)
    if len(seeds) <= 10:
        panels[0, 0].legend(fontsize=8, frameon=False)
    dotted = "; dotted: mean CCC of the training windows" if "train" in records[0] else ""
    what = f"best epochs marked{dotted}" if with_devel else "retrained on train and devel"
    figure.suptitle(f"{title}\n{what}", fontsize=10)
    return figure


def draw_choice(title: str, metric: str, records: Sequence[dict]) -> Figure:
    """Draw the score of a model that is fitted with each C, the best one marked.

    Args:
        metric: the score, on the y axis.
        records: target, seed (or seed and fold), C and devel of each.
    """
    targets = list(dict.fromkeys(record["target"] for record in records))
    figure = Figure(figsize=(1 + 4 * len(targets), 3.6), layout="constrained")
    panels = figure.subplots(1, len(targets), squeeze=False, sharey=True)[0]
    for panel, target in zip(panels, targets, strict=True):
        own = [record for record in records if record["target"] == target]
        for seed in dict.fromkeys(record["seed"] for record in own):
            scores = {r["C"]: r["devel"] for r in own if r["seed"] == seed}
            best = max(scores, key=scores.get)
            (line,) = panel.plot(*zip(*sorted(scores.items()), strict=True), ".-", lw=1.3)
            panel.plot(best, scores[best], "o", color=line.get_color())
        panel.set(title=target, xlabel="C", xscale="log")
        panel.grid(alpha=0.25)
    panels[0].set_ylabel(metric)
    figure.suptitle(f"{title}\nbest C marked", fontsize=10)
    return figure


def draw_folds(
    title: str, metric: str, scores: dict[str, tuple[float, list[tuple[str, float]]]]
) -> Figure:
    """Draw the score of each fold, the best at the top, and that of all recordings as a line.

    Args:
        metric: what is scored, on the x axis.
        scores: target -> score of all recordings pooled, and name and score of each fold.
    """
    rows = max(len(folds) for _, folds in scores.values())
    figure = Figure(figsize=(1 + 4 * len(scores), 1.4 + 0.22 * rows), layout="constrained")
    panels = figure.subplots(1, len(scores), squeeze=False)[0]
    for panel, (target, (pooled, folds)) in zip(panels, scores.items(), strict=True):
        ranked = sorted(folds, key=lambda item: item[1])
        panel.plot([score for _, score in ranked], range(len(ranked)), "o", color=PREDICTION)
        panel.axvline(pooled, color=GOLD, lw=1.2, label=f"pooled {pooled:.3f}")
        panel.set_yticks(range(len(ranked)), [name for name, _ in ranked], fontsize=8)
        panel.set(title=target, xlabel=f"{metric} of what was held out")
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.grid(alpha=0.25)
        panel.legend(fontsize=8, frameon=False, loc="lower right")
    figure.suptitle(title, fontsize=10)
    return figure


def draw_pairs(title: str, metric: str, rows: dict[str, list[tuple[str, float, float]]]) -> Figure:
    """Draw the score of each subject before and after, joined by a line, the best at the top.

    Args:
        metric: what is scored, on the x axis.
        rows: title of a panel -> name, score before (general) and after (personalised).
    """
    count = max(map(len, rows.values()))
    figure = Figure(figsize=(1 + 4 * len(rows), 1.6 + 0.22 * count), layout="constrained")
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for panel, (name, subjects) in zip(panels, rows.items(), strict=True):
        ranked = sorted(subjects, key=lambda row: row[2])
        names, before, after = zip(*ranked, strict=True)
        panel.hlines(range(len(ranked)), before, after, color="0.7", lw=1.5)
        panel.plot(before, range(len(ranked)), "o", color=GOLD, label="general")
        panel.plot(after, range(len(ranked)), "o", color=PREDICTION, label="personalised")
        panel.set_yticks(range(len(ranked)), names, fontsize=8)
        panel.set(title=name, xlabel=metric, ylabel="subject")
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.grid(alpha=0.25)
        panel.legend(fontsize=8, frameon=False, loc="lower right")
    figure.suptitle(title, fontsize=10)
    return figure


def draw_learning_curve(title: str, metric: str, over: str, rows: Sequence[dict]) -> Figure:
    """Draw scores against the share of the training recordings.

    Args:
        metric: what is scored, on the y axis.
        over: what mean and deviation are taken over, seeds or folds.
        rows: target, share, mean, deviation (or None), best and test (or None), by rising share.
    """
    targets = list(dict.fromkeys(row["target"] for row in rows))
    figure = Figure(figsize=(1 + 4 * len(targets), 3.6), layout="constrained")
    panels = figure.subplots(1, len(targets), squeeze=False, sharey=True)[0]
    best = "pooled" if over == "folds" else "best on devel"
    for panel, target in zip(panels, targets, strict=True):
        own = [row for row in rows if row["target"] == target]
        columns = {name: np.array([row[name] for row in own], float) for name in own[0]
                   if name != "target"}  # fmt: skip
        share, spread = columns["share"], np.nan_to_num(columns["deviation"])
        panel.errorbar(share, columns["mean"], spread, color="C0", capsize=3, marker="o",
                       label=f"mean and deviation over {over}")  # fmt: skip
        panel.plot(share, columns["best"], "^", color="C1", label=best)
        panel.plot(share, columns["test"], "s--", color=PARTITION_COLORS["test"], label="test")
        panel.set(title=target, xlabel="share of the training recordings", xlim=(0, 1.05))
        panel.grid(alpha=0.25)
    panels[0].set_ylabel(metric)
    panels[0].legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def draw_distributions(
    title: str, labels: dict[str, dict[str, np.ndarray]], classes: dict[str, int]
) -> Figure:
    """Draw how the labels of each target are distributed in each partition.

    After Figure 2 of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge.

    Args:
        labels: target -> partition -> all labels.
        classes: target -> number of its classes, which are numbered from 0; 0 for signals.
    """
    figure = Figure(figsize=(4.8 * len(labels), 3.6), layout="constrained")
    panels = figure.subplots(1, len(labels), squeeze=False, sharey=any(classes.values()))[0]
    for panel, (target, partitions) in zip(panels, labels.items(), strict=True):
        count = classes[target]
        everything = np.concatenate(list(partitions.values()))
        bins = np.histogram_bin_edges(everything.astype(float), 40)
        for k, (partition, values) in enumerate(partitions.items()):
            color, name = PARTITION_COLORS[partition], f"{partition} ({len(values)})"
            if count:
                share = np.bincount(values.astype(int), minlength=count) / len(values)
                where = np.arange(count) + 0.27 * (k - (len(partitions) - 1) / 2)
                panel.bar(where, share, width=0.25, color=color, label=name)
                panel.set_xticks(range(count))
            else:
                weights = np.full(len(values), 1 / len(values))
                panel.hist(values, bins, weights=weights, color=color, alpha=0.15)
                panel.hist(values, bins, weights=weights, histtype="step", lw=1.5, color=color,
                           label=name)  # fmt: skip
        panel.set(title=target, xlabel="class" if count else "value")
        panel.legend(fontsize=8, frameon=False, loc="upper right")  # "best" is slow
        panel.grid(alpha=0.25, axis="y")
    panels[0].set_ylabel("share of the " + ("segments" if any(classes.values()) else "frames"))
    figure.suptitle(title, fontsize=11)
    return figure


def draw_over_time(
    title: str, name: str, recordings: Sequence[tuple[str, np.ndarray, np.ndarray]], shown: int = 4
) -> Figure:
    """Draw one value per frame of some recordings, evenly picked in the order given.

    Args:
        name: what the values are, on the y axis.
        recordings: id, timestamps in ms (frames,), values (frames,).
    """
    picks = np.unique(np.linspace(0, len(recordings) - 1, shown).round().astype(int))
    figure = Figure(figsize=(10, 0.7 + 1.5 * len(picks)), layout="constrained")
    panels = figure.subplots(len(picks), 1, squeeze=False, sharey=True)[:, 0]
    for panel, pick in zip(panels, picks, strict=True):
        id_, time, values = recordings[pick]
        panel.plot(time / 1000, values, color=PREDICTION, lw=1.2)
        panel.set_title(f"recording {id_} (mean {values.mean():.3g})", loc="left", fontsize=9)
        panel.margins(x=0)
        panel.grid(alpha=0.25)
    figure.supylabel(name, fontsize=9)
    panels[-1].set_xlabel("time (s)")
    figure.suptitle(title, fontsize=11)
    return figure


def draw_annotation(
    title: str,
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    sound: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Draw the curves of a recording, each over its waveform.

    Args:
        curves: target -> seconds (frames,) and values (frames,).
        sound: seconds (parts,), and the lowest and highest sample of each part (parts, 2).
    """
    figure = Figure(figsize=(10, 0.7 + 1.9 * len(curves)), layout="constrained")
    panels = figure.subplots(len(curves), 1, squeeze=False, sharex=True)[:, 0]
    for panel, (target, (seconds, values)) in zip(panels, curves.items(), strict=True):
        panel.plot(seconds, values, color=PREDICTION, lw=1.4)
        panel.set_ylabel(target)
        panel.margins(x=0)
        panel.grid(alpha=0.25)
        if sound:
            behind = panel.twinx()
            behind.fill_between(sound[0], *sound[1].T, color="0.8", lw=0)
            behind.set(ylim=(-1, 1), yticks=[])
            behind.margins(x=0)
            panel.set_zorder(behind.get_zorder() + 1)
            panel.patch.set_visible(False)
    panels[-1].set_xlabel("time (s)")
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_file(path, lambda draft: figure.savefig(draft, dpi=110, format="png"))
