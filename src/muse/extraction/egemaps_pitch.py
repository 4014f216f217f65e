"""The pitch that openSMILE finds in each of many overlapping windows, from one pass over a file.

eGeMAPS smooths its pitch candidates by the Viterbi algorithm, with six candidates and `unvoiced` as
the states of a frame (after Luengo et al., Evaluation of pitch detection algorithms under real
conditions, ICASSP 2007). Candidates depend on their frame alone, the path through them on where a
window begins and ends. So the path is found anew for each window, for all windows at once; the
costs are those of openSMILE 2.6.0 with the weights of the feature set, and the result is the same.
"""

import numpy as np

CANDIDATES = 6
STATES = CANDIDATES + 1  # the last one: unvoiced
THRESHOLD = np.float32(0.7)  # of the voicing probability
LOCAL, BIAS, CHANGE, SWITCH, STAY = 2.0, 4.0, 10.0, 10.0, 1.0  # weights
IMPOSSIBLE = 999.0
# after 40 frames openSMILE decides, whether paths agree or not; if they agree on a frame 20 frames
# later, for each twentieth frame, it has never had to
CHECKED = 20


def decode(
    pitch: np.ndarray, voicing: np.ndarray, starts: np.ndarray, frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best path through each window.

    Args:
        pitch: (file frames, candidates) float32 Hz, 0 for none.
        voicing: (file frames, candidates) float32, their probabilities.
        starts: (windows,) first frame of each window. frames: of a window.

    Returns:
        Pitch (windows, frames) float32 Hz, 0 where it is unvoiced; the number of frames on which
        all paths agree at the end of a window (windows,), which is where eGeMAPS stops; and whether
        openSMILE may have decided before they did, in another way (windows,) bool.
    """
    local, moves, first_moves = _costs(pitch, voicing)
    best = np.zeros((frames, STATES, len(starts)), dtype=np.int8)  # state of the frame before
    cost = local[:, starts]
    for t in range(1, frames):
        at = starts + t
        total = moves[:, :, at]  # (state before, state, windows)
        if t == 1:
            total[:, 0] = first_moves[:, at]
        total += cost[:, None, :]
        best[t] = total.argmin(axis=0)
        cost = total.min(axis=0) + local[:, at]
    values = np.pad(pitch, ((0, 0), (0, 1)))  # unvoiced is 0 Hz
    found = np.zeros((len(starts), frames), dtype=np.float32)
    state, windows = cost.argmin(axis=0), np.arange(len(starts))
    for t in range(frames - 1, -1, -1):
        found[:, t] = values[starts + t, state]
        state = best[t, state, windows]
    return found, *_agreement(best)


def _agreement(best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames on which all paths agree at the end, and where they may not in time: (windows,) each.

    Args:
        best: (frames, states, windows) the state of the frame before on the way to each.
    """
    frames, states, windows = best.shape
    agreed = np.zeros(windows, dtype=np.int64)
    paths = np.tile(np.arange(states, dtype=np.int8)[:, None], (1, windows))
    for t in range(frames - 1, -1, -1):
        same = (paths == paths[0]).all(axis=0)
        agreed[(agreed == 0) & same] = t + 1
        if agreed.all():
            break
        paths = np.take_along_axis(best[t], paths, axis=0)
    ends = np.arange(CHECKED, frames, CHECKED)
    paths = np.tile(np.arange(states, dtype=np.int8)[:, None], (len(ends), 1, windows))
    for back in range(CHECKED):
        paths = np.take_along_axis(best[ends - back], paths, axis=1)
    return agreed, (paths != paths[:, :1]).any(axis=(0, 1))


def _costs(pitch: np.ndarray, voicing: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs of states (states, frames), of moves into frames (states before, states, frames), and
    of the moves into the first candidate that are a window's first (states before, frames)."""
    hertz = pitch.astype(np.float64)
    known = np.clip(voicing.astype(np.float64), 0.01, 1.0)
    outside = np.select(
        [hertz <= 0, hertz < 100, hertz < 350, hertz < 600],
        [2.0, 1 - hertz / 100, 0.0, (hertz - 350) / 250],
        1.2,
    )
    voiced = voicing >= THRESHOLD
    local = np.empty((len(pitch), STATES))
    local[:, :CANDIDATES] = LOCAL * (-np.log(known) + BIAS * (known < THRESHOLD)) + outside
    local[:, CANDIDATES] = LOCAL * BIAS * voiced.any(axis=1)
    moves = np.full((len(pitch), STATES, STATES), SWITCH)
    moves[:, CANDIDATES, CANDIDATES] = STAY
    possible = (pitch[1:, :, None] != 0) & (pitch[:-1, None, :] != 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log((pitch[1:, :, None] / pitch[:-1, None, :]).astype(np.float64))
    moves[1:, :CANDIDATES, :CANDIDATES] = _changes(change, possible, 0.0)
    first = moves[:, 0].copy()
    first[1:, :CANDIDATES] = _changes(change[:, 0], possible[:, 0], 1.0)
    return tuple(np.ascontiguousarray(costs.T) for costs in (local, moves, first))


def _changes(change: np.ndarray, possible: np.ndarray, before: float) -> np.ndarray:
    """Costs of changes of pitch (..., candidates before), given as logarithms of its ratio.

    Each also pays for its difference from the change that was looked at before it, that from the
    previous candidate; the first of them for that from ``before``.
    """
    costs = np.full(change.shape, IMPOSSIBLE)
    last = np.full(change.shape[:-1], before)
    for k in range(CANDIDATES):
        cost = CHANGE * np.abs(change[..., k]) + CHANGE * np.abs(change[..., k] - last)
        costs[..., k] = np.where(possible[..., k], cost, IMPOSSIBLE)
        last = np.where(possible[..., k], change[..., k], last)
    return costs
