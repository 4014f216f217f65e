"""Settings of `muse tune`."""

from dataclasses import dataclass, fields
from typing import Any

from muse.config.fields import setting
from muse.config.train import TrainConfig
from muse.errors import MuseError

SAMPLERS = ("tpe", "gp", "random")
PRUNERS = ("median", "hyperband", "none")


@dataclass(kw_only=True)
class TuneConfig(TrainConfig):
    """Settings of `muse tune`: those of the trainings, one value each, and of the search."""

    space: Any = setting("What is searched: setting -> choice(32,64), range(1,5), "
                         "interval(0.0,0.5) or tag(log,interval(1e-4,1e-2)); on the command line "
                         "in the place of a value: 'model.hidden=choice(32,64)'.")  # fmt: skip
    trials: int = setting("Trials of the study, those of all processes together.", low=1,
                          identity=False)  # fmt: skip
    objective: str = setting("What is maximised, on devel and averaged over targets: the mean over "
                             "the seeds, or the best seed.", choices=("mean", "best"))  # fmt: skip
    sampler: str = setting("How settings are drawn: tpe (tree-structured Parzen estimator), gp "
                           "(Gaussian process; for less than 100 trials or so), or random.",
                           choices=SAMPLERS)  # fmt: skip
    sampler_seed: int = setting("Seed of the sampler.", low=0)
    startup: int = setting("Trials that are drawn at random, and never cut short by the median, "
                           "before the sampler and the pruner use them.", low=1)  # fmt: skip
    pruner: str = setting("Which trials are cut short: median (below the median of the others at "
                          "the same epoch), hyperband, or none.", choices=PRUNERS)  # fmt: skip
    warmup_epochs: int = setting("Epochs that each trial gets at least before it is cut short.",
                                 low=1)  # fmt: skip
    study: str = setting("Name of the study and of its folder; the default follows from the "
                         "settings.", identity=False)  # fmt: skip
    database: str | None = setting("URL of the database; null: SQLite, study.db in the folder.",
                                  identity=False)  # fmt: skip
    heartbeat: int = setting("Seconds between the signs of life of a trial; without one for six "
                             "times as long it counts as killed, and is tried again.", low=1,
                             identity=False)  # fmt: skip
    timeout: float | None = setting("Seconds after which no further trial begins; null: none.",
                                    above=0, identity=False)  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.space is None or not isinstance(self.space, dict):
            raise MuseError(f"space={self.space}: expected such as {{lr: 'interval(0.001,0.01)'}}.")
        if self.learning_curve:
            raise MuseError("learning_curve is for muse train; expected null.")
        if self.folds:
            raise MuseError(
                f"folds={self.folds}: a study chooses settings on devel, but folds score all "
                "recordings, those of test included. Give folds=null."
            )
        if self.best_on != "devel":
            raise MuseError(f"best_on={self.best_on}: a study chooses settings on devel.")
        if self.rerun == "all":
            raise MuseError("rerun=all: a study is begun anew under another name, study=NAME.")


OWN = {item.name for item in fields(TuneConfig)} - {item.name for item in fields(TrainConfig)}
