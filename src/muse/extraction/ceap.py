"""CEAP-360VR in the layout of MuSe-Stress: 2 Hz, eight videos of 60 s one after another.

The data set: T. Xue, A. El Ali, T. Zhang, G. Ding, P. Cesar, CEAP-360VR: A Continuous Physiological
and Behavioral Emotion Annotation Dataset for 360° VR Videos, IEEE Transactions on Multimedia, 2021
(doi 10.1109/TMM.2021.3124080; CC BY-NC 4.0).

Labels are the ratings, which are from 1 to 9, less 5 and divided by 4. Features and labels are
computed over bins of 0.5 s and rounded to four digits.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from muse import terminal
from muse.config.shared import PARTITIONS
from muse.errors import Faults, MuseError, raise_faults
from muse.extraction.ceap_files import (
    FIXATIONS,
    HEAD,
    RATINGS,
    VIDEOS,
    Files,
    find_download,
    people_in,
    read_frame_rates,
    read_luminance,
    read_samples,
)
from muse.files import check_free, new_folder, write_rows, write_text
from muse.terminal import counted

log = logging.getLogger(__name__)

CITATION = (
    "CEAP-360VR: T. Xue, A. El Ali, T. Zhang, G. Ding, P. Cesar, IEEE Transactions on Multimedia, "
    "2021.\nLicence: CC BY-NC 4.0 (attribution, no commercial use)."
)
SECONDS, STEP, BINS = 60, 0.5, 120  # of a video; seconds of a bin; bins of a video
TARGETS = ["valence", "arousal"]
FEATURES = {
    "head": ["pitch", "yaw_sin", "yaw_cos", "pitch_std", "speed", "speed_max"],
    "gaze": ["fixating", "fixation_s", "pitch", "yaw_sin", "yaw_cos"],
    "luminance": ["mean", "std", "change"],
}
Signals = dict[str, np.ndarray]  # target or feature set -> (frames of all videos, columns)


def import_package(source: Path, folder: Path) -> dict[str, list[int]]:
    """Write the package ``folder`` from the download in ``source``.

    Returns:
        Partition -> numbers of the people in it.

    Raises:
        MuseError: all faults of the source; nobody in a partition; something at ``folder``. Nothing
            is written then.
    """
    check_free(folder)
    home = find_download(source)
    people = people_in(home)
    partitions = {p: [n for n in people if partition_of(n) == p] for p in PARTITIONS}
    empty = [partition for partition, numbers in partitions.items() if not numbers]
    if empty:
        there = ", ".join(f"P{number}" for number in people)
        raise MuseError(
            f"{home}: of {there} nobody is in {' or '.join(empty)}. P3, P8, ... are in devel, P4, "
            "P9, ... in test, all others in train; each needs a person. Unpack the whole download."
        )
    signals = _read_people(home, people, [*TARGETS, *FEATURES])
    segments = np.repeat(np.arange(1.0, len(VIDEOS) + 1), BINS)
    times = np.arange(len(segments)) * 1000 * STEP
    with new_folder(folder) as draft:
        rows = "".join(f"{number},{partition_of(number)}\n" for number in people)
        write_text(draft / "metadata" / "partition.csv", f"Id,Partition\n{rows}")
        write_text(draft / "SOURCE.txt", f"Made by `muse import ceap`.\n{CITATION}\n")
        for number in people:
            for name, values in signals[number].items():
                home = draft / ("feature_segments" if name in FEATURES else "label_segments") / name
                columns = dict(zip(FEATURES.get(name, ["value"]), values.T, strict=True))
                write_rows(home / f"{number}.csv", times, segments, columns)
    return partitions


def import_annotations(source: Path, folder: Path) -> list[int]:
    """Write what each person rated, video by video, as `muse gold` reads it; return the people.

    <target>/<video>.csv has the columns timestamp (s), then one per person. Raises MuseError for
    all faults of the source, or something at ``folder``.
    """
    check_free(folder)
    home = find_download(source)
    people = people_in(home)
    signals = _read_people(home, people, TARGETS)
    with new_folder(folder) as draft:
        for target in TARGETS:
            (draft / target).mkdir()
            for k in range(len(VIDEOS)):
                rows = slice(k * BINS, (k + 1) * BINS)
                raters = {str(number): signals[number][target][rows, 0] for number in people}
                table = pd.DataFrame({"timestamp": np.arange(BINS) * STEP, **raters})
                table.to_csv(draft / target / f"{k + 1}.csv", index=False)
    return people


def partition_of(number: int) -> str:
    """Partition of a person by number: of each five the third is in devel, the fourth in test."""
    return {3: "devel", 4: "test"}.get(number % 5, "train")


def _read_people(home: Path, people: list[int], names: list[str]) -> dict[int, Signals]:
    """The signals ``names`` of each person, rounded to four digits; MuseError with all faults."""
    faults = Faults(stop=False)
    rates = dict.fromkeys(VIDEOS, 30.0)  # to look for faults with, where those of the file have one
    shared: Signals = {}  # what all people saw
    if "luminance" in names:
        with faults.noted():
            rates = read_frame_rates(home)
            light = read_luminance(home)
            shared["luminance"] = _in_turn(lambda v: luminance_features(light[v], rates[v]))
    signals: dict[int, Signals] = {number: dict(shared) for number in people}
    unrated: list[str] = []
    for number in terminal.bar(people, "people", unit="person"):
        own = signals[number]
        with faults.noted():
            both = _recorded(
                home, RATINGS, number, lambda x, _, where: rating_means(x, where, unrated)
            )
            own |= {target: both[:, [k]] for k, target in enumerate(TARGETS)}
        with faults.noted():
            if "head" in names:
                own["head"] = _recorded(
                    home, HEAD, number, lambda x, _, where: head_features(x, where)
                )
        with faults.noted():
            if "gaze" in names:
                own["gaze"] = _recorded(
                    home, FIXATIONS, number, lambda x, v, where: gaze_features(x, rates[v], where)
                )
    if unrated:
        log.warning("%s", terminal.first_of(unrated))
    raise_faults(faults.found)
    return {n: {name: np.round(own[name], 4) for name in names} for n, own in signals.items()}


def _recorded(home: Path, kind: Files, number: int, features: Callable) -> np.ndarray:
    """``features`` of a person's samples, the video and where they are (file and video)."""
    samples = read_samples(home, kind, number)
    path = home / kind.path.format(number)
    return _in_turn(lambda video: features(samples[video], video, f"{path}: {video}"))


def _in_turn(features: Callable[[str], np.ndarray]) -> np.ndarray:
    """The features of each video, one after another; MuseError with the faults of all."""
    faults = Faults(stop=False)
    found = []
    for video in VIDEOS:
        with faults.noted():
            found.append(features(video))
    raise_faults(faults.found)
    return np.concatenate(found)


def per_bin(bins: np.ndarray, values: np.ndarray, of: Callable = np.mean) -> np.ndarray:
    """A number for each bin of a video: (BINS,); 0 for a bin without samples.

    Args:
        bins: (samples,) int, the bin of each sample.
        values: (samples,)
        of: what is computed of the values of a bin.
    """
    groups = (values[bins == k] for k in range(BINS))
    return np.array([of(group) if len(group) else 0.0 for group in groups])


def rating_means(samples: np.ndarray, where: str, unrated: list[str]) -> np.ndarray:
    """Valence and arousal of a video, means per bin: (BINS, 2) in [-1, 1].

    Args:
        samples: (samples, 3) seconds, valence and arousal from 1 to 9. What comes before the first
            bin or after the last belongs to that.
        where: file and video, for messages.
        unrated: gets a text if there are bins without a rating.
    """
    outside = np.flatnonzero(((samples[:, 1:] < 1) | (samples[:, 1:] > 9)).any(axis=1))
    if len(outside):
        found = " and ".join(f"{value:g}" for value in samples[outside[0], 1:])
        raise MuseError(
            f"{where}, sample {outside[0] + 1}: valence and arousal are {found}; expected 1 to 9."
        )
    bins = np.clip(np.floor(samples[:, 0] / STEP), 0, BINS - 1).astype(int)
    empty = np.setdiff1d(np.arange(BINS), bins)
    if len(empty):
        unrated.append(
            f"{where}: no rating in {counted(len(empty), 'bin')} of {STEP:g} s, the first at "
            f"{empty[0] * STEP:g} s; it counts as a rating of 0, so the label is -1.25."
        )
    return np.stack([(per_bin(bins, column) - 5) / 4 for column in samples[:, 1:].T], axis=1)


def head_features(samples: np.ndarray, where: str) -> np.ndarray:
    """Features of a scan path: (BINS, 6). Speed is in degrees per second.

    Args:
        samples: (samples, 2) pitch and yaw in degrees, equally spaced over the video.
    """
    count = len(samples)
    if count < BINS:
        raise MuseError(f"{where}: {count} samples of the head; expected {BINS} or more.")
    bins = np.floor((np.arange(count) + 0.5) * SECONDS / count / STEP).astype(int)
    pitch, yaw = samples[:, 0], np.radians(samples[:, 1])
    turned = np.degrees(np.unwrap(yaw))
    steps = np.hypot(np.diff(turned, prepend=turned[0]), np.diff(pitch, prepend=pitch[0]))
    speed = steps * count / SECONDS
    columns = [(pitch, np.mean), (np.sin(yaw), np.mean), (np.cos(yaw), np.mean),
               (pitch, np.std), (speed, np.mean), (speed, np.max)]  # fmt: skip
    return np.stack([per_bin(bins, values, of) for values, of in columns], axis=1)


def gaze_features(samples: np.ndarray, rate: float, where: str) -> np.ndarray:
    """Features of the fixations, the mean over the frames of the video: (BINS, 5).

    Args:
        samples: (fixations, 4) first and last frame, pitch and yaw in degrees. A later fixation
            replaces an earlier one; outside any all features are 0.
        rate: frames of the video per second.
    """
    frames = int(SECONDS * rate)
    values = np.zeros((5, frames))
    for k, (start, end, pitch, degrees) in enumerate(samples, start=1):
        if not 0 <= start <= end:
            raise MuseError(f"{where}, sample {k}: a fixation from frame {start:g} to {end:g}.")
        first, last = int(start), min(int(end), frames - 1)
        yaw = math.radians(degrees)
        fixation = [1, (last - first + 1) / rate, pitch, math.sin(yaw), math.cos(yaw)]
        values[:, first : last + 1] = np.array(fixation)[:, None]
    bins = np.floor(np.arange(frames) / rate / STEP).astype(int)
    return np.stack([per_bin(bins, row) for row in values], axis=1)


def luminance_features(values: np.ndarray, rate: float) -> np.ndarray:
    """Features of the luminance of a video's frames: (BINS, 3). Missing values are 0."""
    values = np.nan_to_num(values[: int(SECONDS * rate)])
    bins = np.floor(np.arange(len(values)) / rate / STEP).astype(int)
    change = np.abs(np.diff(values, prepend=values[0]))
    columns = [(values, np.mean), (values, np.std), (change, np.mean)]
    return np.stack([per_bin(bins, v, of) for v, of in columns], axis=1)
