"""A comparison of runs as text: terminal, Markdown, LaTeX, CSV."""

import pandas as pd

from muse.files import csv_text
from muse.tables.comparison import Comparison
from muse.tables.render import latex_table, markdown_rows
from muse.terminal import format_interval, in_columns


def render(comparison: Comparison, form: str) -> str:
    """The table as text; ``form`` is terminal, markdown, latex or csv."""
    if form == "csv":
        return _csv(comparison)
    title = f"{comparison.title}: difference of {comparison.metric}"
    cells, notes = cells_of(comparison), notes_of(comparison)
    sources = [f"{name}: {folder}" for name, folder in comparison.runs.items()]
    if form == "latex":
        return latex_table(cells, " ".join([f"{title}.", *notes]), sources, texts=2) + "\n"
    if form == "markdown":
        listed = "\n".join(f"- {source}" for source in sources)
        return "\n\n".join([f"## {title}", markdown_rows(cells), listed, " ".join(notes)]) + "\n"
    return "\n".join([title, in_columns(cells), "", *sources, "", *notes]) + "\n"


def _csv(comparison: Comparison) -> str:
    """All columns of the comparison, with the run folders."""
    frame = comparison.rows.assign(
        first_run=comparison.rows["first"].map(comparison.runs),
        second_run=comparison.rows["second"].map(comparison.runs),
        resamples=comparison.resamples,
        synthetic=str(comparison.synthetic).lower(),
    )
    for name in ("metric", "partition", "task"):
        frame.insert(0, name, getattr(comparison, name))
    return csv_text(frame)


def cells_of(comparison: Comparison) -> list[list[str]]:
    """Header and rows; columns in which nothing would stand are left out."""
    rows, columns = comparison.rows, {}
    columns["target"] = rows["target"]
    columns["first - second"] = rows["first"] + " - " + rows["second"]
    columns["first"] = rows["first_score"].map("{:.4f}".format)
    columns["second"] = rows["second_score"].map("{:.4f}".format)
    columns["difference"] = rows["difference"].map("{:+.4f}".format)
    limits = zip(rows["low"], rows["high"], strict=True)
    columns["95 % interval"] = [
        "" if pd.isna(pair[0]) else format_interval({"interval": pair}) for pair in limits
    ]
    columns["p"] = rows["p"].map(_p_value)
    columns["p (Holm)"] = rows["p_holm"].map(_p_value)
    means = zip(rows["mean_difference"], rows["seeds"], strict=True)
    columns["means of seeds"] = ["" if pd.isna(gap) else f"{gap:+.4f} ({n})" for gap, n in means]
    columns["p (seeds)"] = rows["p_seeds"].map(_p_value)
    columns["p (seeds, Holm)"] = rows["p_seeds_holm"].map(_p_value)
    if not _several(rows):
        del columns["p (Holm)"], columns["p (seeds, Holm)"]
    shown = {name: list(column) for name, column in columns.items() if any(column)}
    return [list(shown), *map(list, zip(*shown.values(), strict=True))]


def _several(rows: pd.DataFrame) -> bool:
    """Whether a target has several pairs with a p, which is then corrected."""
    tested = rows[["p", "p_seeds"]].notna().any(axis=None)
    return bool(tested and rows["target"].value_counts().max() > 1)


def _p_value(p: float) -> str:
    return "" if pd.isna(p) else f"{p:.4f}" if p >= 0.001 else f"{p:.1e}"


def notes_of(comparison: Comparison) -> list[str]:
    """What the numbers are, in sentences."""
    rows, notes = comparison.rows, []
    for count, own in rows.groupby(rows["recordings"].astype(object)):  # 2**n of any size
        if count < 2:
            notes.append("One recording: there is neither an interval nor a test.")
            continue
        how = f"all {2**count}" if own["exact"].all() else f"{comparison.resamples} random"
        notes.append(
            f"{count} recordings: 95 % bootstrap interval over recordings, and p of the two-sided "
            f"permutation test over recordings, {how} swaps."
        )
        if 2 / 2**count > 0.05:
            notes.append(f"With {count} recordings no p can be below {2 / 2**count:g}.")
    if _several(rows):
        pairs = rows["target"].value_counts().max()
        notes.append(f"Holm: corrected for the {pairs} pairs of a target.")
    if rows["mean_difference"].notna().any():
        notes.append(
            "Means of seeds: difference of the means over all seeds (numbers of seeds), and p of "
            "Welch's t test; all else is of the best seed on devel."
        )
    return notes
