"""Other settings for a run that is continued, so that it ends as a run that began with them."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from muse.config.compose import command_with
from muse.config.train import TrainConfig
from muse.errors import MuseError
from muse.runs.folder import change, log_file
from muse.training.checkpoint import read_history
from muse.training.fit import settle_fit
from muse.training.stopping import check_not_passed

log = logging.getLogger(__name__)


def changed_command(config: TrainConfig, given: dict[str, Any]) -> str:
    """The command of a run with other settings."""
    return command_with(config.job.command, {k: _text(v) for k, v in given.items()})


def _text(value: Any) -> str:
    """A value as it is typed."""
    return json.dumps(value, separators=(",", ":"))


def change_settings(folder: Path, config: TrainConfig, given: dict[str, Any]) -> TrainConfig:
    """Change settings of an interrupted run whose folder is locked; return all its settings.

    Args:
        config: the settings until now.
        given: other values of some of `muse.config.use.CHANGEABLE`.

    Raises MuseError for values that are not allowed, and for a training that would have ended
    earlier with them; nothing is changed then.
    """
    fixed = sorted({"epochs", "patience", "seeds", "crossfit"} & set(given))
    if config.retrained and fixed:
        raise MuseError(
            f"{', '.join(fixed)}: follow from {config.retrained.run}, of which this run is a "
            "retraining. Leave them out."
        )
    job = replace(config.job, command=changed_command(config, given))
    new = replace(config, **given, job=job)
    if new.fusion and new.method != "lstm":
        new = replace(new, seeds=new.seeds[:1])  # as it begins: a mean has nothing to train
    new = settle_fit(new)
    if new.warmup is not None and new.epochs != config.epochs:
        raise MuseError(
            f"epochs={new.epochs}: with warmup={new.warmup:g} the learning rate of every step "
            f"depends on epochs={config.epochs}. Leave it out, or train anew."
        )
    before = {name: getattr(config, name) for name in given}
    if before == {name: getattr(new, name) for name in given}:
        return config
    names = [f"seed_{seed}" for seed in new.seeds]
    if new.crossfit == config.crossfit:
        names += [f"{name}_fold_{k + 1}" for name in names for k in range(new.crossfit)]
    for path in (folder / "checkpoints").rglob("*.safetensors"):
        if path.stem in names:
            check_not_passed(new, read_history(path), path)
    if new.crossfit != config.crossfit:  # other folds of the same names
        for path in (folder / "checkpoints").rglob("*_fold_*.safetensors"):
            path.unlink()
    (folder / "checkpoints" / "run_id").unlink(missing_ok=True)  # no longer the job of a sweep
    change(folder, new)
    with log_file(folder):
        for name, value in before.items():
            after = _text(getattr(new, name))
            log.info("%s=%s from now on (%s before)", name, after, _text(value))
    return new
