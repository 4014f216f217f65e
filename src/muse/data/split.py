"""Recordings whose beginning may be learnt from: the split of MuSe-Personalisation 2023.

The first seconds of a recording of test are its own train, the next its own devel, and the rest is
test; section 4.1 of Li et al., Exploiting Diverse Feature for Multimodal Sentiment Analysis, 2023.
The challenge's packages have the parts as recordings of their own: N_train, N_devel and N_test for
the recording N.
"""

from dataclasses import replace

import numpy as np

from muse.config.origin import SplitConfig
from muse.config.shared import PARTITIONS
from muse.data.recordings import Package, Recording
from muse.errors import MuseError


def split_test(split: SplitConfig | None, package: Package) -> Package:
    """The package with each recording N of test cut into N_train, N_devel and N_test.

    Args:
        split: the seconds of train and devel; None: the package as it is.

    Raises MuseError for a recording without timestamps, or one that is too short for three parts.
    """
    if split is None:
        return package
    seconds = split.seconds
    partitions = {name: list(recordings) for name, recordings in package.partitions.items()}
    for recording in partitions.pop("test", []):
        starts = recording.timestamps[0] + 1000 * np.cumsum([0, *seconds])
        # without timestamps no frame is in any part
        edges = np.searchsorted(recording.timestamps, [*starts, np.inf])
        if not (np.diff(edges) > 0).all():
            length = (recording.timestamps[-1] - recording.timestamps[0]) / 1000
            raise MuseError(
                f"{package.folder}: recording {recording.id} of test has {length:g} s, and "
                f"split.seconds={list(seconds)} leaves no frame for its train, devel or test. Give "
                "less."
            )
        for name, first, end in zip(PARTITIONS, edges[:-1], edges[1:], strict=True):
            partitions.setdefault(name, []).append(_part(recording, name, first, end))
    return replace(package, partitions={name: partitions[name] for name in PARTITIONS})


def _part(recording: Recording, name: str, first: int, end: int) -> Recording:
    """The frames from ``first`` to before ``end`` as a recording of one sample."""
    frames = slice(first, end)
    return replace(
        recording,
        id=f"{recording.id}_{name}",
        rows=recording.rows[frames],
        timestamps=recording.timestamps[frames],
        segments=recording.segments[frames],
        labels={t: None if y is None else y[frames] for t, y in recording.labels.items()},
        samples=np.array([[0, end - first]]),
    )


def subjects_of(package: Package) -> dict[str, dict[str, Recording]]:
    """Subject -> its recording of each partition, for those with N_train, N_devel and N_test.

    Raises MuseError if there is none.
    """
    there = {name: {r.id: r for r in package.partitions.get(name, [])} for name in PARTITIONS}
    found = {}
    for id_ in there["test"]:
        subject = id_.removesuffix("_test")
        own = {name: there[name].get(f"{subject}_{name}") for name in PARTITIONS}
        if subject != id_ and all(own.values()):
            found[subject] = own
    if not found:
        raise MuseError(
            f"{package.folder}: nobody in test has a train and a devel of their own, which "
            "personalisation learns from. Expected recordings N_train, N_devel and N_test in "
            "metadata/partition.csv, or a run with split=derive."
        )
    return found
