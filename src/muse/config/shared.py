"""The parts that settings are made of: tasks, feature sets, where data are; and their checks.

The values stand in configs/*.yaml. Units are part of the help. Nothing heavy is imported.
"""

from dataclasses import dataclass, field
from typing import Any

from muse.config.fields import at_least, one_of, setting
from muse.errors import MuseError

PARTITIONS = ("train", "devel", "test")


# loss -> the head that it trains, metric -> the head that it scores, see TaskConfig.head
LOSSES = {
    **dict.fromkeys(("ccc", "mse", "l1"), "regression"),
    "cross_entropy": "classes",
}
METRICS = {
    **dict.fromkeys(("ccc", "pearson"), "regression"),
    **dict.fromkeys(("f1", "uar", "micro_f1", "auc"), "classes"),
}


@dataclass
class Published:
    """Settings of a model that the challenge's paper gives for a task."""

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
    metric: Any = setting(
        "Score: ccc or pearson; f1 (macro), micro_f1, uar or auc; or weights: {f1: 0.5, uar: 0.5}."
    )
    published: Published = setting("Best settings of the paper, defaults of model and lr.")
    fusion: Published = setting("Published settings of the late fusion, defaults of `muse fuse`.")
    size: PackageSize | None = None

    def __post_init__(self):
        one_of("task.loss", self.loss, LOSSES)
        one_of("task.outside_segments", self.outside_segments, ("keep", "drop"))
        if self.classes < 0 or self.classes == 1:
            raise MuseError(f"task.classes={self.classes}: expected 0 (regression), or 2 or more.")
        weights = self.metric if isinstance(self.metric, dict) else {self.metric: 1}
        for name, weight in weights.items():
            one_of("task.metric", name, METRICS)
            if METRICS[name] != self.head:
                known = ", ".join(metric for metric, head in METRICS.items() if head == self.head)
                raise MuseError(
                    f"task {self.name}: metric {name} with classes={self.classes}; expected one of "
                    f"{known}."
                )
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
                raise MuseError(f"task.metric.{name}={weight}: expected a weight above 0.")
        if not weights:
            raise MuseError("task.metric={}: expected a metric, or weights of metrics.")

    @property
    def head(self) -> str:
        """What a model gives for a target: `regression` (a value per frame) or `classes`."""
        return "classes" if self.classes else "regression"


@dataclass
class FeatureSet:
    """What is known of a public feature set; an unknown folder needs no entry."""

    modality: str = setting("audio, video, text or bio.")
    dimension: dict[str, int] = field(default_factory=dict)  # corpus -> columns
    standardise: Any = False  # true, false, or task -> targets for which it is standardised
    members: list[str] = field(default_factory=list)  # an alias: the folders it stands for

    def __post_init__(self):
        rule = self.standardise
        if isinstance(rule, bool) or (
            isinstance(rule, dict) and all(isinstance(targets, list) for targets in rule.values())
        ):
            return
        raise MuseError(
            f"feature_sets: standardise={rule}: expected true, false, or for each task a list of "
            "targets such as {stress: [arousal]}."
        )


@dataclass
class DataConfig:
    """Where the data are and how they are read."""

    root: str | None = setting("Folder of the packages (environment: MUSE_DATA).")
    cache: str = setting("Folder of the float32 copies of the CSV files (environment: MUSE_CACHE).")
    readers: int | None = setting("CSV files read side by side; null: one per core.")

    def __post_init__(self):
        if self.readers is not None:
            at_least("data.readers", self.readers, 1)


@dataclass
class JobInfo:
    """Where a command writes and how it was called; filled in by muse, not by the user."""

    folder: str
    command: str
