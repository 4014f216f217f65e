"""The commands of muse: what each does, and the dataclass of its settings."""

from typing import NamedTuple

from muse.config.annotate import AnnotateConfig
from muse.config.classes import ClassesConfig
from muse.config.compare import CompareConfig
from muse.config.difficulty import DifficultyConfig
from muse.config.export import ExportConfig
from muse.config.extract import ExtractConfig
from muse.config.fuse import FuseConfig
from muse.config.gold import GoldConfig
from muse.config.importing import ImportConfig
from muse.config.package import CheckConfig, SynthConfig
from muse.config.report import ReportConfig
from muse.config.table import RunsConfig, SummaryConfig, TableConfig
from muse.config.train import TrainConfig
from muse.config.tune import TuneConfig
from muse.config.use import (
    EvaluateConfig,
    PersonaliseConfig,
    PredictConfig,
    ResumeConfig,
    RetrainConfig,
)


class Command(NamedTuple):
    """What the command line must know of a command without importing it."""

    summary: str
    example: str
    bare_word: str | None  # the key that a word without `=` after the command stands for
    more: str | None = None  # the key of a list, of all further words without `=`


COMMANDS = {
    "train": Command(
        "Train a model on a sub-challenge, several seeds, and score it.",
        "muse train task=stress features=egemaps",
        "task",
    ),
    "fuse": Command(
        "Fuse the predictions of finished runs (late fusion), and score the fusion.",
        "muse fuse task=stress 'select.features=[egemaps,vggface]'",
        "task",
    ),
    "tune": Command(
        "Search settings by Optuna: trials that learn from each other, many of them cut short.",
        "muse tune task=stress features=egemaps trials=40 'lr=tag(log,interval(1e-4,1e-2))' "
        "'model.hidden=choice(32,64)'",
        "task",
    ),
    "summary": Command(
        "The leaderboard of a sweep or a study, and which setting matters.",
        "muse summary outputs/sweep/SWEEP",
        "sweep",
    ),
    "runs": Command(
        "List the runs below a folder, the newest first.",
        "muse runs task=stress state=finished",
        "root",
    ),
    "table": Command(
        "A table of a paper: published numbers beside those of your runs.",
        "muse table muse2021 'tasks=[stress]'",
        "table",
    ),
    "compare": Command(
        "Test whether finished runs differ by more than chance, recording by recording.",
        "muse compare outputs/train/RUN1 outputs/train/RUN2 partition=devel",
        "runs",
        "runs",
    ),
    "report": Command(
        "One page to look at: leaderboards, curves, predictions, comparisons, tables.",
        "muse report outputs out=report.html",
        "runs",
        "runs",
    ),
    "resume": Command(
        "Continue an interrupted training where it stood.",
        "muse resume outputs/train/RUN",
        "resume",
    ),
    "retrain": Command(
        "Train a finished run again, on train and devel together.",
        "muse retrain outputs/train/RUN",
        "retrain",
    ),
    "personalise": Command(
        "Train a finished run on for each subject, with recordings of their own.",
        "muse personalise run=outputs/train/RUN",
        "run",
    ),
    "evaluate": Command(
        "Score a trained model again, from its weights.",
        "muse evaluate run=outputs/train/RUN partition=devel",
        "run",
    ),
    "predict": Command(
        "Write the predictions of a trained model for a package.",
        "muse predict run=outputs/train/RUN data.root=data out=submission",
        "run",
    ),
    "annotate": Command(
        "Annotate recordings with a trained model: curves, pictures, subtitles, ELAN files.",
        "muse annotate talk.wav run=outputs/train/RUN view=true",
        "source",
        "source",
    ),
    "export": Command(
        "Put a trained model into one file with a model card, to share it.",
        "muse export outputs/train/RUN out=model.zip",
        "run",
    ),
    "check": Command(
        "Check a whole package: every fault at once, or its statistics.",
        "muse check task=stress",
        "task",
    ),
    "difficulty": Command(
        "Make difficulty indicators of feature sets, as feature sets of their own.",
        "muse difficulty task=stress features=egemaps",
        "task",
    ),
    "extract": Command(
        "Make a feature set out of recordings, with its provenance.",
        "muse extract hrv in=recordings/ecg out=data/my_package",
        "extractor",
        "source",
    ),
    "gold": Command(
        "Fuse raters' traces to one signal, the gold standard (RAAW, EWE, Physio).",
        "muse gold my_ratings/arousal unit=s out=data/c3_muse_stress",
        "raters",
    ),
    "classes": Command(
        "Make classes per segment, as in Sent, out of continuous signals.",
        "muse classes task=stress data.root=data out=data",
        "task",
    ),
    "import": Command(
        "Make a package out of CEAP-360VR, or of CSV files of your own.",
        "muse import ceap CEAP-360VR out=data",
        "dataset",
        "source",
    ),
    "synth": Command(
        "Write a synthetic package in the layout of the official one.",
        "muse synth task=stress out=data scale=0.2",
        "task",
    ),
}


SCHEMAS = {
    "train": TrainConfig,
    "fuse": FuseConfig,
    "report": ReportConfig,
    "tune": TuneConfig,
    "resume": ResumeConfig,
    "retrain": RetrainConfig,
    "personalise": PersonaliseConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "annotate": AnnotateConfig,
    "export": ExportConfig,
    "check": CheckConfig,
    "summary": SummaryConfig,
    "runs": RunsConfig,
    "table": TableConfig,
    "difficulty": DifficultyConfig,
    "compare": CompareConfig,
    "extract": ExtractConfig,
    "gold": GoldConfig,
    "classes": ClassesConfig,
    "import": ImportConfig,
    "synth": SynthConfig,
}
