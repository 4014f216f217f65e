"""The content of result.json: what a run was trained on, where that came from, and its scores."""

from muse.config.train import TrainConfig
from muse.data.recordings import Package
from muse.data.statistics import frame_step
from muse.extraction.provenance import read_provenance
from muse.scoring import metric_name
from muse.training.folds import used_groups
from muse.training.prepare import plan_inputs
from muse.training.summary import combined


def result_of(config: TrainConfig, package: Package, id_: str, targets: dict[str, dict]) -> dict:
    """What was trained, on what data, and the scores; time and environment are added by the run."""
    result = {
        "run_id": id_,
        "command": config.job.command,
        "task": config.task.name,
        "features": package.features,
        "model": config.model,
        "metric": metric_name(config.task.metric),
        "synthetic": package.synthetic,
        "debug": config.recordings is not None or config.best_on != "devel",
        "data": {
            "folder": str(package.folder.absolute()),
            "digest": package.digest,
            "partitions": package.digests,
        },
        "targets": targets,
    }
    if config.fusion:
        result["members"] = dict(zip(config.features, config.runs, strict=True))
    elif made := read_provenance(package.folder, plan_inputs(config, package).read):
        result["extracted"] = made
        result["frame_step"] = frame_step(package)
    if config.retrained:
        result["retrained"] = {"run": config.retrained.run, "run_id": config.retrained.run_id}
    if config.folds:
        result["folds"] = config.folds
        groups = used_groups(config, package)
        if groups:
            result["groups"] = groups
    if config.train_share < 1:
        result["train_share"] = config.train_share
    averaged = config.task.among("combined", list(targets))
    if len(averaged) > 1:
        result["combined"] = combined(config, [targets[target] for target in averaged])
    return result
