"""A finished run trained again, on train and devel together.

Devel has chosen the epochs, the learning rates and the seed; the run that is chosen by it may learn
from it as well before it predicts test, as Cai et al. (2021, section 5.5) do. Each seed is trained
for the epochs that were best on devel, each epoch with the learning rate that it had. The scaling
is that of train and devel. Nothing is left to be chosen on, so there is no devel score.
"""

import json
import logging
from dataclasses import replace

from muse.config.origin import Retrained, Schedule
from muse.config.train import TrainConfig
from muse.config.use import RetrainConfig
from muse.data.recordings import Package
from muse.errors import MuseError
from muse.files import read_regular
from muse.models import check_trusted, is_fitted
from muse.runs.find import run_folder
from muse.runs.read import AGAIN, SavedRun, read_run, settings_here
from muse.training.prepare import groups_of

log = logging.getLogger(__name__)


def settings_to_retrain(config: RetrainConfig) -> TrainConfig:
    """The settings of the new run: those of the finished one, and its schedules.

    Raises MuseError for a run that is unfinished or damaged, that was not chosen on devel, that was
    retrained already or has nothing to train.
    """
    run = read_run(str(run_folder(config.retrain)))
    settings = settings_here(run.config, config)
    path = run.folder / "config.yaml"
    check_trusted(path, str(settings.model["_target_"]), config.trust)
    if settings.retrained:
        raise MuseError(
            f"{run.folder}: was retrained already. Retrain {settings.retrained.run} instead, the "
            "run that it was made from."
        )
    if is_fitted(str(settings.model["_target_"])):
        raise MuseError(
            f"{run.folder}: its test scores are of models that were fitted on train and devel "
            "already. There is nothing to retrain."
        )
    if settings.best_on != "devel":
        raise MuseError(
            f"{run.folder}: its epochs were chosen on {settings.best_on} (best_on), which says "
            "nothing of how long to train. Train with best_on=devel first."
        )
    if settings.folds:
        raise MuseError(
            f"{run.folder}: a cross-validation (folds={settings.folds}), each model of which has "
            "an inner devel of its own. Retrain a run without folds."
        )
    if settings.crossfit:
        log.info("crossfit=0: out-of-fold predictions are those of models of train alone.")
    return replace(
        settings,
        retrained=Retrained(
            str(run.folder.absolute()),
            run.result["run_id"],
            run.result["data"]["digest"],
            schedules_of(run),
        ),
        crossfit=0,
        keep_seeds=False,
        workers=settings.workers if config.workers is None else config.workers,
        population=settings.population if config.population is None else config.population,
        kernel=config.kernel or settings.kernel,
        job=config.job,
    )


def schedules_of(run: SavedRun) -> list[Schedule]:
    """How long and with which learning rates each seed of a run is to be trained again.

    Raises MuseError for a run without training, and for damaged files.
    """
    path = run.folder / "metrics.jsonl"
    try:
        records = [json.loads(line) for line in read_regular(path).splitlines()]
        rates: dict[tuple, dict[int, float]] = {}
        for record in records:
            if "fold" not in record:
                about = record["target"], record["seed"]
                rates.setdefault(about, {})[record["epoch"]] = float(record["lr"])
        schedules = []
        for group in groups_of(run.config):
            part, model = run.result["targets"][group[0]], "+".join(group)
            for row in part["seeds"]:
                seed, epochs = row["seed"], row["best_epoch"]
                if epochs == 0:
                    raise MuseError(f"{run.folder}: a mean has nothing to train.")
                lr = [rates[model, seed][epoch] for epoch in range(1, epochs + 1)]
                changes = {k + 1: lr[k] for k in range(epochs) if k == 0 or lr[k] != lr[k - 1]}
                best = seed == part["best_seed"]
                schedules.append(Schedule(model, seed, best, epochs, changes))
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}). {AGAIN}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MuseError(
            f"{path}: damaged, it has not a learning rate for every epoch up to the best one of "
            f"each seed. {AGAIN}"
        ) from None
    return schedules


def with_devel(config: TrainConfig, package: Package) -> Package:
    """The package of a retrained run: the recordings of train, then those of devel, are train.

    Raises MuseError for other data than those that the epochs were chosen on.
    """
    if package.digest != config.retrained.digest:
        raise MuseError(
            f"{package.folder}: not the data of {config.retrained.run}, on whose devel the epochs "
            "were chosen. Give data.root of the same package."
        )
    partitions = dict(package.partitions)
    train = [*partitions["train"], *partitions.pop("devel")]
    return replace(package, partitions=partitions | {"train": train})
