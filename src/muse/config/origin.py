"""What a run has from another run, and what of test may be learnt from."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, is_number, setting
from muse.errors import MuseError

SUBJECTS = "subjects"  # value of folds: each subject is one, see muse.training.personal


@dataclass
class Schedule:
    """How a seed of a model is trained again."""

    model: str = setting("Its targets, joined by +.")
    seed: int = setting("The seed.")
    best: bool = setting("Whether it was the best on devel.")
    epochs: int = setting("Epochs to train: as many as were best on devel.")
    lr: dict[int, float] = setting("Learning rate, from this epoch on.")


@dataclass
class Retrained:
    """What a retrained run has from the run that was chosen on devel, see muse.training.retrain."""

    run: str = setting("The folder of that run.", identity=False)
    run_id: str = setting("Its run id.")
    digest: str = setting("Of its data.", identity="indirect")
    schedules: list[Schedule] = setting("For each model and seed.", identity="indirect")

    def of(self, model: str, seed: int) -> Schedule:
        """The schedule of a seed of a model."""
        return next(s for s in self.schedules if (s.model, s.seed) == (model, seed))

    def best_seed(self, model: str) -> int:
        """The seed of a model that was best on devel."""
        return next(s.seed for s in self.schedules if s.model == model and s.best)


@dataclass
class SplitConfig(Settings):
    """How much of a recording of test may be learnt from, with split=derive."""

    KEY = "split."

    method: str = setting("given (by partition.csv), or derive (recordings N of test become "
                          "N_train, N_devel and N_test).", choices=("given", "derive"))  # fmt: skip
    seconds: Any = setting("derive: seconds of a recording that are train, and devel.")

    def __post_init__(self):
        super().__post_init__()
        two = isinstance(self.seconds, list) and len(self.seconds) == 2
        if not two or not all(is_number(s) and s > 0 for s in self.seconds):
            raise MuseError(
                f"split.seconds={self.seconds}: expected seconds of train and devel: [60,60]."
            )


@dataclass
class Personalised:
    """What a personalised run has from the general one, see muse.training.personal."""

    run: str = setting("The folder of the general run.", identity=False)
    run_id: str = setting("Its run id.")
    digest: str = setting("Of its data.", identity="indirect")
