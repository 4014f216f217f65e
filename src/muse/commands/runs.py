"""`muse runs`: the runs below a folder."""

from datetime import datetime

from muse.config.fields import path_of
from muse.config.table import RunsConfig
from muse.errors import MuseError
from muse.runs.find import ListedRun, listed_runs
from muse.terminal import in_columns

HEAD = ["changed", "state", "task", "target", "features", "devel", "run"]


def run(config: RunsConfig) -> None:
    """Print a line per run, the newest first.

    Raises:
        MuseError: no such folder, no run that fits.
    """
    root = path_of(config.root)
    if not root.is_dir():
        raise MuseError(
            f"root={root}: there is no such folder. Runs are in outputs below the folder "
            "that they were started in; for another give root=FOLDER."
        )
    everything = listed_runs(root)
    fitting = [run for run in everything if _fits(run, config)]
    if not fitting:
        there = f"; there are {len(everything)} others" if everything else ""
        raise MuseError(f"{root}: no run that fits{there}.")
    shown = fitting[: config.count]
    print(in_columns([HEAD, *map(_cells, shown)]))
    if len(shown) < len(fitting):
        print(f"\n{len(fitting) - len(shown)} older runs are not shown: count=null lists all.")


def _fits(run: ListedRun, config: RunsConfig) -> bool:
    return (
        (config.task is None or config.task.name == run.task)
        and config.state in (None, run.state)
        and (config.target is None or config.target in run.targets)
        and set(config.features or []) <= set(run.features)
    )


def _cells(run: ListedRun) -> list[str]:
    marks = [", SYNTHETIC data"] * run.synthetic + [", debugging"] * run.debug
    marks += [f", folds={run.folds}"] if run.folds else []
    return [
        f"{datetime.fromtimestamp(run.changed):%Y-%m-%d %H:%M}",
        run.state,
        run.task + "".join(marks),
        ", ".join(run.targets),
        ("fusion of " if run.fusion else "") + " + ".join(run.features),
        "retrained" if run.retrained else ", ".join(f"{score:.4f}" for score in run.devel),
        str(run.folder),
    ]
