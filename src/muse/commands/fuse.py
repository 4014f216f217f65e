"""`muse fuse`: late fusion of finished runs, a run like any other; a run for each target."""

import logging
from dataclasses import replace
from pathlib import Path
from shlex import quote

from muse.config.compose import command_with
from muse.config.fuse import FuseConfig
from muse.config.shared import JobInfo
from muse.errors import MuseError
from muse.fusion.members import check_targets, named_runs
from muse.runs.folder import begin, check_new, set_status
from muse.training.run import begin_run, continue_run, settle
from muse.training.summary import summary_of_targets

log = logging.getLogger(__name__)


def run(config: FuseConfig) -> None:
    """Choose the members, begin a run folder and train the fusion in it.

    Without a target each of the task has a run folder of its own below that of the command.

    Raises:
        MuseError: a member that is unfinished, damaged, of another task or without the target;
            predictions that do not match in recordings or frames.
    """
    config = named_runs(config)
    if config.target is None and len(config.targets) > 1:
        _fuse_targets(config)
    else:
        begin_run(settle(replace(config, target=config.targets[0])), Path(config.job.folder))


def _fuse_targets(config: FuseConfig) -> None:
    """A fusion of each target, then a table of all; nothing begins unless all have members."""
    home = Path(config.job.folder)
    check_new(home)
    check_targets(config)
    parts = [settle(_of_target(config, target)) for target in config.targets]
    folders = [Path(part.job.folder) for part in parts]
    for part, folder in zip(parts, folders, strict=True):
        begin(folder, part)
        set_status(folder, "interrupted", "not begun")  # until it is its turn
    results = []
    for part, folder in zip(parts, folders, strict=True):
        try:
            results.append(continue_run(part, folder))
        except (KeyboardInterrupt, MuseError):
            for waiting in folders[len(results) + 1 :]:
                log.error("Not begun: muse resume %s", quote(str(waiting)))
            raise
    log.info("\n%s\n\nRun folders:", summary_of_targets(parts[0], results))
    for folder in folders:
        log.info("  %s", folder)


def _of_target(config: FuseConfig, target: str) -> FuseConfig:
    """The settings of the fusion of one target."""
    line = command_with(config.job.command, {"target": target})
    return replace(config, target=target, job=JobInfo(f"{config.job.folder}/{target}", line))
