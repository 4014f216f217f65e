"""`muse resume`: continue an interrupted training, to the result that it would have had."""

import logging

from muse.config.use import ResumeConfig
from muse.models import check_trusted
from muse.runs.find import run_folder
from muse.runs.folder import log_file
from muse.runs.read import read_result, read_unfinished, settings_here
from muse.training.run import continue_run

log = logging.getLogger(__name__)


def run(config: ResumeConfig) -> None:
    """Train on from the checkpoints of a run folder; nothing is to be done for a finished run.

    Raises:
        MuseError: no run folder, a damaged one, other data than before, a model class that is not
            muse's and not in `trust`.
    """
    folder = run_folder(config.resume, finished=False)
    if (folder / "result.json").exists():
        read_result(folder)
        log.info("%s is finished; nothing to continue. Its scores: result.json", folder)
        return
    settings = read_unfinished(folder)
    check_trusted(folder / "config.yaml", str(settings.model["_target_"]), config.trust)
    settings = settings_here(settings, config)
    with log_file(folder):
        log.info("Continuing %s", folder)
    continue_run(settings, folder)
