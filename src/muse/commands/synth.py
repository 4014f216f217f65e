"""`muse synth`: write a synthetic package in the layout of the official one."""

import shlex
from pathlib import Path

import numpy as np

from muse.config.package import SynthConfig
from muse.synthetic.package import write_package
from muse.synthetic.plan import choose_sets, gold_standard, plan_recordings


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
    )
    print(f"SYNTHETIC package of {task.title}: simulated, not recorded ({folder})\n")
    print("\n".join(partition_table(config)))
    print("\nfeatures: " + ", ".join(f"{n} {s.dimension[task.corpus]}" for n, s in sets.items()))
    first = next(iter(config.features or sets))
    words = [f"task={task.name}", f"features={first}", f"data.root={config.out}"]
    print(f"\nmuse train {shlex.join(words)}")


def partition_table(config: SynthConfig) -> list[str]:
    """Return the lines of a table of recordings, hours, frames and classes per partition."""
    task = config.task
    recordings = plan_recordings(task, config.scale, config.seed)
    head = f"{'partition':<10}{'recordings':>11}{'hours':>8}{'frames':>9}"
    gold = {}
    if task.classes:
        gold = gold_standard(task, recordings, config.seed)
        head += f"{'segments':>10}" + "".join(f"  {f'classes of {t}':<26}" for t in gold)
    lines = [head.rstrip()]
    for partition in task.size.recordings:
        own = [recording for recording in recordings if recording.partition == partition]
        frames = sum(recording.frames for recording in own)
        line = f"{partition:<10}{len(own):>11}{frames * task.step / 3600:>8.2f}{frames:>9}"
        if task.classes:
            line += f"{sum(len(recording.segments) for recording in own):>10}"
        for classes in gold.values():
            classes = np.concatenate([classes[recording.id] for recording in own])
            counts = " ".join(map(str, np.bincount(classes, minlength=task.classes)))
            line += f"  {counts:<26}"
        lines.append(line.rstrip())
    return lines
