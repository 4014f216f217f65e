"""Monotone warping paths as mixtures of basis functions, and sequences read along them.

Weights that are not negative and sum to 1 make a path that is monotone and keeps both ends, since
every basis function rises from 0 to 1.
"""

import numpy as np
from scipy.optimize import nnls

SUM_TO_ONE = 1e4  # weight of that equation among the least squares


def warping_bases(frames: int, polynomials: int, tangents: int) -> np.ndarray:
    """Monotone functions from 0 to 1 over ``frames`` frames: (frames, polynomials + tangents).

    Polynomials t^e with e = 1, 1/2, 2, 1/4, 4, ...; hyperbolic tangents that rise in turn, evenly
    over the whole, each over about its share of it.
    """
    exponents = [2.0 ** ((k + 1) // 2 * (-1) ** k) for k in range(polynomials)]
    centres = (np.arange(tangents) + 0.5) / max(tangents, 1)
    return _bases(frames, exponents, centres, 2 * tangents)


def published_bases(frames: int, polynomials: int, tangents: int) -> np.ndarray:
    """The functions that the MuSe-Toolbox uses: (frames, polynomials + tangents), from 0 to 1.

    Polynomials t^e with exponents from 10^-0.5 to 10^0.5 in equal ratios (a single one: 1);
    tanh(6 (t - c)) with centres c from 1/3 to 2/3. Smoother than `warping_bases`: such paths
    cannot jump within a small part of a recording.
    """
    exponents = np.logspace(-0.5, 0.5, polynomials) if polynomials > 1 else [1.0]
    return _bases(frames, exponents, np.linspace(1 / 3, 2 / 3, tangents), 6)


def _bases(frames: int, exponents, centres: np.ndarray, slope: float) -> np.ndarray:
    time = np.linspace(0, 1, frames)
    bends = np.tanh(slope * (time - centres[:, None]))  # (tangents, frames)
    low, high = bends[:, :1], bends[:, -1:]
    bends = (bends - low) / np.maximum(high - low, 1e-12)
    return np.stack([*(time**e for e in exponents), *bends], axis=1)


def warped(sequence: np.ndarray, path: np.ndarray) -> np.ndarray:
    """A sequence (..., frames) read along a path (new frames,), linear between its frames."""
    sequence = np.asarray(sequence, np.float64)
    at = np.arange(sequence.shape[-1])
    return np.apply_along_axis(lambda row: np.interp(path, at, row), -1, sequence)


def on_simplices(
    square: np.ndarray, linear: np.ndarray, start: np.ndarray, blocks: int = 1
) -> np.ndarray:
    """The weights w that minimise w' square w / 2 - linear' w, each block w >= 0 with sum 1.

    Args:
        square: (weights, weights), positive semidefinite.
        linear, start: (weights,); where the minimum leaves a choice, ``start`` is kept.
        blocks: equally long parts of w, each with a sum of its own.
    """
    count = len(linear)
    ridge = 1e-10 * max(np.trace(square) / count, 1e-12)
    root = np.linalg.cholesky(square + ridge * np.eye(count))  # lower
    heavy = SUM_TO_ONE * max(np.abs(root).max(), 1e-12)
    sums = np.kron(np.eye(blocks), np.full(count // blocks, heavy))
    left = np.vstack([root.T, sums])
    right = np.append(np.linalg.solve(root, linear + ridge * start), np.full(blocks, heavy))
    found = nnls(left, right, maxiter=10 * count)[0].reshape(blocks, -1)
    return (found / found.sum(1, keepdims=True)).ravel()
