"""The search over algorithm, number of classes and components."""

import numpy as np
import pandas as pd

from muse import terminal
from muse.classes.make import SegmentTable, make_classes
from muse.config.classes import ClassesConfig
from muse.errors import MuseError

COLUMNS = ["target", "rank", "algorithm", "classes", "components", "explained", "silhouette",
           "stability", "smallest / chance", "remark"]  # fmt: skip


def search(config: ClassesConfig, tables: dict[str, SegmentTable]) -> pd.DataFrame:
    """Try all recipes on each target: a row per recipe, of each target the best first.

    Those that have no class that is too small come first, by falling silhouette of the training
    segments; recipes that are impossible come last, with the reason in the column `remark`, and
    without numbers.
    """
    jobs = [(target, recipe) for target in tables for recipe in config.candidates(target)]
    rows = []
    for target, recipe in terminal.bar(jobs, "search", unit="recipe"):
        try:
            result = make_classes(config, tables[target], recipe)
            scores = [result.classes.silhouette, result.classes.stability, result.smallest]
            small = result.smallest < config.smallest
            found = [result.space.explained.sum(), *scores, "a class is too small" if small else ""]
        except MuseError as error:
            found = [np.nan] * 4 + [str(error)]
        rows.append([target, 0, recipe.algorithm, recipe.classes, recipe.components, *found])
    table = pd.DataFrame(rows, columns=COLUMNS).assign(remarked=lambda t: t["remark"] != "")
    table["target"] = pd.Categorical(table["target"], list(tables))  # sorted in this order
    # impossible recipes have no silhouette, and what is missing is sorted last
    table = table.sort_values(["target", "remarked", "silhouette"], ascending=[True, True, False])
    table["rank"] = table.groupby("target", observed=True).cumcount() + 1
    return table.drop(columns="remarked").reset_index(drop=True)
