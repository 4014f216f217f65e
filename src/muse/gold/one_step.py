"""Canonical time warping by one Gauss-Newton step from the uniform path: what RAAW published.

Section 2.1 of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, aligns raters
by F. Zhou and F. De la Torre, Generalized canonical time warping, IEEE TPAMI 38(2), 2016, with the
software of these authors. That software starts every Gauss-Newton step anew from the uniform path,
so the rounds only renew the canonical correlation analysis: a path is always one step away from
uniform, and differences of more than a few seconds are left alone. `muse.gold.gctw` goes all the
way to the minimum instead.

Minimised is sum_{i<j} |v_i x_i(p_i) - v_j x_j(p_j)|^2 over all paths p_i at once, with x_i linear
around the uniform path. The v_i are those of multi-set canonical correlation analysis of the traces
along the paths of the round before. One thing differs from the software: no v_i is negative, so a
rater who contradicts the others stays on the uniform path instead of being aligned upside down.
"""

import numpy as np

from muse.gold.multiset_cca import multiset_cca
from muse.gold.paths import on_simplices, published_bases, warped

SETTLED = 0.01  # frames that no path changes by from one round to the next


def one_step(
    traces: np.ndarray,
    polynomials: int = 5,
    tangents: int = 5,
    regularisation: float = 0.7,
    rounds: int = 10,
) -> np.ndarray:
    """Paths that align traces: (raters, frames) -> positions (raters, frames), 0 to frames - 1.

    Args:
        traces: without NaN.
        polynomials, tangents: basis functions of the paths, see `published_bases`.
        regularisation: of the canonical correlation analysis, 0 to below 1.
        rounds: of analysis and step at most; it ends when the paths no longer change.
    """
    traces = np.asarray(traces, np.float64)
    raters, frames = traces.shape
    uniform = np.arange(frames, dtype=float)
    paths = np.tile(uniform, (raters, 1))
    if raters < 2 or frames < 3:
        return paths
    bases = (frames - 1) * published_bases(frames, polynomials, tangents)  # (frames, functions)
    even = np.full(bases.shape[1], 1 / bases.shape[1])
    start = on_simplices(bases.T @ bases, bases.T @ uniform, even)
    for _ in range(rounds):
        before = paths
        aligned = np.stack([warped(x, path) for x, path in zip(traces, paths, strict=True)])
        means = aligned.mean(1, keepdims=True)
        # sums over frames in the analysis, not means: it divides by the frames
        analysed = list((aligned - means)[:, None] * np.sqrt(frames))
        scales = np.concatenate(multiset_cca(analysed, regularisation, 1, nonnegative=True)[0])
        weights = gauss_newton(scales * (traces - means), bases, start)
        paths = np.clip(weights @ bases.T, 0, frames - 1)
        if np.abs(paths - before).max() < SETTLED:
            break
    return paths


def gauss_newton(traces: np.ndarray, bases: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The weights of all paths after one joint Gauss-Newton step: (raters, functions).

    Args:
        traces: (raters, frames), to be brought together.
        bases: (frames, functions), in frames.
        start: (functions,), the weights of the uniform path.
    """
    raters, functions = len(traces), len(start)
    change = np.gradient(traces, axis=1)[:, :, None] * bases  # (raters, frames, functions)
    fixed = traces - change @ start  # what the traces would be with weights of 0
    stacked = np.concatenate(change, axis=1)  # (frames, raters * functions)
    gram = stacked.T @ stacked
    same = np.kron(np.eye(raters), np.ones((functions, functions)))
    square = (raters * same - 1) * gram
    linear = -raters * np.einsum("rfk,rf->rk", change, fixed - fixed.mean(0)).ravel()
    found = on_simplices(square, linear, np.tile(start, raters), raters)
    return found.reshape(raters, functions)
