"""Settings of the commands that use a finished or interrupted run."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, names_of, setting
from muse.config.shared import PARTITIONS, DataConfig, JobInfo
from muse.errors import MuseError

# settings of a run that `resume` may change: what its checkpoints hold does not depend on them
CHANGEABLE = ("epochs", "patience", "seeds", "crossfit", "bootstrap", "tensorboard", "workers",
              "population", "kernel")  # fmt: skip


@dataclass
class DataOfUse(DataConfig):
    """Where the data are for a trained model."""

    root: str | None = setting("Folder of the packages; null: as the run.")


@dataclass
class UseConfig(Settings):
    """What the commands share that use a run folder."""

    device: str | None = setting("auto, cpu, cuda or cuda:1; null: as the run.")
    threads: int | None = setting("Threads of PyTorch on the CPU; null: as the run.", low=1)
    trust: Any = setting("Model classes outside muse that may be built: [my_package.MyModel].")
    data: DataOfUse = setting("The packages and the cache.")

    def __post_init__(self):
        super().__post_init__()
        self.trust = names_of("trust", self.trust) if self.trust else []


@dataclass
class AppliedConfig(UseConfig):
    """What the commands share that apply a finished run, or an exported model."""

    run: str | None = setting("The run folder, or latest: the newest finished run below outputs.")
    model: Any = setting("In place of run: an archive of `muse export`, FILE.zip.")

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.model, dict):  # see muse.config.overrides.quote_texts
            self.model = self.model.get("file")
        if self.run is not None and self.model is not None:
            raise MuseError(
                f"run={self.run} model={self.model} exclude each other: expected a run folder, or "
                "an archive of `muse export`. Leave one of them out."
            )
        if self.run is None and self.model is None:
            raise MuseError(
                "no value for run. Give a run folder, run=outputs/train/RUN or run=latest, or an "
                "archive of `muse export`, model=FILE.zip."
            )


@dataclass
class ResumeConfig(UseConfig):
    """Settings of `muse resume` and `muse train resume=...`."""

    resume: str = setting("The run folder to continue, or latest: the newest that is not finished.")
    epochs: int | None = setting("Epochs at most, not fewer than are trained; null: as the run.",
                                 low=1)  # fmt: skip
    patience: int | None = setting("Epochs without a better devel score before training stops; "
                                   "as the run unless given, null: all epochs are trained.",
                                   low=1)  # fmt: skip
    seeds: Any = setting("Number of seeds, or a list of them; null: as the run.")
    crossfit: int | None = setting("Folds for out-of-fold predictions, 0: none; null: as the run.",
                                   low=0)  # fmt: skip
    bootstrap: int | None = setting("Resamples for the 95 % interval, 0: none; null: as the run.",
                                    low=0)  # fmt: skip
    tensorboard: bool | None = setting("Write TensorBoard events; null: as the run.")
    workers: int | None = setting("Seeds trained in parallel, -1: one per core; null: as the run.")
    population: Any = setting("Models that train together: auto, off, or how many at most; null: "
                              "as the run.")  # fmt: skip
    kernel: str | None = setting("How a population computes recurrent layers, products or triton; "
                                 "null: as the run.", choices=("products", "triton"))  # fmt: skip
    job: JobInfo | None = setting("Filled in by muse.", default=None)

    def changes(self) -> dict[str, Any]:
        """The settings that the run gets other values of: name -> value.

        `patience=null` is such a value if it was given: all epochs are trained.
        """
        given = {name: getattr(self, name) for name in CHANGEABLE}
        changed = {name: value for name, value in given.items() if value is not None}
        without_end = self.job is not None and "patience=null" in self.job.words
        return changed | ({"patience": None} if without_end else {})


@dataclass
class RetrainConfig(UseConfig):
    """Settings of `muse retrain` and `muse train retrain=...`."""

    retrain: str = setting("The run folder, or latest: the newest finished run below outputs.")
    workers: int | None = setting("Seeds trained in parallel; -1: one per core; null: as the run.")
    population: Any = setting("Models that train together: auto, off, or how many at most; null: "
                              "as the run.")  # fmt: skip
    kernel: str | None = setting("How a population computes recurrent layers, products or triton; "
                                 "null: as the run.", choices=("products", "triton"))  # fmt: skip
    job: JobInfo | None = setting("Filled in by muse.", default=None)


@dataclass
class PersonaliseConfig(UseConfig):
    """Settings of `muse personalise`."""

    run: str = setting("Run folder of the general models, or latest: the newest finished run.")
    lr: Any = setting("Initial learning rate of Adam; a list: a run with each.")
    epochs: Any = setting("Epochs at most; a list: a run with each.")
    patience: int | None = setting("Epochs without a better score on the subject's devel before "
                                   "training stops; null: all epochs.", low=1)  # fmt: skip
    window: int = setting("Window length in frames, for training.", low=1)
    hop: int = setting("Frames from one window's start to the next.", low=1)
    batch_size: int | None = setting("Windows per training step; null: as the run.", low=1)
    seeds: Any = setting("Number of seeds (101, 102, ...) per subject, or a list of them.")
    workers: int | None = setting("Models trained in parallel, -1: one per core; null: as the run.")
    population: Any = setting("Models that train together: auto, off, or how many at most; null: "
                              "as the run.")  # fmt: skip
    kernel: str | None = setting("How a population computes recurrent layers, products or triton; "
                                 "null: as the run.", choices=("products", "triton"))  # fmt: skip
    out: str = setting("Folder that gets a run folder for each learning rate and number of epochs.")
    job: JobInfo | None = setting("Filled in by muse.", default=None)

    def __post_init__(self):
        super().__post_init__()
        for name, kinds in (("lr", int | float), ("epochs", int)):
            given = getattr(self, name)
            values = given if isinstance(given, list) else [given]
            if not values or not all(isinstance(v, kinds) and v is not True for v in values):
                raise MuseError(f"{name}={given}: expected a number, or a list of numbers.")
            if len(set(values)) < len(values):
                raise MuseError(f"{name}={given}: a value is named twice; name each once.")
            setattr(self, name, values)


@dataclass
class EvaluateConfig(AppliedConfig):
    """Settings of `muse evaluate`."""

    partition: Any = setting("Partitions to score: null (all), a name or a list.",
                             choices=PARTITIONS, names=True, null=True)  # fmt: skip
    out: str | None = setting("JSON file for the scores; null: they are only printed.")


@dataclass
class PredictConfig(AppliedConfig):
    """Settings of `muse predict`."""

    out: str = setting("Folder for the predictions; new or empty, unless overwrite=true.")
    partition: Any = setting("Partitions to predict: null (all of the package), a name or a list.",
                             choices=PARTITIONS, names=True, null=True)  # fmt: skip
    zip: bool = setting("Also write OUT.zip with TARGET/ID.csv of one partition (test).")
    overwrite: bool = setting("Replace files of earlier predictions in out.")
