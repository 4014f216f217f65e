"""A table as text: terminal, Markdown, LaTeX, CSV."""

import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd

from muse.files import csv_text
from muse.tables.candidates import Cell
from muse.tables.cells import Line
from muse.terminal import in_columns

NO_TERMINAL = (140, 24)  # columns and lines where the output goes elsewhere
DIFFERENCES = ["difference", "difference_low", "difference_high"]
COLUMNS = [  # name, columns of the CSV, sign
    ("muse", ["muse"], ""),
    ("published", ["published"], ""),
    ("difference", DIFFERENCES[:1], "+"),
    ("95 % interval", DIFFERENCES[1:], "+"),
]
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {sign: f"\\{sign}" for sign in "{}$&#_%"}
)


@dataclass(frozen=True)
class Block:
    """A table, as far as it is about one task: its rows in order, and what is published of them."""

    title: str
    number: str  # of the table in its paper
    task: str
    targets: list[str]  # `combined` last, where the table has it
    partitions: list[str]  # those that the table has numbers of
    lines: list[Line]
    synthetic: bool
    decimals: int
    notes: tuple[str, ...] = ()  # what is to be known of its numbers and of the runs in it
    unit: str = "CCC"  # of the numbers
    compared: bool = True  # whether a difference from the published number says something


def title_of(block: Block) -> str:
    """What its numbers are; synthetic data are never without their mark."""
    mark = ", SYNTHETIC data: no comparison with the published numbers" if block.synthetic else ""
    return f"{block.title}: {block.unit}, {' / '.join(block.partitions)}{mark}"


def _notes(blocks: list[Block], between: str) -> str:
    return between.join(dict.fromkeys(note for block in blocks for note in block.notes))


def _frame(block: Block) -> pd.DataFrame:
    """A row for each system, target and partition: ours, published, difference and its interval."""
    rows = [
        [block.number, block.task, line.name, target, partition, block.unit,
         getattr(cell, partition),
         line.published.get((target, partition)),
         *(cell.intervals.get(partition) or (None, None)), cell.run]
        for line in block.lines
        for target in block.targets
        for cell in [line.cells.get(target) or Cell(None, None, None)]
        for partition in block.partitions
    ]  # fmt: skip
    numbers = ["muse", "published", "low", "high"]
    names = ["table", "task", "system", "target", "partition", "metric", *numbers, "run"]
    frame = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(numbers, float))
    compared = block.compared and not block.synthetic
    for place, (name, ours) in enumerate(zip(DIFFERENCES, ["muse", "low", "high"], strict=True), 8):
        frame.insert(place, name, frame[ours] - frame["published"] if compared else np.nan)
    frame.insert(11, "synthetic", str(block.synthetic).lower())
    return frame.drop(columns=["low", "high"])


def _groups(block: Block) -> dict[str, pd.DataFrame]:
    """For each target a row per system: columns of devel / test, those without any left out."""
    groups = {}
    for target, own in _frame(block).groupby("target", sort=False):
        columns = {
            name: _texts(own[parts], len(block.partitions), f"{sign}.{block.decimals}f")
            for name, parts, sign in COLUMNS
            if not own[parts].isna().all(axis=None)
        }
        groups[target] = pd.DataFrame(columns, index=[line.name for line in block.lines])
    return groups


def _texts(values: pd.DataFrame, partitions: int, form: str) -> list[str]:
    """The numbers of a column, its partitions in one text; two columns are from and to.

    Args:
        values: (systems x partitions, one number or from and to).
    """
    texts = ["-" if np.isnan(row[0]) else " to ".join(f"{value:{form}}" for value in row)
             for row in values.to_numpy()]  # fmt: skip
    return [" / ".join(texts[k : k + partitions]) for k in range(0, len(texts), partitions)]


def rows_of(block: Block) -> list[list[str]]:
    """Header and rows as text, targets side by side."""
    return _rows(_groups(block), "system")


def _rows(groups: dict[str, pd.DataFrame], corner: str) -> list[list[str]]:
    """Header and rows of the columns of all targets side by side."""
    head = [corner, *(f"{target} {part}" for target, group in groups.items() for part in group)]
    wide = pd.concat(groups.values(), axis=1)
    return [head, *([name, *row] for name, *row in wide.itertuples(name=None))]


def sources_of(block: Block) -> list[str]:
    """The run behind each cell."""
    return [
        f"{line.name}, {target}: {line.cells[target].run}"
        for line in block.lines
        for target in block.targets
        if target in line.cells and line.cells[target].run
    ]


def _terminal(blocks: list[Block]) -> str:
    """Targets side by side if the terminal is wide enough, else below each other."""
    width = shutil.get_terminal_size(NO_TERMINAL).columns
    parts = []
    for block in blocks:
        groups = _groups(block)
        text = in_columns(_rows(groups, ""))
        if max(map(len, text.splitlines())) > width:
            alone = {target: _rows({target: group}, "") for target, group in groups.items()}
            text = "\n\n".join(
                in_columns([[target, *groups[target].columns], *rows])
                for target, (_, *rows) in alone.items()
                if len(groups[target].columns)
            )
        parts.append("\n".join([title_of(block), text, *sources_of(block)]))
    return "\n\n".join([*parts, _notes(blocks, "\n")]) + "\n"


def _markdown(blocks: list[Block]) -> str:
    parts = []
    for block in blocks:
        body = markdown_rows(rows_of(block))
        sources = "\n".join(f"- {source}" for source in sources_of(block))
        parts.append(f"## {title_of(block)}\n\n{body}\n\n{sources}".rstrip())
    return "\n\n".join([*parts, _notes(blocks, "\n\n")]) + "\n"


def _latex(blocks: list[Block]) -> str:
    """Tables for the package booktabs; the runs behind them are comments."""
    parts = []
    for block in blocks:
        head, *cells = rows_of(block)
        cells = [[name, *(text.strip("- /") and text for text in row)] for name, *row in cells]
        caption = f"{title_of(block)}. {_notes([block], ' ')}"
        parts.append(latex_table([head, *cells], caption, sources_of(block)))
    return "\n\n".join(parts) + "\n"


def markdown_rows(rows: list[list[str]]) -> str:
    """A table of Markdown; the first row is its header."""
    head, *others = [[_in_one_line(cell).replace("|", r"\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex_table(rows: list[list[str]], caption: str, comments: list[str], texts: int = 1) -> str:
    """A table for the package booktabs; the first row is its header, and ``texts`` columns are
    aligned to the left."""
    head, *others = [" & ".join(map(escaped, row)).rstrip() + r" \\" for row in rows]
    lines = [
        *(f"% {_in_one_line(comment)}" for comment in comments),
        r"\begin{table}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * texts}{'c' * (len(rows[0]) - texts)}}}",
        *(r"\toprule", head, r"\midrule", *others, r"\bottomrule"),
        *(r"\end{tabular}", r"\end{table}"),
    ]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A text that LaTeX prints as it is, in one line."""
    return _in_one_line(text).translate(LATEX)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _csv(blocks: list[Block]) -> str:
    return csv_text(pd.concat([_frame(block) for block in blocks]))


FORMATS = {"terminal": _terminal, "markdown": _markdown, "latex": _latex, "csv": _csv}


def render(blocks: list[Block], form: str) -> str:
    """The blocks of a table as text: terminal, markdown, latex or csv."""
    return FORMATS[form](blocks)
