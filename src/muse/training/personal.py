"""A model for each person: a finished general model, trained on with what is known of the person.

Li et al., Exploiting Diverse Feature for Multimodal Sentiment Analysis, 2023, section 3.2.2, after
the baseline of MuSe-Personalisation: the general model is copied for each subject of test and
fine-tuned on the subject's own train, once for each of several seeds; the seed that is best on the
subject's own devel is kept, unless the general model is at least as good there (as epoch 0, a
choice made here). A subject is a fold: nothing of one reaches another. The scaling is that of the
general model.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import torch

from muse.config.origin import SUBJECTS, Personalised
from muse.config.shared import PARTITIONS
from muse.config.train import TrainConfig
from muse.config.use import PersonaliseConfig
from muse.data.heads import head_of
from muse.data.recordings import Package
from muse.data.windows import to_frames
from muse.errors import MuseError
from muse.models import check_trusted
from muse.plots import draw_pairs, save_figure
from muse.runs.find import run_folder
from muse.runs.read import SavedRun, read_run, settings_here
from muse.runs.weights import LoadedModel, load_model_file
from muse.scoring import metric_name, metric_title
from muse.terminal import counted, format_interval, format_spread, heading, in_columns
from muse.training.folds import Fold
from muse.training.model import predict
from muse.training.out_of_fold import (
    Values,
    check_held_out,
    fold_weights,
    save_parts,
    score_values,
)
from muse.training.prepare import groups_of
from muse.training.recorder import Recorder
from muse.training.save import save_model, spread_of
from muse.training.scores import split_frames
from muse.training.seeds import SeedOutcome


def settings_to_personalise(config: PersonaliseConfig) -> list[TrainConfig]:
    """The settings of the personalised runs, one for each learning rate and number of epochs.

    Raises MuseError for a run that is unfinished or damaged, or of a kind that is no general model.
    """
    run = read_run(str(run_folder(config.run)))
    settings = settings_here(run.config, config)
    check_trusted(run.folder / "config.yaml", str(settings.model["_target_"]), config.trust)
    reasons = {
        "a fusion": settings.fusion,
        "personalised already": settings.personalised,
        "a cross-validation": settings.folds,
        "a run with difficulty indicators": settings.has_indicator,
        f"of task={settings.task.name}, which has classes": settings.task.head == "classes",
    }
    wrong = [reason for reason, yes in reasons.items() if yes]
    if wrong:
        raise MuseError(
            f"{run.folder}: {wrong[0]}; expected a run of muse train with one general model for "
            "each target."
        )
    general = Personalised(
        str(run.folder.absolute()), run.result["run_id"], run.result["data"]["digest"]
    )
    own = {
        "seeds": config.seeds,
        "window": config.window,
        "hop": config.hop,
        "batch_size": config.batch_size or settings.batch_size,
        "patience": config.patience,
        "workers": settings.workers if config.workers is None else config.workers,
        "population": settings.population if config.population is None else config.population,
        "kernel": config.kernel or settings.kernel,
        "crossfit": 0,
        "keep_seeds": False,
        "folds": SUBJECTS,
        "personalised": general,
        "job": config.job,
    }
    return [
        replace(settings, lr=lr, epochs=epochs, **own)
        for lr, epochs in product(config.lr, config.epochs)
    ]


def general_models(config: TrainConfig, package: Package, device: torch.device) -> list:
    """The general model of each group of targets; none for a run that is not personalised.

    Raises MuseError for a general run that is damaged or has changed, and for other data.
    """
    if not config.personalised:
        return []
    run = read_run(config.personalised.run)
    if run.result["run_id"] != config.personalised.run_id:
        raise MuseError(f"{run.folder}: not the run that was to be personalised. Begin anew.")
    if package.digest != config.personalised.digest:
        raise MuseError(
            f"{package.folder}: not the data of {run.folder}, to which subjects belong. Give "
            "data.root of the same package."
        )
    return [_general_model(config, run, group[0], device) for group in groups_of(config)]


def _general_model(
    config: TrainConfig, run: SavedRun, target: str, device: torch.device
) -> LoadedModel:
    name = run.result["targets"][target]["weights"]
    trust = [str(config.model["_target_"])]  # it was checked when the run was named
    return load_model_file(run.file(name), trust, device)


def save_subjects(
    config: TrainConfig,
    folder: Path,
    package: Package,
    folds: list[Fold],
    outcomes: Iterator[SeedOutcome],
    recorder: Recorder,
    general: list[LoadedModel],
) -> dict[str, dict]:
    """Write the files of a personalised run; returns target -> its part of result.json.

    The recordings of a subject are predicted by the subject's model, all others by the general one.

    Args:
        outcomes: of the units of `muse.training.out_of_fold.seed_units`, in their order.
        general: the model of each group of targets.

    Raises MuseError for a subject whose prediction on test is not finite.
    """
    chosen: list[list[SeedOutcome]] = [[] for _ in groups_of(config)]
    for fold in folds:
        for kept in chosen:
            seeds = islice(outcomes, len(config.seeds))
            told = [recorder.on_fold(outcome, len(folds)) for outcome in seeds]
            best = max(told, key=lambda outcome: outcome.result.devel)
            check_held_out(fold, best, f"subject {fold.groups[0]}")
            save_model(config, folder, best.plan, best.result, fold_weights(best))
            kept.append(replace(best, result=replace(best.result, weights={})))
    results: dict[str, dict] = {}
    for kept, model in zip(chosen, general, strict=True):
        results |= _save_group(config, folder, package, folds, kept, model)
    if config.plots:
        _plot(config, folder, package, results)
    return results


def _save_group(
    config: TrainConfig,
    folder: Path,
    package: Package,
    folds: list[Fold],
    outcomes: list[SeedOutcome],
    general: LoadedModel,
) -> dict[str, dict]:
    """Predictions, labels and scores of the models of one group of targets."""
    plan = outcomes[0].plan
    weights = Path("weights") / f"{plan.name}.safetensors"
    seed = replace(outcomes[0].result, seed=int(general.about["seed"]))
    kept = replace(seed, weights=general.model.state_dict())
    save_model(config, folder, plan, kept, weights)
    before = _predicted(package, general)
    after = before | _of_subjects(folds, outcomes)
    head = head_of(config.task, targets=plan.targets)
    results = {}
    for k, target in enumerate(plan.targets):
        old, new = ({id_: head.values(own, k) for id_, own in output.items()}
                    for output in (before, after))  # fmt: skip
        everything = [r for p in PARTITIONS for r in package.partitions[p]]
        labelled = {r.id for r in everything if r.labels[target] is not None}
        parts = save_parts(config, folder, package, target, new, labelled)
        scored = "test" if parts["test"] else "devel"
        rows = [_row(config, fold, outcome, target, scored, old, new)
                for fold, outcome in zip(folds, outcomes, strict=True)]  # fmt: skip
        subjects = [fold.package.partitions[scored][0] for fold in folds]
        results[target] = {
            **{"best_seed": None, "best_epoch": None, "weights": str(weights)},
            "standardised": plan.standardised,
            **parts,
            "test_last": None,
            "seeds": [],
            "over_seeds": None,
            "scored_on": scored,
            "pooled": score_values(config, subjects, target, new),
            "general": score_values(config, subjects, target, old),
            "over_folds": spread_of([row["score"] for row in rows]),
            "over_general": spread_of([row["general"] for row in rows]),
            "folds": rows,
        }
    return results


def _predicted(package: Package, general: LoadedModel) -> Values:
    """Recording id -> output of the general model, (frames, outputs)."""
    device = next(general.model.parameters()).device
    found: Values = {}
    for partition, recordings in package.partitions.items():
        output = predict(general.model, to_frames(package, partition, [], general.scaling, device))
        own = split_frames(recordings, output)
        found |= {r.id: values for r, values in zip(recordings, own, strict=True)}
    return found


def _of_subjects(folds: list[Fold], outcomes: list[SeedOutcome]) -> Values:
    """Recording id -> output of the model of its subject."""
    return {
        fold.package.partitions[partition][0].id: output
        for fold, outcome in zip(folds, outcomes, strict=True)
        for partition, output in outcome.outputs.items()
    }


def _row(
    config: TrainConfig,
    fold: Fold,
    outcome: SeedOutcome,
    target: str,
    scored: str,
    old: Values,
    new: Values,
) -> dict:
    """A subject in result.json.

    Args:
        scored: partition, the same for all subjects.
        old, new: values by the general model, and by that of the subject.
    """
    alone, metric = replace(config, bootstrap=0), metric_name(config.task.metric)
    own = {p: fold.package.partitions[p] for p in PARTITIONS}
    score, general = (score_values(alone, own[scored], target, v)[metric] for v in (new, old))
    return {
        "fold": outcome.row["fold"],
        "recordings": [own[p][0].id for p in PARTITIONS],
        "groups": fold.groups,
        "seed": outcome.result.seed,
        "epoch": outcome.result.best_epoch,
        "inner_devel": outcome.result.devel,
        "score": score,
        "general": general,
        "weights": str(fold_weights(outcome)),
    }


def subject_summary(config: TrainConfig, result: dict) -> str:
    """The table at the end: general beside personalised, over all subjects and their mean."""
    metric, targets = result["metric"], result["targets"]
    count = len(next(iter(targets.values()))["folds"])
    title = heading(config.task.title, config.describe(result["features"]), result["synthetic"])
    title += f": {metric_title(metric)} of {counted(count, 'subject')}, for each the best of "
    title += f"{counted(len(config.seeds), 'seed')} on their devel"
    rows = [["", "", "general", "95 % interval", "personalised", "95 % interval",
             "mean of subjects", "", "better", "kept general"]]  # fmt: skip
    for target, part in targets.items():
        cells = [target, part["scored_on"]]
        for scores in (part["general"], part["pooled"]):
            cells += [f"{scores[metric]:.4f}", format_interval(scores)]
        for over in (part["over_general"], part["over_folds"]):
            cells.append(format_spread(over))
        better = sum(row["score"] > row["general"] for row in part["folds"])
        kept = sum(row["epoch"] == 0 for row in part["folds"])
        rows.append([*cells, f"{better} of {count}", str(kept)])
    return f"{title}\n{in_columns(rows)}"


def _plot(config: TrainConfig, folder: Path, package: Package, results: dict[str, dict]) -> None:
    """plots/subjects.png: the score of each subject before and after."""
    title = heading(config.task.title, config.describe(package.features), package.synthetic)
    rows = {
        f"{target}, {part['scored_on']}": [
            (row["groups"][0], row["general"], row["score"]) for row in part["folds"]
        ]
        for target, part in results.items()
    }
    metric = metric_title(metric_name(config.task.metric))
    save_figure(draw_pairs(title, metric, rows), folder / "plots" / "subjects.png")
