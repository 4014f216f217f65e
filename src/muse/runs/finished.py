"""Finished runs by their results alone, for whoever lists or compares many of them."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from muse.config.origin import SUBJECTS
from muse.config.train import TrainConfig
from muse.errors import MuseError
from muse.runs.read import is_fusion, read_result, read_settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of which the result was read."""

    folder: Path
    result: dict  # see muse.runs.folder; without `files`, which may be thousands

    @cached_property
    def settings(self) -> TrainConfig:
        """Its settings, read when they are asked for first; MuseError as `read_settings`."""
        return read_settings(self.folder)

    @property
    def fusion(self) -> bool:
        """Whether it is a late fusion of other runs."""
        return is_fusion(self.result)

    @property
    def retrained(self) -> bool:
        """Whether it was trained on devel as well, so that nothing can be chosen by its scores."""
        return "retrained" in self.result

    @property
    def comparable(self) -> bool:
        """Whether its devel score may be set beside that of others to choose between them.

        That of folds is of models that were not chosen on it, so it is lower than another's.
        """
        return self.whole and "folds" not in self.result

    @property
    def whole(self) -> bool:
        """Whether it has learnt from all recordings and was chosen on devel."""
        return not (self.result["debug"] or "train_share" in self.result)

    @property
    def personalised(self) -> bool:
        """Whether each subject of test has a model of its own, chosen on the subject's devel."""
        return self.result.get("folds") == SUBJECTS


def finished_runs(root: Path) -> Iterator[FinishedRun]:
    """The finished runs below a folder, in the order of their names; damaged ones are reported."""
    for folder in run_folders(root):
        try:
            yield finished_run(folder)
        except MuseError as error:
            log.warning("left out: %s", error)


def finished_run(folder: Path) -> FinishedRun:
    """The result of a finished run alone; MuseError as `read_result`."""
    result = read_result(folder)
    return FinishedRun(folder, {key: value for key, value in result.items() if key != "files"})


def standardised_members(run: FinishedRun) -> bool:
    """Whether the predictions of a fusion's members were standardised without being asked to be.

    Before version 0.2 the rule for a feature set was taken for the member named after it, which
    changed the scores of the fusion. What such a fusion had standardised were members: feature sets
    beside them (``beside``) are later, and may well be standardised.
    """
    if not run.fusion or not any(part["standardised"] for part in run.result["targets"].values()):
        return False
    settings = read_settings(run.folder)
    return settings.standardise is None and not settings.beside


def run_folders(root: Path) -> Iterator[Path]:
    """The folders below ``root`` that have a result.json; nothing below such a folder is read."""
    for folder, folders, files in os.walk(root, onerror=log_unreadable):
        if "result.json" in files:
            yield Path(folder)
        if "result.json" in files or "config.yaml" in files:
            folders.clear()
        folders.sort()


def log_unreadable(error: OSError) -> None:
    """Report a folder below which no run is found, since it cannot be read."""
    if not isinstance(error, FileNotFoundError):  # nothing has been trained yet
        log.warning("left out: %s: cannot be read (%s).", error.filename, error.strerror)
