"""The files of the CEAP-360VR download, checked sample by sample."""

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from muse.data.csv_table import column_numbers, parse_frame
from muse.errors import MuseError, raise_faults
from muse.files import read_bytes

VIDEOS = [f"V{n}" for n in range(1, 9)]
INFO, LUMINANCE = "1_Stimuli/VideoInfo.json", "1_Stimuli/VideoLuminance.csv"


class Files(NamedTuple):
    """The JSON files of one kind, one per person."""

    path: str  # with {} for the number of the person
    top: str  # key of the list with the one person
    videos: str  # key of the person's videos
    samples: str  # key of a video's samples
    numbers: tuple[str, ...]  # keys of a sample


RATINGS = Files(
    "3_AnnotationData/Frame/P{}_Annotation_FrameData.json",
    "ContinuousAnnotation_FrameData",
    "Video_Annotation_FrameData",
    "TimeStamp_Valence_Arousal",
    ("TimeStamp", "Valence", "Arousal"),
)
HEAD = Files(
    "4_BehaviorData/HM_ScanPath/P{}_Behavior_HeadScanPathData.json",
    "Behavior_HeadScanPath_Data",
    "Video_Behavior_ScanPath_Data",
    "ID_Pitch_Yaw",
    ("Pitch", "Yaw"),
)
FIXATIONS = Files(
    "4_BehaviorData/EM_Fixation/P{}_Behavior_FixationData.json",
    "Behavior_FixationData",
    "Video_Behavior_FixationData",
    "Fixation",
    ("StartFrame", "EndFrame", "Pitch", "Yaw"),
)


def find_download(source: Path) -> Path:
    """The folder that has 1_Stimuli: ``source``, or CEAP-360VR in it; MuseError if none has."""
    for folder in (source, source / "CEAP-360VR"):
        if (folder / "1_Stimuli").is_dir():
            return folder
    raise MuseError(
        f"source={source}: no folder 1_Stimuli in it. Give the folder CEAP-360VR of the unpacked "
        "download, which has 1_Stimuli, 3_AnnotationData and 4_BehaviorData."
    )


def people_in(home: Path) -> list[int]:
    """Numbers of the people of whom there is any file; MuseError if there is none."""
    found = set()
    for kind in (RATINGS, HEAD, FIXATIONS):
        before, after = Path(kind.path).name.split("{}")
        pattern = re.compile(f"{before}([1-9][0-9]*){re.escape(after)}")
        matches = (pattern.fullmatch(file.name) for file in (home / kind.path).parent.glob("P*"))
        found |= {int(match[1]) for match in matches if match}
    if not found:
        raise MuseError(f"{home}: nobody's files, such as {RATINGS.path.format(1)}.")
    return sorted(found)


def read_samples(home: Path, kind: Files, number: int) -> dict[str, np.ndarray]:
    """What was recorded of a person, by video in the order of VIDEOS.

    Returns:
        Video -> (samples, numbers of the kind) float64.

    Raises:
        MuseError: all faults of the file, with video and number of the sample from 1.
    """
    path = home / kind.path.format(number)
    content = _json(path)
    try:
        (person,) = content[kind.top]
        who = str(person["ParticipantID"]).removeprefix("P")
        videos = [
            (str(video["VideoID"]), list(video[kind.samples])) for video in person[kind.videos]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise MuseError(
            f"{path}: {type(error).__name__} {error}; expected one entry in {kind.top}, with "
            f"ParticipantID and {kind.videos}, each with VideoID and {kind.samples}."
        ) from None
    if who != str(number):
        raise MuseError(f"{path}: ParticipantID {who}; expected {number}, as in the file's name.")
    if sorted(name for name, _ in videos) != VIDEOS:
        names = ", ".join(name for name, _ in videos)
        raise MuseError(f"{path}: videos {names}; expected V1 to V8, each once.")
    faults: list[str] = []
    found = {video: _numbers(f"{path}: {video}", samples, kind.numbers, faults)
             for video, samples in sorted(videos)}  # fmt: skip
    raise_faults(faults)
    return found


def _numbers(where: str, samples: list, keys: tuple[str, ...], faults: list[str]) -> np.ndarray:
    rows = []
    for k, sample in enumerate(samples, start=1):
        values = [sample.get(key) if isinstance(sample, dict) else None for key in keys]
        wrong = [(key, value) for key, value in zip(keys, values, strict=True)
                 if not isinstance(value, int | float) or not abs(value) < 1e9]  # fmt: skip
        faults += [f"{where}, sample {k}: {key} is {str(value)[:40]}; expected a number."
                   for key, value in wrong]  # fmt: skip
        rows.append([math.nan] * len(keys) if wrong else values)
    return np.array(rows, dtype=np.float64).reshape(-1, len(keys))


def read_frame_rates(home: Path) -> dict[str, float]:
    """Video -> frames per second."""
    path = home / INFO
    content = _json(path)
    try:
        rates = {video["VideoID"]: video["FrameRate"] for video in content["VideoInfo"]}
    except (KeyError, TypeError) as error:
        raise MuseError(
            f"{path}: {type(error).__name__} {error}; expected VideoInfo, with VideoID and "
            "FrameRate of each video."
        ) from None
    raise_faults(
        [
            f"{path}: {video}: FrameRate {rates.get(video)}; expected frames per second, 2 to 1000."
            for video in VIDEOS
            if not isinstance(rates.get(video), int | float) or not 2 <= rates[video] <= 1000
        ]
    )
    return rates


def read_luminance(home: Path) -> dict[str, np.ndarray]:
    """Video -> (frames,) luminance of its frames, NaN where there is none."""
    path = home / LUMINANCE
    frame = parse_frame(path, _content(path))
    faults = [f"{path}: no column {video}." for video in VIDEOS if video not in frame]
    found = {video: column_numbers(path, frame, video, faults) for video in VIDEOS
             if video in frame}  # fmt: skip
    raise_faults(faults)
    return found


def _json(path: Path) -> object:
    try:
        return json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise MuseError(f"{path}: no JSON ({error}). Unpack the download again.") from None


def _content(path: Path) -> bytes:
    return read_bytes(path, "Unpack the whole download.")
