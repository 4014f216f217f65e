"""The parts that settings are made of: tasks, feature sets, where data are; and their checks.

The values stand in configs/*.yaml. Units are part of the help. Nothing heavy is imported.
"""

from dataclasses import dataclass, field
from typing import Any

from muse.config.fields import Settings, one_of, setting
from muse.errors import MuseError

PARTITIONS = ("train", "devel", "test")
INDICATOR = "difficulty_"  # before the name of a feature set: that of its difficulty indicator


# loss -> the head that it trains, metric -> the head that it scores, see TaskConfig.head
LOSSES = {
    **dict.fromkeys(("ccc", "mse", "l1"), "regression"),
    "cross_entropy": "classes",
}
METRICS = {
    **dict.fromkeys(("ccc", "pearson"), "regression"),
    **dict.fromkeys(("f1", "uar", "micro_f1", "auc"), "classes"),
}


# whose settings are published: that of the baseline
PUBLISHED_MODEL = {"_target_": "muse.models.recurrent.Recurrent", "cell": "lstm"}


@dataclass
class PublishedModel:
    """Settings of a model as published; null: the paper does not say."""

    layers: int | None = setting("Recurrent layers.", default=None)
    hidden: int | None = setting("Hidden size of each layer and direction.", default=None)
    bidirectional: bool | None = setting("Read each recording in both directions.", default=None)
    lr: float | None = setting("Initial learning rate of Adam.", default=None)


@dataclass
class PublishedFor(PublishedModel):
    """What is published for one target or one feature set; null: for each."""

    target: str | None = setting("Target.", default=None)
    features: str | None = setting("Feature set.", default=None)


@dataclass
class Published(PublishedModel):
    """Settings that the challenge's paper gives for a task, and what differs from them."""

    by: list[PublishedFor] = field(default_factory=list)


def published_settings(published: dict | None, targets: list[str], features: list[str]) -> dict:
    """The published settings for a training on these targets and feature sets.

    Entries of `by` replace the settings of the task where the training has their target alone and
    their feature set alone: a run over two targets has one learning rate.
    """
    if not published:
        return {}
    given = {"target": targets, "features": features}
    taken = {key: value for key, value in published.items() if key != "by"}
    for entry in published.get("by") or []:
        if all(entry.get(key) is None or [entry[key]] == given[key] for key in given):
            taken |= {k: v for k, v in entry.items() if k not in given and v is not None}
    return {key: value for key, value in taken.items() if value is not None}


@dataclass
class PackageSize:
    """Published size of a package; only synthetic packages are made from it."""

    recordings: dict[str, int] = setting("Recordings per partition.")
    seconds: dict[str, float] = setting("Duration of each partition in seconds.")
    features: list[str] = setting("Feature sets of the package.")
    segments: dict[str, int] = field(default_factory=dict)  # per partition; only with classes
    shares: dict[str, list[float]] = field(default_factory=dict)  # target -> share of each class
    labels: list[str] = field(default_factory=list)  # in the package, beside those of the targets


@dataclass
class TaskConfig(Settings):
    """A sub-challenge: all that distinguishes one task from another is in here."""

    KEY = "task."

    name: str = setting("Name of the task.")
    title: str = setting("Name as published.", identity=False)
    corpus: str = setting("Corpus; the dimension of a feature set may depend on it.",
                          identity=False)  # fmt: skip
    folder: str = setting("Folder of the package below data.root.", identity="indirect")
    targets: list[str] = setting("Targets, each a folder of label_segments.", identity="indirect")
    classes: Any = setting("Number of classes per target, or target -> number; 0 for regression.")
    step: float = setting("Frame step in seconds.", above=0, identity="indirect")
    window: int = setting("Window length in frames.", low=1)
    hop: int = setting("Frames from one window's start to the next.", low=1)
    outside_segments: str = setting("Frames of train and devel outside any segment.",
                                    choices=("keep", "drop"))  # fmt: skip
    loss: str = setting("Training loss.", choices=LOSSES)
    metric: Any = setting("Score: ccc or pearson; f1 (macro), micro_f1, uar or auc; or weights: "
                          "{f1: 0.5, uar: 0.5}.")  # fmt: skip
    scored: Any = setting("Targets whose mean score picks the epoch of a joint model; null: all.",
                          names=True, null=True, implied=None, default=None)  # fmt: skip
    combined: Any = setting("Targets whose mean score is `combined` in the result; null: scored.",
                            names=True, null=True, implied=None, default=None)  # fmt: skip
    published: Published | None = setting("Published settings, defaults of the model and of lr.",
                                          identity="indirect", default=None)  # fmt: skip
    fusion: Published | None = setting("Published settings of the late fusion, defaults of `muse "
                                       "fuse`.", identity="indirect", default=None)  # fmt: skip
    size: PackageSize | None = setting("Published size, for `muse synth`.", identity=False,
                                       default=None)  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        self._check_classes()
        known = [*self.targets, *(self.classes if isinstance(self.classes, dict) else [])]
        for key in ("scored", "combined"):
            for target in getattr(self, key) or []:
                one_of(f"task.{key}", target, dict.fromkeys(known))
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

    def _check_classes(self) -> None:
        given = self.classes if isinstance(self.classes, dict) else {None: self.classes}
        least = 2 if isinstance(self.classes, dict) else 0
        for target, count in given.items():
            key = "task.classes" if target is None else f"task.classes.{target}"
            if isinstance(count, bool) or not isinstance(count, int) or count < least or count == 1:
                also = "" if least else "0 (regression), or "
                raise MuseError(f"{key}={count}: expected {also}2 or more.")
        for target in self.targets if None not in given else []:
            if target not in given:
                raise MuseError(
                    f"task.classes={self.classes}: expected a number for {target} as well, or one "
                    "number for all targets."
                )

    @property
    def head(self) -> str:
        """What a model gives for a target: `regression` (a value per frame) or `classes`."""
        return "classes" if self.classes else "regression"

    def check_target(self, target: str | None) -> None:
        """Raise a MuseError if there is no such target; without one all are taken."""
        if target is None or target in self.targets:
            return
        several = len(self.targets) > 1
        hint = " Without target= all are taken, one after another." if several else ""
        try:
            one_of("target", target, self.targets)
        except MuseError as error:
            raise MuseError(f"{error}{hint}") from None

    def classes_of(self, target: str) -> int:
        """The number of classes of a target; 0 for regression."""
        return self.classes[target] if isinstance(self.classes, dict) else self.classes

    def among(self, key: str, targets: list[str]) -> list[str]:
        """Those of ``targets`` that `scored` or `combined` names; all if it names none of them."""
        named = getattr(self, key) or (self.scored if key == "combined" else None) or []
        return [target for target in targets if target in named] or targets


@dataclass
class FeatureSet:
    """Metadata of a public feature set; a folder without an entry needs none."""

    modality: str = setting("audio, video, text or bio.")
    dimension: dict[str, int] = field(default_factory=dict)  # corpus -> columns
    standardise: Any = False  # true, false, or task -> targets for which it is standardised
    members: list[str] = field(default_factory=list)  # an alias: the folders it stands for
    words: bool = False  # a transcript: words with a start, see muse.data.transcript
    step: float | None = None  # seconds from row to row as published, if not that of the labels
    rate: int | None = None  # samples per second of sound: audio/<id>.wav of a package

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
class DataConfig(Settings):
    """Where the data are and how they are read."""

    KEY = "data."

    root: str | None = setting("Folder of the packages (environment: MUSE_DATA).",
                               identity="indirect")  # fmt: skip
    cache: str = setting("Folder of the float32 copies of the CSV files (environment: MUSE_CACHE).",
                         identity=False)  # fmt: skip
    readers: int | None = setting("CSV files read in parallel; null: one per core.", low=1,
                                  identity=False)  # fmt: skip


@dataclass
class JobInfo:
    """Where a command writes and how it was called; filled in by muse, not by the user."""

    folder: str
    command: str
    words: list[str] = field(default_factory=list)  # its settings, as `load_config` takes them
