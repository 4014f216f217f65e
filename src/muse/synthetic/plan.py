"""The plan of a synthetic package: recordings, partitions, segments and the gold standard."""

from dataclasses import dataclass, replace

import numpy as np

from muse.config.shared import FeatureSet, TaskConfig
from muse.data.layout import expand_features
from muse.errors import MuseError, did_you_mean
from muse.synthetic.signals import ratings, segment_classes, stream


@dataclass(frozen=True)
class Recording:
    """A recording to be made: `segments` are (first frame, one past the last frame)."""

    id: str
    partition: str
    frames: int
    segments: tuple[tuple[int, int], ...]

    def segment_ids(self) -> list[str]:
        """The segment_id of every frame: 1, 2, ... and empty outside segments."""
        ids = [""] * self.frames
        for number, (start, stop) in enumerate(self.segments, 1):
            ids[start:stop] = [str(number)] * (stop - start)
        return ids


def plan_recordings(task: TaskConfig, scale: float, seed: int) -> list[Recording]:
    """Plan the recordings of a package: ids, partitions, frames and segments, no contents.

    Each partition has `scale` times the published number of recordings (at least two) and, per
    recording, the published mean duration; their sum is exact to a frame. Segments of a task
    with classes are published in number, with gaps between them (6 % of the frames); other tasks
    have segments of a minute, end to end. Ids are 1, 2, ... in order. Raises MuseError if `size`
    of the task is incomplete.
    """
    _check_size(task)
    rng, size = stream(seed, task.name, "plan"), task.size
    planned = []
    for partition, published in size.recordings.items():
        number = max(2, round(published * scale))
        seconds = size.seconds[partition] * number / published
        mean = seconds / number / task.step
        frames = _split(rng, round(seconds / task.step), number, min(60 / task.step, mean / 2))
        seconds_each = 60.0
        if task.classes:
            seconds_each = size.seconds[partition] / size.segments[partition]
        shares = np.diff(np.rint(np.cumsum([0, *frames]) * task.step / seconds_each).astype(int))
        planned += [
            (partition, int(f), max(1, int(k))) for f, k in zip(frames, shares, strict=True)
        ]
    order = rng.permutation(len(planned))
    recordings = []
    for number, (partition, frames, parts) in enumerate((planned[i] for i in order), 1):
        name = str(number)
        segments = _segments(stream(seed, task.name, name, "segments"), frames, parts, task)
        recordings.append(Recording(name, partition, frames, segments))
    return recordings


def _check_size(task: TaskConfig) -> None:
    """Raise a MuseError if `size` lacks a partition's seconds or a class task's numbers."""
    size = task.size
    needed = {"seconds": size.recordings}
    if task.classes:
        needed |= {"segments": size.recordings, "shares": task.targets}
    for key, names in needed.items():
        for name in names:
            if name not in getattr(size, key):
                raise MuseError(f"task {task.name}: size.{key} has no {name}; see configs/task.")
    for target, shares in size.shares.items():
        if len(shares) != task.classes_of(target):
            raise MuseError(
                f"task {task.name}: size.shares.{target} has {len(shares)} values for "
                f"classes={task.classes_of(target)}; expected one per class."
            )


def _split(rng: np.random.Generator, total: int, parts: int, least: float) -> np.ndarray:
    """Split `total` into whole parts of unlike size (log-normal) of at least `least` (rounded)."""
    weights = rng.lognormal(0, 0.5, parts)
    ends = np.cumsum(least + (total - parts * least) * weights / weights.sum())
    return np.diff(np.rint(ends).astype(int), prepend=0)


def _segments(rng, frames: int, parts: int, task: TaskConfig) -> tuple[tuple[int, int], ...]:
    if not task.classes:
        edges = np.rint(np.linspace(0, frames, parts + 1)).astype(int)
        return tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    outside = max(parts + 1, round(0.06 * frames))
    gaps = _split(rng, outside, parts + 1, 1)
    inside = _split(rng, frames - outside, parts, (frames - outside) / parts / 4)
    starts = np.cumsum(gaps[:-1]) + np.cumsum(inside) - inside
    return tuple(zip(starts.tolist(), (starts + inside).tolist(), strict=True))


def gold_standard(
    task: TaskConfig, recordings: list[Recording], seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Target -> recording id -> gold standard of the planned recordings.

    It is (frames,) float64 in [-1, 1], or (segments,) int classes if the task has classes.
    """
    rated = {r.id: ratings(task, r.id, r.frames, seed) for r in recordings}
    if not task.classes:
        return {t: {k: v[:, i] for k, v in rated.items()} for i, t in enumerate(task.targets)}
    train = np.array([r.partition == "train" for r in recordings for _ in r.segments])
    ends = np.cumsum([len(r.segments) for r in recordings])
    gold = {}
    for i, target in enumerate(task.targets):
        parts = [rated[r.id][a:b, i] for r in recordings for a, b in r.segments]
        moments = np.array([(part.mean(), part.std()) for part in parts])  # (segments, 2)
        rng = stream(seed, task.name, "classes", target)
        classes = segment_classes(moments, train, task.size.shares[target], rng)
        split = np.split(classes, ends[:-1])
        gold[target] = {r.id: part for r, part in zip(recordings, split, strict=True)}
    return gold


def choose_sets(
    task: TaskConfig, feature_sets: dict[str, FeatureSet], features: list[str] | None
) -> dict[str, FeatureSet]:
    """The feature sets to write, by name: aliases become their members.

    Of sound the dimension is the samples of a frame. Raises MuseError for a set that is unknown or
    not published for the corpus of the task.
    """
    feature_sets = feature_sets | {
        name: replace(one, dimension={task.corpus: round(task.step * one.rate)})
        for name, one in feature_sets.items()
        if one.rate
    }
    published = {name for name, one in feature_sets.items() if task.corpus in one.dimension}
    members = {name: expand_features([name], feature_sets) for name in feature_sets}
    known = [name for name, own in members.items() if published.issuperset(own)]
    asked = task.size.features if features is None else features
    for name in asked:
        if name not in known:
            raise MuseError(
                f"features={name}: no feature set of {task.corpus} (task {task.name}) with a known "
                f"dimension; known are {', '.join(known)}.{did_you_mean(name, known)} "
                "configs/features.yaml holds them."
            )
    return {name: feature_sets[name] for name in expand_features(asked, feature_sets)}
