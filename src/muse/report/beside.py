"""Tables beside the runs: comparisons, those of papers, profiles of classes, fusions of raters.

Each is a dict of caption, title, synthetic, head (names of columns), rows and notes; with `heat`
its numbers are shaded, from minus to plus as many deviations.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import pandas as pd

from muse.config.compose import load_config
from muse.config.overrides import quoted_list
from muse.config.report import ReportConfig
from muse.files import check_plain, read_regular
from muse.runs.find import run_folder
from muse.runs.finished import FinishedRun
from muse.runs.read import read_run
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
    if config.compare and "compare" not in kept:
        folders = [run_folder(name) for name in config.compare]
        for folder in folders:
            check_plain(folder)  # what is read of a run is its own
        runs = [read_run(str(folder)) for folder in folders]
        words = [f"runs={quoted_list(config.compare)}"]
        found = compare(load_config("compare", words), runs)
        names = [f"{name}: {folder}" for name, folder in found.runs.items()]
        kept["compare"] = {
            "caption": "Each pair of runs, recording by recording",
            "title": f"{found.title}: difference of {found.metric}",
            "synthetic": found.synthetic,
            **_head_and_rows(cells_of(found)),
            "notes": [*notes_of(found), *names],
        }
    return [kept["compare"]] if config.compare else []


def paper_tables(config: ReportConfig, runs: list[FinishedRun]) -> list[dict]:
    """The tables of the paper for the tasks of the runs, published numbers as published."""
    tasks = {run.result["task"] for run in runs}
    paper = read_paper(config.table) if config.table else None
    there = [task for task in paper.tasks if task in tasks] if paper else []
    if not there:
        return []
    settings = load_config("table", [f"table={config.table}", f"tasks={quoted_list(there)}"])
    sources = tables_of(settings, paper, usable_runs(runs))
    return [
        {
            "caption": "Published numbers, and those of the runs that are best on devel",
            "title": title_of(block),
            "synthetic": block.synthetic,
            **_head_and_rows(rows_of(block)),
            "notes": [*block.notes, *sources_of(block)],
        }
        for block in (block_of(settings, source) for source in sources)
    ]


def class_tables(homes: Iterable[Path]) -> list[dict]:
    """What `muse classes` has found in packages: mean features of each class."""
    return _of_reports(homes, "classes/report.json", _profiles)


def _profiles(path: Path, report: dict) -> Iterator[dict]:
    for target, part in report["targets"].items():
        names, share = part["features"], part["distinctive"]
        top = sorted(range(len(names)), key=lambda k: -share[k])[:TOP]
        signal = ", ".join(f"{k}: {mean:.4f}" for k, mean in enumerate(part["class_signal"]))
        sizes = enumerate(part["sizes"]["train"])
        yield {
            "caption": "Mean features of each class, in deviations from that of all segments",
            "title": f"{target}: {part['algorithm']}, profiles of the classes",
            "synthetic": report["synthetic"],
            "head": ["feature", *(f"class {k} (n = {n})" for k, n in sizes)],
            "rows": [[names[k], *(row[k] for row in part["class_features"])] for k in top],
            "notes": [
                f"The {len(top)} features that distinguish the classes most, on train. Silhouette "
                f"{part['silhouette']:.3f}. Mean signal of class {signal}.",
                str(path),
            ],
            "heat": 2,
        }


def rater_tables(homes: Iterable[Path]) -> list[dict]:
    """What `muse gold` has made of raters: weight, agreement and time shift of each."""
    return _of_reports(homes, "gold/*/report.json", _raters)


def _raters(path: Path, report: dict) -> Iterator[dict]:
    weights = pd.read_csv(
        BytesIO(read_regular(path.with_name("weights.csv"))), dtype={"rater": str}
    )
    columns = ["weight", "agreement", "shift_mean_s"]
    means = weights.groupby("rater", sort=False)[columns].mean().round(4)
    stages = report["agreement"]["ccc"].items()
    agreement = [f"{part['mean']:.3f} {stage} alignment" for stage, part in stages if part["mean"]]
    yield {
        "caption": f"Means over {len(report['recordings'])} recordings",
        "title": f"{report['target']}: fusion of {len(report['raters'])} raters",
        "synthetic": report["synthetic"],
        "head": ["rater", "weight", "agreement", "time shift (s)"],
        "rows": means.reset_index().to_numpy().tolist(),
        "notes": [f"CCC between raters: {', '.join(agreement)}.", *report["notes"], str(path)],
    }


def _of_reports(homes: Iterable[Path], pattern: str, tables) -> list[dict]:
    """The tables of report.json files of packages, or of packages that are in one of ``homes``."""
    places = (
        path for home in homes for one in (pattern, f"*/{pattern}") for path in home.glob(one)
    )
    found = []
    for path in sorted({path.resolve() for path in places}):
        try:
            found += tables(path, json.loads(read_regular(path)))
        except WRONG as error:
            log.warning("left out: %s: no report of muse (%s).", path, error)
    return found


def _head_and_rows(rows: list[list[str]]) -> dict:
    return {"head": rows[0], "rows": rows[1:]}
