"""From the outputs of a model to the scores of a partition.

Shapes: K targets, O outputs per target, see muse.data.heads; an output is (frames, K * O).
"""

import numpy as np

from muse.config.train import TrainConfig
from muse.data.heads import head_of
from muse.data.windows import Frames
from muse.scoring import metric_name


def score_target(
    config: TrainConfig, frames: Frames, output: np.ndarray, k: int, bootstrap: int = 0
) -> dict:
    """Score the k-th target of a partition that has labels; see muse.scoring for the keys."""
    head = head_of(config.task, config.ccc)
    values, gold = head.values(output, k), frames.labels[:-1, k].cpu().numpy()
    starts = [start for _, start, _ in frames.recordings]
    of_recordings = np.split(frames.samples, np.searchsorted(frames.samples[:, 0], starts[1:]))
    return head.scores(
        np.split(values, starts[1:]),
        np.split(gold, starts[1:]),
        [samples - [start, 0] for samples, start in zip(of_recordings, starts, strict=True)],
        bootstrap,
    )


def mean_score(config: TrainConfig, frames: Frames, output: np.ndarray) -> float:
    """The task's metric, averaged over the targets of the model."""
    metric, targets = metric_name(config.task.metric), range(frames.labels.shape[1])
    return float(np.mean([score_target(config, frames, output, k)[metric] for k in targets]))
