"""Learning curves: the score of a training against the share of the training recordings."""

from pathlib import Path

import pandas as pd

from muse.config.compose import sweep_params
from muse.config.overrides import name_of
from muse.config.train import TrainConfig
from muse.errors import MuseError
from muse.files import csv_text, write_text
from muse.plots import draw_learning_curve, save_figure
from muse.runs.read import read_result
from muse.scoring import metric_title
from muse.sweep.jobs import expand, run_sweep
from muse.sweep.state import check_finished, run_of_job
from muse.terminal import format_spread, heading, in_columns

BELOW = Path("outputs/learning_curve")


def learning_curve(config: TrainConfig) -> None:
    """Train with each share, print the scores, and write them and a picture beside the runs.

    The jobs are those of a sweep over `train_share`: what is finished is not trained again.

    Raises MuseError if a job has no result, and for an experiment with several values of a setting.
    """
    shares = sorted(map(float, config.learning_curve))
    own = ("learning_curve", "train_share")
    words = [word for word in config.job.words if word.lstrip("+~").split("=")[0] not in own]
    grid = len(expand(words, sweep_params("train", expand(words)[0])))
    if grid > 1:
        raise MuseError(
            f"learning_curve: the settings give {grid} trainings for each share; expected one. "
            "Give one value of each setting."
        )
    words.append(f"train_share={','.join(map(str, shares))}")
    root = BELOW / name_of(words)
    folders = run_sweep("train", words, root)
    check_finished(folders, "learning_curve")
    results = [read_result(run_of_job(folder)) for folder in folders]
    table = pd.DataFrame(
        [row for result, share in zip(results, shares, strict=True) for row in _rows(result, share)]
    ).sort_values("target", kind="stable", key=lambda names: names.map(config.targets.index))
    first = results[0]
    title = heading(config.task.title, config.describe(first["features"]), first["synthetic"])
    metric, over = metric_title(first["metric"]), "folds" if config.folds else "seeds"
    print(f"{title}: {metric} against the share of the training recordings")
    print(_text(table, over))
    write_text(root / "learning_curve.csv", csv_text(table))
    picture = draw_learning_curve(title, metric, over, table.to_dict("records"))
    save_figure(picture, root / "learning_curve.png")
    print(f"\n{root}: learning_curve.csv, learning_curve.png, and a folder for each run")


def _rows(result: dict, share: float) -> list[dict]:
    """The scores of each target: over seeds on devel, or with folds over all recordings."""
    metric, folds, rows = result["metric"], "folds" in result, []
    for target, part in result["targets"].items():
        over = part["over_folds"] if folds else part["over_seeds"]["devel"]
        best = part["pooled"] if folds else part["devel"]
        test = part["test"]
        rows.append(
            {
                "target": target,
                "share": share,
                "mean": over["mean"],
                "deviation": over["deviation"],
                "best": best[metric],
                "test": test and test[metric],
            }
        )
    return rows


def _text(table: pd.DataFrame, over: str) -> str:
    """The table for the terminal; with folds the best of the seeds is the pooled score."""
    rows = [["", "share", f"mean of {over}", "pooled" if over == "folds" else "devel", "test"]]
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        test = "no labels" if row["test"] is None else f"{row['test']:.4f}"
        cells = [row["target"], f"{row['share']:g}", format_spread(row), f"{row['best']:.4f}"]
        rows.append([*cells, test])
    return in_columns(rows)
