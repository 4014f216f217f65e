"""`muse table`: published numbers beside those of finished runs, and how each came about."""

import json
import logging
from pathlib import Path

from muse.config.fields import one_of
from muse.config.overrides import name_of, quote_texts, quoted_list
from muse.config.table import TableConfig
from muse.errors import MuseError
from muse.files import write_text
from muse.runs.read import FinishedRun, finished_run, finished_runs, standardised_members
from muse.sweep.jobs import run_sweep
from muse.sweep.state import check_finished
from muse.tables.cells import (
    Fusion,
    Line,
    Runs,
    asked_fusions,
    combine,
    feature_lines,
    published_fusions,
    unnamed_members,
)
from muse.tables.published import Table, read_table
from muse.tables.render import Block, _csv, _latex, _markdown, _terminal
from muse.tables.systems import Systems, read_systems

log = logging.getLogger(__name__)


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
    runs = _usable_runs(Path(config.root))
    blocks = [_block(config, table, task, runs) for task in tasks]
    render = {"terminal": _terminal, "markdown": _markdown, "latex": _latex, "csv": _csv}
    text = render[config.format](table, blocks)
    if config.out:
        write_text(Path(config.out), text)
        print(config.out)
    else:
        print(text, end="")


def _usable_runs(root: Path) -> list[FinishedRun]:
    """The finished runs below a folder, without those whose numbers cannot stand in a table."""
    runs = []
    for run in finished_runs(root):
        if standardised_members(run):
            log.warning(
                "left out: %s: an earlier version of muse standardised the predictions of its "
                "members, which changes the scores. Fuse them again with this version.",
                run.folder,
            )
        else:
            runs.append(run)
    return runs


def _block(config: TableConfig, table: Table, task: str, runs: list[FinishedRun]) -> Block:
    """A task of the table; with `train=missing` what is trained for it is added to ``runs``."""
    known, targets = config.feature_sets, table.targets[task]
    systems = read_systems(config.table, config.members)
    rows = [row.features for row in table.rows[task] if len(row.modalities) == 1]
    names = config.features or rows

    def lines_of() -> tuple[Runs, list[Line]]:
        found = Runs(runs, task, config.synthetic, config.test)
        return found, feature_lines(names, table, task, found, known, systems)

    def fusions() -> list[Fusion]:
        if config.fusions is not None:
            return asked_fusions(config.fusions, targets, lines)
        return list(published_fusions(table, task, lines, known, systems))

    found, lines = lines_of()
    if config.train == "missing":
        missing = [line.name for line in lines if set(line.cells) != set(targets)]
        if missing:
            experiment = [f"+experiment={config.table}/{task}", f"features={','.join(missing)}"]
            runs += _train(config, "train", experiment)
            found, lines = lines_of()
        for fusion in fusions():
            for target, members in fusion.members.items():
                if not found.fused(members, target, fusion.model):
                    chosen = quoted_list([str(cell.run) for cell in members])
                    words = [f"task={task}", f"target={target}", f"runs={chosen}"]
                    runs += _train(config, "fuse", words)
        found, lines = lines_of()
    fused = []
    for fusion in fusions():
        cells = {t: found.fused(members, t, fusion.model) for t, members in fusion.members.items()}
        fused.append(Line(fusion.name, {t: cell for t, cell in cells.items() if cell}))
    for line in [*lines, *fused]:
        combine(line, targets)
    shown = [*targets, "combined"] if len(targets) > 1 else targets
    decimals = 2 if table.is_percent(task) else 4
    notes = _notes(config, table, task, systems)
    return Block(task, shown, lines + fused, found.synthetic, decimals, notes)


def _notes(config: TableConfig, table: Table, task: str, systems: Systems) -> tuple[str, ...]:
    """Which runs stand in the cells of a task, in sentences."""
    model = ", ".join(f"model.{name}={value}" for name, value in systems.model.items())
    notes = [f"The rows of the paper show only runs of its model ({model})."]
    if config.test == "last":
        notes.append("Test is scored with the weights of the last epoch; runs are chosen on devel.")
    unnamed = unnamed_members(table, task, systems)
    if config.fusions is None and config.members == "devel":
        notes.append("Late fusions are of the feature sets that are best on devel here.")
    elif config.fusions is None and unnamed:
        notes.append(
            "Late fusions are of the feature sets that the paper names; it names none for "
            f"{', '.join(unnamed)}, where the one that is best on devel here is fused."
        )
    return tuple(notes)


def _train(config: TableConfig, command: str, words: list[str]) -> list[FinishedRun]:
    """Train what is missing below `root`; what is finished is not lost if that is stopped."""
    where = [f"data.root={config.data.root}", f"data.cache={config.data.cache}"]
    settings = config.fusion_settings if command == "fuse" else config.settings
    more = [f"{name}={json.dumps(value)}" for name, value in (settings or {}).items()]
    words = [*words, *quote_texts(command, where), *more]
    root = Path(config.root) / "sweep" / name_of(words)
    folders = run_sweep(command, words, root)
    check_finished(folders, "train=missing")
    return [finished_run(folder) for folder in folders if (folder / "result.json").exists()]
