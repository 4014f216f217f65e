"""Tables beside the runs: comparisons, those of papers, profiles of classes, fusions of raters.

Each is a dict: kind, title, synthetic, head (names of columns), rows, notes; `heat` if its numbers
are to be shaded, from minus to plus as many deviations.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from muse.config.compose import load_config
from muse.config.overrides import quoted_list
from muse.config.report import ReportConfig
from muse.errors import MuseError
from muse.files import check_plain, read_regular
from muse.runs.find import run_folder
from muse.runs.read import FinishedRun, read_run
from muse.tables.build import block_of, tables_of, usable_runs
from muse.tables.comparison import compare
from muse.tables.comparison_text import cells_of, notes_of
from muse.tables.published import read_paper
from muse.tables.render import rows_of, sources_of, title_of

log = logging.getLogger(__name__)

TOP = 10  # features that distinguish classes
WRONG = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)


def comparison_tables(config: ReportConfig, kept: dict) -> list[dict]:
    """The runs of `compare`, tested as `muse compare` does; made once for a page that is live."""
    if config.compare is None:
        return []
    if "compare" not in kept:
        kept["compare"] = [_comparison(config.compare)]
    return kept["compare"]


def _comparison(names: list[str]) -> dict:
    folders = [run_folder(name) for name in names]
    for folder in folders:
        check_plain(folder)  # what is read of a run is its own
    runs = [read_run(str(folder)) for folder in folders]
    found = compare(load_config("compare", [f"runs={quoted_list(names)}"]), runs)
    head, *rows = cells_of(found)
    notes = [*notes_of(found), *(f"{name}: {folder}" for name, folder in found.runs.items())]
    title = f"{found.title}: difference of {found.metric}"
    return _table("Comparison", title, found.synthetic, head, rows, notes)


def paper_tables(config: ReportConfig, runs: list[FinishedRun]) -> list[dict]:
    """The tables of the paper for the tasks of the runs, published numbers as published."""
    tasks = {run.result["task"] for run in runs}
    paper = read_paper(config.table) if config.table else None
    there = [task for task in paper.tasks if task in tasks] if paper else []
    if not there:
        return []
    settings = load_config("table", [f"table={config.table}", f"tasks={quoted_list(there)}"])
    tables = []
    for source in tables_of(settings, paper, usable_runs(runs)):
        block = block_of(settings, source)
        head, *rows = rows_of(block)
        notes = [*block.notes, *sources_of(block)]
        tables.append(_table("Paper", title_of(block), block.synthetic, head, rows, notes))
    return tables


def class_tables(homes: Iterable[Path]) -> list[dict]:
    """What `muse classes` has found in packages: mean features of each class."""
    tables = []
    for path in _below(homes, "classes/report.json"):
        try:
            report = json.loads(read_regular(path))
            for target, part in report["targets"].items():
                by = part["distinctive"]
                top = sorted(range(len(by)), key=lambda k: -by[k])[:TOP]
                rows = [[part["features"][k], *(row[k] for row in part["class_features"])]
                        for k in top]  # fmt: skip
                sizes = part["sizes"]["train"]
                head = ["feature", *(f"class {k} (n = {n})" for k, n in enumerate(sizes))]
                signal = ", ".join(f"{k}: {mean:.4f}" for k, mean in enumerate(part["class_signal"]))
                notes = [
                    "Mean of each class in standard deviations of the training segments; the "
                    "features that distinguish the classes most.",
                    f"Silhouette {part['silhouette']:.3f} (train). Mean signal of classes {signal}.",
                    str(path),
                ]
                title = f"{target}: {part['algorithm']}, profiles of the classes"
                table = _table("Classes", title, report["synthetic"], head, rows, notes)
                tables.append(table | {"heat": 2})
        except WRONG as error:
            log.warning("left out: %s: no report of `muse classes` (%s).", path, error)
    return tables


def rater_tables(homes: Iterable[Path]) -> list[dict]:
    """What `muse gold` has made of raters: weight, agreement and time shift of each."""
    tables = []
    for path in _below(homes, "gold/*/report.json"):
        try:
            report = json.loads(read_regular(path))
            weights = pd.read_csv(path.with_name("weights.csv"), dtype={"rater": str})
            means = weights.groupby("rater", sort=False)[["weight", "agreement", "shift_mean_s"]]
            rows = [[str(rater), *(None if pd.isna(v) else round(v, 4) for v in own)]
                    for rater, *own in means.mean().itertuples(name=None)]  # fmt: skip
            head = ["rater", "weight", "agreement", "time shift (s)"]
            agreement = report["agreement"]["ccc"]
            between = " and ".join(
                f"{part['mean']:.3f} {stage} alignment"
                for stage, part in agreement.items()
                if part["mean"] is not None
            )
            notes = [f"Means over {len(report['recordings'])} recordings.", str(path)]
            notes += [f"CCC between raters: {between}."] * bool(between) + report["notes"]
            title = f"{report['target']}: fusion of {len(report['raters'])} raters"
            tables.append(_table("Raters", title, report["synthetic"], head, rows, notes))
        except WRONG as error:
            log.warning("left out: %s: no report of `muse gold` (%s).", path, error)
    return tables


def _below(homes: Iterable[Path], pattern: str) -> Iterator[Path]:
    """Files of packages, or of packages that are in one of the folders."""
    found = (path for home in homes for one in (pattern, f"*/{pattern}") for path in home.glob(one))
    yield from sorted({path.resolve() for path in found})


def _table(
    kind: str, title: str, synthetic: bool, head: list[str], rows: list, notes: list
) -> dict:
    return {"kind": kind, "title": title, "synthetic": bool(synthetic), "head": head, "rows": rows,
            "notes": [str(note) for note in notes]}  # fmt: skip
