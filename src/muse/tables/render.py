"""A table as text: terminal, Markdown, LaTeX, CSV."""

import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd

from muse.files import csv_text
from muse.tables.cells import Cell, Line
from muse.tables.published import PAPERS, Table
from muse.terminal import in_columns

NO_TERMINAL = (140, 24)  # columns and lines where the output goes elsewhere
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {sign: f"\\{sign}" for sign in "{}$&#_%"}
)


@dataclass(frozen=True)
class Block:
    """A task of a table: its rows in order, and what is published of them."""

    task: str
    targets: list[str]  # `combined` last, if there are several
    lines: list[Line]
    synthetic: bool
    decimals: int
    notes: tuple[str, ...] = ()  # which runs may stand in it


def _title(block: Block) -> str:
    mark = ", SYNTHETIC data: no comparison with the published numbers" if block.synthetic else ""
    unit = "macro F1 in %" if block.decimals == 2 else "CCC"
    return f"MuSe 2021, Table 3, {block.task}: {unit}, devel / test{mark}"


def _note(table: Table, blocks: list[Block]) -> str:
    notes = dict.fromkeys(note for block in blocks for note in block.notes)
    text = "The preprint calls the published numbers preliminary."
    order = {block.task: place for place, block in enumerate(blocks)}
    rows = table.quoted[table.quoted["task"].isin(order)]
    quoted = [
        f"{row.task} {row.target} {row.partition} {row.value:.4f} ({PAPERS[row.paper]})"
        for row in sorted(rows.itertuples(), key=lambda row: order[row.task])
    ]
    later = [f"Later papers quote higher baselines: {', '.join(quoted)}."] if quoted else []
    return " ".join([text, *later, *notes])


def _frame(table: Table, block: Block) -> pd.DataFrame:
    """A row for each system, target and partition: ours, published, difference."""
    rows = [
        [block.task, line.name, target, partition, ours,
         table.value(block.task, line.name, target, partition), cell.run]
        for line in block.lines
        for target in block.targets
        for cell in [line.cells.get(target) or Cell(None, None, None)]
        for partition, ours in (("devel", cell.devel), ("test", cell.test))
    ]  # fmt: skip
    names = ["task", "system", "target", "partition", "muse", "published", "run"]
    frame = pd.DataFrame(rows, columns=names).astype({"muse": float, "published": float})
    gap = np.nan if block.synthetic else frame["muse"] - frame["published"]
    frame.insert(6, "difference", gap)
    frame.insert(7, "synthetic", str(block.synthetic).lower())
    return frame


def _pairs(table: Table, block: Block, empty: str = "- / -") -> dict[str, pd.DataFrame]:
    """For each target a row per system: columns of devel / test, those without any left out."""
    form = f".{block.decimals}f"
    groups = {}
    for target, own in _frame(table, block).groupby("target", sort=False):
        columns = {}
        for part, sign in (("muse", ""), ("published", ""), ("difference", "+")):
            pairs = own[part].to_numpy().reshape(-1, 2)  # (systems, devel and test)
            texts = [" / ".join("-" if np.isnan(v) else f"{v:{sign}{form}}" for v in pair)
                     for pair in pairs]  # fmt: skip
            if not np.isnan(pairs).all():
                columns[part] = [empty if t == "- / -" else t for t in texts]
        groups[target] = pd.DataFrame(columns, index=[line.name for line in block.lines])
    return groups


def _rows(groups: dict[str, pd.DataFrame], corner: str) -> list[list[str]]:
    """Header and rows of the columns of all targets side by side."""
    head = [corner, *(f"{target} {part}" for target, group in groups.items() for part in group)]
    wide = pd.concat(groups.values(), axis=1)
    return [head, *([name, *row] for name, *row in wide.itertuples(name=None))]


def _sources(block: Block) -> list[str]:
    """The run behind each cell."""
    return [
        f"{line.name}, {target}: {line.cells[target].run}"
        for line in block.lines
        for target in block.targets
        if target in line.cells and line.cells[target].run
    ]


def _terminal(table: Table, blocks: list[Block]) -> str:
    """Targets side by side if the terminal is wide enough, else below each other."""
    width = shutil.get_terminal_size(NO_TERMINAL).columns
    parts = []
    for block in blocks:
        groups = _pairs(table, block)
        text = in_columns(_rows(groups, ""))
        if max(map(len, text.splitlines())) > width:
            alone = {target: _rows({target: group}, "") for target, group in groups.items()}
            text = "\n\n".join(
                in_columns([[target, *groups[target].columns], *rows])
                for target, (_, *rows) in alone.items()
                if len(groups[target].columns)
            )
        parts.append("\n".join([_title(block), text, *_sources(block)]))
    return "\n\n".join([*parts, _note(table, blocks)]) + "\n"


def _markdown(table: Table, blocks: list[Block]) -> str:
    parts = []
    for block in blocks:
        body = markdown_rows(_rows(_pairs(table, block), "system"))
        sources = "\n".join(f"- {source}" for source in _sources(block))
        parts.append(f"## {_title(block)}\n\n{body}\n\n{sources}".rstrip())
    return "\n\n".join([*parts, _note(table, blocks)]) + "\n"


def _latex(table: Table, blocks: list[Block]) -> str:
    """Tables for the package booktabs; the runs behind them are comments."""
    parts = []
    for block in blocks:
        cells = _rows(_pairs(table, block, empty=""), "system")
        caption = f"{_title(block)}. {_note(table, [block])}"
        parts.append(latex_table(cells, caption, _sources(block)))
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


def _csv(table: Table, blocks: list[Block]) -> str:
    return csv_text(pd.concat([_frame(table, block) for block in blocks]))
