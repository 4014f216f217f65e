"""`muse gold`: from raters' traces to one signal, in label files that can be trained on."""

import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from muse import terminal
from muse.config.fields import path_of
from muse.config.gold import GoldConfig
from muse.data.layout import SYNTHETIC_MARK, is_name
from muse.errors import MuseError
from muse.files import write_json, write_rows, write_text
from muse.gold.figure import draw_gold
from muse.gold.pipeline import Gold, make_gold
from muse.gold.raters import read_ratings
from muse.gold.report import (
    agreement_of,
    agreement_table,
    report_of,
    shifts_table,
    weights_of,
    weights_table,
    write_tables,
)
from muse.plots import save_figure
from muse.terminal import counted, heading

log = logging.getLogger(__name__)

UNFINISHED = ".unfinished"  # in the report's folder while there is more to write


def run(config: GoldConfig) -> None:
    """Write labels, tables and figures, then print agreement, weights and where they are.

    Raises:
        MuseError: faults in the files, a folder that is not empty, or a step that cannot be done.
    """
    sources = [path_of(text) for text in (config.raters, config.physio.signal) if text]
    target = config.target or sources[0].resolve().name
    if not is_name(target):
        raise MuseError(f"target={target}: expected the name of a folder, not a path.")
    out = path_of(config.out)
    labels, report = out / "label_segments" / target, out / "gold" / target
    simulated = [str(source) for source in sources if is_synthetic(source)]
    if simulated and (out / "label_segments").is_dir() and not is_synthetic(out):
        raise MuseError(
            f"out={out}: a package of real data; {simulated[0]} is synthetic. Give another folder."
        )
    unfinished = report / UNFINISHED
    if unfinished.is_file():  # both folders were empty when it was written
        shutil.rmtree(labels, ignore_errors=True)
        shutil.rmtree(report)
    for folder in (labels, report):
        if folder.is_dir() and any(folder.iterdir()):
            raise MuseError(
                f"{folder}: the folder is not empty. Give another out= or target=, or remove it."
            )
    ratings = read_ratings(config)
    _warn([note for recording in ratings for note in recording.notes])
    golds = make_gold(config, ratings)
    pairs = zip(ratings, golds, strict=True)
    _warn([note for recording, gold in pairs for note in gold.notes[len(recording.notes) :]])
    agreement = agreement_of(golds)
    if simulated:  # before there is anything that would need the mark
        write_text(out / SYNTHETIC_MARK, "Simulated, not recorded.\n")
    write_text(unfinished, "muse gold was stopped here; the next one begins again.\n")
    _write(config, golds, agreement, labels, report, bool(simulated))
    unfinished.unlink()
    _print_summary(config, golds, agreement, labels, report, bool(simulated))


def is_synthetic(folder: Path) -> bool:
    """Whether a folder, or one of the three above it, carries the mark of `muse synth`."""
    home = folder.resolve()
    return any((place / SYNTHETIC_MARK).is_file() for place in [home, *home.parents[:3]])


def _write(
    config: GoldConfig,
    golds: Sequence[Gold],
    agreement: pd.DataFrame,
    labels: Path,
    report: Path,
    synthetic: bool,
) -> None:
    """Labels last: where there are labels, everything else is there."""
    settings = {k: v for k, v in asdict(config).items() if k != "job"}
    settings = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    write_text(report / "config.yaml", f"# {config.job.command}\n{settings}")
    write_tables(report, golds, agreement, weights_of(golds))
    signal = None if config.physio.replace == "none" else config.physio.name
    drawn = golds[: config.figures]
    with terminal.bar(total=len(drawn), desc="figures") as bar:
        for gold in drawn:
            title = heading(f"{labels.name}, recording {gold.id}", describe(config), synthetic)
            figure = draw_gold(title, labels.name, gold, signal)
            save_figure(figure, report / "figures" / f"{gold.id}.png")
            bar.update()
    write_json(report / "report.json", report_of(labels.name, golds, agreement, synthetic))
    for gold in golds:
        values = {"value": gold.fused.astype(np.float32)}
        write_rows(labels / f"{gold.id}.csv", gold.frames.times, gold.frames.segments, values)


def _warn(notes: list[str]) -> None:
    """Log the first of the warnings that differ only in recording and numbers, and their count."""
    kinds: dict[str, list[str]] = {}
    for note in notes:
        kinds.setdefault(re.sub(r"\d+(\.\d+)?", "", note.split(": ", 1)[-1]), []).append(note)
    for first, *others in kinds.values():
        more = f" The same in {counted(len(others), 'other recording')}, see report.json."
        log.warning("%s", first + more * bool(others))


def _print_summary(
    config: GoldConfig,
    golds: Sequence[Gold],
    agreement: pd.DataFrame,
    labels: Path,
    report: Path,
    synthetic: bool,
) -> None:
    """The tables of the terminal."""
    aligned = config.align.method != "none"
    print(f"{heading(labels.name, describe(config), synthetic)}\n")
    print("agreement between raters, mean ± deviation")
    print(agreement_table(agreement, aligned), end="\n\n")
    if golds[0].weights is not None:
        print(weights_table(weights_of(golds)), end="\n\n")
    if aligned:
        print(shifts_table(golds), end="\n\n")
    print(f"{counted(len(golds), 'file')} of labels in {labels}{os.sep}")
    folders = " and warping/" if config.figures == 0 else ", warping/ and figures/"
    print(f"agreement.csv, weights.csv{folders} in {report}{os.sep}")
    needed = missing_of(labels.parents[1])
    if needed:
        print(f"To train on them {labels.parents[1]} needs", *needed, sep="\n  ")


def missing_of(package: Path) -> list[str]:
    """What a folder with labels lacks to be a package."""
    needed = []
    if not (package / "metadata/partition.csv").is_file():
        needed.append("metadata/partition.csv: id,partition, with train, devel or test for each")
    if not (package / "feature_segments").is_dir():
        needed.append(
            "feature_segments/SET/ID.csv: timestamp, segment_id, features; one row per label"
        )
    return needed


def describe(config: GoldConfig) -> str:
    """The steps, for a title."""
    align = {
        "one_step": "canonical time warping (one step), ",
        "gctw": "canonical time warping, ",
        "lag": "constant lags, ",
        "none": "",
    }
    fusion = {
        "ewe": f"EWE ({config.fuse.agreement} {config.fuse.measure.replace('ccc', 'CCC')})",
        "mean": "mean",
        "dba": "DTW barycentre",
    }[config.fuse.method]
    physio = "" if config.physio.replace == "none" else f" with {config.physio.name}"
    return f"{align[config.align.method]}{fusion}{physio}"
