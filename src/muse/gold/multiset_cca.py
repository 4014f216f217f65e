"""Multi-set canonical correlation analysis: projections in which several sequences are alike.

J. R. Kettenring, Canonical analysis of several sets of variables, Biometrika 58(3), 1971; with the
regularisation of Zhou and De la Torre, Generalized canonical time warping, IEEE TPAMI 38(2), 2016.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag, eigh


def multiset_cca(
    sequences: Sequence[np.ndarray],
    regularisation: float,
    components: int,
    nonnegative: bool = False,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Projections V_i that maximise the power of sum_i V_i' X_i, per component.

    Under sum_i V_i' ((1 - r) X_i X_i' / frames + r I) V_i = I, with r the ``regularisation``.

    Args:
        sequences: X_i, each (dims, frames) with zero mean; dims may differ.
        components: how many, the strongest first.
        nonnegative: no projection is negative, so no sequence is turned upside down: one that
            contradicts the others gets zero. For sequences of one dim and one component.

    Returns:
        The V_i, each (dims, components), and the power of each component (components,).
    """
    total, within = _covariances(sequences, regularisation)
    if nonnegative:
        vector, power = _nonnegative(total, within)
        return [vector[k : k + 1, None] for k in range(len(vector))], np.array([power])
    powers, vectors = eigh(total, within)
    top = vectors[:, ::-1][:, :components]
    top = top * np.where(top.sum(0) < 0, -1, 1)  # the sign of a component is free
    ends = np.cumsum([len(x) for x in sequences])[:-1]
    return np.split(top, ends), powers[::-1][:components]


def components_for(sequences: Sequence[np.ndarray], regularisation: float, energy: float) -> int:
    """How many components have the share ``energy`` of all power; at most the fewest dims."""
    powers = eigh(*_covariances(sequences, regularisation), eigvals_only=True)[::-1]
    shares = np.cumsum(np.maximum(powers, 0))
    if shares[-1] == 0:
        return 1
    enough = 1 + int(np.searchsorted(shares, (energy - 1e-12) * shares[-1]))
    return min(enough, *(len(x) for x in sequences))


def _covariances(
    sequences: Sequence[np.ndarray], regularisation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of all dims of all sequences with each other, and the regularised ones within each."""
    frames = sequences[0].shape[1]
    stacked = np.concatenate(sequences)
    within = [
        (1 - regularisation) * x @ x.T / frames + (regularisation + 1e-9) * np.eye(len(x))
        for x in sequences
    ]
    return stacked @ stacked.T / frames, block_diag(*within)


def _nonnegative(total: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, float]:
    """The strongest component without negative entries: those that are negative are left out."""
    active = np.arange(len(total))
    while True:
        at = np.ix_(active, active)
        powers, vectors = eigh(total[at], within[at])
        found = vectors[:, -1] * (-1 if vectors[:, -1].sum() < 0 else 1)
        if (found >= 0).all():
            break
        active = active[found > 0]
    vector = np.zeros(len(total))
    vector[active] = found
    return vector, float(powers[-1])
