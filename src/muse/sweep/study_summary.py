"""What came out of a study: the best trial, which setting matters, and every trial."""

import json
import math
import warnings
from pathlib import Path

import pandas as pd

from muse.config.search_space import shown
from muse.errors import MuseError
from muse.files import csv_text, read_regular, write_text
from muse.plots import save_figure
from muse.runs.read import read_result, read_settings
from muse.scoring import metric_title
from muse.sweep.state import STUDY_FILE, run_of_job
from muse.sweep.study import (
    FOLDER,
    REASON,
    FrozenTrial,
    Study,
    TrialState,
    optuna,
    reachable,
)
from muse.sweep.study_figure import draw_study
from muse.terminal import counted, heading, in_columns

SHOWN = 20  # trials on the terminal; trials.csv has all
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running",
          "WAITING": "waiting"}  # fmt: skip


def summarise(root: Path, database: str | None, show_test: bool) -> None:
    """Print the best trial of a study, the importance of its settings and a table of trials.

    Beside it trials.csv and study.png are written into the folder of the study; where that cannot
    be, a line says so. Test is shown for the best trial, for all in trials.csv only with
    ``show_test``.

    Args:
        root: the folder of the study.
        database: its URL, if it is not in the folder.

    Raises MuseError if the database cannot be read or no trial has finished.
    """
    name, axes, over, own = _about(root)
    if not own and database is None:
        raise MuseError(f"{root}: the trials are in a database of yours: give its URL, database=")
    with reachable(database or str(root)):
        study = Study(name, root, database)
        trials = [t for t in study.trials if t.state != TrialState.FAIL or REASON in t.user_attrs]
        killed = len(study.trials) - len(trials)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not done:
        reason = next((f" The first: {t.user_attrs[REASON]}" for t in trials
                       if REASON in t.user_attrs), "")  # fmt: skip
        raise MuseError(f"{root}: none of {counted(len(trials), 'trial')} has finished.{reason}")
    table = pd.DataFrame([_row(trial, root, axes) for trial in trials])
    table = table.sort_values("value", ascending=False, kind="stable", na_position="last")
    table = table.sort_values("state", kind="stable", key=lambda s: s != "finished")
    best = table.iloc[0]
    there = table["run"][table["best_seed"].notna()]
    if there.empty:
        raise MuseError(
            f"{root}: none of the runs of {counted(len(done), 'finished trial')} is here."
        )
    run = Path(there.iloc[0])
    result, settings = read_result(run), read_settings(run)
    title = heading(settings.task.title, "+".join(result["features"]), result["synthetic"])
    value = f"{metric_title(result['metric'])}, {_objective(over)}"
    importance = importances(study.optuna, axes)
    print(f"\n{title}: study {name}, {_counts(trials, killed)}")
    _print_best(best, axes, value, importance)
    print(f"\n{_text(table, axes)}")
    scores = (
        table if show_test else table.assign(test=table["test"].where(table.index == best.name))
    )
    figure = draw_study(f"{title}, study {name}", value, table, axes, importance)
    try:
        write_text(root / "trials.csv", csv_text(scores))
        save_figure(figure, root / "study.png")
        print(f"\n{root}: trials.csv, study.png, and a run folder for each trial")
    except MuseError as error:  # a study of somebody else
        print(f"\n{error}")
    study.close()


def _about(root: Path) -> tuple[str, list[str], str, bool]:
    """Name, settings and objective of a study, and whether its database is in its folder."""
    try:
        about = json.loads(read_regular(root / STUDY_FILE))
        return about["study"], list(about["settings"]), about["objective"], about["own_database"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise MuseError(f"{root / STUDY_FILE}: damaged. `muse tune` writes it again.") from None


def _print_best(best: pd.Series, axes: list[str], value: str, importance: dict[str, float]) -> None:
    """Print the best trial, and how much each setting matters if that is known."""
    print(f"\nbest: trial {best['trial']}, {value}: {best['value']:.4f}")
    print("  " + "  ".join(f"{axis}={best[axis]}" for axis in axes))
    print(f"  {best['run']}")
    if importance:
        print("\nimportance of the settings (fANOVA; the share of the variance of finished trials)")
        for axis, share in importance.items():
            print(f"  {axis:<20} {share:.2f}")


def importances(study: optuna.Study, axes: list[str]) -> dict[str, float]:
    """The share of each setting in the variance of the values of finished trials, largest first.

    By fANOVA, a random forest on settings and values (Hutter, Hoos, Leyton-Brown, An Efficient
    Approach for Assessing Hyperparameter Importance, ICML 2014). Nothing with less than four
    trials, or if all values are equal.
    """
    values = {t.value for t in study.trials if t.state == TrialState.COMPLETE}
    if len(values) < 4:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {axis: share for axis, share in found.items() if axis in axes and math.isfinite(share)}


def _row(trial: FrozenTrial, root: Path, axes: list[str]) -> dict:
    """A trial: its settings, its value (of a pruned one the last), and scores of its run."""
    run, scores = "", {"best_seed": None, "test": None}
    if FOLDER in trial.user_attrs:
        folder = root / trial.user_attrs[FOLDER]
        run = str(folder)
        if trial.state == TrialState.COMPLETE:
            run, scores = _scores_of(folder)
    return {
        "trial": trial.number,
        "state": STATES[trial.state.name],
        **{axis: shown(trial.params.get(axis, "")) for axis in axes},
        "value": trial.value,
        **scores,
        "reason": trial.user_attrs.get(REASON, "").split("\n")[0],
        "run": run,
    }


def _scores_of(folder: Path) -> tuple[str, dict]:
    """The run folder of a finished trial, and devel and test of its best seed, over targets."""
    try:
        run = run_of_job(folder)
        result = read_result(run)
    except MuseError:  # it was moved, or trained on another machine
        return str(folder), {"best_seed": None, "test": None}
    metric, parts = result["metric"], result["targets"].values()
    tested = [part["test"] and part["test"][metric] for part in parts]
    return str(run), {
        "best_seed": sum(part["devel"][metric] for part in parts) / len(parts),
        "test": None if None in tested else sum(tested) / len(tested),
    }


def _objective(over: str) -> str:
    return {"mean": "mean of the seeds on devel", "best": "best seed on devel"}[over]


def _counts(trials: list[FrozenTrial], killed: int) -> str:
    states = [STATES[trial.state.name] for trial in trials]
    parts = [f"{states.count(s)} {s}" for s in STATES.values() if s in states]
    again = [f"{killed} killed and tried again"] if killed else []
    return f"{counted(len(trials), 'trial')} ({', '.join([*parts, *again])})"


def _text(table: pd.DataFrame, axes: list[str]) -> str:
    rows = [["trial", *axes, "value", "best seed", "test", "state", "run"]]
    for k, row in enumerate(table.head(SHOWN).to_dict("records")):
        cells = [row["value"], row["best_seed"], row["test"] if k == 0 else None]
        rows.append([
            str(row["trial"]),
            *(row[axis] for axis in axes),
            *("" if cell is None or pd.isna(cell) else f"{cell:.4f}" for cell in cells),
            row["state"],
            row["reason"] or row["run"],
        ])  # fmt: skip
    more = f"\nand {len(table) - SHOWN} more in trials.csv" if len(table) > SHOWN else ""
    return in_columns(rows) + more
