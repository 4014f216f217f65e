"""What came out of a sweep: every job by its devel score, and which setting matters."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from muse.errors import MuseError
from muse.files import csv_text, write_text
from muse.runs.read import read_result, read_settings
from muse.runs.result_checks import SEED_KEYS
from muse.scoring import metric_title
from muse.sweep.records import TITLE, kept_row, of_model, row_of
from muse.sweep.state import command_of, job_folders, reason_of, run_of_job, state_of
from muse.terminal import in_columns

SHOWN = 20  # failures on the terminal
SCORES = ["target", "title", "devel", "mean", "deviation", "test", "seed", "epoch", "run"]


def report(root: Path, show_test: bool) -> int:
    """Print the leaderboard of a sweep and write it as CSV; return the number of failures.

    Where it cannot be written, a line says so. Test is shown for the row that devel has chosen, for
    all only with ``show_test``.

    Raises MuseError for a folder that has no jobs.
    """
    rows, failures, retrained = _read(_jobs_below(root))
    scores = pd.DataFrame([row for row, _ in rows], columns=SCORES)
    settings = pd.DataFrame([row for _, row in rows], dtype=object).fillna("")
    axes = []
    for name in settings:
        values = set(settings[name]) - ({""} if of_model(name) else set())
        if name != "target" and len(values) > 1:
            axes.append(name)
    boards = []
    for _, board in scores.groupby("target", sort=False):
        board = board.sort_values("devel", ascending=False, kind="stable").join(settings[axes])
        print(_text(board, axes, show_test))
        for effect in _effects(board, axes):
            print(effect)
        boards.append(_shown(board, show_test)[["target", *axes, *SCORES[2:]]])
    table = pd.concat(boards) if boards else scores.drop(columns="title")
    try:
        write_text(root / "leaderboard.csv", csv_text(table))
        print(f"\n{root / 'leaderboard.csv'}")
    except MuseError as error:  # a sweep of somebody else: all is printed
        print(f"\n{error}")
    for folder in retrained:
        print(f"\nretrained on train and devel, no devel score: {folder}")
    for failure in failures[:SHOWN]:
        print(f"\n{failure}")
    if len(failures) > SHOWN:
        print(f"\nand {len(failures) - SHOWN} more without a result")
    return len(failures)


def _jobs_below(root: Path) -> list[Path]:
    """The folders of the jobs of a sweep; MuseError, with the newest sweep, if there are none."""
    folders = job_folders(root)
    if folders:
        return folders
    below = root.iterdir() if root.is_dir() else ()
    sweeps = [folder for folder in below if job_folders(folder)]
    newest = max(sweeps, key=lambda folder: folder.stat().st_mtime, default=None)
    hint = f" The newest one there: {newest}" if newest else ""
    raise MuseError(
        f"{root}: no jobs here; expected the folder of a sweep of `muse train -m`.{hint}"
    )


def _read(folders: list[Path]) -> tuple[list[tuple], list[str], list[Path]]:
    """The rows of the finished jobs, see `_rows`; what has failed, in words; retrained jobs."""
    rows, failures, retrained = [], [], []
    for folder in folders:
        if state_of(folder) != "finished":
            failures.append(_failure(folder))
            continue
        try:
            run = run_of_job(folder)
            result = read_result(run)
            if "retrained" in result:
                retrained.append(folder)
            else:
                settings = kept_row(folder, result["run_id"]) or row_of(read_settings(run))
                rows += _rows(run, result, settings)
        except MuseError as error:
            failures.append(f"damaged: {folder}\n  {error}")
    return rows, failures, retrained


def _rows(
    run: Path, result: dict, settings: dict[str, str]
) -> Iterator[tuple[tuple, dict[str, str]]]:
    """For each target of a finished run its scores, see SCORES, and settings, see `row_of`."""
    metric = result["metric"]
    title = f"{settings[TITLE]}{', SYNTHETIC data' * result['synthetic']}"
    for target, part in result["targets"].items():
        devel, test = part["devel"][metric], part["test"] and part["test"][metric]
        # in folds each has a seed of its own: the score is its own mean
        over = (part["over_seeds"] or {}).get("devel") or {"mean": devel, "deviation": None}
        heading = f"{title}, {target}: {metric_title(metric)}"
        best = ["" if part[key] is None else part[key] for key in SEED_KEYS]
        best = [best[0], f"C={part['C']:g}"] if "C" in part else best
        row = (target, heading, devel, over["mean"], over["deviation"], test, *best, run)
        yield row, {name: text for name, text in settings.items() if name != TITLE}


def _shown(board: pd.DataFrame, show_test: bool) -> pd.DataFrame:
    """A ranked board in which only the first row has its test score."""
    first = board.index == board.index[0]
    return board if show_test else board.assign(test=board["test"].where(first))


def _text(board: pd.DataFrame, axes: list[str], show_test: bool) -> str:
    rows = [[*axes, "devel", "mean of seeds", "test", "seed", "epoch", "run"]]
    for row in _shown(board, show_test).to_dict("records"):
        spread = "" if pd.isna(row["deviation"]) else f" ± {row['deviation']:.4f}"
        rows.append([
            *(row[axis] for axis in axes),
            f"{row['devel']:.4f}",
            f"{row['mean']:.4f}{spread}",
            "" if pd.isna(row["test"]) else f"{row['test']:.4f}",
            *(str(row[name]) for name in ("seed", "epoch", "run")),
        ])  # fmt: skip
    count = f"{len(board)} job{'s' * (len(board) > 1)}"
    return f"\n{board['title'].iloc[0]}, {count}\n{in_columns(rows)}"


def _effects(board: pd.DataFrame, axes: list[str]) -> Iterator[str]:
    """Mean devel score (over jobs, of the mean over seeds) per value of each axis."""
    means = {axis: board.groupby(axis)["mean"].mean() for axis in axes}
    means = {axis: found for axis, found in means.items() if len(found) > 1}
    if means:
        order = ", the setting with the largest differences first" if len(means) > 1 else ""
        yield f"\nmean devel score per value{order}"
    for axis in sorted(means, key=lambda axis: means[axis].min() - means[axis].max()):
        ranked = means[axis].sort_values(ascending=False)
        yield f"  {axis:<20} " + "  ".join(f"{value}: {mean:.4f}" for value, mean in ranked.items())


def _failure(folder: Path) -> str:
    """State, reason and command of a job without a result."""
    state = state_of(folder)
    state = "running in another process, or killed" if state == "running" else state
    return f"{state}: {folder}\n  {reason_of(folder)}\n  {command_of(folder)}"
