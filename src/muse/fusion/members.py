"""Late fusion: the members, named or chosen, and their predictions as a package."""

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np

from muse.config.compose import command_with
from muse.config.fields import path_of
from muse.config.fuse import ALL_SEEDS, FuseConfig
from muse.data.heads import head_of
from muse.data.recordings import Package, load_package
from muse.errors import MuseError
from muse.files import check_plain
from muse.fusion.beside import add_beside
from muse.fusion.predictions import Member, has_predictions, load_predictions
from muse.runs.find import LATEST, run_folder
from muse.runs.finished import finished_runs
from muse.runs.folder import SEEDS
from muse.runs.read import read_run, read_settings
from muse.scoring import metric_name, metric_title
from muse.terminal import counted

log = logging.getLogger(__name__)


def named_runs(config: FuseConfig) -> FuseConfig:
    """The settings with the run folder that is meant by each `latest` among `runs`."""
    if not config.runs:
        return config
    if isinstance(config.runs, dict):
        own = {target: _folders(runs) for target, runs in config.runs.items()}
        return replace(config, runs=own)
    return replace(config, runs=_folders(config.runs))


def _folders(runs: list[str]) -> list[str]:
    return [str(run_folder(run)) for run in runs]


def choose_members(config: FuseConfig) -> FuseConfig:
    """The settings with the members by name and folder, and the model of a mean with its weights.

    What is chosen is kept in config.yaml, so that a run is read and continued without choosing
    again.

    Raises:
        MuseError: no run of a feature set; a member that is unfinished, damaged, of another task
            or without the target; with folds a member without them; with method=weighted
            predictions that do not match.
    """
    chosen = config.runs or [str(_best(config, name)) for name in config.select.features]
    if config.seeds == ALL_SEEDS:
        chosen = [str(folder) for run in chosen for folder in _seeds_of(config, path_of(run))]
    members = members_of(config, chosen)
    seen = [m.folder for m in members if config.folds and m.result and "folds" not in m.result]
    if seen:
        raise MuseError(
            f"folds={config.folds}: {seen[0]} is a run without folds; its models have seen "
            "recordings that would be held out. Fuse runs that were trained with folds."
        )
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
    return replace(config, model=model, seeds=1 if config.seeds == ALL_SEEDS else config.seeds[:1])


def load_members(config: FuseConfig) -> Package:
    """The predictions of the members, which `choose_members` has chosen, as a package.

    With ``config.beside`` the feature sets that it needs are beside them.

    Raises MuseError as `muse.fusion.predictions.load_predictions` and `add_beside`.
    """
    members = members_of(config, config.runs)
    package = load_predictions(config.task, config.target, members, config.data, config.out_of_fold)
    return add_beside(config, package) if config.beside else package


def check_targets(config: FuseConfig) -> None:
    """Raise MuseError, with which run lacks what, unless each of `runs` has its targets."""
    faults, wanted = [], {}
    for target, runs in config.members.items() if config.runs else ():
        for folder in map(path_of, runs):
            wanted.setdefault(folder, []).append(target)
    for folder, targets in wanted.items():
        if (folder / "config.yaml").exists():
            there = list(read_run(folder).result["targets"])
        elif folder.is_dir():
            there = [t for t in config.targets if has_predictions(config.task, t, folder)]
        else:
            continue  # `choose_members` says so
        lacking = [target for target in targets if target not in there]
        if lacking:
            faults.append(
                f"{folder}: lacks {', '.join(lacking)} (it has {', '.join(there) or 'no target'})."
            )
    if faults:
        faults.append(f"Give other runs, or one target of {', '.join(config.targets)}: target=NAME")
        needed = "its own" if isinstance(config.runs, dict) else "all"
        raise MuseError("\n".join([f"without target= each run needs {needed} targets.", *faults]))


def members_of(config: FuseConfig, chosen: list[str]) -> list[Member]:
    """The runs of these folders, with the feature sets of each as its name."""
    members: list[Member] = []
    names: list[str] = []
    for folder in map(path_of, chosen):
        _check_folder(folder)
        run = folder.absolute()
        of_seed = run.parent.name == SEEDS and (run.parents[1] / "config.yaml").exists()
        run = run.parents[1] if of_seed else run
        result, name = None, folder.name
        if (run / "config.yaml").exists():
            result = _result(config, run, folder.name if of_seed else None)
            name = "+".join(result["features"]) + f"_seed_{folder.name}" * of_seed
        names.append(name)
        count = names.count(name)
        name += f"_{count}" * (count > 1)
        members.append(Member(name, folder.absolute(), result, run))
    return members


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        if str(folder) == LATEST:
            raise MuseError(
                f"runs: {LATEST} is another run after each job of a sweep. Name the run folder; "
                "`muse runs` lists them."
            )
        raise MuseError(
            f"runs: {folder} is no folder; expected a run folder or predictions. `muse runs` lists "
            "the run folders."
        )


def _seeds_of(config: FuseConfig, folder: Path) -> list[Path]:
    """The folders with the predictions of each seed of a run.

    Raises MuseError for a run without them, with how to get them.
    """
    _check_folder(folder)
    if not (folder / "config.yaml").exists():
        raise MuseError(f"seeds=all: {folder} is no run folder, which alone has seeds.")
    result = _result(config, folder)
    parts = [Path(name).parts for name in result["files"]]
    seeds = {own[1] for own in parts if own[0] == SEEDS and config.target in own}
    if seeds:
        return [folder / SEEDS / seed for seed in sorted(seeds, key=int)]
    if "folds" in result:
        raise MuseError(
            f"seeds=all: in {folder}, which is personalised or has folds, the best seed alone "
            "predicts a recording. Fuse runs of muse train without folds, or leave seeds=all out."
        )
    line = command_with(result["command"], {"keep_seeds": "true"})
    raise MuseError(
        f"seeds=all: {folder} has kept the predictions of its best seed alone. Train it so that "
        f"it keeps those of all: {line or 'keep_seeds=true'}"
    )


def _result(config: FuseConfig, folder: Path, seed: str | None = None) -> dict:
    """result.json of a member that can be fused, or of the run of which it is a seed."""
    check_plain(folder)  # what is read of a member is its own
    run = read_run(str(folder))
    if run.result["task"] != config.task.name:
        raise MuseError(
            f"{folder}: a run of task={run.result['task']}; expected task={config.task.name}."
        )
    if config.target not in run.result["targets"]:
        known = ", ".join(run.result["targets"])
        raise MuseError(f"{folder}: has no target {config.target}; it was trained on {known}.")
    if "retrained" in run.result:
        raise MuseError(
            f"{folder}: was retrained on train and devel, so there is no devel left to choose a "
            f"fusion on. Fuse the run that it was made from: {run.result['retrained']['run']}"
        )
    for name in run.result["files"]:
        parts = Path(name).parts
        other = parts[0] == "weights" or (parts[0] == SEEDS and parts[1] != seed)
        if config.target in parts and not other:
            run.file(name)
    return run.result


def _best(config: FuseConfig, name: str) -> Path:
    """The folder of the run with this feature set that is best on devel.

    Runs whose loss or CCC is another than the fusion's are left out: their scores are no choice of
    features alone. So are runs on other data than the package has now. They can be named with
    `runs`.
    """
    expanded = config.feature_sets[name].members if name in config.feature_sets else []
    metric = metric_name(config.task.metric)
    package = path_of(config.data.root) / config.task.folder
    found, others, elsewhere = [], 0, []
    digests: dict[tuple, str | None] = {}
    for run in finished_runs(path_of(config.select.root)):
        target = run.result["targets"].get(config.target)
        if (
            run.result["task"] == config.task.name
            and (run.result["features"] == expanded or "+".join(run.result["features"]) == name)
            and not run.fusion
            and not run.retrained
            and target
            and run.comparable
        ):
            try:
                settings = read_settings(run.folder)
            except MuseError as error:
                log.warning("left out: %s", error)
                continue
            if (settings.loss, settings.ccc) != (config.loss, config.ccc):
                others += 1
            elif _on_package(config, settings.storage, run.result, package, digests):
                found.append((target["devel"][metric], str(run.folder)))
            else:
                elsewhere.append(run.result["data"]["folder"])
    left_out = f" {counted(others, 'run')} with another loss or ccc left out." if others else ""
    if elsewhere:
        left_out += f" {counted(len(elsewhere), 'run')} on other data left out ({elsewhere[-1]})."
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


def _on_package(
    config: FuseConfig, storage: str, result: dict, package: Path, digests: dict[tuple, str | None]
) -> bool:
    """Whether a run has been trained on what is in the package now, wherever it was then.

    Where what it has read is no longer there, the folder decides.

    Args:
        storage: of the features in the cache.
        digests: of what was read before.
    """
    features, targets = result["features"], list(result["targets"])
    key = (storage, tuple(features), tuple(targets))
    if key not in digests:
        digests[key] = None
        with suppress(MuseError):
            read = load_package(
                config.task, targets, features, {}, config.data, "keep", storage=storage
            )
            digests[key] = read.digest
    if digests[key] is None:
        return Path(result["data"]["folder"]).absolute() == package.absolute()
    return digests[key] == result["data"]["digest"]


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
