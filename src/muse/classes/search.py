"""The search over algorithm, number of classes and components."""

import csv
import io
from pathlib import Path

from muse import terminal
from muse.classes.make import Described, Made, make
from muse.config.classes import ClassesConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.files import write_text
from muse.terminal import heading, in_columns

SHOWN = 10  # rows of a target on the terminal; search.csv has all
HEAD = ["target", "rank", "algorithm", "classes", "components", "explained", "silhouette",
        "stability", "smallest / chance", "remark"]  # fmt: skip


def search(config: ClassesConfig, described: dict[str, Described], synthetic: bool) -> Path:
    """Try all recipes on each target; print the best and keep all in search.csv, which is returned.

    Those that have no class that is too small come first, by falling silhouette.

    Raises MuseError if there is a search.csv already.
    """
    path = path_of(config.out) / "search.csv"
    if path.exists():
        raise MuseError(f"{path} is there already, and nothing is replaced. Give another out=.")
    jobs = [(target, recipe) for target in described for recipe in config.candidates(target)]
    tried: dict[str, list[tuple]] = {target: [] for target in described}
    for target, recipe in terminal.bar(jobs, "search", unit="recipe"):
        try:
            result = make(described[target], recipe, config.seed, config.starts, config.assign)
        except MuseError as error:
            result = error
        tried[target].append((recipe, result))
    rows = [row for target in tried for row in _ranked(target, tried[target], config.smallest)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *rows])
    write_text(path, text.getvalue())
    print(heading(config.task.title, "search for classes per segment", synthetic))
    for target in tried:
        own = [row[1:] for row in rows if row[0] == target]
        more = f"\n({len(own) - SHOWN} more in search.csv)" if len(own) > SHOWN else ""
        print(f"\n{target}\n{in_columns([HEAD[1:], *own[:SHOWN]])}{more}")
    print(f"\n{path} has all of it. No package is written; the settings of the best:")
    for target in tried:
        best = next(row for row in rows if row[0] == target)
        if best[-1]:
            limit = f"smallest={config.smallest:g}"
            print(f"  {target}: none keeps the rule of the smallest class ({limit})")
        else:
            print(f"  target={target} algorithm={best[2]} classes={best[3]} components={best[4]}")
    return path


def _ranked(target: str, tried: list[tuple], smallest: float) -> list[list[str]]:
    """Rows of the table, the best first; what is not possible last."""

    def key(entry: tuple) -> tuple:
        _, result = entry
        if isinstance(result, MuseError):
            return 2, 0.0
        return int(result.smallest < smallest), -result.classes.silhouette

    rows = []
    for rank, (recipe, result) in enumerate(sorted(tried, key=key), start=1):
        row = [target, str(rank), recipe.algorithm, str(recipe.classes), str(recipe.components)]
        if isinstance(result, Made):
            remark = "a class is too small" if result.smallest < smallest else ""
            share = f"{result.space.explained.sum():.3f}"
            scores = [result.classes.silhouette, result.classes.stability, result.smallest]
            row += [share, *(f"{score:.3f}" for score in scores), remark]
        else:
            row += ["", "", "", "", str(result)]
        rows.append(row)
    return rows
