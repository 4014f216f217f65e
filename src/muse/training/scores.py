"""From the outputs of a model to the scores of a partition.

Shapes: O outputs of all targets, see muse.data.heads; an output is (frames, O).
"""

import numpy as np

from muse.config.train import TrainConfig
from muse.data.heads import head_of
from muse.data.recordings import Recording
from muse.data.windows import Frames
from muse.scoring import metric_name


def score_target(
    config: TrainConfig, frames: Frames, output: np.ndarray, k: int, bootstrap: int = 0
) -> dict:
    """Score the k-th target of a partition that has labels; see muse.scoring for the keys."""
    head = head_of(config.task, config.ccc, frames.targets)
    values, gold = head.values(output, k), frames.labels[:-1, k].cpu().numpy()
    starts = [start for _, start, _ in frames.recordings]
    of_recordings = np.split(frames.samples, np.searchsorted(frames.samples[:, 0], starts[1:]))
    return head.scores(
        np.split(values, starts[1:]),
        np.split(gold, starts[1:]),
        [samples - [start, 0] for samples, start in zip(of_recordings, starts, strict=True)],
        bootstrap,
    )


def score_recordings(
    config: TrainConfig,
    recordings: list[Recording],
    target: str,
    values: list[np.ndarray],
    bootstrap: int = 0,
    group_of: dict[str, str] | None = None,
) -> dict:
    """As `score_target`, of recordings with labels and the values of each, see muse.data.heads.

    Args:
        group_of: recording id -> group; the interval is over whole groups then.
    """
    golds = [recording.labels[target] for recording in recordings]
    samples = [recording.samples for recording in recordings]
    groups = group_of and [group_of[recording.id] for recording in recordings]
    return head_of(config.task, config.ccc).scores(values, golds, samples, bootstrap, groups)


def split_frames(recordings: list[Recording], values: np.ndarray) -> list[np.ndarray]:
    """The frames of each recording: (frames, ...) of all in turn -> one array for each."""
    return np.split(values, np.cumsum([len(recording.rows) for recording in recordings])[:-1])


def not_finite(recordings: list[Recording], values: np.ndarray) -> str | None:
    """The first recording with a prediction that is not finite, in words; None if all are.

    Args:
        values: (frames, ...) of all recordings in turn.
    """
    starts = np.cumsum([0, *(len(recording.rows) for recording in recordings)])
    wrong = np.argwhere(~np.isfinite(values))
    if not len(wrong):
        return None
    k = int(np.searchsorted(starts, wrong[0, 0], side="right")) - 1
    return (
        f"recording {recordings[k].id}, frame {int(wrong[0, 0] - starts[k]) + 1}: the prediction "
        f"is {values[tuple(wrong[0])]:g}. Its features may hold values far outside those of train"
    )


def mean_score(config: TrainConfig, frames: Frames, output: np.ndarray) -> float:
    """The task's metric, averaged over those targets of the model that pick the epoch."""
    metric, scored = metric_name(config.task.metric), config.task.among("scored", frames.targets)
    where = [frames.targets.index(target) for target in scored]
    return float(np.mean([score_target(config, frames, output, k)[metric] for k in where]))
