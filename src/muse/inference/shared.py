"""A model to apply: a finished run here, or the archive of one that was made elsewhere."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote

from muse.config.fields import path_of
from muse.config.use import AppliedConfig
from muse.errors import MuseError
from muse.files import checksum_of, read_regular
from muse.inference.apply import LoadedRun, load_run
from muse.runs.archive import AGAIN, unpacked
from muse.runs.read import read_result

ARCHIVE_FORMAT = 1
ABOUT = "result.json"  # has the checksums of all other files, and one of itself


@contextmanager
def loaded(use: AppliedConfig) -> Iterator[LoadedRun]:
    """The finished run `run`, or that in the archive `model`, ready to be applied.

    An archive is unpacked into a temporary folder until the end of the block. Where the packages
    are it does not say: without `data.root` they are looked for as in every other command.

    Raises MuseError as `load_run` and `muse.runs.archive.unpacked`, and for an archive that is not
    one of `muse export`, is of another format or was changed.
    """
    if use.model is None:
        if path_of(str(use.run)).suffix == ".zip" and path_of(str(use.run)).is_file():
            model = quote(f"model={use.run}")
            raise MuseError(f"run={use.run}: a file, not a run folder. For an archive: {model}")
        yield load_run(use, str(use.run))
        return
    archive = path_of(use.model)
    root = use.data.root or os.environ.get("MUSE_DATA", "data")
    with unpacked(archive) as folder:
        try:
            _check_content(folder)
            use = replace(use, data=replace(use.data, root=root))
            used = load_run(use, str(folder), str(archive))
            if used.config.fusion:
                raise MuseError(f"{folder}: a fusion, which has no model of features.")
            yield used
        except MuseError as error:  # as if the archive were the folder
            raise MuseError(str(error).replace(str(folder), str(archive))) from None


def _check_content(folder: Path) -> None:
    """Raise MuseError unless all is there that `muse export` has written, and nothing else."""
    path = folder / ABOUT
    if not path.is_file():
        raise MuseError(f"{folder}: no archive of `muse export`, it has no {ABOUT}.")
    try:
        version = json.loads(read_regular(path))["exported"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MuseError(
            f"{path}: no archive of `muse export`, or damaged: it does not say its format. {AGAIN}"
        ) from None
    if version != ARCHIVE_FORMAT:
        raise MuseError(
            f"{path}: the archive has format {version}, this muse reads format {ARCHIVE_FORMAT}. "
            "Use the version of muse that wrote it, which its MODEL_CARD.md names."
        )
    files = read_result(folder)["files"]
    there = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    lacking, foreign = sorted({*files} - {*there}), sorted({*there} - {*files, ABOUT})
    if lacking:
        raise MuseError(f"{folder / lacking[0]}: the file is missing. {AGAIN}")
    if foreign:
        raise MuseError(f"{folder / foreign[0]}: `muse export` has not written this file. {AGAIN}")
    for name, expected in files.items():
        if checksum_of(there[name]) != expected:
            raise MuseError(f"{there[name]}: changed since the model was exported. {AGAIN}")
