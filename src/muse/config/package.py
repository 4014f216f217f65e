"""Settings of the commands that make or check a package."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.shared import DataConfig, FeatureSet, JobInfo, TaskConfig
from muse.errors import MuseError


@dataclass
class SynthConfig(Settings):
    """Settings of `muse synth`."""

    task: TaskConfig = setting("The sub-challenge.")
    out: str = setting("Folder to write into; the package becomes a folder of it.")
    scale: float = setting("Share of the published number of recordings (at least 2 a partition).",
                           above=0)  # fmt: skip
    features: Any = setting("Feature sets to write: null (all of the package), a name or a list.",
                            names=True, null=True)  # fmt: skip
    own_steps: bool = setting(
        "Sets with a step of their own (lld) at that step, text as words with "
        "start and end; to be read with align=labels, words or own."
    )
    seed: int = setting("Seed: the same seed writes the same files.", low=0)
    overwrite: bool = setting("Replace a synthetic package that is there already.")
    feature_sets: dict[str, FeatureSet] = setting("Metadata of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.task.size is None:
            raise MuseError(
                f"task {self.task.name} has no `size` in its YAML, so there is nothing to make a "
                "synthetic package from; see configs/task/stress.yaml."
            )


@dataclass
class CheckConfig(Settings):
    """Settings of `muse check`."""

    task: TaskConfig = setting("The sub-challenge.")
    features: Any = setting("Feature sets to check: null (all of the package), a name or a list.",
                            names=True, null=True)  # fmt: skip
    align: str | None = setting("Feature sets with time steps of their own: null, labels, words or "
                                "own, as in `muse train`.",
                                choices=("labels", "words", "own"))  # fmt: skip
    tokenizer: str | None = setting("Folder with the tokenizer.json for a transcript; null: "
                                    "transcripts are not checked.")  # fmt: skip
    out: str = setting("Folder of the report; a new one for each call.")
    data: DataConfig = setting("The packages and the cache.")
    feature_sets: dict[str, FeatureSet] = setting("Metadata of the public feature sets.")
    job: JobInfo | None = None
