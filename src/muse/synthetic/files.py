"""The files of a synthetic package: labels, feature sets, transcripts and sound.

Each follows from the settings and the seed alone, whatever else is written and in which order.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from scipy.io import wavfile

from muse import terminal
from muse.config.shared import FeatureSet, TaskConfig
from muse.synthetic.plan import Recording, gold_standard
from muse.synthetic.signals import feature_frames, own_rows, waveform
from muse.synthetic.transcript import transcripts

BYTES = 7  # of a feature value in a CSV file, about
ALONE = 2e7  # feature values up to which one process is done before others have started


def home_of(package: Path, name: str, known: FeatureSet) -> Path:
    """The folder of a feature set; sound is beside the others."""
    return package / name if known.rate else package / "feature_segments" / name


def count_values(
    task: TaskConfig, recordings: list[Recording], sets: dict[str, FeatureSet], own_steps: bool
) -> int:
    """Feature values to be written; samples of sound, of two bytes, as so much less."""
    width = sum(
        known.dimension[task.corpus]
        * (task.step / known.step if own_steps and known.step else 1)
        * (2 / BYTES if known.rate else 1)
        for known in sets.values()
    )
    return round(width * sum(recording.frames for recording in recordings))


def write_labels(package: Path, task: TaskConfig, recordings: list[Recording], seed: int) -> None:
    """Write metadata/partition.csv and label_segments/<target>/<id>.csv."""
    rows = [f"{recording.id},{recording.partition}" for recording in recordings]
    _write(package / "metadata" / "partition.csv", ["Id,Partition", *rows])
    gold = gold_standard(task, recordings, seed)
    for target in task.targets:
        for recording in recordings:
            values = gold[target][recording.id].tolist()
            if task.classes:
                header = "segment_id,class_id"
                rows = [f"{number},{value}" for number, value in enumerate(values, 1)]
            else:
                header = "timestamp,segment_id,value"
                stamps = _stamps(task, recording)
                rows = [f"{s},{v:.4f}" for s, v in zip(stamps, values, strict=True)]
            path = package / "label_segments" / target / f"{recording.id}.csv"
            _write(path, [header, *rows])


def write_sets(
    package: Path,
    task: TaskConfig,
    recordings: list[Recording],
    sets: dict[str, FeatureSet],
    seed: int,
    processes: int | None,
    own_steps: bool,
) -> None:
    """Write the file of each recording of all sets, side by side if there is much to write."""
    for name in [name for name, one in sets.items() if one.words]:
        for id_, lines in transcripts(task, recordings, seed).items():
            _write(home_of(package, name, sets[name]) / f"{id_}.csv", lines)
    jobs = [
        (home_of(package, name, one), task, r, name, one, seed, own_steps)
        for name, one in sets.items()
        for r in recordings
        if not one.words
    ]
    if processes is None:
        large = count_values(task, recordings, sets, own_steps) > ALONE
        processes = os.cpu_count() if large else 1
    with terminal.bar(total=len(jobs), desc=task.folder, unit="file") as bar:
        if processes == 1:
            for job in jobs:
                bar.update(_write_features(job))
            return
        pool = ProcessPoolExecutor(max(1, min(processes, len(jobs))), get_context("spawn"))
        try:
            for written in pool.map(_write_features, jobs):
                bar.update(written)
        finally:
            pool.shutdown(cancel_futures=True)


def _write_features(job: tuple[Path, TaskConfig, Recording, str, FeatureSet, int, bool]) -> int:
    """Write one feature set of one recording; returns the number of files, 1."""
    folder, task, recording, name, known, seed, own_steps = job
    if known.rate:
        sound = waveform(task, recording.id, recording.frames, name, known.rate, seed)
        folder.mkdir(parents=True, exist_ok=True)
        wavfile.write(folder / f"{recording.id}.wav", known.rate, sound)
        return 1
    values = feature_frames(task, recording.id, recording.frames, name, known, seed)
    stamps, times = _stamps(task, recording), ["timestamp"]
    if own_steps:
        at, frames, values = own_rows(task, recording.id, name, known, values, seed)
        ids = recording.segment_ids()
        texts = (",".join(f"{t:.10g}" for t in row) for row in zip(*at.values(), strict=True))
        stamps = [f"{text},{ids[frame]}" for text, frame in zip(texts, frames, strict=True)]
        times = list(at)
    header = [*times, "segment_id", *(f"{name}_{i}" for i in range(values.shape[1]))]
    form = ",".join(["%.5g"] * values.shape[1])  # twice as fast as pandas' to_csv
    rows = [f"{s},{form % tuple(v)}" for s, v in zip(stamps, values.tolist(), strict=True)]
    _write(folder / f"{recording.id}.csv", [",".join(header), *rows])
    return 1


def _stamps(task: TaskConfig, recording: Recording) -> list[str]:
    """`timestamp,segment_id` of every frame, in milliseconds."""
    ids = recording.segment_ids()
    return [f"{round(frame * task.step * 1000)},{ids[frame]}" for frame in range(recording.frames)]


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
