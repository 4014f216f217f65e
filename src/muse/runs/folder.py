"""The run folder: what a run leaves behind, and all that later stages read.

status.json          running, finished, interrupted, failed (with the reason), or pruned by
                     `muse tune`, with the score at that epoch
config.yaml          every setting, with the command in its first line
metrics.jsonl        one line per target, seed and epoch: the source of TensorBoard's curves; with
                     loss=ccc `train` is the mean CCC of the training windows (1 - loss)
weights/TARGET.safetensors       weights of the best seed, scaling, and how to build the model
weights/TARGET_without_devel.safetensors   of a model that is fitted (muse.training.fit): weights of
                     train alone, which predict train and devel; those of TARGET are of both
weights/difficulty_X.safetensors the same of the auto-encoder of a difficulty indicator
predictions/TARGET/PARTITION/ID.csv   timestamp, segment_id, value; the challenge's format
logits/…             with classes: one row per frame, c_0, c_1, …
weights/pretrained/   config.json and tokenizer.json of a pretrained model, see `muse.runs.weights`
weights/TARGET/fold_1.safetensors, …  with folds: the model of each fold, with its own scaling;
                     predictions/ are then those of the model that has not seen the recording
crossfit/…           predictions/ (logits/) of train by models that have not seen the recording
seeds/SEED/…         with keep_seeds: predictions/ (logits/) of every seed
labels/…             the gold standard in the shape of predictions/, where there is one
plots/curves.png     devel score, training CCC and learning rate of every seed over epochs
plots/TARGET.png     gold standard and prediction, or the confusion matrix
plots/folds.png      with folds: the score of each
result.json          scores; written last: without it a run is not finished
checkpoints/…        what `resume` goes on from; only until the run is finished

result.json (format 2): `run_id`, `command`, `muse` (version), `task`, `features`, `model`,
`metric`, `synthetic` (data made by `muse synth`), `debug` (not on all recordings, or chosen on
train), `members` (of a fusion: name and run folder), `data` (folder, digest, and a digest for each
partition), `seconds` (in epochs, over all sittings), `environment` (versions, device,
see muse.runs.environment), `retrained` (of a run of `muse retrain`: the folder and the run id of
the run that it was made from; `train` is then train and devel, and there is no devel score:
null), `targets` and, with two targets or more, `combined` (mean over targets; devel, test and, with
folds, pooled). Each target has
`best_seed`, `best_epoch`, `weights`, `standardised` (feature sets), `train`, `devel` and `test`
(scores of the best seed; null without labels), `test_last` (the metric on test with the weights of
that seed's last epoch, as the published baseline code scores it; runs of version 0.1 have none),
`seeds` (seed, best_epoch, epochs, devel, test, test_last) and `over_seeds` (mean and deviation,
n - 1, of devel, test and test_last). F1 and UAR are between 0 and 1.
A weighted sum of metrics is called by its weights, as in `0.66*micro_f1+0.34*uar`.
With folds (`folds`: their number, or loso) `train`, `devel` and `test` of a target are the scores
of the out-of-fold predictions of these recordings; `best_seed`, `best_epoch`, `weights` and
`test_last` are null, and there are `pooled` (scores over all recordings that are in a fold),
`folds` (fold, recordings, groups, seed, epoch, inner_devel, score, weights) and `over_folds` (mean
and deviation of their scores); `seeds` (seed, pooled) and `over_seeds` are of the pooled score.
With `groups` there is the group of each recording, and intervals are over whole groups; older runs
do not have it, and their intervals are over recordings. `train_share` is there if it is below 1.
A target of a model that is fitted has `C`, chosen on devel, and `without_devel` beside `weights`,
see above; `best_epoch` is 0, and `inner_devel` of its folds is the UAR.
In a personalised run (`folds`: subjects) each subject is a fold, with `general`, the score of the
general model, beside `score`; `pooled`, `general`, `over_folds` and `over_general` are of the
subjects' recordings of `scored_on`, and `weights` is the general model.
`extracted` has tool and settings of each feature set that `muse extract` has made, as in its
extraction.json, and `frame_step` the seconds from frame to frame: by these `muse annotate` makes
the features of other recordings. Older runs, and those on features of other origin, have neither.

In an archive of `muse export` there is less, see muse.inference.export, and `exported`, its format.
`files` has a checksum of every file that later stages read, `digest` one of result.json itself.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import yaml

import muse
from muse.config.fields import path_of
from muse.config.train import TrainConfig
from muse.errors import MuseError
from muse.files import (
    checksum,
    digest_of,
    open_regular,
    read_regular,
    write_json,
    write_text,
)
from muse.runs.identity import FORMAT

SEEDS = "seeds"  # the folder with a folder for each seed
OUTPUTS = ("weights", "predictions", "logits", "labels", "crossfit", SEEDS)
READ_LATER = ("config.yaml", *OUTPUTS)


def check_new(folder: Path) -> None:
    """Raise MuseError if there is anything in the folder that a new run gets."""
    if folder.is_dir() and any(folder.iterdir()):
        raise MuseError(
            f"{folder}: the folder is not empty. A run needs a folder of its own: leave "
            "hydra.run.dir out, or name a new one."
        )


def begin(folder: Path, config: TrainConfig) -> None:
    """Make the run folder: its settings and the status `running`."""
    write_text(folder / "config.yaml", _text_of(config))
    set_status(folder, "running")


def change(folder: Path, config: TrainConfig) -> None:
    """Put other settings into a run folder that is locked.

    What a process that is killed in here leaves is a run with either the old or the new settings.
    Its outputs are those of neither, and go first: they are made again from the checkpoints.
    """
    for name in (*OUTPUTS, "plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
    text = _text_of(config)
    set_status(folder, "interrupted", "other settings", checksum(text.encode()))
    write_text(folder / "config.yaml", text)
    set_status(folder, "interrupted", "other settings")


def _text_of(config: TrainConfig) -> str:
    """The content of config.yaml."""
    settings = {k: v for k, v in asdict(config).items() if k != "job"}
    settings["data"]["root"] = str(path_of(config.data.root).absolute())
    if config.tokenizer:
        settings["tokenizer"] = str(path_of(config.tokenizer).absolute())
        if weights := config.model.get("weights"):
            settings["model"]["weights"] = str(path_of(weights).absolute())
    if config.groups:
        settings["groups"] = str(path_of(config.groups).absolute())
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return f"# {config.job.command}\n{text}"


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Append what is logged to train.log of a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = open_regular(folder / "train.log", "a")
    except OSError as error:
        path = folder / "train.log"
        raise MuseError(f"{path}: cannot be written ({error.strerror}).") from None
    handler = logging.StreamHandler(stream)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        stream.close()


def set_status(folder: Path, state: str, reason: str = "", next_config: str = "") -> None:
    """Say in status.json how far the run is: running, finished, interrupted, failed or pruned.

    Beside it stands a checksum of the settings: `resume` goes on with no others, but those with
    the checksum ``next_config``, which are about to replace them.
    """
    try:
        config = checksum(read_regular(folder / "config.yaml"))
    except OSError as error:
        path = folder / "config.yaml"
        raise MuseError(f"{path}: cannot be read ({error.strerror}). Train anew.") from None
    status = {"status": state, "reason": reason, "config": config}
    write_json(folder / "status.json", status | ({"next": next_config} if next_config else {}))


def write_result(folder: Path, result: dict) -> dict:
    """Write result.json, which makes the run a finished one; return all that is in it.

    Added are the format, the version of muse and checksums of the files that later stages read.
    """
    content = {"format": FORMAT, "muse": muse.__version__, **result}
    content["files"] = {
        path.relative_to(folder).as_posix(): checksum(read_regular(path))
        for name in READ_LATER
        for path in sorted([folder / name, *(folder / name).rglob("*")])
        if path.is_file() and not path.name.endswith(".draft")
    }
    content["digest"] = digest_of(content)
    write_json(folder / "result.json", content)
    set_status(folder, "finished")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # there is nothing to go on with
    return content
