"""A support vector machine on the means of segments: fitted at once, not trained by gradient.

Shapes: B batch, S segments, T frames (padded on the right), F features, O outputs (classes).
"""

import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from muse.errors import MuseError
from muse.models.checks import check_sizes


class LinearSVM(nn.Module):
    """The SVM of MuSe-Topic 2020 (Stappen et al. 2020, section 5.5): LinearSVC on segment means.

    The features of a segment are the means over its frames; its outputs, which all its frames have,
    are the decision values of scikit-learn's LinearSVC: squared hinge loss, L2 penalty, one class
    against the rest. With two classes there is one machine, whose decision value is that of class 1
    and with the other sign that of class 0. A class that no training segment has is never
    predicted: its value is the lowest of the others, less 1.

    The paper gives scikit-learn, the range of C and the fit on train and devel, not how a segment
    becomes one vector, nor the solver. It names LinearSVR, which gives no classes. Here the primal
    problem is solved (`dual=False`): its solution does not depend on a seed, and it converges on
    features of unlike ranges, which are not standardised, where coordinate descent on the dual does
    not. See `muse.training.fit` for how C is chosen.

    Args:
        inputs: features per frame.
        outputs: classes.
        C: inverse strength of the penalty; several: one of them is chosen on devel.
        max_iter: iterations of the solver at most.

    Raises:
        MuseError: a C that is not above 0 or is named twice, a max_iter below 1.
    """

    chosen_by: ClassVar[str] = "uar"  # the score on devel that chooses C

    def __init__(
        self,
        inputs: int,
        outputs: int,
        C: float | Sequence[float] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        max_iter: int = 1000,
    ):
        super().__init__()
        check_sizes(max_iter=max_iter)
        values = list(C) if isinstance(C, list | tuple) else [C]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if not values or len(set(numbers)) < len(values) or not all(0 < v < 1e300 for v in numbers):
            raise MuseError(
                f"model.C={C}: expected a number above 0, or a list of such, each named once: "
                "[0.001,0.01,0.1]."
            )
        self.C = [float(value) for value in values]
        self.max_iter = max_iter
        # in double precision, as fitted: features that are not standardised may be of any size
        self.output = nn.Linear(inputs, outputs, dtype=torch.float64)
        self.register_buffer("seen", torch.ones(outputs, dtype=torch.bool))  # in training

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), the same for all frames."""
        values = self.decide(self.means(features, lengths)).to(features.dtype)
        return values[:, None].expand(-1, features.shape[1], -1)

    def means(self, features: Tensor, lengths: Tensor) -> Tensor:
        """What the machine reads of segments: features (B, T, F), lengths (B,) -> (B, F)."""
        past = torch.arange(features.shape[1], device=features.device) >= lengths[:, None]  # (B, T)
        total = features.masked_fill(past[..., None], 0).sum(1, dtype=torch.float64)
        return total / lengths[:, None]

    def decide(self, means: Tensor) -> Tensor:
        """Decision values: (S, F) -> (S, O), both float64."""
        values = self.output(means)
        lowest = values.masked_fill(~self.seen, torch.inf).amin(1, keepdim=True)
        return torch.where(self.seen, values, lowest - 1)

    def fit(self, means: Tensor, classes: np.ndarray, C: float) -> bool:
        """Fit the machine to segments; returns whether the solver has converged.

        Args:
            means: (S, F), see `means`.
            classes: (S,) int64, 0 to O - 1.

        Raises MuseError if all segments are of one class, and for features that are not finite.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC  # slow to import
        from threadpoolctl import threadpool_limits

        present = np.unique(classes)
        if len(present) < 2:
            raise MuseError(
                f"all training segments are of class {present[0]}: an SVM needs two classes or "
                "more. Train on more recordings."
            )
        if not means.isfinite().all():
            raise MuseError(
                "the mean of a segment is not finite: a feature is larger than float32 holds."
            )
        machine = LinearSVC(C=C, dual=False, max_iter=self.max_iter)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # the caller is told
            machine.fit(means.cpu().numpy(), classes)
        weight, bias = machine.coef_, machine.intercept_
        if len(present) == 2:
            weight, bias = np.vstack([-weight, weight]), np.concatenate([-bias, bias])
        with torch.no_grad():
            for own, found in ((self.output.weight, weight), (self.output.bias, bias)):
                own.zero_()
                own[present] = torch.from_numpy(found).to(own)
            self.seen[:] = torch.from_numpy(np.isin(np.arange(len(self.seen)), present))
        return bool(machine.n_iter_ < self.max_iter)
