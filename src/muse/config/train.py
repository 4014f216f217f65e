"""Settings of `muse train`."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from muse.config.difficulty import AutoencoderConfig
from muse.config.fields import Settings, is_number, names_of, setting, within
from muse.config.origin import SUBJECTS, Personalised, Retrained, SplitConfig
from muse.config.shared import (
    INDICATOR,
    LOSSES,
    PUBLISHED_MODEL,
    DataConfig,
    FeatureSet,
    JobInfo,
    Published,
    TaskConfig,
    published_settings,
)
from muse.errors import MuseError


@dataclass
class TrainConfig(Settings):
    """Settings of `muse train`."""

    task: TaskConfig = setting("The sub-challenge.")
    model: Any = setting("The model: `_target_`, its class, and the class's keyword arguments.")
    features: Any = setting("Feature set, or several for early fusion: [egemaps,vggface].",
                            names=True)  # fmt: skip
    target: str | None = setting("One target of the task; null trains each in turn.")
    joint: bool = setting("One model with one output per target instead of one model each.")
    standardise: Any = setting("To zero mean, unit variance: null (as published), true, false, "
                               "[names].")  # fmt: skip
    standardise_over: str = setting("Training frames: each once (frames), or once for each of the "
                                    "overlapping windows that it is in (windows).",
                                    choices=("frames", "windows"), implied="frames")  # fmt: skip
    missing: str = setting("NaN features: zero (after standardisation), error, or drop (leave such "
                           "frames of train and devel out, and those without a label).",
                           choices=("zero", "error", "drop"))  # fmt: skip
    align: str | None = setting("Feature sets with time steps of their own: null (rows must "
                                "correspond), or what their frames become: labels, words, or own "
                                "(of labels, with all rows of a set that are in a frame).",
                                choices=("labels", "words", "own"), implied=None)  # fmt: skip
    tokenizer: str | None = setting("Folder of the tokenizer.json by which words become tokens, "
                                    "the frames of a transcript; null: features are numbers.",
                                    identity="indirect")  # fmt: skip
    storage: str = setting("Features in the cache: float32, or float16 (half the size).",
                           choices=("float32", "float16"))  # fmt: skip
    recordings: int | None = setting("Only the first recordings of each partition; null: all.",
                                     low=1)  # fmt: skip
    best_on: str = setting("Partition whose score picks epoch and seed: devel, or train to debug.",
                           choices=("devel", "train"))  # fmt: skip
    window: int = setting("Window length in frames, for training.", low=1)
    hop: int = setting("Frames from one window's start to the next.", low=1)
    loss: str = setting("Training loss.", choices=LOSSES)
    loss_over: str = setting("A CCC for each window, averaged (window), or one over all frames of "
                             "a training step (batch).", choices=("window", "batch"),
                             implied="window")  # fmt: skip
    class_weights: str | None = setting("Of the cross-entropy: null (each segment counts the same) "
                                        "or balanced (each class of train does).",
                                        choices=("balanced",), implied=None)  # fmt: skip
    ccc: str = setting("Variance of the CCC score: sample (n - 1, 2021) or biased (n, 2023).",
                       choices=("sample", "biased"))  # fmt: skip
    lr: float = setting("Initial learning rate of Adam.", above=0, high=10)
    warmup: float | None = setting("Share of all training steps in which lr rises from 0; then it "
                                   "falls, both linearly, to 0 at the last step. null: lr is only "
                                   "reduced by lr_patience.", low=0, below=1,
                                   implied=None)  # fmt: skip
    weight_decay: float = setting("L2 penalty of Adam.", low=0)
    clip: float | None = setting("Largest norm of the gradient of all weights together, which is "
                                 "scaled down to it; null: any.", above=0,
                                 implied=None)  # fmt: skip
    noise: float = setting("Standard deviation of Gaussian noise that training adds to the "
                           "(standardised) features.", low=0, implied=0.0)  # fmt: skip
    batch_size: int = setting("Windows per training step.", low=1)
    epochs: int = setting("Epochs at most.", low=1)
    patience: int | None = setting("Epochs without a better devel score before training stops; "
                                   "null: all epochs are trained.", low=1)  # fmt: skip
    lr_on: str = setting("What lr_patience waits for: a better devel score, or a lower training "
                         "loss (mean of the epoch).", choices=("devel", "loss"),
                         implied="devel")  # fmt: skip
    lr_patience: int = setting("Epochs without a better devel score (or a lower loss, see lr_on) "
                               "before lr is reduced.", low=0)  # fmt: skip
    lr_factor: float = setting("Factor of that reduction.", above=0, below=1)
    lr_floor: float = setting("Lowest learning rate.", low=0)
    seeds: Any = setting("Number of seeds (101, 102, ...), or a list of them: [101,107].")
    device: str = setting("auto (a GPU where there is one), cpu, cuda or cuda:1.", identity=False)
    precision: str = setting("Of the model's arithmetic: float32, or bf16 (faster, rounds more).",
                             choices=("float32", "bf16"))  # fmt: skip
    threads: int = setting("Threads of PyTorch on the CPU; one is fastest.", low=1, implied=1)
    crossfit: int = setting("Folds for out-of-fold predictions of train, for `muse fuse`; 0: none.",
                            low=0)  # fmt: skip
    keep_seeds: bool = setting("Keep the predictions of every seed, for `muse fuse seeds=all`.",
                               identity=False)  # fmt: skip
    folds: Any = setting("Cross-validation: number of folds, loso (leave one recording or group "
                         "out), or null: none.", implied=None)  # fmt: skip
    groups: str | None = setting("CSV file with the columns id,group: no group, such as a person, "
                                 "is on two sides of a split.", identity="indirect")  # fmt: skip
    inner_devel: float = setting("With folds: share of the other groups that picks epoch and seed.",
                                 above=0, below=1, implied=0.2)  # fmt: skip
    train_share: float = setting("Share of the training recordings (or groups) that is used; a "
                                 "smaller one is part of a larger.", above=0, high=1,
                                 implied=1.0)  # fmt: skip
    learning_curve: Any = setting("Train with each of these shares, and report score against share:"
                                  " [0.25,0.5,1].", identity=False)  # fmt: skip
    bootstrap: int = setting("Resamples of recordings for the 95 % confidence interval; 0: none.",
                             low=0, high=1_000_000)  # fmt: skip
    plots: bool = setting("Draw the pictures in plots/; without them thousands of small jobs take "
                          "much less time.", identity=False)  # fmt: skip
    tensorboard: bool = setting("Write TensorBoard events beside metrics.jsonl.", identity=False)
    jobs_per_device: int | None = setting("Jobs of a sweep that share a GPU at a time; null: as "
                                          "many as cores and memory allow.", low=1,
                                          identity=False)  # fmt: skip
    workers: int = setting("Seeds, or jobs of a sweep, trained in parallel; -1: one per core, never"
                           " more.", identity=False)  # fmt: skip
    population: Any = setting("Models of one shape (seeds, folds, subjects, jobs of a sweep; only "
                              "lstm, gru and plain) that train together: auto, off, or how many at "
                              "most.",
                              identity=False)  # fmt: skip
    kernel: str = setting("How a population computes recurrent layers: products (of PyTorch, for "
                          "each frame) or triton (all frames at once; needs a GPU and the package "
                          "triton, which PyTorch with CUDA installs on Linux). No effect on models "
                          "trained alone.",
                          choices=("products", "triton"), identity=False)  # fmt: skip
    rerun: str = setting("Which jobs a sweep trains again: failed (and missing), all or none.",
                         choices=("failed", "all", "none"), identity=False)  # fmt: skip
    show_test: bool = setting("Test scores of all jobs in the leaderboard, not of the best alone.",
                              identity=False)  # fmt: skip
    data: DataConfig = setting("The packages and the cache.", identity="indirect")
    feature_sets: dict[str, FeatureSet] = setting("Metadata of the public feature sets.",
                                                  identity="indirect")  # fmt: skip
    difficulty: AutoencoderConfig | None = setting("The auto-encoder of feature sets difficulty_X.",
                                                   implied=None, default=None)  # fmt: skip
    job: JobInfo | None = setting("Filled in by muse.", identity=False, default=None)
    retrained: Retrained | None = setting("Filled in by muse retrain.", implied=None, default=None)
    split: SplitConfig | None = setting("Parts of test that may be learnt from.", implied=None,
                                        default=None)  # fmt: skip
    personalised: Personalised | None = setting("Filled in by muse personalise.", implied=None,
                                                default=None)  # fmt: skip
    fusion: ClassVar[bool] = False  # whether members are fused: the one place that knows

    def __post_init__(self):
        super().__post_init__()
        if self.standardise is not None and not isinstance(self.standardise, bool):
            self.standardise = names_of("standardise", self.standardise)
        if not self.has_indicator:
            self.difficulty = None  # of no effect, so no part of the run id
        if self.split and self.split.method == "given":
            self.split = None
        if self.population is False:  # `off` in YAML
            self.population = "off"
        self.seeds = self._list_seeds()
        self.task.check_target(self.target)
        self._check_loss()
        self._check_parallel()
        self._check_splits()
        if self.data.root is None:
            raise MuseError("data.root=null: expected the folder of the packages.")
        if self.tokenizer:
            self._check_transcript()
        if self.hop > self.window:
            raise MuseError(
                f"hop={self.hop} is longer than window={self.window}: the frames between two "
                "windows would never be seen. Give a hop of at most the window."
            )
        if not isinstance(self.model, dict) or not self.model.get("_target_"):
            raise MuseError("model has no _target_: expected the class to build, or model=lstm.")

    def _list_seeds(self) -> list[int] | str:
        """5 -> [101, ..., 105], as in the published baseline; a list stays what it is."""
        seeds = self.seeds
        whole = seeds if isinstance(seeds, list) else [seeds]
        if any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in whole) or not whole:
            raise MuseError(
                f"seeds={seeds}: expected a number of seeds, or a list such as [101,107]."
            )
        if isinstance(seeds, list):
            if len(set(seeds)) < len(seeds):
                raise MuseError(f"seeds={seeds}: a seed is named twice; name each once.")
            return seeds
        within("seeds", seeds, low=1, high=1000)
        return list(range(101, 101 + seeds))

    def _check_loss(self) -> None:
        """Raise MuseError for a loss that does not go with the task, or its settings with it."""
        if LOSSES[self.loss] != self.task.head:
            known = ", ".join(loss for loss, head in LOSSES.items() if head == self.task.head)
            raise MuseError(
                f"loss={self.loss} does not go with task={self.task.name} ({self.task.head}): "
                f"expected one of {known}."
            )
        if self.loss == "ccc" and self.window < 2:
            raise MuseError("window=1 with loss=ccc: a CCC needs two frames or more.")
        if self.loss != "ccc" and self.loss_over == "batch":
            raise MuseError(
                f"loss_over=batch with loss={self.loss}: only a CCC differs between windows and "
                "batch; this loss is a mean over all that is in the batch already. Give "
                "loss_over=window."
            )
        if self.class_weights and self.loss != "cross_entropy":
            raise MuseError(
                f"class_weights={self.class_weights} with loss={self.loss}: only a task with "
                "classes has such weights. Give class_weights=null."
            )

    def _check_parallel(self) -> None:
        """Raise MuseError for numbers of workers or of models that train together, if not valid."""
        if self.workers < 1 and self.workers != -1:
            raise MuseError(f"workers={self.workers}: expected 1 or more, or -1 for one per core.")
        several = is_number(self.population) and self.population == int(self.population) >= 2
        if not several and self.population not in ("auto", "off"):
            raise MuseError(
                f"population={self.population}: expected auto, off, or how many models train "
                "together at most, 2 or more."
            )

    def _check_splits(self) -> None:
        """Raise MuseError for settings of folds and learning curves that are not allowed."""
        if self.crossfit == 1:
            raise MuseError("crossfit=1: expected two folds or more, or 0 for none.")
        whole = isinstance(self.folds, int) and not isinstance(self.folds, bool) and self.folds > 1
        subjects = self.personalised is not None and self.folds == SUBJECTS
        if not (self.folds in (None, "loso") or whole or subjects):
            raise MuseError(f"folds={self.folds}: expected two folds or more, loso, or null.")
        if self.folds and self.crossfit:
            raise MuseError(
                f"folds={self.folds} crossfit={self.crossfit} exclude each other: with folds all "
                "predictions are out-of-fold. Give one of them."
            )
        if self.folds and self.keep_seeds:
            raise MuseError(
                f"folds={self.folds} keep_seeds=true exclude each other: with folds the best seed "
                "of each fold predicts the recordings that it holds out. Give one of them."
            )
        if self.learning_curve is not None:
            self._check_learning_curve()

    def _check_learning_curve(self) -> None:
        """Raise MuseError if its shares are not numbers of (0, 1], each there once."""
        shares = self.learning_curve
        if not isinstance(shares, list) or not shares or not all(map(is_number, shares)):
            raise MuseError(
                f"learning_curve={shares}: expected a list of shares such as [0.25,0.5,1]."
            )
        for share in shares:
            within("learning_curve", share, above=0, high=1)
        if len({float(share) for share in shares}) < len(shares):
            raise MuseError(f"learning_curve={shares}: a share is named twice; name each once.")

    def _check_transcript(self) -> None:
        """Raise MuseError for settings that do not go with tokens, which are no numbers."""
        wrong = {
            f"task={self.task.name} (a value per frame)": self.task.head != "classes",
            f"features={self.features} (with a transcript there is nothing else)": (
                self.fusion or len(self.features) != 1 or self.has_indicator
            ),
            f"align={self.align}": self.align,
            f"standardise={self.standardise}": self.standardise,
            f"noise={self.noise:g}": self.noise,
        }
        for found, there in wrong.items():
            if there:
                raise MuseError(
                    f"tokenizer={self.tokenizer} does not go with {found}: the frames are tokens, "
                    "read per segment. Leave one of the two out."
                )

    @property
    def sets(self) -> list[str]:
        """The feature sets and aliases that are read of the package."""
        return self.features

    @property
    def has_indicator(self) -> bool:
        """Whether one of these is called as a difficulty indicator is."""
        return any(name.startswith(INDICATOR) for name in self.sets)

    @property
    def targets(self) -> list[str]:
        """The targets to train: the one asked for, or all of the task."""
        return [self.target] if self.target else list(self.task.targets)

    def describe(self, features: list[str]) -> str:
        """What the model reads, in words; ``features`` without aliases."""
        return " + ".join(features)

    def published(self) -> Published | None:
        """Where the defaults of the model and of lr come from."""
        return self.task.published

    def as_published(self) -> dict[str, Any]:
        """The settings that are as published for these targets and features: name -> value.

        What is published are settings of the LSTM: of other models nothing is as published.
        """
        if {name: self.model.get(name) for name in PUBLISHED_MODEL} != PUBLISHED_MODEL:
            return {}
        source = self.published()
        known = published_settings(source and asdict(source), self.targets, self.features or [])
        own = {"lr": self.lr} | {f"model.{name}": value for name, value in self.model.items()}
        names = {name: "lr" if name == "lr" else f"model.{name}" for name in known}
        return {names[k]: v for k, v in known.items() if own.get(names[k]) == v}
