"""`muse table`: published numbers beside those of finished runs, and how each came about."""

import json
import subprocess
import sys
from pathlib import Path

from muse.config.fields import one_of
from muse.config.overrides import quoted_list
from muse.config.table import TableConfig
from muse.errors import MuseError
from muse.files import write_text
from muse.runs.read import finished_runs
from muse.tables.cells import Line, Runs, combine, feature_lines, fusions_of
from muse.tables.published import Table, read_table
from muse.tables.render import Block, _csv, _latex, _markdown, _terminal


def run(config: TableConfig) -> None:
    """Print the table, or write it to `out`.

    Raises:
        MuseError: an unknown task or row; a run of `train=missing` that has failed; an `out` that
            is there already.
    """
    if config.out and Path(config.out).exists():
        raise MuseError(f"out={config.out}: the file is there already. Give another name.")
    table = read_table(config.table)
    tasks = config.tasks or list(table.targets)
    for task in tasks:
        one_of("tasks", task, list(table.targets))
    blocks = [_block(config, table, task) for task in tasks]
    render = {"terminal": _terminal, "markdown": _markdown, "latex": _latex, "csv": _csv}
    text = render[config.format](table, blocks)
    if config.out:
        write_text(Path(config.out), text)
        print(config.out)
    else:
        print(text, end="")


def _block(config: TableConfig, table: Table, task: str) -> Block:
    known, targets = config.feature_sets, table.targets[task]
    rows = [row.features for row in table.rows[task] if len(row.modalities) == 1]
    names = config.features or rows

    def read() -> tuple[Runs, list[Line]]:
        found = Runs(list(finished_runs(Path(config.root))), task, config.synthetic)
        return found, feature_lines(names, targets, found, known)

    found, lines = read()
    if config.train == "missing":
        missing = [line.name for line in lines if set(line.cells) != set(targets)]
        if missing:
            _call(config, ["train", "-m", f"+experiment={config.table}/{task}",
                           f"features={','.join(missing)}"])  # fmt: skip
            found, lines = read()
        for fusion in fusions_of(table, task, lines, known, config.fusions):
            for target, members in fusion.members.items():
                if not found.fused(members, target):
                    chosen = quoted_list([str(cell.run) for cell in members])
                    _call(config, ["fuse", f"task={task}", f"target={target}", f"runs={chosen}"])
        found, lines = read()
    fused = []
    for fusion in fusions_of(table, task, lines, known, config.fusions):
        cells = {t: found.fused(members, t) for t, members in fusion.members.items()}
        fused.append(Line(fusion.name, {t: cell for t, cell in cells.items() if cell}))
    for line in [*lines, *fused]:
        combine(line, targets)
    shown = [*targets, "combined"] if len(targets) > 1 else targets
    return Block(task, shown, lines + fused, found.synthetic, 2 if table.is_percent(task) else 4)


def _call(config: TableConfig, words: list[str]) -> None:
    """Run another command of muse; what it has finished is not lost if it is stopped."""
    where = [f"data.root={config.data.root}", f"data.cache={config.data.cache}"]
    settings = config.fusion_settings if words[0] == "fuse" else config.settings
    more = [f"{name}={json.dumps(value)}" for name, value in (settings or {}).items()]
    command = [sys.executable, "-m", "muse", *words, *where, *more]
    done = subprocess.run(command, stdout=2)  # stdout is for the table
    if done.returncode:
        raise MuseError(
            f"train=missing: a command has failed (see above): muse {' '.join(words)}. The same "
            "table command goes on where this one stopped."
        )
