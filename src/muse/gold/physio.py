"""A physiological signal in the place of the rater with the lowest weight: MuSe-Physio.

Section 2.4 of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge.
"""

from collections.abc import Sequence

import numpy as np

from muse.config.fields import path_of
from muse.config.gold import GoldConfig
from muse.errors import Faults, MuseError, raise_faults
from muse.gold.frames import resample, step_of
from muse.gold.raters import Ratings, read_traces
from muse.gold.smoothing import savgol
from muse.gold.standardise import standardise

SECONDS = 1.0  # by which the signal may begin late or end early without an error


def read_signals(config: GoldConfig, ratings: Sequence[Ratings]) -> list[np.ndarray]:
    """The signal of each recording at the frames of its ratings, smoothed and standardised.

    Raises:
        MuseError: a file that is missing or faulty, or a signal that does not cover the ratings.
    """
    physio, faults = config.physio, Faults(stop=False)
    found = []
    for recording in ratings:
        with faults.noted():
            trace = _at_frames(config, recording)
            found.append(savgol(trace, physio.window, physio.order))
    raise_faults(faults.found)
    names = [[physio.name]] * len(found)
    scaled = standardise([trace[None] for trace in found], names, physio.over,
                         config.standardise.scale)  # fmt: skip
    return [values[0] for values in scaled]


def _at_frames(config: GoldConfig, recording: Ratings) -> np.ndarray:
    """The column of the signal, downsampled to the frames: (frames,)."""
    physio = config.physio
    path = path_of(physio.signal) / f"{recording.id}.csv"
    traces = read_traces(path, physio.unit or config.unit, physio.offset)
    names = [physio.column] if physio.column else [n for n in traces.names if n != "segment_id"]
    if len(names) > 1 or names[0] not in traces.names:
        raise MuseError(
            f"{path}: the columns are {', '.join(traces.names)}. Say with physio.column= which of "
            "them is the signal."
        )
    values = traces.values[traces.names.index(names[0])]
    there = traces.times[~np.isnan(values)]
    frames = recording.frames.times
    slack = max(1000 * SECONDS, 1.5 * step_of(traces.times))
    if not len(there) or there[0] > frames[0] + slack or there[-1] < frames[-1] - slack:
        span = f"{there[0] / 1000:g} to {there[-1] / 1000:g} s" if len(there) else "nothing"
        raise MuseError(
            f"{path}: {physio.name} covers {span}, the ratings {frames[0] / 1000:g} to "
            f"{frames[-1] / 1000:g} s. Are physio.unit and physio.offset right?"
        )
    gap = np.diff(there).max(initial=0) / 1000
    if gap > max(config.max_gap, 1.5 * step_of(traces.times) / 1000):
        raise MuseError(
            f"{path}: {physio.name} has a gap of {gap:g} s (max_gap={config.max_gap:g})."
        )
    return resample(traces.times, values, frames)


def lowest(
    raters: Sequence[Sequence[str]], weights: Sequence[np.ndarray], replace: str
) -> list[int | None]:
    """Which rater of each recording is replaced: the row, None for no rater.

    Args:
        raters: names of each recording's raters.
        weights: (raters,) of each recording.
        replace: `global` (the rater with the lowest mean weight over the recordings rated by
            that rater) or `recording` (the lowest of each).
    """
    if replace == "recording":
        return [int(np.argmin(own)) if len(own) > 1 else None for own in weights]
    given: dict[str, list[float]] = {}
    for names, own in zip(raters, weights, strict=True):
        if len(names) > 1:  # a single rater always has weight 1
            for name, weight in zip(names, own, strict=True):
                given.setdefault(name, []).append(float(weight))
    if not given:
        return [None for _ in raters]
    worst = min(given, key=lambda name: np.mean(given[name]))
    return [
        list(names).index(worst) if worst in names and len(names) > 1 else None for names in raters
    ]


def with_signal(
    names: list[str], values: np.ndarray, out: int | None, name: str, signal: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """The raters without row ``out``, and the signal (frames,) as the last of them."""
    if name in names:
        raise MuseError(f"physio.name={name}: a rater has that name; give another.")
    keep = [k for k in range(len(names)) if k != out]
    return [names[k] for k in keep] + [name], np.vstack([values[keep], signal[None]])
