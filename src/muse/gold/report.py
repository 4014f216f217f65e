"""A gold standard in numbers: agreement, weights and time shifts as tables, and as JSON."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from muse.files import write_file
from muse.gold.agreement import MEASURES, agreement_between
from muse.gold.pipeline import Gold

SHOWN = 20  # recordings on the terminal; agreement.csv has all
FEW = 6  # raters up to which their weights are on the terminal
STAGES = ("before", "after")  # alignment


def agreement_of(golds: Sequence[Gold]) -> pd.DataFrame:
    """Agreement between raters before and after alignment, a row per recording.

    Each measure is the mean over the pairs of raters, NaN for one rater; `_deviation` is the
    standard deviation (n - 1) over the pairs.
    """
    rows = []
    for gold in golds:
        row = {"recording": gold.id, "raters": len(gold.raters), "frames": len(gold.fused)}
        for measure in MEASURES:
            for stage in STAGES:
                name, pair = f"{measure}_{stage}", agreement_between(getattr(gold, stage), measure)
                row[name], row[f"{name}_deviation"] = pair
        rows.append(row)
    return pd.DataFrame(rows)


def weights_of(golds: Sequence[Gold]) -> pd.DataFrame:
    """Weight, agreement and time shift in seconds, a row per recording and rater."""
    parts = []
    for gold in golds:
        weights = gold.weights
        parts.append(pd.DataFrame({
            "recording": gold.id,
            "rater": gold.raters,
            "weight": np.nan if weights is None else weights.shares,
            "agreement": np.nan if weights is None else weights.agreement,
            "shift_mean_s": gold.shifts.mean(1),
            "shift_lowest_s": gold.shifts.min(1),
            "shift_highest_s": gold.shifts.max(1),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def write_tables(
    folder: Path, golds: Sequence[Gold], agreement: pd.DataFrame, weights: pd.DataFrame
) -> None:
    """Write agreement.csv, weights.csv and, per recording, warping/ID.csv.

    warping/ID.csv has for each frame (timestamp in ms) and rater the time shift in seconds: what
    the rater did that much later belongs to the frame.
    """
    _write_csv(folder / "agreement.csv", agreement.round(6))
    _write_csv(folder / "weights.csv", weights.round(6))
    for gold in golds:
        shifts = _shifts(gold).round(4)
        shifts.insert(0, "timestamp", gold.frames.times)
        _write_csv(folder / "warping" / f"{gold.id}.csv", shifts)


def agreement_table(agreement: pd.DataFrame, aligned: bool) -> str:
    """Agreement between raters per recording, and over the recordings, for the terminal."""
    over = overall_agreement(agreement)
    last = {"recording": "all", "raters": agreement["raters"].max()}
    last |= {"frames": agreement["frames"].sum()} | over["mean"].to_dict()
    last |= over["std"].add_suffix("_deviation").to_dict()
    rows = pd.concat([agreement, pd.DataFrame([last])])
    table = rows[["recording", "raters", "frames"]]
    for title, measure in (("correlation", "correlation"), ("CCC", "ccc")):
        for stage in STAGES if aligned else STAGES[:1]:
            name = f"{measure}_{stage}"
            pairs = zip(rows[name], rows[f"{name}_deviation"], strict=True)
            heading = title if stage == "before" else f"{title} aligned"
            table = table.assign(**{heading: [_mean_and_deviation(*pair) for pair in pairs]})
    return table.to_string(index=False, max_rows=SHOWN)


def overall_agreement(agreement: pd.DataFrame) -> pd.DataFrame:
    """`mean` and `std` (n - 1) over the recordings of each measure and stage, such as ccc_after."""
    names = [f"{measure}_{stage}" for measure in MEASURES for stage in STAGES]
    return agreement[names].agg(["mean", "std"]).T


def report_of(target: str, golds: Sequence[Gold], agreement: pd.DataFrame, synthetic: bool) -> dict:
    """The content of report.json: recordings, raters, agreement over the recordings, warnings."""
    over = overall_agreement(agreement).rename(columns={"std": "deviation"})
    values = over.astype(object).where(over.notna(), None).T.to_dict()
    return {
        "target": target,
        "synthetic": synthetic,
        "raters": sorted({name for gold in golds for name in gold.raters}),
        "recordings": [gold.id for gold in golds],
        "frames": sum(len(gold.fused) for gold in golds),
        "step_seconds": golds[0].frames.step,
        "agreement": {
            measure: {stage: values[f"{measure}_{stage}"] for stage in STAGES}
            for measure in MEASURES
        },
        "notes": [note for gold in golds for note in gold.notes],
    }


def weights_table(weights: pd.DataFrame) -> str:
    """Weights of the raters, or the highest where there are many raters."""
    recordings, raters = weights["recording"].unique(), weights["rater"].unique()
    if len(raters) <= FEW:
        table = weights.pivot_table(index="recording", columns="rater", values="weight")
        table = table.loc[recordings, raters]
    else:
        highest = weights.loc[weights.groupby("recording", sort=False)["weight"].idxmax()]
        table = highest.set_index("recording")[["weight", "rater"]]
        zero = (weights["weight"] == 0).groupby(weights["recording"], sort=False)
        table["of weight 0"] = zero.agg(lambda own: f"{own.sum()} of {len(own)}")
        table = table.rename(columns={"weight": "highest"})
    table = table.rename_axis(index="weights", columns=None).reset_index()
    return table.to_string(index=False, max_rows=SHOWN, float_format="%.3f", na_rep="")


def shifts_table(golds: Sequence[Gold]) -> str:
    """Mean and extremes of the time shift of each rater (or all) over the recordings."""
    shifts = pd.concat([_shifts(gold) for gold in golds])
    if len(shifts.columns) > FEW:
        shifts = shifts.melt()[["value"]].set_axis([f"{len(shifts.columns)} raters"], axis=1)
    table = shifts.agg(["mean", "min", "max"]).T.round(2) + 0.0  # no -0.00
    table = table.set_axis(["mean", "lowest", "highest"], axis=1)
    table = table.rename_axis(index="time shift (s)").reset_index()
    return table.to_string(index=False, float_format="%.2f")


def _shifts(gold: Gold) -> pd.DataFrame:
    return pd.DataFrame(gold.shifts.T, columns=gold.raters)


def _mean_and_deviation(mean: float, deviation: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_file(path, lambda draft: frame.to_csv(draft, index=False))
