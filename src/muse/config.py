"""The settings of every command: names, types, one-line help, and the checks across fields.

The values stand in configs/*.yaml; what is wrong there or on the command line fails here,
before any work starts. Units are part of the help. Nothing heavy is imported.
"""

from dataclasses import dataclass, field
from typing import Any

from muse.errors import MuseError, did_you_mean

PARTITIONS = ("train", "devel", "test")
LOSSES = ("ccc", "mse", "l1", "cross_entropy")
METRICS = ("ccc", "f1")


def setting(text: str) -> Any:
    """A field without a default (the YAML has it) that carries its line of help."""
    return field(metadata={"help": text})


@dataclass
class Published:
    """The settings that the challenge's paper found best for a task."""

    layers: int = setting("Recurrent layers.")
    hidden: int = setting("Hidden size of each layer and direction.")
    bidirectional: bool = setting("Read each recording in both directions.")
    lr: float = setting("Initial learning rate of Adam.")


@dataclass
class PackageSize:
    """Published size of a package; only synthetic packages are made from it."""

    recordings: dict[str, int] = setting("Recordings per partition.")
    seconds: dict[str, float] = setting("Duration of each partition in seconds.")
    features: list[str] = setting("Feature sets of the package.")
    segments: dict[str, int] = field(default_factory=dict)  # per partition; only with classes
    shares: dict[str, list[float]] = field(default_factory=dict)  # target -> share of each class


@dataclass
class TaskConfig:
    """A sub-challenge: all that distinguishes one task from another is in here."""

    name: str = setting("Name of the task.")
    title: str = setting("Name as published.")
    corpus: str = setting("Corpus; the dimension of a feature set may depend on it.")
    folder: str = setting("Folder of the package below data.root.")
    targets: list[str] = setting("Targets, each a folder of label_segments.")
    classes: int = setting("Number of classes per target; 0 for regression.")
    step: float = setting("Frame step in seconds.")
    window: int = setting("Window length in frames.")
    hop: int = setting("Frames from one window's start to the next.")
    outside_segments: str = setting("Frames of train and devel outside any segment: keep or drop.")
    loss: str = setting("Loss: ccc, mse, l1 or cross_entropy.")
    metric: str = setting("Score: ccc or f1 (macro).")
    published: Published = setting("Best settings of the paper, defaults of model and lr.")
    size: PackageSize | None = None

    def __post_init__(self):
        one_of("task.loss", self.loss, LOSSES)
        one_of("task.metric", self.metric, METRICS)
        one_of("task.outside_segments", self.outside_segments, ("keep", "drop"))
        if (self.classes > 0) != (self.metric == "f1"):
            raise MuseError(
                f"task {self.name}: metric {self.metric} with classes={self.classes}; "
                "ccc goes with classes=0, f1 with two or more."
            )


@dataclass
class FeatureSet:
    """What is known of a public feature set; an unknown folder needs no entry."""

    modality: str = setting("audio, video, text or bio.")
    dimension: dict[str, int] = field(default_factory=dict)  # corpus -> columns
    standardise: Any = False  # true, false, or task -> targets for which it is standardised
    members: list[str] = field(default_factory=list)  # an alias: the folders it stands for


@dataclass
class DataConfig:
    """Where the data are and how they are read."""

    root: str = setting("Folder of the packages (environment: MUSE_DATA).")
    cache: str = setting("Folder of the float32 copies of the CSV files (environment: MUSE_CACHE).")
    readers: int | None = setting("CSV files read side by side; null: one per core.")


@dataclass
class RunInfo:
    """Where a run writes and how it was called; filled in by muse, not by the user."""

    folder: str
    command: str


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
    threads: int = setting("Threads of PyTorch on the CPU; one is fastest.")
    bootstrap: int = setting("Resamples of recordings for the 95 % confidence interval; 0: none.")
    tensorboard: bool = setting("Write TensorBoard events beside metrics.jsonl.")
    data: DataConfig = setting("The packages and the cache.")
    feature_sets: dict[str, FeatureSet] = setting("What is known of the public feature sets.")
    run: RunInfo | None = None

    def __post_init__(self):
        self.features = _names("features", self.features)
        if self.standardise is not None and not isinstance(self.standardise, bool):
            self.standardise = _names("standardise", self.standardise)
        self.seeds = _seeds(self.seeds)
        if self.target is not None:
            one_of("target", self.target, self.task.targets)
        one_of("missing", self.missing, ("zero", "error"))
        one_of("loss", self.loss, LOSSES)
        one_of("ccc", self.ccc, ("sample", "biased"))
        if (self.loss == "cross_entropy") != (self.task.classes > 0):
            kind = "classes" if self.task.classes else "regression"
            raise MuseError(
                f"loss={self.loss} does not go with task={self.task.name} ({kind}): "
                "cross_entropy is for classes, ccc, mse and l1 for regression."
            )
        for name in ("window", "hop", "batch_size", "epochs", "patience", "threads"):
            _at_least(name, getattr(self, name), 1)
        for name in ("weight_decay", "lr_patience", "lr_floor", "bootstrap"):
            _at_least(name, getattr(self, name), 0)
        if self.data.readers is not None:
            _at_least("data.readers", self.data.readers, 1)
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
    run: RunInfo | None = None

    def __post_init__(self):
        if self.features is not None:
            self.features = _names("features", self.features)
        if not self.scale > 0:
            raise MuseError(f"scale={self.scale}: expected a number above 0; 1 is published size.")
        _at_least("seed", self.seed, 0)
        if self.task.size is None:
            raise MuseError(
                f"task {self.task.name} has no `size` in its YAML, so there is nothing to make a "
                "synthetic package from; see configs/task/stress.yaml."
            )


def one_of(key: str, value: str, known) -> None:
    """Raise a MuseError that lists the known values if ``value`` is none of them."""
    if value not in known:
        raise MuseError(
            f"{key}={value}: expected one of {', '.join(known)}.{did_you_mean(value, list(known))}"
        )


def _at_least(key: str, value: float, low: float) -> None:
    if not value >= low:
        raise MuseError(f"{key}={value}: expected {low} or more.")


def _names(key: str, value: Any) -> list[str]:
    """A name or a list of names, as a list of text: a folder may be called 12."""
    given = value if isinstance(value, list) else [value]
    names = [str(name) for name in given]
    if not names or "" in names or not all(isinstance(name, str | int) for name in given):
        raise MuseError(f"{key}={value}: expected a name, or a list of names such as [a,b].")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MuseError(f"{key}={value}: {', '.join(twice)} is named twice; name each once.")
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
    _at_least("seeds", value, 1)
    return list(range(101, 101 + value))
