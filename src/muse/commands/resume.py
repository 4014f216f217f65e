"""`muse resume`: continue an interrupted training, to the result that it would have had."""

import logging
from dataclasses import replace
from pathlib import Path

from muse.config.compose import command_with
from muse.config.use import ResumeConfig
from muse.cores import find_device
from muse.errors import MuseError
from muse.models import check_trusted
from muse.runs.find import run_folder
from muse.runs.folder import log_file
from muse.runs.lock import locked
from muse.runs.read import read_result, read_settings, read_unfinished, settings_here
from muse.training.change import change_settings, changed_command
from muse.training.population import members_at_once
from muse.training.run import continue_run

log = logging.getLogger(__name__)


def run(config: ResumeConfig) -> None:
    """Train on from the checkpoints of a run folder; nothing is to be done for a finished run.

    Raises:
        MuseError: no run folder, a damaged one, other data than before, a model class that is not
            muse's and not in `trust`; settings that cannot be changed any more.
    """
    folder = run_folder(config.resume, finished=False)
    if (folder / "result.json").exists():
        _check_finished(folder, config)
        log.info("%s is finished; nothing to continue. Its scores: result.json", folder)
        return
    settings = read_unfinished(folder)
    check_trusted(folder / "config.yaml", str(settings.model["_target_"]), config.trust)
    if config.threads not in (None, settings.threads):
        raise MuseError(
            f"threads={config.threads}: the run began with threads={settings.threads}, and other "
            "numbers come of more or fewer. Leave threads= out."
        )
    with locked(folder):
        settings = read_unfinished(folder)  # nobody changes them from here on
        if (folder / "result.json").exists():  # by another process, meanwhile
            _check_finished(folder, config)
        elif given := config.changes():
            new = settings_here(replace(settings, **given), config)
            members_at_once(new, find_device(new.device), 2)  # refused before anything is changed
            settings = change_settings(folder, settings, given)
        with log_file(folder):
            log.info("Continuing %s", folder)
        continue_run(settings_here(settings, config), folder)


def _check_finished(folder: Path, config: ResumeConfig) -> None:
    """Raise MuseError if a finished run is damaged, or is to get other settings."""
    read_result(folder)
    settings, given = read_settings(folder), config.changes()
    if given and replace(settings, **given) != settings:
        line = command_with(changed_command(settings, given), {}, without=["hydra.run.dir"])
        raise MuseError(
            f"{folder}: the run is finished, and its checkpoints are gone: it cannot go on with "
            f"other settings. Train anew: {line}"
        )
