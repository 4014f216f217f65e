"""A table as text: terminal, Markdown, LaTeX, CSV."""

import csv
import io
from dataclasses import dataclass

from muse.tables.cells import Cell, Line
from muse.tables.published import Table
from muse.terminal import in_columns


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
    quoted = [
        f"{block.task} {target} {partition} {value:.4f} ({paper})"
        for block in blocks
        for (task, target, partition), papers in table.quoted.items()
        if task == block.task
        for paper, value in papers.items()
    ]
    later = [f"Later papers quote higher baselines: {', '.join(quoted)}."] if quoted else []
    return " ".join([text, *later, *notes])


def _pair(devel: float | None, test: float | None, decimals: int, sign: bool = False) -> str:
    form = f"{'+' if sign else ''}.{decimals}f"
    return " / ".join("-" if value is None else f"{value:{form}}" for value in (devel, test))


def _cells(table: Table, block: Block, line: Line) -> list[list[str]]:
    """For each target: ours, published, difference."""
    groups = []
    for target in block.targets:
        ours = line.cells.get(target) or Cell(None, None, None)
        there = [table.value(block.task, line.name, target, p) for p in ("devel", "test")]
        group = [_pair(ours.devel, ours.test, block.decimals), _pair(*there, block.decimals)]
        if not block.synthetic:
            gaps = [None if None in pair else pair[0] - pair[1]
                    for pair in zip((ours.devel, ours.test), there, strict=True)]  # fmt: skip
            group.append(_pair(*gaps, block.decimals, sign=True))
        groups.append(group)
    return groups


def _head(block: Block) -> list[str]:
    parts = ["muse", "published", *([] if block.synthetic else ["difference"])]
    return [f"{target} {part}" for target in block.targets for part in parts]


def _sources(block: Block) -> list[str]:
    """The run behind each cell."""
    return [
        f"{line.name}, {target}: {line.cells[target].run}"
        for line in block.lines
        for target in block.targets
        if target in line.cells and line.cells[target].run
    ]


def _rows(table: Table, block: Block) -> list[list[str]]:
    return [
        [line.name, *(cell for group in _cells(table, block, line) for cell in group)]
        for line in block.lines
    ]


def _terminal(table: Table, blocks: list[Block]) -> str:
    parts = []
    for block in blocks:
        rows = [["", *_head(block)], *_rows(table, block)]
        parts.append("\n".join([_title(block), in_columns(rows), *_sources(block)]))
    return "\n\n".join([*parts, _note(table, blocks)]) + "\n"


def _markdown(table: Table, blocks: list[Block]) -> str:
    parts = []
    for block in blocks:
        head = ["system", *_head(block)]
        lines = [head, ["---"] * len(head), *_rows(table, block)]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        sources = "\n".join(f"- {source}" for source in _sources(block))
        parts.append(f"## {_title(block)}\n\n{body}\n\n{sources}".rstrip())
    return "\n\n".join([*parts, _note(table, blocks)]) + "\n"


def _latex(table: Table, blocks: list[Block]) -> str:
    def escaped(text: str) -> str:
        for sign in "_%&#":
            text = text.replace(sign, f"\\{sign}")
        return text

    parts = []
    for block in blocks:
        head = ["system", *_head(block)]
        rows = [" & ".join(map(escaped, row)) + r" \\" for row in [head, *_rows(table, block)]]
        lines = [
            *(f"% {source}" for source in _sources(block)),
            r"\begin{table}",
            rf"\caption{{{escaped(_title(block))}. {escaped(_note(table, [block]))}}}",
            rf"\begin{{tabular}}{{l{'c' * (len(head) - 1)}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _csv(table: Table, blocks: list[Block]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["task", "system", "target", "partition", "muse", "published", "difference"]
    writer.writerow([*head, "synthetic", "run"])
    for block in blocks:
        for line in block.lines:
            for target in block.targets:
                cell = line.cells.get(target) or Cell(None, None, None)
                for partition, ours in (("devel", cell.devel), ("test", cell.test)):
                    there = table.value(block.task, line.name, target, partition)
                    gap = None if None in (ours, there) or block.synthetic else ours - there
                    numbers = ["" if v is None else repr(v) for v in (ours, there, gap)]
                    writer.writerow([block.task, line.name, target, partition, *numbers,
                                     str(block.synthetic).lower(), cell.run or ""])  # fmt: skip
    return text.getvalue()
