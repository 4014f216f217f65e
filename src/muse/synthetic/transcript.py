"""Synthetic transcripts: pseudo-words, some of which tell the class of their segment."""

import numpy as np

from muse.config.shared import TaskConfig
from muse.errors import MuseError
from muse.synthetic.plan import Recording, gold_standard
from muse.synthetic.signals import stream

SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
NEUTRAL = 200  # words that say nothing, the k-th 1 / k times as often as the first
TELLING = 12  # words of each class of each target
SHARE = 0.25  # of telling words, shared out over the targets
TRUE = 0.6  # of these: of the segment's own class; the others are of any class
SECONDS = 0.4  # from word to word, on average
SILENT = 0.02  # of the segments, which have no words


def transcripts(task: TaskConfig, recordings: list[Recording], seed: int) -> dict[str, list[str]]:
    """The lines of each recording's file: start and end in ms, segment_id and word.

    Raises MuseError for a task without classes, which words could tell.
    """
    if not task.classes:
        raise MuseError(
            f"features=transcript: task {task.name} has no classes of segments, of which synthetic "
            "words could tell. Give task=topic or task=sent, or other features."
        )
    gold = gold_standard(task, recordings, seed)
    classes = {
        r.id: np.stack([gold[target][r.id] for target in task.targets], 1) for r in recordings
    }  # (segments, targets)
    return {r.id: _lines(task, r, classes[r.id], seed) for r in recordings}


def vocabulary(task: TaskConfig) -> tuple[list[str], dict[str, list[list[str]]]]:
    """The neutral words, and target -> class -> its words; the same for every seed."""
    counts = {target: task.classes_of(target) for target in task.targets}
    total = NEUTRAL + TELLING * sum(counts.values())
    numbers = stream(0, task.name, "vocabulary").permutation(len(SYLLABLES) ** 2)[:total]
    words = ["".join(SYLLABLES[i] for i in divmod(n, len(SYLLABLES))) for n in numbers.tolist()]
    left = iter(words[NEUTRAL:])
    telling = {
        target: [[next(left) for _ in range(TELLING)] for _ in range(count)]
        for target, count in counts.items()
    }
    return words[:NEUTRAL], telling


def _lines(task: TaskConfig, recording: Recording, classes: np.ndarray, seed: int) -> list[str]:
    """As `transcripts`, of one recording; ``classes``: (segments, targets)."""
    neutral, telling = vocabulary(task)
    frequency = 1 / np.arange(1, NEUTRAL + 1)
    rng = stream(seed, task.name, recording.id, "transcript")
    lines = ["start,end,segment_id,word"]
    for number, ((first, stop), own) in enumerate(zip(recording.segments, classes, strict=True), 1):
        if rng.random() < SILENT:
            continue
        begin, end = (1000 * task.step * frame for frame in (first, stop))
        count = max(1, round((end - begin) / 1000 / SECONDS))
        times = np.rint(np.linspace(begin, end, count, endpoint=False)).astype(int)
        words = rng.choice(neutral, count, p=frequency / frequency.sum())
        tells, is_true = rng.random(count) < SHARE, rng.random(count) < TRUE
        for k in np.flatnonzero(tells):
            t = rng.integers(len(task.targets))
            of_classes = telling[task.targets[t]]
            chosen = own[t] if is_true[k] else rng.integers(len(of_classes))
            words[k] = of_classes[chosen][rng.integers(TELLING)]
        lines += [f"{t},{t + 200},{number},{w}" for t, w in zip(times, words, strict=True)]
    return lines
