"""`muse synth`: write a synthetic package in the layout of the official one."""

import shlex
from pathlib import Path

import numpy as np

from muse.config.package import SynthConfig
from muse.synthetic.package import write_package
from muse.synthetic.plan import choose_sets, gold_standard, plan_recordings
from muse.terminal import in_columns


def run(config: SynthConfig) -> None:
    """Write the package, then print what is in it and how to go on.

    Raises:
        MuseError: as `muse.synthetic.package.write_package`.
    """
    task = config.task
    sets = choose_sets(task, config.feature_sets, config.features)
    folder = write_package(
        task,
        Path(config.out),
        config.scale,
        config.feature_sets,
        config.features,
        config.seed,
        config.overwrite,
        own_steps=config.own_steps,
    )
    print(f"SYNTHETIC package of {task.title}: simulated, not recorded ({folder})\n")
    print(in_columns(partition_rows(config)))
    print("\nfeatures: " + ", ".join(f"{n} {s.dimension[task.corpus]}" for n, s in sets.items()))
    first = next(iter(config.features or sets))
    words = [f"task={task.name}", f"features={first}", f"data.root={config.out}"]
    words += ["align=labels"] * config.own_steps
    if first in sets and sets[first].words:
        words = ["+experiment=muse2020/albert", *words, "model.weights=FOLDER"]
    print(f"\nmuse train {shlex.join(words)}")


def partition_rows(config: SynthConfig) -> list[list[str]]:
    """Header and rows of a table of recordings, hours, frames and classes per partition."""
    task = config.task
    recordings = plan_recordings(task, config.scale, config.seed)
    gold = gold_standard(task, recordings, config.seed) if task.classes else {}
    segments = ["segments"] * bool(task.classes)
    rows = [["partition", "recordings", "hours", "frames", *segments,
             *(f"classes of {target}" for target in gold)]]  # fmt: skip
    for partition in task.size.recordings:
        own = [recording for recording in recordings if recording.partition == partition]
        frames = sum(recording.frames for recording in own)
        row = [partition, str(len(own)), f"{frames * task.step / 3600:.2f}", str(frames)]
        if task.classes:
            row.append(str(sum(len(recording.segments) for recording in own)))
        for target, classes in gold.items():
            everything = np.concatenate([classes[recording.id] for recording in own])
            count = task.classes_of(target)
            row.append(" ".join(map(str, np.bincount(everything, minlength=count))))
        rows.append(row)
    return rows
