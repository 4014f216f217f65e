"""Learning curves of a run, from its metrics.jsonl, thinned until they fit on a page."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from muse.files import read_regular

CURVES = ("epoch", "C", "devel", "train", "lr")  # what is kept of metrics.jsonl
CURVE_POINTS = 300_000  # epochs of all curves together
EXACT = 2**53  # integers up to which JavaScript has them all
LEAST = 20  # epochs of a curve, however many curves there are


def curves_of(folder: Path, folds: bool) -> dict[str, dict[str, dict]]:
    """Target -> name of a training -> epoch (or C), devel, train and lr, as lists."""
    try:
        lines = read_regular(folder / "metrics.jsonl").decode(errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, dict] = {}
    for record in _records(lines):
        if folds or "fold" not in record:  # without folds those of crossfit, no models of the run
            fold = f", fold {record['fold']}" if "fold" in record else ""
            own = found.setdefault(str(record.get("target")), {})
            own.setdefault(f"seed {record.get('seed')}{fold}", []).append(record)
    return {
        target: {name: {key: [record.get(key) for record in records]
                        for key in CURVES if key in records[0]}
                 for name, records in own.items()}
        for target, own in found.items()
    }  # fmt: skip


def _records(lines: list[str]) -> Iterator[dict]:
    """The objects of JSON lines; the last line may be half written."""
    try:
        found = json.loads(f"[{','.join(lines)}]")  # all at once is several times as fast
    except (ValueError, RecursionError):
        found = []
        for line in lines:
            with suppress(ValueError, RecursionError):
                found.append(json.loads(line))
    return (record for record in found if isinstance(record, dict))


def thin_curves(runs: list[dict]) -> int | None:
    """Keep so many epochs of each curve that all together are not too many for a page.

    The first, the best and the last epoch stay. Returns how many are kept, None for all.
    """
    curves = [curve for run in runs for own in run["curves"].values() for curve in own.values()]
    most = max(LEAST, CURVE_POINTS // max(len(curves), 1))
    longest = max((len(values) for curve in curves for values in curve.values()), default=0)
    for run in runs:
        run["curves"] = {
            target: {name: _thinned(curve, most) for name, curve in own.items()}
            for target, own in run["curves"].items()
        }
    return most if longest > most else None


def _thinned(curve: dict, most: int) -> dict:
    count = min(map(len, curve.values()), default=0)
    picked = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    if scores := [-math.inf if (n := finite(v)) is None else n for v in curve.get("devel", [])]:
        picked.append(int(np.argmax(scores)))
    return {key: [finite(values[k], 4) for k in sorted({*picked})]
            for key, values in curve.items()}  # fmt: skip


def finite(value: object, digits: int | None = None) -> float | None:
    """A finite number, which alone JSON has, rounded if asked for; None for anything else."""
    if isinstance(value, int):
        return value if abs(value) < EXACT else None
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")
