"""The settings of `muse classes`. Nothing heavy is imported."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from muse.config.fields import Settings, setting, within
from muse.config.shared import DataConfig, FeatureSet, JobInfo, TaskConfig
from muse.errors import MuseError

SEEDS = 2**32 - 1  # of scikit-learn, less the one after the seed that tells how stable classes are
ALGORITHMS = ("kmeans", "gmm", "quantiles")


@dataclass
class Recipe(Settings):
    """How the classes of a target are made."""

    algorithm: str = setting("kmeans, gmm (Gaussian mixture) or quantiles (of the segment mean).",
                             choices=ALGORITHMS)  # fmt: skip
    components: int = setting("Principal components of the segment features.", low=1)
    features: list[str] = setting("Segment features.", names=True)
    classes: int = 0  # filled in by `ClassesConfig.candidates`

    def __post_init__(self):
        super().__post_init__()
        if self.components > len(self.features):
            raise MuseError(
                f"components={self.components}: there are {len(self.features)} segment features, "
                f"so at most as many components: components={len(self.features)}."
            )


@dataclass
class ClassesConfig(Settings):
    """Settings of `muse classes`."""

    task: TaskConfig = setting("The task with the continuous signals.")
    to: TaskConfig = setting("The task of the new package, with classes (task@to=NAME).")
    target: str | None = setting("One target of the task; null: each in turn.")
    segments: str | None = setting("Folder of limits, ID.csv with start,end,segment_id (ms); "
                                   "null: the segment_id of the package.")  # fmt: skip
    align: str | None = setting("Feature sets with time steps of their own: null (rows must "
                                "correspond), or labels: the frames are the rows of the labels.",
                                choices=("labels",))  # fmt: skip
    algorithm: Any = setting("kmeans, gmm or quantiles; null: as the recipe; a list: search.",
                             names=True, null=True)  # fmt: skip
    classes: Any = setting("Classes of each target; null: as task@to; a list: search.")
    components: Any = setting("Principal components; null: as the recipe; a list: search.")
    segment_features: Any = setting("Segment features; null: as the recipe.", names=True, null=True)
    peak_support: int = setting("Frames on each side that a peak exceeds.", low=1)
    rescale: str = setting("Components to [-1, 1] on train before clustering: minmax, or none.",
                           choices=("minmax", "none"))  # fmt: skip
    assign: str = setting("Class of devel and test: centre (nearest), or probability (of gmm).",
                          choices=("centre", "probability"))  # fmt: skip
    smallest: float = setting("Smallest class allowed, as a share of the chance level.",
                              low=0, high=1)  # fmt: skip
    too_small: str = setting("A smaller class: warn, or refuse.", choices=("warn", "refuse"))
    seed: int = setting("Seed of the random starts.", low=0, high=SEEDS - 1)
    starts: int = setting("Random starts of the clusters; the best of them is taken.", low=1)
    features: Any = setting("Feature sets to take along: null (all), a name or a list.",
                            names=True, null=True)  # fmt: skip
    link: bool = setting("Link feature files; false: copy them (needed to move the package).")
    out: str = setting("Folder for the new package, which becomes a folder of it.")
    recipes: dict[str, Recipe] = setting("How classes are made: per target, `other` for the rest.")
    data: DataConfig = setting("The packages and the cache.")
    feature_sets: dict[str, FeatureSet] = setting("Metadata of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.task.head, self.to.head) != ("regression", "classes"):
            raise MuseError(
                f"task={self.task.name}, task@to={self.to.name}: expected a task with continuous "
                "signals, such as stress, and for the new package one with classes, such as sent."
            )
        self.task.check_target(self.target)
        for target in self.targets:
            if target not in self.to.targets:
                raise MuseError(
                    f"target={target}: {self.to.title} has the targets {', '.join(self.to.targets)}"
                    ". Give another target=, or a task of your own for the new package with "
                    "task@to=NAME."
                )
        if "other" not in self.recipes:
            raise MuseError("recipes: expected one for each target, or `other` for all the rest.")
        if self.classes is not None:
            self.classes = _numbers("classes", self.classes, 2)
        if self.components is not None:
            self.components = _numbers("components", self.components, 1)
        if self.data.root is None:
            raise MuseError("data.root=null: expected the folder of the packages.")
        for target in self.targets:
            self.candidates(target)

    @property
    def signals(self) -> TaskConfig:
        """The task of the signals; with other segments, all frames are kept for them."""
        return replace(self.task, outside_segments="keep") if self.segments else self.task

    @property
    def targets(self) -> list[str]:
        """The targets whose classes are made: the one asked for, or all of the task."""
        return [self.target] if self.target else list(self.task.targets)

    @property
    def search(self) -> bool:
        """Whether several recipes are to be compared, and none is used."""
        return any(len(self.candidates(target)) > 1 for target in self.targets)

    def candidates(self, target: str) -> list[Recipe]:
        """The recipes of a target: its own with what the settings say otherwise, one per choice."""
        recipe = self.recipes.get(target, self.recipes["other"])
        features = self.segment_features or recipe.features
        return [
            replace(recipe, algorithm=algorithm, classes=classes, components=components,
                    features=features)
            for algorithm, classes, components in product(
                self.algorithm or [recipe.algorithm],
                self.classes or [self.to.classes_of(target)],
                self.components or [recipe.components],
            )
        ]  # fmt: skip


def _numbers(key: str, value: Any, low: int) -> list[int]:
    """A whole number of at least ``low``, or a list of them, as a list."""
    given = value if isinstance(value, list) else [value]
    if not given or any(isinstance(v, bool) or not isinstance(v, int) for v in given):
        raise MuseError(f"{key}={value}: expected a whole number, or a list such as [3,5].")
    for number in given:
        within(key, number, low=low)
    if len(set(given)) < len(given):
        raise MuseError(f"{key}={value}: a number is named twice; name each once.")
    return given
