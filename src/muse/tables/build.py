"""The tables of a paper that are asked for, filled with the finished runs that fit their cells."""

import logging
from collections.abc import Iterable
from functools import partial

from muse.config.fields import one_of
from muse.config.table import TableConfig
from muse.errors import MuseError
from muse.runs.finished import FinishedRun, standardised_members
from muse.scoring import metric_name, metric_title
from muse.tables.candidates import Runs
from muse.tables.cells import Sources, line_of
from muse.tables.published import Paper, Row, Table, quoted_elsewhere
from muse.tables.render import Block
from muse.tables.systems import System, shown_rows, systems_of, unnamed_members

log = logging.getLogger(__name__)


def usable_runs(found: Iterable[FinishedRun]) -> list[FinishedRun]:
    """Finished runs without those whose numbers cannot stand in a table, which are reported."""
    runs = []
    for run in found:
        if standardised_members(run):
            log.warning(
                "left out: %s: an earlier version of muse standardised the predictions of its "
                "members, which changes the scores. Fuse them again with this version.",
                run.folder,
            )
        else:
            runs.append(run)
    return runs


def tables_of(config: TableConfig, paper: Paper, runs: list[FinishedRun]) -> list[Sources]:
    """The tables that are asked for, in the order of their numbers and of the tasks asked for."""
    systems = systems_of(paper, config.members)
    _check_words(config, paper, systems)
    of_table = partial(Runs, runs, synthetic=config.synthetic, test=config.test)
    found = [
        Sources(paper, table, rows, systems, of_table(table), config.feature_sets)
        for number in config.tables or dict.fromkeys(table.number for table in paper.tables)
        for task in config.tasks or paper.tasks
        for table in paper.tables
        if (table.number, table.task) == (number, task) and (rows := _rows(config, table, systems))
    ]
    if not found:
        raise MuseError(
            f"{paper.name}: no table has such rows (tables={config.tables}, tasks={config.tasks}, "
            f"systems={config.systems}, features={config.features}). Leave one of them out; late "
            "fusions of feature sets of your own are fusions=[[a,b]]."
        )
    return found


def _check_words(config: TableConfig, paper: Paper, systems: dict[str, System]) -> None:
    """Raise MuseError for what the paper does not have."""
    known = {
        "tables": dict.fromkeys(table.number for table in paper.tables),
        "tasks": paper.tasks,
        "systems": systems,
    }
    for key, names in known.items():
        for name in getattr(config, key) or []:
            one_of(key, name, list(names))
    if not any(system.members for system in systems.values()):
        if config.fusions or config.members == "devel":
            raise MuseError(f"{paper.name} has no late fusions: leave out fusions= and members=.")
    elif config.members == "devel" and all(s.modalities is None for s in systems.values()):
        raise MuseError(
            f"members=devel: the late fusions of {paper.name} are of systems that it names, not of "
            "the best feature sets of modalities. Leave it out."
        )


def _rows(config: TableConfig, table: Table, systems: dict[str, System]) -> list[Row]:
    """The rows of a table that are asked for."""
    rows = shown_rows(table, systems, config.features, config.fusions)
    return [row for row in rows if row.system in (config.systems or systems)]


def block_of(config: TableConfig, table: Sources) -> Block:
    """A table with what runs give for its cells."""
    published = table.table
    unit = metric_title(metric_name(published.metric)) + " in %" * published.percent
    return Block(
        table.paper.title(published),
        published.number,
        published.task,
        published.targets + ["combined"] * published.combined,
        config.partitions or published.partitions,
        [line_of(table, row) for row in table.rows],
        table.runs.synthetic,
        2 if published.percent else 4,
        _notes(config, table),
        unit,
    )


def _notes(config: TableConfig, table: Sources) -> tuple[str, ...]:
    """What the paper says of its numbers, and which runs stand beside them, in sentences."""
    paper, published, systems = table.paper, table.table, table.systems
    notes = [note] if (note := paper.settings.get("note")) else []
    notes += paper.of_table(published).get("notes", {}).get(published.task, [])
    if quoted := quoted_elsewhere(paper.name, published.task):
        notes.append(f"Later papers quote higher baselines: {', '.join(quoted)}.")
    shown = {row.system for row in table.rows}
    notes += [
        f"{name}: the rows of the paper show only runs of its model, "
        f"{_in_words(table.required(row))}."
        for name, row in {row.system: row for row in published.rows}.items()
        if systems[name].model and name in shown
    ]
    if config.test == "last" and "test" in (config.partitions or published.partitions):
        notes.append("Test is scored with the weights of the last epoch; runs are chosen on devel.")
    if config.fusions is None and any(s.modalities is not None for s in systems.values()):
        notes += _notes_of_fusions(config, table)
    return tuple(notes)


def _notes_of_fusions(config: TableConfig, table: Sources) -> list[str]:
    unnamed = unnamed_members(table.table, table.systems)
    if config.members == "devel":
        return ["Late fusions are of the feature sets that are best on devel here."]
    return [
        "Late fusions are of the feature sets that the paper names; it names none for "
        f"{', '.join(unnamed)}, where the one that is best on devel here is fused."
    ] * bool(unnamed)


def _in_words(system: System) -> str:
    settings = {f"model.{name}": value for name, value in system.model.items()} | system.run
    settings["model._target_"] = settings["model._target_"].rpartition(".")[2]
    words = [f"{name}={value}" for name, value in settings.items()]
    return ", ".join(words + ["personalised (muse personalise)"] * system.personalised)
