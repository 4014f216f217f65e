"""Intensities of facial action units by OpenFace 2: `muse extract fau`.

Section 3.3.3 of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge; OpenFace:
Baltrusaitis et al., OpenFace 2.0: Facial Behavior Analysis Toolkit, 2018. Its program
FeatureExtraction looks at videos, or has done so before: its CSV files are taken as well.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from muse.config.extract import ExtractConfig
from muse.data.csv_table import column_numbers, parse_frame, row_length_faults
from muse.errors import MuseError, raise_faults
from muse.extraction.feature_files import Extractor, Times, find_files
from muse.extraction.media import VIDEO
from muse.extraction.video import ROUNDING, shown_frames
from muse.files import read_bytes
from muse.temporary import temporary_folder

UNITS = [f"AU{n:02}_r" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)]
PROGRAM = "FeatureExtraction"
PROGRAM_BYTES = 2 * 2**30


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract fau` does; MuseError if OpenFace is missing where it is needed."""
    files = find_files(config.source, (".csv", *VIDEO))
    if any(path.suffix.lower() != ".csv" for path in files.values()):
        find_program()
    return Extractor(
        (".csv", *VIDEO),
        {"name": "OpenFace", "version": "unknown"},  # its program does not say
        {"columns": UNITS},
        lambda path: 30 * path.stat().st_size if path.suffix.lower() == ".csv" else PROGRAM_BYTES,
        extract_units,
    )


def find_program() -> str:
    """The path of OpenFace's program; MuseError if it is not installed."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise MuseError(
            f"videos are looked at by OpenFace 2, whose program {PROGRAM} is not on the PATH: "
            "https://github.com/TadasBaltrusaitis/OpenFace. Or give the CSV files that it has "
            "written elsewhere."
        )
    return found


def extract_units(
    path: Path, times_of: Times
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The 17 intensities (0 to 5) of a recording, of the picture shown at the time of a frame.

    Args:
        path: a video, or a CSV file of OpenFace with timestamp (s), success and AU01_r to AU45_r.
            Of several faces in a picture the one of the highest confidence is taken.
        times_of: gets the seconds of the recording, gives the times of its frames in ms.

    Returns:
        Times of the frames (frames,) ms, column -> values (frames,), zeros where OpenFace has not
        found a face; and warnings.

    Raises:
        MuseError: OpenFace is missing or has failed; a file that is not one of OpenFace.
    """
    if path.suffix.lower() == ".csv":
        seconds, success, units = read_units(path, path)
    else:
        with temporary_folder() as folder:
            seconds, success, units = read_units(path, run_openface(path, folder))
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    begin, end = float(seconds[0]), float(seconds[-1]) + step
    times = times_of(end)
    shown = shown_frames(path, times, begin, end)
    rows = np.searchsorted(seconds, times / 1000 + ROUNDING, side="right") - 1
    rows = np.maximum(rows, 0)
    valid = shown & success[rows]
    values = np.where(valid[:, None], units[rows], 0.0)
    notes = []
    if not valid.all():
        notes.append(
            f"{path}: OpenFace has no face in {(~valid).sum()} of {len(times)} frames: zeros."
        )
    return times, dict(zip(UNITS, values.T, strict=True)), notes


def run_openface(path: Path, folder: Path) -> Path:
    """Let OpenFace look at a video; the CSV file that it has written in a folder, or MuseError."""
    link = folder / f"recording{path.suffix.lower()}"  # whatever the video is called
    link.symlink_to(path.resolve())
    command = [find_program(), "-f", str(link), "-out_dir", str(folder), "-of", "units", "-aus"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    written = folder / "units.csv"
    if done.returncode or not written.is_file():
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise MuseError(
            f"{path}: OpenFace has failed ({said[-1] if said else f'exit {done.returncode}'}). "
            "Can it open the video? A file of OpenFace, written elsewhere, is taken as well."
        )
    return written


def read_units(path: Path, table: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (rows,) s, whether there is a face (rows,) and intensities (rows, 17) of a CSV file.

    Args:
        path: what errors name.
        table: the CSV file of OpenFace.
    """
    data = read_bytes(table)
    frame = parse_frame(path, data)
    names = ["timestamp", "confidence", "success", *UNITS]
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise MuseError(
            f"{path}: no column {', '.join(missing)}; expected a file of OpenFace 2, written with "
            "-aus."
        )
    faults = row_length_faults(path, data, frame)
    numbers = pd.DataFrame({name: column_numbers(path, frame, name, faults) for name in names})
    empty = np.flatnonzero(numbers.isna().any(axis=1)) + 2
    if len(empty) and not faults:
        faults.append(f"{path}: row {empty[0]}: an empty field. Let OpenFace write it again.")
    raise_faults(faults)
    best = numbers.sort_values(["timestamp", "success", "confidence"], kind="stable")
    best = best.drop_duplicates("timestamp", keep="last")
    return best["timestamp"].to_numpy(), best["success"].to_numpy() > 0, best[UNITS].to_numpy()
