"""The runs below some folders as plain data: settings, scores, curves, how far they are."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from muse.config.fields import changes_no_number
from muse.config.fuse import FuseConfig
from muse.data.layout import SYNTHETIC_MARK
from muse.errors import MuseError
from muse.report.curves import curves_of, finite
from muse.runs.finished import FinishedRun, finished_run, log_unreadable
from muse.runs.read import is_fusion, read_plain_settings
from muse.runs.status import status_of
from muse.scoring import metric_title
from muse.sweep.state import LINK_FILE, command_of, run_of_job

log = logging.getLogger(__name__)

MARKS = {"result.json", "status.json", LINK_FILE}  # a folder with one of them is a run's
FILES = ("result.json", "status.json", "metrics.jsonl", "config.yaml")  # by which a change is seen
HIDDEN = ("feature_sets", "job")  # settings that say nothing of one run
ELSEWHERE = ("task", "features", "target", "data", "runs", "select")  # in columns of their own
HIDDEN_OF_TASK = ("size", "published", "fusion")


@dataclass(frozen=True)
class Entry:
    """A run, and what the page says of it."""

    folder: Path
    finished: FinishedRun | None
    shown: dict  # plain data, see report.js
    settings: dict[str, str]  # those that change numbers, `model.hidden` -> text


def run_folders(roots: list[Path]) -> list[Path]:
    """The run folders below ``roots``, finished or not, each once.

    A job of a sweep whose numbers are in another run stands for that run.

    Raises MuseError for a folder that is none.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise MuseError(f"runs: {root} is no folder. Runs are in outputs, below the folder "
                            "that they were started in.")  # fmt: skip
        for home, folders, files in os.walk(root, onerror=log_unreadable):
            if MARKS & set(files) or "config.yaml" in files:
                folders.clear()
            folders.sort()
            if not MARKS & set(files):
                continue
            try:
                folder = run_of_job(Path(home)) if LINK_FILE in files else Path(home)
                found.setdefault(folder.resolve(), folder)
            except MuseError as error:
                log.warning("left out: %s", error)
    return list(found.values())


def entries(folders: list[Path], kept: dict) -> tuple[list[Entry], list[str]]:
    """What the page says of each run, and of which it says nothing since they are damaged.

    Args:
        kept: entries of before; those of runs whose files have not changed are used again.
    """
    found, faults = [], []
    for folder in folders:
        try:
            state = tuple((s.st_mtime_ns, s.st_size) for s in _stats(folder))
            if kept.get(folder, (None,))[0] != state:
                kept[folder] = state, _entry(folder)
            found.append(kept[folder][1])
        except MuseError as error:
            faults.append(f"left out: {error}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            faults.append(f"left out: {folder}: damaged, {type(error).__name__} ({error}).")
    return found, faults


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for name in FILES:
        try:
            yield (folder / name).stat()
        except OSError:
            continue


def _entry(folder: Path) -> Entry:
    """Raises MuseError for a run that is damaged."""
    run = finished_run(folder) if (folder / "result.json").exists() else None
    data = {}
    if run or (folder / "config.yaml").exists():
        _, data = read_plain_settings(folder, without=HIDDEN[0])
    if not isinstance(data, dict):
        raise MuseError(f"{folder / 'config.yaml'}: no settings; expected lines of `key: value`.")
    task = data.get("task") if isinstance(data.get("task"), dict) else {}
    settings = dict(_flat(data))
    state, reason = ("finished", "") if run else status_of(folder)
    result = run.result if run else {}
    features = result.get("features") or data.get("features") or data.get("runs") or []
    features = [str(name) for name in features] if isinstance(features, list) else []
    shown = {
        "folder": str(folder),
        "state": state,
        "reason": reason,
        "command": str(result.get("command") or command_of(folder)),
        "task": str(result.get("task") or task.get("name") or ""),
        "title": str(task.get("title") or result.get("task") or ""),
        "features": features,
        "fusion": run.fusion if run else is_fusion(data),
        "model": _model(result.get("model") or data.get("model")),
        "synthetic": result["synthetic"] if run else _on_synthetic(data, task),
        "marks": _marks(run) if run else [],
        "metric": metric_title(result["metric"]) if run else "",
        "settings": {name: text for name, text in settings.items() if name != "job"},
        "facts": _facts(result),
        "targets": {target: _scores(part, result) for target, part in result["targets"].items()}
        if run else {},
        "combined": finite((result.get("combined") or {}).get("devel")),
        "curves": curves_of(folder, "folds" in result or bool(data.get("folds"))),
    }  # fmt: skip
    own = {name: text for name, text in settings.items() if _changes_numbers(name)}
    return Entry(folder, run, shown, own)


def _flat(data: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as `model.hidden` -> text."""
    for key, value in data.items():
        hidden = HIDDEN_OF_TASK if prefix == "task." else HIDDEN if not prefix else ()
        if key in hidden:
            continue
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "null" if value is None else str(value)


def _changes_numbers(name: str) -> bool:
    path = name.split(".")
    shown = (
        path[0] in ("task", "features", "target", "data", "runs", "select")
        or path[-1] == "_target_"
    )
    return not shown and not changes_no_number(FuseConfig, path)


def _model(model: object) -> str:
    """A model in a word: its cell, or its class."""
    model = model if isinstance(model, dict) else {}
    return str(model.get("cell") or str(model.get("_target_") or "").rpartition(".")[2])


def _on_synthetic(data: dict, task: dict) -> bool:
    """Whether a run that is not finished has synthetic data: its package, or a member of it."""
    root = data.get("data", {}).get("root") or ""
    members = data.get("runs") if isinstance(data.get("runs"), list) else []
    for member in members:
        with suppress(MuseError):
            if finished_run(Path(str(member))).result["synthetic"]:
                return True
    return (Path(str(root)) / str(task.get("folder")) / SYNTHETIC_MARK).is_file()


def _marks(run: FinishedRun) -> list[str]:
    """What must be known before a run is set beside others."""
    result = run.result
    marks = ["SYNTHETIC data"] * result["synthetic"] + ["debugging"] * result["debug"]
    marks += [f"folds={result['folds']}"] if "folds" in result else []
    marks += ["retrained on train and devel"] * run.retrained
    return marks + ["part of train"] * ("train_share" in result)


def _facts(result: dict) -> dict:
    """Where the numbers of a run come from."""
    facts = {name: result.get(name) for name in ("run_id", "muse", "seconds")}
    facts |= {f"data {name}": value for name, value in dict(_flat(result.get("data", {}))).items()}
    facts |= dict(_flat(result.get("environment") or {}))
    facts |= {f"member {name}": str(run) for name, run in (result.get("members") or {}).items()}
    return {name: str(value) for name, value in facts.items() if value is not None}


def _scores(part: dict, result: dict) -> dict:
    """The scores of a target on devel and test, with their intervals and seeds."""
    metric = result["metric"]
    devel, test = part.get("devel") or {}, part.get("test") or {}
    over = (part.get("over_seeds") or {}).get("devel") or {}
    best = f"C={part['C']:g}" if "C" in part else part.get("best_epoch")
    return {
        "devel": finite(devel.get(metric)),
        "interval": devel.get("interval"),
        "test": finite(test.get(metric)),
        "test_interval": test.get("interval"),
        "mean": finite(over.get("mean")),
        "deviation": finite(over.get("deviation")),
        "seed": part.get("best_seed"),
        "epoch": best,
        "seeds": [
            {name: row.get(name) for name in ("seed", "best_epoch", "epochs", "devel")}
            for row in part.get("seeds") or []
        ],
        "confusion": devel.get("confusion"),
    }
