"""What a table of a paper lacks: trained and fused, with the experiments of its systems."""

import json
from dataclasses import replace
from pathlib import Path

from muse import terminal
from muse.config.compose import load_config, model_keys
from muse.config.fields import path_of
from muse.config.overrides import name_of, quote_texts, quoted_list
from muse.config.shipped import known_keys
from muse.config.table import TableConfig
from muse.errors import MuseError, did_you_mean
from muse.runs.finished import FinishedRun, finished_run
from muse.runs.identity import settings_key
from muse.sweep.jobs import expand, run_job, run_sweep
from muse.sweep.state import check_finished, run_of_job
from muse.tables.candidates import Runs
from muse.tables.cells import Sources
from muse.tables.published import Row
from muse.tables.systems import resolved, tried


def train_missing(config: TableConfig, tables: list[Sources], runs: list[FinishedRun]) -> None:
    """Train what no run has done for these tables, add it to ``runs``; then fuse.

    What is finished is not lost if that is stopped: the same command goes on.

    Raises MuseError for settings that no model has or that a row rules out, and for failed jobs.
    """
    _check_settings(config, tables)
    for table in tables:
        for (system, targets), names in _missing(_now(table, config, runs)).items():
            words = [*table.systems[system].words(table.table.task)]
            words += [f"target={targets}"] if targets else []
            folders = _sweep(config, "train", [*words, f"features={','.join(names)}"])
            alone = table.systems[system].personalised
            runs += _finished(_personalise(config, folders) if alone else folders)
    for table in tables:
        for row in table.rows:
            for target in table.table.targets:
                runs += _fuse(config, _now(table, config, runs), row, target)
                runs += _retrain(config, _now(table, config, runs), row, target)


def _now(table: Sources, config: TableConfig, runs: list[FinishedRun]) -> Sources:
    return replace(table, runs=Runs(runs, table.table, config.synthetic, config.test))


def _missing(table: Sources) -> dict[tuple[str, str], list[str]]:
    """(system, targets for the command line) -> what its missing runs read, as it is written there.

    The targets are empty where a table has all those of the task: they are the default.
    """
    own = table.table.targets
    everything = table.paper.tasks[table.table.task]
    targets = "" if set(own) == set(everything) else ",".join(own)
    found: dict[tuple[str, str], dict] = {}
    for row in _single_rows(table):
        if not all(table.find(row, target) for target in own):
            names = table.systems[row.system].read_of(row.features)
            text = names[0] if len(names) == 1 else f"[{','.join(names)}]"
            found.setdefault((row.system, targets), {})[text] = None
    return {key: list(names) for key, names in found.items()}


def _single_rows(table: Sources) -> list[Row]:
    """The rows of models of features: those of the table, and the members of its late fusions."""
    rows = []
    for shown in table.rows:
        row, _ = resolved(shown, table.table.task, table.systems)
        system = table.systems[row.system]
        if system.single:
            rows += tried(row, table.table.task, table.systems)
        elif system.modalities is None:  # else its members are rows of the table
            every = [table.member_rows(row, target) for target in table.table.targets]
            rows += [one for members in every for ones in members for one in ones]
    return rows


def _fuse(config: TableConfig, table: Sources, row: Row, target: str) -> list[FinishedRun]:
    """The late fusion of a row, if it is one that is missing and whose members are all there."""
    row, _ = resolved(row, table.table.task, table.systems)
    members = table.members(row, target)
    if not members or table.chosen(row, target):
        return []
    words = [*table.systems[row.system].words(table.table.task), f"target={target}"]
    words.append(f"runs={quoted_list(str(cell.run) for cell in members)}")
    if beside := table.beside(row):
        words.append(f"beside=[{','.join(beside)}]")
    return _train(config, "fuse", words)


def _train(config: TableConfig, command: str, words: list[str]) -> list[FinishedRun]:
    """Train the jobs of a command line below `root`; return the runs."""
    return _finished(_sweep(config, command, words))


def _sweep(config: TableConfig, command: str, words: list[str]) -> list[Path]:
    """Train the jobs of a command line below `root`; return their folders."""
    where = [f"data.root={config.data.root}", f"data.cache={config.data.cache}"]
    words = [*words, *quote_texts(command, where)]
    words += _settings(config, command, words)
    return run_sweep(command, words, path_of(config.root) / "sweep" / name_of(words))


def _personalise(config: TableConfig, general: list[Path]) -> list[Path]:
    """Personalise the runs of jobs, one after the other; return the new run folders."""
    from muse.training.personal import settings_to_personalise  # with torch, see `_retrain`

    check_finished(general, "train=missing")
    root, folders = path_of(config.root) / "sweep" / "personalised", []
    for folder in terminal.bar(general, "muse personalise", unit="run"):
        words = [f"run={run_of_job(folder)}", f"data.root={config.data.root}", "workers=-1"]
        words = quote_texts("personalise", [*words, f"data.cache={config.data.cache}"])
        words += [f"{k}={json.dumps(v)}" for k, v in (config.personal_settings or {}).items()]
        for settings in settings_to_personalise(load_config("personalise", words)):
            with terminal.quietly():
                run_job(settings, root)
            folders.append(root / settings_key(settings))
    return folders


def _retrain(config: TableConfig, table: Sources, row: Row, target: str) -> list[FinishedRun]:
    """The run of a row trained again on train and devel, where the row shows that and lacks it."""
    row, retrained = resolved(row, table.table.task, table.systems)
    cell = table.chosen(row, target) if retrained else None
    if not cell or table.runs.retrained(cell, target):
        return []
    from muse.training.retrain import settings_to_retrain  # with torch, which a table needs not

    words = [f"retrain={cell.run}", f"data.root={config.data.root}"]
    words.append(f"data.cache={config.data.cache}")
    settings = settings_to_retrain(load_config("retrain", words))
    root = path_of(config.root) / "sweep" / "retrained"
    with terminal.quietly():
        run_job(settings, root)
    return _finished([root / settings_key(settings)])


def _finished(folders: list[Path]) -> list[FinishedRun]:
    """The runs of jobs, those that refer to another run left out; MuseError if one has failed."""
    check_finished(folders, "train=missing")
    return [finished_run(folder) for folder in folders if (folder / "result.json").exists()]


def _settings(config: TableConfig, command: str, words: list[str]) -> list[str]:
    """The user's settings for a command line; those of a model only where its model has them."""
    given = _given(config, command)
    model = model_keys(command, expand(words)[0]) if given else []
    return [
        f"{name}={json.dumps(value)}"
        for name, value in given.items()
        if not name.startswith("model.") or name.removeprefix("model.") in model
    ]


def _given(config: TableConfig, command: str) -> dict:
    return (config.fusion_settings if command == "fuse" else config.settings) or {}


def _check_settings(config: TableConfig, tables: list[Sources]) -> None:
    """Refuse settings that no model has, or with which a run could not fill the rows it is for."""
    models = known_keys("train", "model")
    for command, key in (("train", "settings"), ("fuse", "fusion_settings")):
        for name, value in _given(config, command).items():
            inner = name.removeprefix("model.")
            if inner != name and inner not in models:
                raise MuseError(
                    f"{key}: no model has a setting '{inner}'.{did_you_mean(inner, models)}"
                )
            for table in tables:
                _check_setting(table, command == "fuse", key, name, value)


def _check_setting(table: Sources, fusion: bool, key: str, name: str, value: object) -> None:
    for row in [*_single_rows(table), *table.rows]:
        system, wanted = table.systems[row.system], table.required(row)
        needed = {f"model.{k}": v for k, v in wanted.model.items()} | wanted.run
        if fusion == bool(system.members) and needed.get(name, value) != value:
            raise MuseError(
                f"{key}: {name}={value}, but the rows of {row.system} in table "
                f"{table.table.number} show runs with {name}={needed[name]}. Leave it out, or "
                "choose other tables."
            )
