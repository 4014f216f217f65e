"""Generic canonical time warping: several sequences, warped in time onto each other.

F. Zhou and F. De la Torre, Generalized time warping for multi-modal alignment of human motion,
CVPR 2012, and Generalized canonical time warping, IEEE TPAMI 38(2), 2016.

Sequence i, X_i (dims_i, frames_i), is read along a path p_i of ``frames`` positions and projected
with V_i: Z_i = V_i' X_i(p_i). Minimised is, per frame,

    1/(2m) sum_{i<j} |Z_i - Z_j|^2  +  r/(2 - 2r) sum_i |V_i|^2  +  s/(2m) sum_i |p_i' - 1|^2

(m sequences, r the regularisation, s the stiffness, p_i' the slope relative to the uniform path;
each dim of a warped sequence has zero mean and unit deviation, so that a path gains nothing by
lingering where a sequence is flat)
under sum_i V_i' ((1 - r) X_i X_i' + r I) V_i = I. For given paths the V_i are those of multi-set
canonical correlation analysis. A path is a mixture of monotone functions from the first position
to the last, with weights that are not negative and have the sum 1: whatever the weights, it is
monotone and keeps both ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from muse.gold.multiset_cca import components_for, multiset_cca
from muse.gold.paths import on_simplices, warped, warping_bases
from muse.gold.standardise import moves

HALVINGS = 6  # of a Gauss-Newton step that does not lower the objective
LEAST = 1e-5  # of its value the objective must fall by in a round


@dataclass(frozen=True)
class Warping:
    """What generic canonical time warping has found."""

    paths: np.ndarray  # (sequences, frames) float64: position in the sequence, 0 to its last frame
    objective: list[float]  # at the start and after each round; never rising
    projections: list[np.ndarray]  # per sequence (dims, components)


@dataclass(frozen=True)
class _Problem:
    """What stays the same over the rounds."""

    sequences: list[np.ndarray]  # (dims, frames_i), zero mean and unit deviation
    slopes: list[np.ndarray]  # the same shape: change per frame
    bases: np.ndarray  # (frames, functions), each from 0 to 1
    steps: np.ndarray  # (frames - 1, functions): slopes relative to the uniform path's
    regularisation: float
    stiffness: float
    components: int
    nonnegative: bool

    @property
    def frames(self) -> int:
        return len(self.bases)


def gctw(
    sequences: Sequence[np.ndarray],
    polynomials: int = 5,
    tangents: int = 5,
    regularisation: float = 0.7,
    energy: float = 0.8,
    rounds: int = 20,
    steps: int = 2,
    stiffness: float = 3.0,
    nonnegative: bool = False,
    centred: bool = True,
) -> Warping:
    """Warp sequences onto each other, from uniform paths, to the length of the shortest.

    Args:
        sequences: each (dims, frames) or (frames,), without NaN; lengths and dims may differ.
        polynomials, tangents: basis functions of the paths, see `warping_bases`.
        regularisation: of the canonical correlation analysis, 0 to below 1.
        energy: share of the canonical correlations that the components keep at the start; there
            are never more components than the sequence with the fewest dims has.
        rounds: of analysis and Gauss-Newton steps at most.
        steps: Gauss-Newton steps in each round, each through all sequences in turn.
        stiffness: penalty on slopes that differ from the uniform path's.
        nonnegative: see `muse.gold.multiset_cca`; for sequences of one dim that mean the same,
            such as raters, who are not to be aligned to the opposite of each other.
        centred: warp all paths alike in the end such that their mean is the uniform path. The
            method only compares sequences with each other; this leaves them where they were on
            average, instead of wherever the last round has moved them to together.
    """
    problem = _problem(
        sequences, polynomials, tangents, regularisation, energy, stiffness, nonnegative
    )
    weights = np.zeros((len(problem.sequences), problem.bases.shape[1]))
    weights[:, 0] = 1.0  # the first function is the uniform path
    projections, value = _project(problem, weights)
    objective = [value]
    for _ in range(rounds if len(weights) > 1 and problem.frames > 2 else 0):
        moved = weights
        for _ in range(steps):
            moved = _gauss_newton(problem, projections, moved)
        for halving in range(HALVINGS):  # V_i of unit variance may undo what a step has gained
            candidate = weights + 0.5**halving * (moved - weights)
            found, value = _project(problem, candidate)
            if value < objective[-1] - LEAST * abs(objective[-1]):
                break
        else:
            break
        weights, projections = candidate, found
        objective.append(value)
    paths = np.stack([_path(problem, i, w) for i, w in enumerate(weights)])
    return Warping(_centred(paths) if centred else paths, objective, projections)


def _problem(
    sequences: Sequence[np.ndarray],
    polynomials: int,
    tangents: int,
    regularisation: float,
    energy: float,
    stiffness: float,
    nonnegative: bool,
) -> _Problem:
    """The sequences standardised, their slopes, the basis functions, the number of components."""
    whole = [np.atleast_2d(np.asarray(sequence, np.float64)) for sequence in sequences]
    scaled = [_standardised(x) for x in whole]
    slopes = [np.gradient(x, axis=1) if x.shape[1] > 1 else np.zeros_like(x) for x in scaled]
    frames = min(x.shape[1] for x in whole)
    bases = warping_bases(frames, polynomials, tangents)
    uniform = [np.linspace(0, x.shape[1] - 1, frames) for x in scaled]
    read = [_standardised(warped(x, path)) for x, path in zip(scaled, uniform, strict=True)]
    components = 1 if nonnegative else components_for(read, regularisation, energy)
    steps = np.diff(bases, axis=0) * max(frames - 1, 1)
    return _Problem(
        scaled, slopes, bases, steps, regularisation, stiffness, components, nonnegative
    )


def _centred(paths: np.ndarray) -> np.ndarray:
    """The same paths against each other, with the uniform path as their mean: (m, frames)."""
    lengths = paths[:, -1:]  # (m, 1)
    frames = paths.shape[1]
    uniform = np.linspace(0, 1, frames)
    mean = np.mean(paths / np.maximum(lengths, 1e-12), axis=0)
    when = np.interp(uniform, mean, uniform)  # at which frame the mean is where it should be
    return np.stack([np.interp(when, uniform, path) for path in paths])


def _standardised(x: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation of each dim; zero where nothing moves."""
    moving = moves(x)[:, None]
    deviation = np.where(moving, x.std(1, keepdims=True), 1.0)
    return np.where(moving, (x - x.mean(1, keepdims=True)) / deviation, 0.0)


def _path(problem: _Problem, i: int, weights: np.ndarray) -> np.ndarray:
    last = problem.sequences[i].shape[1] - 1
    return np.clip(problem.bases @ weights * last, 0, last)  # (frames,)


def _project(problem: _Problem, weights: np.ndarray) -> tuple[list[np.ndarray], float]:
    """The V_i of the canonical correlation analysis for given paths, and the objective then."""
    read = [_read(problem, i, w) for i, w in enumerate(weights)]
    projections, powers = multiset_cca(
        read, problem.regularisation, problem.components, problem.nonnegative
    )
    m, bend = len(weights), sum(_bend(problem, w) for w in weights)
    value = problem.components / (2 - 2 * problem.regularisation) - powers.sum() / (2 * m)
    return projections, float(value + problem.stiffness * bend / (2 * m))


def _bend(problem: _Problem, weights: np.ndarray) -> float:
    """Mean squared difference of a path's slope from the uniform path's."""
    return float(np.mean((problem.steps @ weights - 1) ** 2)) if len(problem.steps) else 0.0


def _gauss_newton(
    problem: _Problem, projections: list[np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """One Gauss-Newton step for each sequence in turn, the others as they are by then."""
    weights = weights.copy()
    m = len(weights)
    z = [projections[i].T @ _read(problem, i, w) for i, w in enumerate(weights)]
    total = np.sum(z, axis=0)  # (components, frames)
    for i in range(m):
        if np.any(projections[i]) and np.any(problem.slopes[i]):
            target = (total - z[i]) / (m - 1)
            weights[i] = _step(problem, projections[i], i, weights[i], target, m - 1)
            new = projections[i].T @ _read(problem, i, weights[i])
            total += new - z[i]
            z[i] = new
    return weights


def _read(problem: _Problem, i: int, weights: np.ndarray) -> np.ndarray:
    """A sequence along its path, with zero mean and unit deviation: (dims, frames)."""
    return _standardised(warped(problem.sequences[i], _path(problem, i, weights)))


def _change(problem: _Problem, i: int, weights: np.ndarray) -> np.ndarray:
    """How `_read` changes with each weight: (dims, frames, functions)."""
    path = _path(problem, i, weights)
    last, frames = problem.sequences[i].shape[1] - 1, problem.frames
    slope = warped(problem.slopes[i], path)
    change = slope[:, :, None] * (last * problem.bases)
    change -= change.mean(1, keepdims=True)
    values = warped(problem.sequences[i], path)
    z = _standardised(values)
    along = np.einsum("df,dfk->dk", z, change) / frames  # of the deviation
    deviation = np.where(moves(values), values.std(1), 1.0)
    return (change - z[:, :, None] * along[:, None]) / deviation[:, None, None]


def _step(
    problem: _Problem,
    projection: np.ndarray,
    i: int,
    weights: np.ndarray,
    target: np.ndarray,
    others: int,
) -> np.ndarray:
    """The weights of path i that bring its sequence nearer to ``target`` (components, frames)."""
    frames, functions = problem.bases.shape

    def cost(candidate: np.ndarray) -> float:
        apart = projection.T @ _read(problem, i, candidate) - target
        return others * np.sum(apart**2) / frames + problem.stiffness * _bend(problem, candidate)

    z = projection.T @ _read(problem, i, weights)
    change = np.einsum("dc,dfk->cfk", projection, _change(problem, i, weights))
    change = change.reshape(-1, functions)  # (components * frames, functions)
    wanted = (target - z).ravel() + change @ weights
    share, stiff = others / frames, problem.stiffness / len(problem.steps)
    square = share * change.T @ change + stiff * problem.steps.T @ problem.steps
    linear = share * change.T @ wanted + stiff * problem.steps.sum(0)
    goal = on_simplices(square, linear, weights)
    before = cost(weights)
    for halving in range(HALVINGS):
        candidate = weights + 0.5**halving * (goal - weights)
        if cost(candidate) < before:
            return candidate
    return weights
