"""A raw download of CEAP-360VR made by hand: five people, few samples, numbers easy to compute."""

import json
from pathlib import Path

import pytest

from muse.extraction.ceap_files import FIXATIONS, HEAD, INFO, LUMINANCE, RATINGS, VIDEOS, Files


@pytest.fixture
def download(tmp_path) -> Path:
    """CEAP-360VR of P1 to P5.

    Videos have 2 frames per second, a frame per bin; V2 has 4. Ratings come every 0.25 s: valence
    is 9 in the first bin's second half, arousal the number of the person; all else is 5. The head
    does not move but for a turn of 3 degrees and 4 of pitch from sample 0 to 1. There is a fixation
    in frames 0 to 3, another from 2 to 2, and one that begins in the last frame.
    """
    home = tmp_path / "download" / "CEAP-360VR"
    for number in range(1, 6):
        ratings = [
            {"TimeStamp": k / 4, "Valence": 5.0, "Arousal": float(number)} for k in range(241)
        ]
        ratings[1]["Valence"] = 9.0
        head = [{"ID": k, "Pitch": 4.0 * (k > 0), "Yaw": 3.0 * (k > 0)} for k in range(120)]
        last = {"V2": 239}
        fixations = {
            video: [_fixation(0, 3, 10, 90), _fixation(2, 2, 20, 0),
                    _fixation(last.get(video, 119), 500, 1, 180)]
            for video in VIDEOS
        }  # fmt: skip
        write_person(home, RATINGS, number, dict.fromkeys(VIDEOS, ratings), str(number))
        write_person(home, HEAD, number, dict.fromkeys(VIDEOS, head))
        write_person(home, FIXATIONS, number, fixations)
    info = [{"VideoID": video, "FrameRate": 4 if video == "V2" else 2} for video in ["V0", *VIDEOS]]
    (home / "1_Stimuli").mkdir()
    (home / INFO).write_text(json.dumps({"VideoInfo": info}))
    rows = [",".join(["Frame", "V0", *VIDEOS])]
    for k in range(241):  # V1: 0, 1, 2, ...; V2: 0, 2, 0, 2, ... and nothing from frame 236 on
        v2 = "" if k >= 236 else str(2 * (k % 2))
        rows.append(",".join([str(k), "", "" if k >= 119 else str(k), v2, *["7"] * 6]))
    (home / LUMINANCE).write_text("\n".join(rows) + "\n")
    return home


def _fixation(start: int, end: int, pitch: float, yaw: float) -> dict:
    return {"StartFrame": start, "EndFrame": end, "Pitch": pitch, "Yaw": yaw}


def write_person(home: Path, kind: Files, number: int, videos: dict, who: str = "") -> None:
    """Write the file of a person, in the shape of the download."""
    inner = [{"VideoID": video, kind.samples: samples} for video, samples in videos.items()]
    person = {"ParticipantID": who or f"P{number}", kind.videos: inner}
    path = home / kind.path.format(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({kind.top: [person]}))
