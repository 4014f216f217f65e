"""All that the page shows, as plain data for its script (report.js)."""

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import muse
from muse.config.fields import path_of
from muse.config.report import ReportConfig
from muse.errors import MuseError
from muse.report.beside import class_tables, comparison_tables, paper_tables, rater_tables
from muse.report.curves import thin_curves
from muse.report.details import Details
from muse.report.entries import Entry, entries, run_folders
from muse.runs.find import run_folder
from muse.terminal import counted


def collect(config: ReportConfig, kept: dict) -> dict:
    """The content of the page, JSON without NaN.

    Args:
        kept: what was read before, for a page that is made again; a new one for a new page.

    Raises:
        MuseError: a folder that is none, or below which there are no runs.
    """
    roots = [run_folder(text) for text in config.runs]
    found, notes = entries(run_folders(roots), kept)
    if not found:
        if notes:
            raise MuseError("\n".join(["none of the runs can be shown.", *notes]))
        raise MuseError(
            f"runs=[{','.join(config.runs)}]: no runs below. `muse train` makes one; "
            "those elsewhere are shown with runs=FOLDER."
        )
    boards = leaderboards(found, config.show_test)
    runs = [dict(entry.shown) for entry in found]
    if points := thin_curves(runs):
        notes.append(f"Learning curves are thinned to {points} epochs of each training; the first, "
                     "the best and the last are among them.")  # fmt: skip
    details = Details(config, kept)
    notes += details.add_best(boards, found, runs)
    tables = _tables(config, found, roots, kept, notes)
    if not config.show_test:
        _hide_test(boards, runs)
    return _finite(
        {
            "made": f"{datetime.now():%Y-%m-%d %H:%M}",
            "muse": muse.__version__,
            "roots": config.runs,
            "live": config.live,
            "notes": notes,
            "runs": runs,
            "boards": boards,
            "tables": tables,
            "signals": details.golds,
        }
    )


def leaderboards(found: list[Entry], show_test: bool) -> list[dict]:
    """A leaderboard for each task, target, metric and package, its rows by devel score.

    The row whose test score may be seen, the best that others may be compared with, is `best`.
    """
    boards: dict[tuple, dict] = {}
    for number, entry in enumerate(found):
        shown = entry.shown
        for target in shown["targets"]:
            package = shown["facts"].get("data folder", "")
            key = (shown["task"], target, shown["metric"], package)
            board = boards.setdefault(key, {
                **{name: shown[name] for name in ("task", "title", "metric", "synthetic")},
                **{"target": target, "package": package, "rows": []},
            })  # fmt: skip
            board["rows"].append({"run": number, "devel": shown["targets"][target]["devel"]})
    for board in boards.values():
        board["rows"].sort(key=lambda row: math.inf if row["devel"] is None else -row["devel"])
        fair = [row["run"] for row in board["rows"] if found[row["run"]].finished.comparable]
        board["best"] = fair[0] if fair else board["rows"][0]["run"]
        own = [found[row["run"]].settings for row in board["rows"]]
        names = dict.fromkeys(name for settings in own for name in settings)
        differ = [n for n in names if len({settings.get(n) for settings in own}) > 1]
        for row, settings in zip(board["rows"], own, strict=True):
            row["settings"] = ", ".join(f"{n}={settings[n]}" for n in differ if n in settings)
    return sorted(boards.values(), key=lambda board: (board["synthetic"], board["task"]))


def _hide_test(boards: list[dict], runs: list[dict]) -> None:
    """Leave test scores to the run of each leaderboard that devel has chosen."""
    chosen = {(board["best"], board["target"]) for board in boards}
    for number, run in enumerate(runs):
        run["targets"] = {
            target: part
            if (number, target) in chosen
            else {**part, "test": None, "test_interval": None}
            for target, part in run["targets"].items()
        }


def _tables(
    config: ReportConfig, found: list[Entry], roots: list[Path], kept: dict, notes: list[str]
) -> list[dict]:
    """What stands beside the runs; what cannot be made is said in ``notes``."""
    homes = {path_of(e.shown["facts"].get("data folder", ".")) for e in found if e.finished}
    homes = sorted({home.resolve() for home in [*roots, *homes]})
    makers: list[Callable] = [
        lambda: comparison_tables(config, kept),
        lambda: paper_tables(config, [entry.finished for entry in found if entry.finished]),
        lambda: class_tables(homes),
        lambda: rater_tables(homes),
    ]
    tables = []
    for make in makers:
        try:
            tables += make()
        except MuseError as error:
            notes.append(str(error))
    return tables


def _finite(value: object) -> object:
    """Nested data in which a number that is not finite, which JSON has not, is null."""
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(content: dict) -> str:
    """What is on the page, in a line."""
    done = sum(run["state"] == "finished" for run in content["runs"])
    return f"{counted(done, 'finished run')}, {counted(len(content['runs']) - done, 'other')}"
