"""A gold standard in numbers: agreement, weights and warping as tables, and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from muse.files import write_file
from muse.gold.agreement import MEASURES, agreement_between
from muse.gold.pipeline import Gold
from muse.terminal import in_columns

SHOWN = 20  # recordings on the terminal; agreement.csv has all
FEW = 6  # raters up to which their weights are on the terminal


@dataclass(frozen=True)
class Agreement:
    """Agreement between the raters of a recording, mean and deviation (n - 1) over their pairs."""

    id: str
    raters: int
    frames: int
    before: dict[str, tuple[float, float]]  # measure -> mean, deviation; NaN for one rater
    after: dict[str, tuple[float, float]]  # of the aligned traces


def agreement_of(gold: Gold) -> Agreement:
    """The agreement between raters before and after alignment."""
    raters, frames = gold.before.shape
    before, after = (
        {measure: agreement_between(values, measure) for measure in MEASURES}
        for values in (gold.before, gold.after)
    )
    return Agreement(gold.id, raters, frames, before, after)


def write_tables(folder: Path, golds: Sequence[Gold], agreements: Sequence[Agreement]) -> None:
    """Write agreement.csv, weights.csv and, per recording, warping/ID.csv.

    warping/ID.csv has for each frame (timestamp in ms) and rater the seconds by which the rater is
    read ahead of the frame: what she or he did that much later belongs to it.
    """
    rows = [
        {"recording": a.id, "raters": a.raters, "frames": a.frames}
        | {
            f"{measure}_{when}{what}": value
            for measure in MEASURES
            for when, found in (("before", a.before), ("after", a.after))
            for what, value in zip(("", "_deviation"), found[measure], strict=True)
        }
        for a in agreements
    ]
    _write_csv(folder / "agreement.csv", pd.DataFrame(rows).round(6))
    _write_csv(folder / "weights.csv", pd.DataFrame(_weight_rows(golds)).round(6))
    for gold in golds:
        columns = dict(zip(gold.raters, gold.shifts.round(4), strict=True))
        frame = pd.DataFrame({"timestamp": gold.frames.times, **columns})
        _write_csv(folder / "warping" / f"{gold.id}.csv", frame)


def _weight_rows(golds: Sequence[Gold]) -> list[dict]:
    rows = []
    for gold in golds:
        for k, rater in enumerate(gold.raters):
            weighted = gold.weights is not None
            rows.append(
                {
                    "recording": gold.id,
                    "rater": rater,
                    "weight": gold.weights.shares[k] if weighted else float("nan"),
                    "agreement": gold.weights.agreement[k] if weighted else float("nan"),
                    "shift_mean_s": gold.shifts[k].mean(),
                    "shift_lowest_s": gold.shifts[k].min(),
                    "shift_highest_s": gold.shifts[k].max(),
                }
            )
    return rows


def agreement_table(agreements: Sequence[Agreement], aligned: bool) -> str:
    """Agreement between raters per recording, and over the recordings, for the terminal."""
    head = ["recording", "raters", "frames"]
    for name in ("correlation", "CCC"):
        head += [name, "aligned"] if aligned else [name]
    rows = [head]
    for a in agreements[:SHOWN]:
        row = [a.id, str(a.raters), str(a.frames)]
        for measure in ("correlation", "ccc"):
            row.append(_mean_and_deviation(*a.before[measure]))
            row += [_mean_and_deviation(*a.after[measure])] if aligned else []
        rows.append(row)
    if len(agreements) > SHOWN:
        rows.append(["...", "", "", *[""] * (len(head) - 3)])
    overall = overall_agreement(agreements)
    row = ["all", str(max(a.raters for a in agreements)), str(sum(a.frames for a in agreements))]
    for measure in ("correlation", "ccc"):
        row.append(_mean_and_deviation(*overall[measure]["before"]))
        row += [_mean_and_deviation(*overall[measure]["after"])] if aligned else []
    return in_columns([*rows, row])


def overall_agreement(agreements: Sequence[Agreement]) -> dict:
    """measure -> before, after -> mean and deviation (n - 1) over the recordings."""
    return {
        measure: {
            when: _over([getattr(a, when)[measure][0] for a in agreements])
            for when in ("before", "after")
        }
        for measure in MEASURES
    }


def report_of(
    target: str, golds: Sequence[Gold], agreements: Sequence[Agreement], synthetic: bool
) -> dict:
    """What report.json has: recordings, raters, agreement over the recordings, what was odd."""
    return {
        "target": target,
        "synthetic": synthetic,
        "raters": sorted({name for gold in golds for name in gold.raters}),
        "recordings": [gold.id for gold in golds],
        "frames": sum(len(gold.fused) for gold in golds),
        "step_seconds": golds[0].frames.step,
        "agreement": {
            measure: {
                when: {"mean": _or_none(mean), "deviation": _or_none(deviation)}
                for when, (mean, deviation) in found.items()
            }
            for measure, found in overall_agreement(agreements).items()
        },
        "notes": [note for gold in golds for note in gold.notes],
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def weights_table(golds: Sequence[Gold]) -> str:
    """Weights of the raters, or how many have any where there are many raters."""
    names = list(dict.fromkeys(name for gold in golds for name in gold.raters))
    if len(names) <= FEW:
        rows = [["weights", *names]]
        for gold in golds[:SHOWN]:
            given = dict(zip(gold.raters, gold.weights.shares, strict=True))
            rows.append([gold.id, *(f"{given[n]:.3f}" if n in given else "" for n in names)])
    else:
        rows = [["weights", "highest", "rater", "of weight 0"]]
        for gold in golds[:SHOWN]:
            shares = gold.weights.shares
            none = f"{int((shares == 0).sum())} of {len(shares)}"
            rows.append([gold.id, f"{shares.max():.3f}", gold.raters[shares.argmax()], none])
    if len(golds) > SHOWN:
        rows.append(["...", *[""] * (len(rows[0]) - 1)])
    return in_columns(rows)


def shifts_table(golds: Sequence[Gold]) -> str:
    """Mean and extremes of the warping of each rater (or all) over the recordings, in seconds."""
    shifts: dict[str, list[np.ndarray]] = {}
    for gold in golds:
        for rater, row in zip(gold.raters, gold.shifts, strict=True):
            shifts.setdefault(rater, []).append(row)
    rows = [["read ahead (s)", "mean", "lowest", "highest"]]
    if len(shifts) > FEW:
        shifts = {f"{len(shifts)} raters": [row for parts in shifts.values() for row in parts]}
    for rater, parts in shifts.items():
        row = np.concatenate(parts)
        rows.append(
            [rater, *(f"{round(v, 2) + 0.0:.2f}" for v in (row.mean(), row.min(), row.max()))]
        )
    return in_columns(rows)


def _over(values: list[float]) -> tuple[float, float]:
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return float("nan"), float("nan")
    return float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def _mean_and_deviation(mean: float, deviation: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_file(path, lambda draft: frame.to_csv(draft, index=False))
