"""Late fusion: the members, named or chosen, and their predictions as a package."""

import logging
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np

from muse.config.fields import path_of
from muse.config.train import FuseConfig
from muse.data.heads import head_of
from muse.data.recordings import Package
from muse.errors import MuseError
from muse.files import check_plain
from muse.fusion.predictions import Member, load_predictions
from muse.runs.read import finished_runs, read_run, read_settings
from muse.scoring import metric_name, metric_title
from muse.terminal import counted

log = logging.getLogger(__name__)


def choose_members(config: FuseConfig) -> FuseConfig:
    """The settings with the members by name and folder, and the model of a mean with its weights.

    What is chosen is kept in config.yaml, so that a run is read and continued without choosing
    again.

    Raises:
        MuseError: no run of a feature set; a member that is unfinished, damaged, of another task
            or without the target; with method=weighted predictions that do not match.
    """
    chosen = config.runs or [str(_best(config, name)) for name in config.select.features]
    members = members_of(config, chosen)
    config = replace(
        config,
        runs=[str(member.folder) for member in members],
        features=[member.name for member in members],
        select=replace(config.select, features=None),
    )
    if config.method == "lstm":
        return config
    weights = [1.0] * len(members) if config.method == "mean" else _weights(config)
    model = {"_target_": "muse.models.ensemble.WeightedMean", "weights": weights}
    return replace(config, model=model, seeds=config.seeds[:1])


def load_members(config: FuseConfig) -> Package:
    """The predictions of the members, which `choose_members` has chosen, as a package.

    Raises MuseError as `muse.fusion.predictions.load_predictions`.
    """
    members = members_of(config, config.runs)
    return load_predictions(config.task, config.target, members, config.data, config.out_of_fold)


def members_of(config: FuseConfig, chosen: list[str]) -> list[Member]:
    """The runs of these folders, with the feature sets of each as its name."""
    members: list[Member] = []
    for folder in map(Path, chosen):
        if not folder.is_dir():
            raise MuseError(f"runs: {folder} is no folder; expected a run folder or predictions.")
        result, name = None, folder.name
        if (folder / "config.yaml").exists():
            result = _result(config, str(folder))
            name = "+".join(result["features"])
        taken = [member.name for member in members]
        if name in taken:
            name = f"{name}_{sum(t.split('_')[0] == name for t in taken) + 1}"
        members.append(Member(name, folder.absolute(), result))
    return members


def _result(config: FuseConfig, folder: str) -> dict:
    """result.json of a member that can be fused."""
    check_plain(Path(folder))  # what is read of a member is its own
    run = read_run(folder)
    if run.result["task"] != config.task.name:
        raise MuseError(
            f"{folder}: a run of task={run.result['task']}; expected task={config.task.name}."
        )
    if config.target not in run.result["targets"]:
        known = ", ".join(run.result["targets"])
        raise MuseError(f"{folder}: has no target {config.target}; it was trained on {known}.")
    for name in run.result["files"]:
        parts = Path(name).parts
        if parts[0] != "weights" and config.target in parts:
            run.file(name)
    return run.result


def _best(config: FuseConfig, name: str) -> Path:
    """The folder of the run with this feature set that is best on devel.

    Runs whose loss or CCC is another than the fusion's are left out: their scores are no choice of
    features alone. They can be named with `runs`.
    """
    expanded = config.feature_sets[name].members if name in config.feature_sets else []
    metric = metric_name(config.task.metric)
    package = path_of(config.data.root) / config.task.folder
    found, others = [], 0
    for run in finished_runs(Path(config.select.root)):
        target = run.result["targets"].get(config.target)
        if (
            run.result["task"] == config.task.name
            and run.result["features"] in ([name], expanded)
            and not run.fusion
            and target
            and not run.result["debug"]
            and Path(run.result["data"]["folder"]).absolute() == package.absolute()
        ):
            try:
                settings = read_settings(run.folder)
            except MuseError as error:
                log.warning("left out: %s", error)
                continue
            if (settings.loss, settings.ccc) == (config.loss, config.ccc):
                found.append((target["devel"][metric], str(run.folder)))
            else:
                others += 1
    left_out = f" {counted(others, 'run')} with another loss or ccc left out." if others else ""
    if not found:
        raise MuseError(
            f"select.features: no finished run of {name} on {package} below {config.select.root}."
            f"{left_out} Train one: muse train task={config.task.name} {quote(f'features={name}')} "
            f"target={config.target}"
        )
    score, folder = max(found)
    count, by = counted(len(found), "run"), metric_title(metric)
    log.info("%s: best of %s by devel %s (%.4f): %s.%s", name, count, by, score, folder, left_out)
    return Path(folder)


def _weights(config: FuseConfig) -> list[float]:
    """One per member: its score on devel, 0 if that is below."""
    package = load_members(config)
    count = len(package.features)
    devel = package.partitions["devel"]
    gold = [recording.labels[config.target] for recording in devel]
    samples = [recording.samples for recording in devel]
    head = head_of(config.task, config.ccc, [config.target])
    metric = metric_name(config.task.metric)
    weights = []
    for k in range(count):
        values = [head.values(np.asarray(recording.features[k]), 0) for recording in devel]
        weights.append(max(head.scores(values, gold, samples)[metric], 0.0))
    if not any(weights):
        log.warning("No member has a devel score above 0: the plain mean is taken.")
        return [1.0] * count
    return weights
