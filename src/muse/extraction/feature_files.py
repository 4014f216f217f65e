"""A feature set out of recordings, files side by side: what every `muse extract` has in common.

Beside the CSV files is their provenance: tool, version, settings, and a checksum of each input and
of the rows that the package has of it. The same command goes on where it was stopped: features are
made again only if one of these has changed.
"""

import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

import muse
from muse import terminal
from muse.config.extract import ExtractConfig
from muse.config.fields import path_of
from muse.cores import PROCESS_BYTES, cores, end_with, within_gpu, within_memory
from muse.data.layout import is_name
from muse.errors import MuseError, raise_faults
from muse.extraction.table import rows_in_package
from muse.files import check_regular, checksum_of, read_bytes, remove_drafts, write_json, write_rows

PROVENANCE = "extraction.json"
Times = Callable[[float], np.ndarray]  # seconds of a recording -> its frames (frames,) in ms
# a file and its frames -> times (frames,) ms, column -> values (frames,) with NaN where there is
# none, and warnings; MuseError for a file that cannot be used. A column segment_id has the segments
# of a recording that has no rows yet
Extract = Callable[[Path, Times], tuple[np.ndarray, dict[str, np.ndarray], list[str]]]


@dataclass(frozen=True)
class SoundWindow:
    """How a frame's features follow from the sound of its window alone, which a stream needs."""

    seconds: float
    # its samples, as of `muse.extraction.sound.read_sound` -> column -> value, the columns of
    # `Extract` in their order; a recording that is shorter than a window has fewer samples
    features: Callable[[np.ndarray], dict[str, float]]
    hop: int = 1  # windows begin at the last multiple of so many samples


@dataclass(frozen=True)
class Extractor:
    """How files become features."""

    endings: tuple[str, ...]  # of the files, in small letters
    tool: dict[str, str]  # name, version
    settings: dict  # all that changes the features
    memory: Callable[[Path], int]  # bytes that a file takes on its way
    extract: Extract
    window: SoundWindow | None = None  # None: a frame depends on more than the sound of its window
    device: str | None = None  # of its network, if it has one


@dataclass(frozen=True)
class Extraction:
    """What has become of the files."""

    home: Path
    made: list[str]  # recordings
    kept: list[str]  # recordings whose features were there
    failed: list[str]  # reasons
    notes: list[str]  # warnings


def extract_files(extractor: Extractor, config: ExtractConfig) -> Extraction:
    """Write feature_segments/FEATURES of the package ``config.out``, a CSV file per recording.

    Frames are the rows that the package has of a recording already, labels before features; a
    recording without any gets one every ``config.step`` seconds.

    Raises:
        MuseError: no files; two of one recording; features there that were made in another way.
    """
    if not is_name(config.features):
        raise MuseError(f"features={config.features}: expected the name of a folder, not a path.")
    paths = find_files(config.source, extractor.endings)
    home = path_of(config.out) / "feature_segments" / config.features
    settings = {"extractor": config.extractor, "step": config.step, **extractor.settings}
    about = {"muse": muse.__version__, "tool": extractor.tool, "settings": settings}
    known = _known_files(home, about)
    remove_drafts(home)
    _write_provenance(home, about, known)  # before any file, of which each must have one
    count = min(cores(config.workers), len(paths))
    if config.workers < 1:
        each = max(map(extractor.memory, paths.values()))
        count = within_memory(count, PROCESS_BYTES + each)
        count = within_gpu(count, extractor.device, each) if extractor.device else count
    one = delayed(partial(_extract, extractor.extract, home, config.step))
    jobs = (one(id_, path, known.get(id_)) for id_, path in paths.items())
    done = Parallel(count, return_as="generator_unordered")(jobs)
    found = Extraction(home, [], [], [], [])
    try:
        for id_, digest, notes in terminal.bar(
            done, config.features, total=len(paths), unit="file"
        ):
            if digest is None:
                found.failed.extend(notes)
            elif digest == known.get(id_):
                found.kept.append(id_)
            else:
                known[id_] = digest
                _write_provenance(home, about, known)
                found.made.append(id_)
                found.notes.extend(notes)
    except TerminatedWorkerError:
        raise MuseError(
            "a process was killed from outside, perhaps for want of memory. The same command goes "
            "on where it was; workers=1 takes one file at a time."
        ) from None
    return found


def find_files(source: list[str], endings: tuple[str, ...]) -> dict[str, Path]:
    """Recording id -> its file, of files and of folders of them; 2 before 10.

    Raises MuseError for what is not there, and for two files of one recording.
    """
    paths: list[Path] = []
    faults: list[str] = []
    for place in map(path_of, source):
        inside = [p for p in sorted(place.glob("[!.]*")) if p.suffix.lower() in endings]
        if place.is_dir() and not inside:
            faults.append(f"{place}: no files with the ending {' or '.join(endings)}.")
        elif not place.exists():
            faults.append(f"{place}: there is no such file or folder.")
        paths += inside if place.is_dir() else [place]
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            faults.append(
                f"{path}: recording {path.stem} has another file, {found[path.stem]}. Name one of "
                "them differently, or leave it out."
            )
        found[path.stem] = path
    raise_faults(faults)
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def _write_provenance(home: Path, about: dict, files: dict[str, str]) -> None:
    write_json(home / PROVENANCE, about | {"files": dict(sorted(files.items()))})


def _known_files(home: Path, about: dict) -> dict[str, str]:
    """Recording id -> checksum of the input that its features were made from.

    Raises MuseError for features that are of another origin.
    """
    path = home / PROVENANCE
    if not path.is_file():
        if home.is_dir() and any(home.glob("[!.]*.csv")):
            raise MuseError(
                f"{home}: features that muse extract has not made are there, and nothing is "
                "replaced. Give another features= or out=."
            )
        return {}
    try:
        there = json.loads(read_bytes(path))
        files = {str(id_): str(digest) for id_, digest in there["files"].items()}
        was, now = ({**x["tool"], **x["settings"]} for x in (there, about))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MuseError(f"{path}: damaged. Remove {home} and extract again.") from None
    other = [f"{key} was {json.dumps(was.get(key))}, is {json.dumps(now.get(key))}"
             for key in sorted({*was, *now})
             if was.get(key) != now.get(key)]  # fmt: skip
    if other:
        raise MuseError(
            f"{home}: made in another way ({'; '.join(other)}), and features of two ways must not "
            "be mixed. Give another features= or out=, or remove the folder."
        )
    return {id_: digest for id_, digest in files.items() if (home / f"{id_}.csv").is_file()}


def _extract(
    extract: Extract, home: Path, step: float, id_: str, path: Path, known: str | None
) -> tuple[str, str | None, list[str]]:
    """Recording, checksum of its file (None: it has failed), and warnings or the reasons."""
    if multiprocessing.current_process().name != "MainProcess":
        end_with(os.getppid())
        terminal.quiet = True
    try:
        check_regular(path, "Give the file of a recording.")
        there = rows_in_package(home.parents[1], id_, but=home)
        frames, segments = (there[1].times, there[1].segments) if there else (None, None)
        rows = [part.tobytes() for part in (frames, segments) if part is not None]
        digest = checksum_of(path, *rows)
        if digest == known:
            return id_, digest, []

        def times_of(seconds: float) -> np.ndarray:
            count = max(1, int(seconds / step + 1e-6))  # whole frames
            return np.arange(count) * 1000 * step if frames is None else frames

        times, columns, notes = extract(path, times_of)
        own = columns.pop("segment_id", None)
        segments = own if frames is None else segments
        values = {name: column.astype(np.float32) for name, column in columns.items()}
        write_rows(home / f"{id_}.csv", times, segments, values)
        return id_, digest, notes
    except MuseError as error:
        return id_, None, error.faults
    except Exception as error:  # of a tool that is not muse's: the other files go on
        return id_, None, [f"{path}: {type(error).__name__}: {error}"]
