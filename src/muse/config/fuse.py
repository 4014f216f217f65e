"""Settings of `muse fuse`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from muse.config.fields import Settings, names_of, one_of, setting
from muse.config.shared import Published
from muse.config.train import TrainConfig
from muse.errors import MuseError

ALL_SEEDS = "all"  # value of seeds: what is fused are the seeds of the runs


@dataclass
class SelectConfig(Settings):
    """Which runs to fuse if they are not named."""

    KEY = "select."

    features: Any = setting("Feature sets; for each the run that is best on devel.",
                            names=True, null=True)  # fmt: skip
    root: str = setting("Folder below which runs are looked for.")


@dataclass(kw_only=True)
class FuseConfig(TrainConfig):
    """Settings of `muse fuse`: those of the training of the fusion, and what is fused.

    ``features`` are the names of the members once they are chosen, null before.
    """

    features: Any = setting("Filled in by muse: the names of the members.", names=True, null=True)
    target: str | None = setting("The target whose predictions are fused; null fuses each in turn.")
    runs: Any = setting("Run folders (latest: the newest finished run below outputs), or folders "
                        "of predictions made elsewhere: [RUN,RUN]; or for each target its own: "
                        "{valence:[RUN,RUN],arousal:[RUN,RUN]}.",
                        identity="indirect")  # fmt: skip
    select: SelectConfig = setting("Choose the runs instead of naming them.", identity="indirect")
    beside: Any = setting("Feature sets of the package beside the predictions, such as "
                          "[difficulty_egemaps].", names=True, null=True, implied=None)  # fmt: skip
    method: str = setting("lstm (trained), mean, or weighted (mean by devel score).",
                          choices=("lstm", "mean", "weighted"))  # fmt: skip
    out_of_fold: bool = setting("Fit on out-of-fold predictions of train (runs with crossfit=5).")
    seeds: Any = setting("Number of seeds (101, 102, ...), or a list of them: [101,107]; all: fuse "
                         "the seeds of the runs (trained with keep_seeds=true).")  # fmt: skip
    fusion: ClassVar[bool] = True

    def __post_init__(self):
        self._check_runs()
        if (self.runs is None) == (self.select.features is None):
            raise MuseError(
                "expected either runs=[RUN,RUN], folders of finished runs, or "
                "select.features=[egemaps,vggface], for each of which the best run is taken."
            )
        for members in self.members.values():
            if _count(members) < 2 and self.seeds != ALL_SEEDS:
                key = "select.features" if self.runs is None else "runs"
                given = ", ".join(names_of(key, members))
                raise MuseError(
                    f"{key}={given}: a fusion needs two runs or more, or with seeds=all the seeds "
                    "of one."
                )
        if self.features and (not self.runs or _count(self.features) != _count(self.runs)):
            raise MuseError("features: the feature sets to fuse are select.features.")
        super().__post_init__()
        if self.beside and self.method != "lstm":
            raise MuseError(
                f"method={self.method} is a mean of predictions, in which beside= has "
                "no place: expected method=lstm."
            )
        if self.seeds == ALL_SEEDS and self.method == "lstm":
            raise MuseError(
                "seeds=all with method=lstm: the seeds of the runs are averaged. Expected "
                "method=mean or method=weighted."
            )
        if self.learning_curve:
            raise MuseError("learning_curve is for muse train; expected null.")
        if self.folds and self.method == "weighted":
            raise MuseError(
                "folds with method=weighted: the weights are chosen on devel, which the folds "
                "would score. Use method=mean or method=lstm."
            )

    def _list_seeds(self) -> list[int] | str:
        return ALL_SEEDS if self.seeds == ALL_SEEDS else super()._list_seeds()

    def _check_runs(self) -> None:
        """Make the runs lists; of those of several targets, where one is asked for, its own."""
        if not isinstance(self.runs, dict):
            self.runs = self.runs if self.runs is None else names_of("runs", self.runs)
            return
        known = self.task.targets
        for name in self.runs:
            one_of("runs", name, known)
        self.runs = {name: names_of(f"runs.{name}", own) for name, own in self.runs.items()}
        lacking = [name for name in self.targets if name not in self.runs]
        if lacking:
            raise MuseError(
                f"runs: no members of {', '.join(lacking)}. Name them, or give one target of "
                f"{', '.join(self.runs)}: target=NAME"
            )
        if self.target is not None:
            self.runs = self.runs[self.target]

    @property
    def members(self) -> dict[str, list[str]]:
        """Target -> its runs, or the feature sets for which they are chosen."""
        if isinstance(self.runs, dict):
            return self.runs
        return dict.fromkeys(self.targets, self.runs or self.select.features)

    @property
    def sets(self) -> list[str]:
        return self.beside or []

    def describe(self, features: list[str]) -> str:
        how = {"lstm": "late fusion", "mean": "mean", "weighted": "weighted mean"}[self.method]
        return f"{how} of {super().describe(features)}"

    def published(self) -> Published | None:
        return self.task.fusion


def _count(names: Any) -> int:
    return len(names) if isinstance(names, list) else 1
