"""From the outputs of a model to the scores of a partition.

Shapes: K targets, C classes; an output is (frames, K) or, with classes, (frames, K * C) logits.
"""

import numpy as np

from muse.config.train import TrainConfig
from muse.data.windows import Frames
from muse.scoring import ccc_scores, class_scores


def of_target(config: TrainConfig, output: np.ndarray, k: int) -> np.ndarray:
    """The output of the k-th target: (frames,), or its logits (frames, C)."""
    classes = config.task.classes
    return output[:, k * classes : (k + 1) * classes] if classes else output[:, k]


def per_sample(frames: Frames, values: np.ndarray) -> np.ndarray:
    """A class per segment, read at its last frame: logits (frames, C) or classes (frames,)."""
    last = values[frames.samples.sum(1) - 1]
    return (last.argmax(1) if last.ndim == 2 else last).astype(np.int64)


def score_target(
    config: TrainConfig, frames: Frames, output: np.ndarray, k: int, bootstrap: int = 0
) -> dict:
    """Score the k-th target of a partition that has labels; see muse.scoring for the keys."""
    values, gold = of_target(config, output, k), frames.labels[:-1, k].cpu().numpy()
    if not config.task.classes:
        predictions = [values[start:end] for _, start, end in frames.recordings]
        golds = [gold[start:end] for _, start, end in frames.recordings]
        return ccc_scores(predictions, golds, config.ccc, bootstrap)
    predicted, true = per_sample(frames, values), per_sample(frames, gold)
    begins = [start for _, start, _ in frames.recordings[1:]]
    cuts = np.searchsorted(frames.samples[:, 0], begins)
    return class_scores(
        np.split(predicted, cuts), np.split(true, cuts), config.task.classes, bootstrap
    )


def mean_score(config: TrainConfig, frames: Frames, output: np.ndarray) -> float:
    """The task's metric, averaged over the targets of the model."""
    targets = range(frames.labels.shape[1])
    return float(
        np.mean([score_target(config, frames, output, k)[config.task.metric] for k in targets])
    )
