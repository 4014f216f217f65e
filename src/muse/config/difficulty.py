"""Settings of the difficulty indicator, and of `muse difficulty`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, names_of, setting
from muse.config.shared import DataConfig, FeatureSet, JobInfo, TaskConfig


@dataclass
class AutoencoderConfig(Settings):
    """The auto-encoder of a difficulty indicator and its training (Hamieh et al. 2021)."""

    KEY = "difficulty."

    cell: str = setting("Recurrent layers of the auto-encoder.", choices=("gru", "lstm"))
    hidden: int = setting("Their hidden size, per direction.", low=1)
    layers: int = setting("Their number.", low=1)
    bidirectional: bool = setting("Read each recording in both directions.")
    dropout: float = setting("Dropout between them.", low=0, below=1)
    lr: float = setting("Initial learning rate of Adam.", above=0, high=10)
    batch_size: int = setting("Windows per training step.", low=1)
    epochs: int = setting("Epochs at most.", low=1)
    patience: int = setting("Epochs without a smaller error on devel before training stops.", low=1)
    lr_patience: int = setting("Epochs without a smaller error on devel before lr is halved, down "
                               "to 1e-5.", low=0)  # fmt: skip
    seed: int = setting("Seed of the auto-encoder; it is the same for all seeds of a run.", low=0)


@dataclass
class DifficultyConfig(Settings):
    """Settings of `muse difficulty`."""

    task: TaskConfig = setting("The sub-challenge.")
    features: Any = setting("Feature set, or several: each gets a difficulty indicator.",
                            names=True)  # fmt: skip
    target: str | None = setting("Target, if feature sets are standardised for some targets only.")
    standardise: Any = setting("To zero mean, unit variance: null (as published), true, false, "
                               "[names].")  # fmt: skip
    standardise_over: str = setting("Training frames: each once (frames), or once for each of the "
                                    "overlapping windows that it is in (windows).",
                                    choices=("frames", "windows"))  # fmt: skip
    missing: str = setting("NaN features: zero (after standardisation), or error.",
                           choices=("zero", "error"))  # fmt: skip
    storage: str = setting("Features in the cache: float32, or float16 (half the size).",
                           choices=("float32", "float16"))  # fmt: skip
    recordings: int | None = setting("Only the first recordings of each partition; null: all.",
                                     low=1)  # fmt: skip
    window: int = setting("Window length in frames, for training.", low=1)
    hop: int = setting("Frames from one window's start to the next.", low=1)
    device: str = setting("auto (a GPU where there is one), cpu, cuda or cuda:1.")
    precision: str = setting("Of the model's arithmetic: float32, or bf16 (faster, rounds more).",
                             choices=("float32", "bf16"))  # fmt: skip
    threads: int = setting("Threads of PyTorch on the CPU; one is fastest.", low=1)
    out: str = setting("Folder that gets feature_segments/difficulty_SET; also that of a package.")
    difficulty: AutoencoderConfig = setting("The auto-encoder.")
    data: DataConfig = setting("The packages and the cache.")
    feature_sets: dict[str, FeatureSet] = setting("Metadata of the public feature sets.")
    job: JobInfo | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.standardise is not None and not isinstance(self.standardise, bool):
            self.standardise = names_of("standardise", self.standardise)
        self.task.check_target(self.target)
