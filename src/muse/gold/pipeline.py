"""All steps from raters' traces to gold standards, as the settings say."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from muse import terminal
from muse.config.gold import AlignConfig, FuseStepConfig, GoldConfig, PostConfig
from muse.errors import MuseError
from muse.gold import physio
from muse.gold.agreement import Weights, ewe_weights
from muse.gold.averaging import barycentre, weighted
from muse.gold.frames import Frames
from muse.gold.gctw import gctw
from muse.gold.lag import lags_of
from muse.gold.one_step import one_step
from muse.gold.paths import warped
from muse.gold.raters import Ratings
from muse.gold.smoothing import smooth
from muse.gold.standardise import moves, standardise
from muse.terminal import counted

log = logging.getLogger(__name__)
LARGE_SHIFT = {  # what to do about raters who are shifted far
    "one_step": "look at the figure; leave_out= takes a rater out",
    "gctw": "a larger align.stiffness warps less, gold=raaw much less",
    "lag": "look at the figure, it may be no lag at all",
}


@dataclass(frozen=True)
class Gold:
    """A recording's gold standard and what it was made from."""

    id: str
    frames: Frames
    raters: list[str]
    before: np.ndarray  # (raters, frames): smoothed and standardised
    after: np.ndarray  # (raters, frames): and aligned
    shifts: np.ndarray  # (raters, frames): time shift in seconds, positive: reads later values
    weights: Weights | None  # None: not weighted
    fused: np.ndarray  # (frames,)
    mean: np.ndarray  # (frames,): plain mean of the raters as they were, smoothed alike
    notes: list[str] = field(default_factory=list)


def make_gold(config: GoldConfig, ratings: Sequence[Ratings]) -> list[Gold]:
    """Take the recordings through all steps.

    Raises:
        MuseError: a step cannot be done; the message names the recording.
    """
    smoothed = []
    for recording in ratings:
        with _of(recording.id):
            smoothed.append(
                smooth(recording.values, config.smooth.method, config.smooth.window,
                       config.smooth.order)
            )  # fmt: skip
    names = [recording.raters for recording in ratings]
    before = standardise(smoothed, names, config.standardise.over, config.standardise.scale)
    log.info(
        "%s, %s; smoothing %s, standardised over %s",
        counted(len(ratings), "recording"),
        counted(len({name for own in names for name in own}), "rater"),
        config.smooth.method,
        config.standardise.over,
    )
    notes: list[list[str]] = [[] for _ in ratings]
    if config.physio.replace != "none":
        names, before, notes = _with_physio(config, ratings, names, before)
    found = []
    with terminal.bar(total=len(ratings), desc=f"align: {config.align.method}") as bar:
        for recording, own, values, noted in zip(ratings, names, before, notes, strict=True):
            with _of(recording.id):
                found.append(_gold(config, recording, own, values, noted))
            bar.update()
    return found


def _with_physio(
    config: GoldConfig,
    ratings: Sequence[Ratings],
    names: list[list[str]],
    before: list[np.ndarray],
) -> tuple[list[list[str]], list[np.ndarray], list[list[str]]]:
    """Names and traces with the signal instead of the rater of the lowest weight, and a note."""
    given = [_weights(config.fuse, values).shares for values in before]
    out = physio.lowest(names, given, config.physio.replace)
    signals = physio.read_signals(config, ratings)
    changed, notes = [], []
    for k, recording in enumerate(ratings):
        changed.append(
            physio.with_signal(names[k], before[k], out[k], config.physio.name, signals[k])
        )
        change = f"replaces rater {names[k][out[k]]}" if out[k] is not None else "is added"
        notes.append([f"recording {recording.id}: {config.physio.name} {change}."])
    return [own for own, _ in changed], [values for _, values in changed], notes


def _gold(
    config: GoldConfig,
    recording: Ratings,
    names: list[str],
    before: np.ndarray,
    noted: list[str],
) -> Gold:
    """Steps 3 to 5 of one recording."""
    step = recording.frames.step
    positions = align(before, config.align, step)  # (raters, frames)
    after = np.stack([warped(row, path) for row, path in zip(before, positions, strict=True)])
    shifts = (positions - np.arange(before.shape[1])) * step
    weights, fused = fuse(before, after, config.fuse, round(config.align.max_lag / step))
    fused, clipped = _post(fused, config.post)
    mean, _ = _post(before.mean(0), config.post)
    gold = Gold(recording.id, recording.frames, names, before, after, shifts, weights, fused, mean)
    odd = [f"recording {recording.id}: {note}" for note in _warnings(config, gold, clipped)]
    return replace(gold, notes=[*recording.notes, *noted, *odd])


def _warnings(config: GoldConfig, gold: Gold, clipped: int) -> list[str]:
    """What the user may want to check in a recording."""
    signal = None if config.physio.replace == "none" else config.physio.name
    called = [name if name == signal else f"rater {name}" for name in gold.raters]
    notes = []
    for name, row in zip(called, gold.before, strict=True):
        if not moves(row):
            counts = "it has equal weight" if gold.weights is None else "weight 0"
            notes.append(f"{name} never moves; {counts}.")
    if gold.weights is not None and gold.weights.fallback:
        notes.append("no rater agrees with the others; the plain mean is taken.")
    if clipped:
        notes.append(
            f"{clipped} of {counted(len(gold.fused), 'frame')} outside [-1, 1], and clipped "
            "(post.clip=false keeps them; standardise.scale=true brings raters into it)."
        )
    how, farthest = config.align, np.abs(gold.shifts).max(1)
    for name, most in zip(called, farthest, strict=True):
        if how.method != "none" and most >= how.max_lag:
            notes.append(
                f"{name} is shifted by up to {most:.1f} s, more than a reaction takes "
                f"(align.max_lag={how.max_lag:g}); {LARGE_SHIFT[how.method]}."
            )
    return notes


def align(values: np.ndarray, how: AlignConfig, step: float) -> np.ndarray:
    """Where each rater is read for each frame: (raters, frames) -> positions (raters, frames)."""
    raters, frames = values.shape
    at = np.tile(np.arange(frames, dtype=float), (raters, 1))
    if how.method == "none" or raters < 2:
        return at
    if how.method == "lag":
        lags = lags_of(values, round(how.max_lag / step))
        return np.clip(at + lags[:, None], 0, frames - 1)
    if how.method == "one_step":
        return one_step(values, how.polynomials, how.tangents, how.regularisation, how.rounds)
    return gctw(
        list(values), how.polynomials, how.tangents, how.regularisation, how.energy, how.rounds,
        how.steps, how.stiffness, nonnegative=True,
    ).paths  # fmt: skip


def fuse(
    before: np.ndarray, after: np.ndarray, how: FuseStepConfig, reach: int
) -> tuple[Weights | None, np.ndarray]:
    """One signal from the aligned raters ``after``, both (raters, frames); weights if it has any.

    Args:
        reach: frames by which the DTW of `dba` may shift a rater.
    """
    if how.method == "mean":
        return None, after.mean(0)
    if how.method == "dba":
        return None, barycentre(after, max(1, reach)) if len(after) > 1 else after[0]
    weights = _weights(how, before if how.weights_from == "raw" else after)
    return weights, weighted(after, weights.shares)


def _weights(how: FuseStepConfig, values: np.ndarray) -> Weights:
    return ewe_weights(values, how.agreement, how.measure)


def _post(signal: np.ndarray, how: PostConfig) -> tuple[np.ndarray, int]:
    """The smoothed signal, and how many frames were clipped."""
    signal = smooth(signal, how.method, how.window, how.order)
    if not how.clip:
        return signal, 0
    return np.clip(signal, -1, 1), int(np.sum(np.abs(signal) > 1))


@contextmanager
def _of(id_: str) -> Iterator[None]:
    """Name the recording in the message of a MuseError raised inside."""
    try:
        yield
    except MuseError as error:
        raise MuseError(f"recording {id_}: {error}") from None
