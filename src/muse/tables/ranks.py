"""The mean rank of the systems of a paper over several tables of a task."""

from dataclasses import replace

import pandas as pd

from muse.tables.candidates import Cell
from muse.tables.cells import Line, Sources
from muse.tables.published import Paper
from muse.tables.render import Block

MEAN, PARTS = "mean rank", ("devel", "test")
NOTE = (
    "Mean rank: the mean over {targets} of the rank of a system's best score, of runs that of its "
    "run best on devel, among the systems that have one. Of equal mean ranks the one with the "
    "better rank of {first} is first."
)


def rank_blocks(paper: Paper, tables: list[Sources], blocks: list[Block]) -> list[Block]:
    """A block of ranks for each task in which the paper ranks systems, if all its tables are shown.

    Args:
        blocks: of ``tables``, each with a line for each row.
    """
    found = []
    for task, targets in paper.settings.get("mean_rank", {}).items():
        shown = {block.number: (table, block)
                 for table, block in zip(tables, blocks, strict=True)
                 if block.task == task and block.number in targets}  # fmt: skip
        if shown.keys() == targets.keys():
            scores = {}
            for number, target in targets.items():
                scores |= _best(*shown[number], target)
            block, names = shown[number][1], list(targets.values())
            found.append(
                replace(
                    block,
                    title=f"{paper.settings['paper']}, mean rank of systems, {task}",
                    number="+".join(targets),
                    targets=[*names, MEAN],
                    lines=_lines(scores, names, block.partitions),
                    decimals=1,
                    notes=(NOTE.format(targets=" and ".join(names), first=names[0]),),
                    unit="rank",
                    compared=False,
                )
            )
    return found


def _best(table: Sources, block: Block, target: str) -> dict[tuple[str, str, str], dict]:
    """(muse or published, partition, target) -> system -> its best score, or None."""
    scores: dict[tuple[str, str, str], dict] = {}
    for system in dict.fromkeys(row.system for row in table.rows):
        lines = [line for row, line in zip(table.rows, block.lines, strict=True)
                 if row.system == system]  # fmt: skip
        cells = [line.cells[target] for line in lines if target in line.cells]
        cell = max(cells, key=lambda cell: cell.devel, default=Cell(None, None, None))
        for part in PARTS:
            found = (line.published.get((target, part)) for line in lines)
            published = max((score for score in found if score is not None), default=None)
            for kind, score in (("muse", getattr(cell, part)), ("published", published)):
                scores.setdefault((kind, part, target), {})[system] = score
    return scores


def _lines(
    scores: dict[tuple[str, str, str], dict], targets: list[str], shown: list[str]
) -> list[Line]:
    """A line for each system, in the order of the runs' ranks on the first partition that is shown,
    those without runs in the order of the published ranks."""
    systems = dict.fromkeys(system for column in scores.values() for system in column)
    frame = pd.DataFrame(scores, index=list(systems), dtype=float)
    ranks = frame.rank(ascending=False, method="min")
    for kind, part in dict.fromkeys(column[:2] for column in scores):
        own = [(kind, part, target) for target in targets]
        ranks[kind, part, MEAN] = ranks[own].mean(axis=1, skipna=False)
    order = [("muse", shown[0]), ("published", shown[-1])]
    ranks = ranks.sort_values([(*key, name) for key in order for name in (MEAN, targets[0])])
    names = [*targets, MEAN]
    return [
        Line(
            system,
            {name: Cell(*(row["muse", part, name] for part in PARTS), None) for name in names},
            {(name, part): row["published", part, name] for name in names for part in PARTS},
        )
        for system, row in ranks.iterrows()
    ]
