"""`muse predict`: the predictions of a finished run for a package, with or without labels."""

from pathlib import Path

import muse
from muse.config.fields import path_of
from muse.config.use import PredictConfig
from muse.data.heads import head_of
from muse.data.layout import find_package, recordings_in
from muse.data.recordings import Package
from muse.errors import MuseError
from muse.files import write_json
from muse.inference.apply import LoadedRun
from muse.inference.out_folder import Output, check_out, remove_written
from muse.inference.shared import loaded
from muse.runs.archive import write_archive
from muse.training.save import save_predictions
from muse.training.scores import not_finite

OUTPUT = Output("predict", "predictions", "predictions.json",
                r"(predictions|logits)(/[^/]+){2}/[^/]+\.csv")  # fmt: skip


def run(config: PredictConfig) -> None:
    """Write predictions/TARGET/PARTITION/ID.csv, with classes logits/ as well, below `out`.

    Raises:
        MuseError: a run folder that is damaged, unfinished or foreign; a package that does not fit
            the run; an `out` that has files of others.
    """
    out = path_of(config.out)
    if config.zip and not out.name:
        raise MuseError(f"out={out}: zip=true needs a folder with a name, for NAME.zip beside it.")
    archive = out.parent / f"{out.name}.zip"
    check_out(out, OUTPUT, config.overwrite, *[archive] * config.zip)
    with loaded(config) as used:
        _predict(config, used, out, archive)


def _predict(config: PredictConfig, used: LoadedRun, out: Path, archive: Path) -> None:
    if used.config.fusion:
        raise MuseError(
            f"{used.label}: a fusion reads predictions, no features. Its own are in {used.label}"
            "/predictions; for other data predict with each of its members first."
        )
    ids = _recordings(used, config)
    zipped = _partition_of_archive(list(ids)) if config.zip else None
    package = used.package([], ids)
    remove_written(out, OUTPUT)
    head = head_of(used.config.task)
    # first: whatever ends here, its files can be replaced
    write_json(out / OUTPUT.about, _about(used, package, head.folder))
    files: dict[str, Path] = {}  # name in the archive -> file
    count = 0
    for applied in used.apply(package):
        recordings = package.partitions[applied.partition]
        wrong = not_finite(recordings, applied.values)
        if wrong:
            raise MuseError(f"{package.folder}: {applied.target}, {applied.partition}, {wrong}.")
        paths = save_predictions(
            head, out, recordings, applied.target, applied.partition, applied.values
        )
        count += len(paths)
        if applied.partition == zipped:
            files |= {f"{applied.target}/{path.name}": path for path in paths}
    if used.config.recordings:
        print(
            f"The run has recordings={used.config.recordings}, for debugging: as in its training, "
            "the other recordings of each partition are left out. Train without it to predict all."
        )
    mark = ", SYNTHETIC data" if package.synthetic else ""
    if used.folds and not used.general:
        what = "outputs" if head.folder == "predictions" else "logits"
        print(f"Each prediction is from the mean of the {what} of the {len(used.folds)} folds.")
    print(f"{count} files of {', '.join(ids)}{mark}: {out / 'predictions'}")
    if zipped:
        write_archive(archive, files)
        print(f"{len(files)} files of {zipped}, TARGET/ID.csv: {archive}")


def _about(used: LoadedRun, package: Package, folder: str) -> dict:
    """The content of predictions.json; ``folder`` is that of what a model gives for a target."""
    return {
        "muse": muse.__version__,
        "run": used.label,
        "run_id": used.saved.result["run_id"],
        "task": used.config.task.name,
        "features": used.features,
        "synthetic": package.synthetic,
        "data": {"folder": str(package.folder), "partitions": package.digests},
        "files": [
            f"{kind}/{target}/{partition}/{recording.id}.csv"
            for kind in sorted({"predictions", folder})
            for target in used.targets
            for partition, recordings in package.partitions.items()
            for recording in recordings
        ],
    }


def _recordings(used: LoadedRun, config: PredictConfig) -> dict[str, list[str]]:
    """The recordings to predict; without a partition.csv all that have features are `test`."""
    folder = find_package(used.config.task, used.config.data.root)
    if (folder / "metadata" / "partition.csv").exists():
        there = used.recordings()
    else:
        there = {"test": recordings_in(folder, used.read[0])}
    return {name: there.get(name, []) for name in config.partition or there}


def _partition_of_archive(partitions: list[str]) -> str:
    if "test" in partitions:
        return "test"
    if len(partitions) == 1:
        return partitions[0]
    raise MuseError(
        f"zip=true: the archive has one partition, but there are {', '.join(partitions)} and no "
        "test. Say which with partition=NAME."
    )
