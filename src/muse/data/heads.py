"""Heads: what a model gives for a target, and all that follows from it.

The only place that knows how outputs become predictions and scores; others ask the head of a task.

Shapes: T frames, K targets, C classes of a target, O outputs (K, or the classes of all targets), S
samples, which are (S, 2): start and length in frames of what is predicted as one (see
`muse.data.recordings.Recording`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from muse.config.shared import TaskConfig
from muse.scoring import (
    Measure,
    class_measure,
    class_scores,
    regression_measure,
    regression_scores,
)

Arrays = Sequence[np.ndarray]  # one of each recording


@dataclass(frozen=True)
class Regression:
    """A value per frame: outputs are (T, K), values of a target (T,); scored over all frames."""

    metric: str | dict[str, float]
    variance: str  # of the CCC, see muse.scoring.ccc
    outputs: list[int]  # of each target, 1
    per_segment: ClassVar[bool] = False  # a sample is a recording; labels have a row per frame
    unit: ClassVar[str] = "frames"  # of what is scored
    folder: ClassVar[str] = "predictions"  # of a run, with the values of a target

    def columns(self, outputs: int) -> list[str]:
        """Of the files in it."""
        return ["value"]

    def values(self, output: np.ndarray, k: int) -> np.ndarray:
        """The values of the k-th target: (T, K) -> (T,)."""
        return output[:, k]

    def labels(self, gold: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """The labels that are scored: (T,)."""
        return gold

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """The frames that the files of predictions and labels name: (T,)."""
        return np.arange(samples[:, 1].sum())

    def predictions(self, values: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """The predictions that are scored: (T,)."""
        return values

    def scores(
        self,
        values: Arrays,
        golds: Arrays,
        samples: Arrays,
        bootstrap: int = 0,
        groups: Sequence[str] | None = None,
    ) -> dict:
        """Scores of values (T,) and gold standard (T,) of each recording, see muse.scoring."""
        return regression_scores(values, golds, self.variance, bootstrap, self.metric, groups)

    def measure(self, values: Arrays, golds: Arrays, samples: Arrays) -> Measure:
        """The scores of any drawing of the recordings, arguments as of `scores`."""
        return regression_measure(values, golds, self.variance, self.metric)


@dataclass(frozen=True)
class Classes:
    """A class per segment, read at its last frame: outputs are logits (T, O), values (T, C)."""

    metric: str | dict[str, float]
    outputs: list[int]  # of each target, the number of its classes
    per_segment: ClassVar[bool] = True  # a sample is a segment; labels have a row per segment
    unit: ClassVar[str] = "segments"
    folder: ClassVar[str] = "logits"

    def columns(self, outputs: int) -> list[str]:
        """Of the files with the logits of a target."""
        return [f"c_{c}" for c in range(outputs)]

    def values(self, output: np.ndarray, k: int) -> np.ndarray:
        """The logits of the k-th target: (T, O) -> (T, C)."""
        first = sum(self.outputs[:k])
        return output[:, first : first + self.outputs[k]]

    def labels(self, gold: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """The class of each segment: (T,) -> (S,) int64."""
        return gold[samples.sum(1) - 1].astype(np.int64)

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """The first frame of each segment, which the files of predictions and labels name: (S,)."""
        return samples[:, 0]

    def predictions(self, values: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """The most probable class of each segment: (T, C) -> (S,) int64."""
        return values[samples.sum(1) - 1].argmax(1)

    def scores(
        self,
        values: Arrays,
        golds: Arrays,
        samples: Arrays,
        bootstrap: int = 0,
        groups: Sequence[str] | None = None,
    ) -> dict:
        """Scores of logits (T, C) and gold standard (T,) of each recording, see muse.scoring."""
        predictions, labels, probabilities = self._of_segments(values, golds, samples)
        return class_scores(
            predictions, labels, values[0].shape[1], bootstrap, self.metric, probabilities, groups
        )

    def measure(self, values: Arrays, golds: Arrays, samples: Arrays) -> Measure:
        """The scores of any drawing of the recordings, arguments as of `scores`."""
        predictions, labels, probabilities = self._of_segments(values, golds, samples)
        return class_measure(predictions, labels, values[0].shape[1], self.metric, probabilities)

    def _of_segments(self, values: Arrays, golds: Arrays, samples: Arrays) -> tuple:
        """Predicted class (S,), labels (S,) and probabilities (S, C) of each recording."""
        predicted = list(zip(values, samples, strict=True))
        return (
            [self.predictions(*pair) for pair in predicted],
            [self.labels(*pair) for pair in zip(golds, samples, strict=True)],
            [softmax(v[s.sum(1) - 1], axis=1) for v, s in predicted],
        )


Head = Regression | Classes


def head_of(
    task: TaskConfig, variance: str = "sample", targets: Sequence[str] | None = None
) -> Head:
    """The head of a task.

    Args:
        variance: of the CCC, see muse.scoring.ccc.
        targets: of the model, in the order of its outputs; None: all of the task.
    """
    targets = task.targets if targets is None else targets
    if task.head == "classes":
        return Classes(task.metric, [task.classes_of(target) for target in targets])
    return Regression(task.metric, variance, [1] * len(targets))
