"""`muse evaluate`: score a finished run again, from its weights."""

import muse
from muse.config.fields import path_of
from muse.config.use import EvaluateConfig
from muse.data.heads import head_of
from muse.data.recordings import Package
from muse.errors import MuseError
from muse.files import write_json
from muse.inference.apply import LoadedRun
from muse.inference.shared import loaded
from muse.scoring import metric_name, metric_title
from muse.terminal import format_interval, heading, in_columns
from muse.training.scores import score_recordings, split_frames


def run(config: EvaluateConfig) -> None:
    """Print a line per target and partition, beside the score that the run itself has kept.

    Raises:
        MuseError: a run folder that is damaged, unfinished or foreign; a partition without labels;
            a package that does not fit the run.
    """
    if config.out and path_of(config.out).exists():
        raise MuseError(f"out={config.out}: the file is there already. Give another name.")
    with loaded(config) as used:
        _evaluate(config, used)


def _evaluate(config: EvaluateConfig, used: LoadedRun) -> None:
    there = used.recordings()
    partitions = config.partition or list(there)
    # a fold is predicted as a whole, as in the run: what it has held out is in any partition
    # and with split=derive each partition has parts of test
    whole = used.folds or used.config.split
    read = dict.fromkeys([*partitions, *(there if whole else [])])
    package = used.package(used.targets, {name: there.get(name, []) for name in read})
    _check_unseen(used, package, partitions)
    scores = score(used, package, partitions)
    for name in partitions:
        if config.partition and not any(parts.get(name) for parts in scores.values()):
            raise MuseError(f"partition={name}: {package.folder} has no labels for it.")
    print(report(used, package, scores))
    if config.out:
        write_json(path_of(config.out), _content(used, package, scores))
        print(f"\nscores in {config.out}")


def _check_unseen(used: LoadedRun, package: Package, partitions: list[str]) -> None:
    """Raise MuseError for data that the models of folds have learnt from, nobody knows which."""
    seen = [name for name in partitions if used.nameless and used.same_data(package, name)]
    if seen:
        raise MuseError(
            f"{used.label}: the model of each fold has learnt from recordings of {seen[0]}, and "
            "the archive does not say from which: their score would be too good. Evaluate other "
            "data, or ask for an archive made with predictions=true."
        )


def score(used: LoadedRun, package: Package, partitions: list[str]) -> dict[str, dict[str, dict]]:
    """Target -> partition -> scores (see muse.scoring), for partitions that have labels."""
    scores: dict[str, dict[str, dict]] = {}
    for applied in used.apply(package, out_of_fold=True):
        parts, name = scores.setdefault(applied.target, {}), applied.partition
        if name in partitions and package.labelled(name, applied.target):
            recordings = package.partitions[name]
            parts[name] = score_recordings(
                used.config,
                recordings,
                applied.target,
                split_frames(recordings, applied.values),
                used.config.bootstrap,
                used.groups(recordings),
            )
    return scores


def report(used: LoadedRun, package: Package, scores: dict) -> str:
    """The table of the scores."""
    metric = metric_name(used.config.task.metric)
    title = heading(used.config.task.title, used.config.describe(used.features), package.synthetic)
    unit = head_of(used.config.task).unit
    rows = [["", "", metric_title(metric), "95 % interval", "recordings", unit, "of the run"]]
    for target, parts in scores.items():
        for partition, found in parts.items():
            values = [f"{found[metric]:.4f}", format_interval(found)]
            counts = [str(found["recordings"]), str(found[unit])]
            before = _compared(used, package, target, partition, found[metric])
            rows.append([target, partition, *values, *counts, before])
    how = "\nEach recording by the model of the fold that has held it out." if used.folds else ""
    how = "\nEach recording by the mean of the folds' models." if used.nameless else how
    if used.general:
        how = "\nEach recording of a subject by the subject's model, all others by the general one."
    if used.refitted:
        how = "\ntrain and devel of the run by the model of train alone, all else by that of both."
    return f"{title}: {used.label}\n{in_columns(rows)}{how}"


def _compared(used: LoadedRun, package: Package, target: str, partition: str, now: float) -> str:
    """The score that the run has kept, if the data are the same.

    Both are equal to the last digit on the same machine, device and number of threads.
    """
    result = used.saved.result
    if not used.same_data(package, partition):
        return "other data"
    if "retrained" in result and partition != "test":
        return "none, it was trained on"
    kept = result["targets"][target].get(partition)
    if kept is None:
        return "no score"
    before = kept[result["metric"]]
    return f"{before:.4f}, {'equal' if now == before else f'{now - before:+.1e}'}"


def _content(used: LoadedRun, package: Package, scores: dict) -> dict:
    return {
        "muse": muse.__version__,
        "run": used.label,
        "run_id": used.saved.result["run_id"],
        "task": used.config.task.name,
        "features": used.features,
        "metric": metric_name(used.config.task.metric),
        "synthetic": package.synthetic,
        "data": {"folder": str(package.folder), "partitions": package.digests},
        "targets": scores,
    }
