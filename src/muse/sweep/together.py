"""The jobs of a sweep that share shapes and data, trained as one population before they begin.

What they find then are checkpoints at their ends, from which each job makes its run folder as if it
had trained alone, see `muse.training.population`. Whatever stops a job here is left to the job
itself: it trains alone, and says what is wrong.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from muse import terminal
from muse.config.compose import load_config
from muse.config.fields import numbers_of
from muse.config.train import TrainConfig
from muse.errors import MuseError
from muse.files import check_plain
from muse.runs.folder import begin, set_status
from muse.runs.identity import settings_key
from muse.runs.lock import locked
from muse.sweep.inputs import look_up
from muse.sweep.state import make_room, set_aside, state_of

log = logging.getLogger(__name__)

# settings in which members of a population may differ; of the model only in the dropout
OWN = (
    *("lr", "lr_on", "lr_patience", "lr_factor", "lr_floor", "warmup", "weight_decay", "clip"),
    *("noise", "epochs", "patience", "seeds", "ccc", "bootstrap", "crossfit", "model"),
)


def train_together(command: str, jobs: list[list[str]], root: Path) -> None:
    """Train those jobs of a sweep below ``root`` that can be members of a population.

    Args:
        jobs: the overrides of each. Only runs of `muse train` without folds are trained here; a job
            with folds trains these together.
    """
    if command != "train" or len(jobs) < 2 or not _may_share(command, jobs[0]):
        return
    groups: dict[str, list[TrainConfig]] = {}
    for words in jobs:
        with suppress(Exception):  # its job says what is wrong
            config = load_config(command, words)
            if _asks_for_one(config) and _is_missing(config, root / settings_key(config)):
                groups.setdefault(_shape_of(config), []).append(config)
    for group in groups.values():
        with suppress(MuseError):  # its jobs say so as well
            _train_group(group, root)
    if groups:
        from muse.training.device import give_back_memory  # with torch

        give_back_memory()  # the jobs, other processes, need it


def _may_share(command: str, words: list[str]) -> bool:
    """Whether the first job asks for a population, before all others are composed."""
    try:
        return _asks_for_one(load_config(command, words))
    except Exception:  # its job says what is wrong
        return True


def _asks_for_one(config: TrainConfig) -> bool:
    """Whether there may be a population; without a GPU only one that was asked for.

    PyTorch is not asked: importing it takes longer than all else that a sweep begins with.
    """
    if config.population == "auto":
        return not config.device.startswith("cpu") and shutil.which("nvidia-smi") is not None
    return config.population != "off"


def _is_missing(config: TrainConfig, folder: Path) -> bool:
    """Whether a job is to be trained, and can be here."""
    done = {"all": [], "failed": ["finished"], "none": ["finished", "failed"]}[config.rerun]
    return state_of(folder) not in done and not config.folds


def _shape_of(config: TrainConfig) -> str:
    """Equal for jobs that differ in nothing but what each member of a population has for itself."""
    settings = {k: v for k, v in numbers_of(config).items() if k not in OWN}
    model = {k: v for k, v in config.model.items() if k != "dropout"}
    places = [config.data, config.groups, config.device, config.threads, config.population,
              config.kernel]  # fmt: skip
    return json.dumps([settings, model, config.features, config.targets, list(map(str, places))],
                      sort_keys=True)  # fmt: skip


def _train_group(group: list[TrainConfig], root: Path) -> None:
    from muse.training.device import prepare  # with torch
    from muse.training.difficulty import with_difficulty
    from muse.training.out_of_fold import seed_units
    from muse.training.parallel import Run
    from muse.training.population import members_at_once, train_population
    from muse.training.prepare import checkpoint_ids, plan_models

    first = group[0]
    device = prepare(first.device, first.threads)
    most = members_at_once(first, device, sum(len(seed_units(c, [])) for c in group))
    if most == 1:
        return
    plans, members = None, []
    with ExitStack() as held, terminal.bar(unit="epoch", desc="population") as bar:
        for config in group:
            with suppress(MuseError, OSError):
                config, package, _, id_, earlier = look_up(config, root)
                if earlier:
                    continue
                folder = root / settings_key(config)
                held.enter_context(_begun(folder, config, id_))
                with terminal.quietly():
                    plans = plans or plan_models(
                        config, with_difficulty(config, package, device), device
                    )
                run = Run(config, plans, (folder / "checkpoints", checkpoint_ids(config, package)),
                          device=device)  # fmt: skip
                members += [
                    partial(run.member, unit, lambda record: bar.update())
                    for unit in seed_units(config, [])
                ]
        if members:
            train_population(members, most)


@contextmanager
def _begun(folder: Path, config: TrainConfig, id_: str) -> Iterator[None]:
    """A run folder that this process keeps for itself, and leaves as one that is to go on."""
    check_plain(folder)
    with locked(folder):
        set_aside(folder, id_)
    with locked(folder):  # of a new folder, if there was something to be set aside
        make_room(folder, id_)
        begin(folder, config)
        try:
            yield
        finally:
            set_status(folder, "interrupted", "in a population; its job goes on")
