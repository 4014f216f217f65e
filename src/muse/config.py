"""The settings of every command, and the checks across them.

What is wrong in configs/*.yaml or on the command line fails here, before any work starts. Nothing
heavy is imported.
"""

from dataclasses import dataclass
from typing import Any

from muse.config_classes import ClassesConfig
from muse.config_gold import GoldConfig
from muse.config_import import ImportConfig
from muse.config_parts import (
    LOSSES,
    PARTITIONS,
    DataConfig,
    FeatureSet,
    JobInfo,
    TaskConfig,
    at_least,
    names_of,
    one_of,
    setting,
)
from muse.errors import MuseError


@dataclass
class TrainConfig:
    """Settings of `muse train`."""

    task: TaskConfig = setting("The sub-challenge.")
    model: Any = setting("The model: `_target_`, its class, and the class's keyword arguments.")
    features: Any = setting("Feature set, or several for early fusion: [egemaps,vggface].")
    target: str | None = setting("One target of the task; null trains each in turn.")
    joint: bool = setting("One model with one output per target instead of one model each.")
    standardise: Any = setting(
        "To zero mean, unit variance: null (as published), true, false, [names]."
    )
    missing: str = setting("NaN features: zero (after standardisation) or error.")
    storage: str = setting("Features in the cache: float32, or float16 (half the size).")
    recordings: int | None = setting("Only the first recordings of each partition; null: all.")
    best_on: str = setting("Partition whose score picks epoch and seed: devel, or train to debug.")
    window: int = setting("Window length in frames, for training.")
    hop: int = setting("Frames from one window's start to the next.")
    loss: str = setting("Training loss: ccc, mse, l1 or cross_entropy.")
    ccc: str = setting("Variance of the CCC score: sample (n - 1, 2021) or biased (n, 2023).")
    lr: float = setting("Initial learning rate of Adam.")
    weight_decay: float = setting("L2 penalty of Adam.")
    batch_size: int = setting("Windows per training step.")
    epochs: int = setting("Epochs at most.")
    patience: int = setting("Epochs without a better devel score before training stops.")
    lr_patience: int = setting("Epochs without a better devel score before lr is reduced.")
    lr_factor: float = setting("What lr is multiplied with then.")
    lr_floor: float = setting("Lowest learning rate.")
    seeds: Any = setting("Number of seeds (101, 102, ...), or a list of them: [101,107].")
    device: str = setting("auto (a GPU where there is one), cpu, cuda or cuda:1.")
    precision: str = setting("Of the model's arithmetic: float32, or bf16 (faster, rounds more).")
    threads: int = setting("Threads of PyTorch on the CPU; one is fastest.")
    crossfit: int = setting("Folds for out-of-fold predictions of train, for `muse fuse`; 0: none.")
    bootstrap: int = setting("Resamples of recordings for the 95 % confidence interval; 0: none.")
    tensorboard: bool = setting("Write TensorBoard events beside metrics.jsonl.")
    jobs: int = setting("Seeds, or jobs of a sweep, side by side; -1: one per core, never more.")
    rerun: str = setting("Which jobs a sweep trains again: failed (and missing), all or none.")
    show_test: bool = setting("Test scores of all jobs in the leaderboard, not of the best alone.")
    data: DataConfig = setting("The packages and the cache.")
    feature_sets: dict[str, FeatureSet] = setting("What is known of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        self.features = names_of("features", self.features)
        if self.standardise is not None and not isinstance(self.standardise, bool):
            self.standardise = names_of("standardise", self.standardise)
        self.seeds = _seeds(self.seeds)
        if self.target is not None:
            one_of("target", self.target, self.task.targets)
        one_of("missing", self.missing, ("zero", "error"))
        one_of("storage", self.storage, ("float32", "float16"))
        one_of("precision", self.precision, ("float32", "bf16"))
        one_of("best_on", self.best_on, ("devel", "train"))
        one_of("rerun", self.rerun, ("failed", "all", "none"))
        one_of("loss", self.loss, LOSSES)
        one_of("ccc", self.ccc, ("sample", "biased"))
        if (self.loss == "cross_entropy") != (self.task.classes > 0):
            kind = "classes" if self.task.classes else "regression"
            raise MuseError(
                f"loss={self.loss} does not go with task={self.task.name} ({kind}): "
                "cross_entropy is for classes, ccc, mse and l1 for regression."
            )
        for name in ("window", "hop", "batch_size", "epochs", "patience", "threads"):
            at_least(name, getattr(self, name), 1)
        for name in ("weight_decay", "lr_patience", "lr_floor", "bootstrap", "crossfit"):
            at_least(name, getattr(self, name), 0)
        if self.crossfit == 1:
            raise MuseError("crossfit=1: expected two folds or more, or 0 for none.")
        if self.recordings is not None:
            at_least("recordings", self.recordings, 1)
        if self.data.root is None:
            raise MuseError("data.root=null: expected the folder of the packages.")
        if not self.lr > 0:
            raise MuseError(f"lr={self.lr}: the learning rate must be above 0.")
        if not 0 < self.lr_factor < 1:
            raise MuseError(f"lr_factor={self.lr_factor}: expected a value between 0 and 1.")
        if self.loss == "ccc" and self.window < 2:
            raise MuseError("window=1 with loss=ccc: a CCC needs two frames or more.")
        if self.hop > self.window:
            raise MuseError(
                f"hop={self.hop} is longer than window={self.window}: the frames between two "
                "windows would never be seen. Give a hop of at most the window."
            )
        if not isinstance(self.model, dict) or not self.model.get("_target_"):
            raise MuseError("model has no _target_: expected the class to build, or model=lstm.")

    @property
    def targets(self) -> list[str]:
        """The targets to train: the one asked for, or all of the task."""
        return [self.target] if self.target else list(self.task.targets)

    def describe(self, features: list[str]) -> str:
        """What the model reads, in words; ``features`` without aliases."""
        return " + ".join(features)


@dataclass
class SelectConfig:
    """Which runs to fuse if they are not named."""

    features: Any = setting("Feature sets; for each the run that is best on devel.")
    root: str = setting("Folder below which runs are looked for.")

    def __post_init__(self):
        if self.features is not None:
            self.features = names_of("select.features", self.features)


@dataclass(kw_only=True)
class FuseConfig(TrainConfig):
    """Settings of `muse fuse`: those of the training of the fusion, and what is fused."""

    runs: Any = setting("Run folders, or folders of predictions made elsewhere: [RUN,RUN].")
    select: SelectConfig = setting("Choose the runs instead of naming them.")
    method: str = setting("lstm (trained), mean, or weighted (mean by devel score).")
    out_of_fold: bool = setting("Fit on out-of-fold predictions of train (runs with crossfit=5).")

    def __post_init__(self):
        one_of("method", self.method, ("lstm", "mean", "weighted"))
        if (self.runs is None) == (self.select.features is None):
            raise MuseError(
                "expected either runs=[RUN,RUN], folders of finished runs, or "
                "select.features=[egemaps,vggface], for each of which the best run is taken."
            )
        if self.runs is not None:
            self.runs = names_of("runs", self.runs)
        if self.features is None:
            self.features = self.select.features or self.runs
        elif self.runs is None or len(names_of("features", self.features)) != len(self.runs):
            raise MuseError("features: the feature sets to fuse are select.features.")
        super().__post_init__()
        if self.target is None:
            raise MuseError(f"target=null: expected one of {', '.join(self.task.targets)}.")
        if len(self.features) < 2:
            raise MuseError(f"{self.features[0]}: a fusion needs two runs or more.")

    def describe(self, features: list[str]) -> str:
        how = {"lstm": "late fusion", "mean": "mean", "weighted": "weighted mean"}[self.method]
        return f"{how} of {super().describe(features)}"


@dataclass
class SynthConfig:
    """Settings of `muse synth`."""

    task: TaskConfig = setting("The sub-challenge.")
    out: str = setting("Folder to write into; the package becomes a folder of it.")
    scale: float = setting("Share of the published number of recordings (at least 2 a partition).")
    features: Any = setting("Feature sets to write: null (all of the package), a name or a list.")
    seed: int = setting("Seed: the same seed writes the same files.")
    overwrite: bool = setting("Replace a synthetic package that is there already.")
    feature_sets: dict[str, FeatureSet] = setting("What is known of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        if self.features is not None:
            self.features = names_of("features", self.features)
        if not self.scale > 0:
            raise MuseError(f"scale={self.scale}: expected a number above 0; 1 is published size.")
        at_least("seed", self.seed, 0)
        if self.task.size is None:
            raise MuseError(
                f"task {self.task.name} has no `size` in its YAML, so there is nothing to make a "
                "synthetic package from; see configs/task/stress.yaml."
            )


@dataclass
class CheckConfig:
    """Settings of `muse check`."""

    task: TaskConfig = setting("The sub-challenge.")
    features: Any = setting("Feature sets to check: null (all of the package), a name or a list.")
    out: str = setting("Folder of the report; a new one for each call.")
    data: DataConfig = setting("The packages and the cache.")
    feature_sets: dict[str, FeatureSet] = setting("What is known of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        if self.features is not None:
            self.features = names_of("features", self.features)


@dataclass
class DataOfUse(DataConfig):
    """Where the data are for a trained model."""

    root: str | None = setting("Folder of the packages; null: as the run.")


@dataclass
class UseConfig:
    """What the commands share that use a run folder."""

    device: str | None = setting("auto, cpu, cuda or cuda:1; null: as the run.")
    threads: int | None = setting("Threads of PyTorch on the CPU; null: as the run.")
    trust: Any = setting("Model classes outside muse that may be built: [my_package.MyModel].")
    data: DataOfUse = setting("The packages and the cache.")

    def __post_init__(self):
        self.trust = names_of("trust", self.trust) if self.trust else []
        if self.threads is not None:
            at_least("threads", self.threads, 1)


@dataclass
class ResumeConfig(UseConfig):
    """Settings of `muse resume` and `muse train resume=...`."""

    resume: str = setting("The run folder to continue.")


@dataclass
class EvaluateConfig(UseConfig):
    """Settings of `muse evaluate`."""

    run: str = setting("The run folder.")
    partition: Any = setting("Partitions to score: null (all), a name or a list.")
    out: str | None = setting("JSON file for the scores; null: they are only printed.")

    def __post_init__(self):
        super().__post_init__()
        self.partition = _partitions(self.partition)


@dataclass
class PredictConfig(UseConfig):
    """Settings of `muse predict`."""

    run: str = setting("The run folder.")
    out: str = setting("Folder for the predictions; new or empty, unless overwrite=true.")
    partition: Any = setting("Partitions to predict: null (all of the package), a name or a list.")
    zip: bool = setting("Also write OUT.zip with TARGET/ID.csv of one partition (test).")
    overwrite: bool = setting("Replace files of earlier predictions in out.")

    def __post_init__(self):
        super().__post_init__()
        self.partition = _partitions(self.partition)


@dataclass
class SummaryConfig:
    """Settings of `muse summary`."""

    sweep: str = setting("The folder of the sweep.")
    show_test: bool = setting("Test scores of all jobs, not only of the one best on devel.")
    job: JobInfo | None = None


@dataclass
class TableConfig:
    """Settings of `muse table`."""

    table: str = setting("The table: muse2021 (Table 3 of the MuSe 2021 paper).")
    tasks: Any = setting("Sub-challenges; null: all of the table.")
    features: Any = setting("Rows, feature sets; null: those of the table.")
    fusions: Any = setting("Rows, late fusions: null (those of the table) or [[a,b],[a,b,c]].")
    root: str = setting("Folder below which runs are looked for.")
    train: str = setting("no, or missing: train and fuse what no run has done.")
    settings: Any = setting("With train=missing: settings of the runs, {epochs:20,model.layers:1}.")
    fusion_settings: Any = setting("The same for the fusions; null: the published ones.")
    synthetic: bool | None = setting("Runs on synthetic data; null: where there are no others.")
    format: str = setting("terminal, markdown, latex or csv.")
    out: str | None = setting("File for the table; null: it is printed.")
    data: DataConfig = setting("The packages and the cache, for train=missing.")
    feature_sets: dict[str, FeatureSet] = setting("What is known of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        one_of("table", self.table, ("muse2021",))
        one_of("train", self.train, ("no", "missing"))
        one_of("format", self.format, ("terminal", "markdown", "latex", "csv"))
        for name in ("settings", "fusion_settings"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, dict):
                raise MuseError(f"{name}={value}: expected such as {{epochs:20,lr:0.002}}.")
        for name in ("tasks", "features"):
            if getattr(self, name) is not None:
                setattr(self, name, names_of(name, getattr(self, name)))
        if self.fusions is not None:
            if not isinstance(self.fusions, list):
                raise MuseError(f"fusions={self.fusions}: expected lists such as [[a,b],[a,b,c]].")
            self.fusions = [names_of("fusions", members) for members in self.fusions]


def _partitions(value: Any) -> list[str] | None:
    if value is None:
        return None
    names = names_of("partition", value)
    for name in names:
        one_of("partition", name, PARTITIONS)
    return names


def _seeds(value: Any) -> list[int]:
    """5 -> [101, ..., 105], as in the published baseline; a list stays what it is."""
    whole = [value] if not isinstance(value, list) else value
    if any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in whole) or not whole:
        raise MuseError(f"seeds={value}: expected a number of seeds, or a list such as [101,107].")
    if isinstance(value, list):
        if len(set(value)) < len(value):
            raise MuseError(f"seeds={value}: a seed is named twice; name each once.")
        return value
    at_least("seeds", value, 1)
    if value > 1000:
        raise MuseError(f"seeds={value}: expected at most 1000.")
    return list(range(101, 101 + value))


SCHEMAS = {
    "train": TrainConfig,
    "fuse": FuseConfig,
    "resume": ResumeConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "check": CheckConfig,
    "summary": SummaryConfig,
    "table": TableConfig,
    "gold": GoldConfig,
    "classes": ClassesConfig,
    "import": ImportConfig,
    "synth": SynthConfig,
}
