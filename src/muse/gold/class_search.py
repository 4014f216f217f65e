"""The search over algorithm, number of classes and components."""

import numpy as np
import pandas as pd

from muse import progress
from muse.config_classes import ClassesConfig
from muse.errors import MuseError
from muse.gold.segment_classes import SegmentTable, make_classes


def search(config: ClassesConfig, tables: dict[str, SegmentTable]) -> pd.DataFrame:
    """Try all recipes on each target: a row per recipe, of each target the best first.

    Those that have no class that is too small come first, by falling silhouette of the training
    segments; recipes that are impossible come last, with the reason in the column `remark`, and
    without numbers.
    """
    jobs = [(target, recipe) for target in tables for recipe in config.candidates(target)]
    rows = []
    for target, recipe in progress.bar(jobs, "search", unit="recipe"):
        row = {"target": target, "rank": 0, "algorithm": recipe.algorithm}
        row |= {"classes": recipe.classes, "components": recipe.components}
        row |= dict.fromkeys(("explained", "silhouette", "stability", "smallest / chance"), np.nan)
        try:
            result = make_classes(config, tables[target], recipe)
        except MuseError as error:
            rows.append(row | {"remark": str(error)})
            continue
        row["explained"] = result.space.explained.sum()
        row["silhouette"] = result.classes.silhouette
        row["stability"] = result.classes.stability
        row["smallest / chance"] = result.smallest
        small = result.smallest < config.smallest
        rows.append(row | {"remark": "a class is too small" if small else ""})
    table = pd.DataFrame(rows).assign(remarked=lambda t: t["remark"] != "")
    table["target"] = pd.Categorical(table["target"], list(tables))  # sorted in this order
    # impossible recipes have no silhouette, and what is missing is sorted last
    table = table.assign(impossible=table["silhouette"].isna()).sort_values(
        ["target", "impossible", "remarked", "silhouette"], ascending=[True, True, True, False]
    )
    table["rank"] = table.groupby("target", observed=True).cumcount() + 1
    return table.drop(columns=["remarked", "impossible"]).reset_index(drop=True)
