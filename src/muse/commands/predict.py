"""`muse predict`: the predictions of a finished run for a package, with or without labels."""

import shutil
import zipfile
from pathlib import Path

import muse
from muse.config.use import PredictConfig
from muse.data.heads import head_of
from muse.data.layout import find_package, recordings_in
from muse.errors import MuseError
from muse.files import write_file, write_json
from muse.inference.apply import LoadedRun, load_run
from muse.training.save import save_predictions

WRITTEN = ("predictions", "logits", "predictions.json")  # all that the command puts into `out`


def run(config: PredictConfig) -> None:
    """Write predictions/TARGET/PARTITION/ID.csv, with classes logits/ as well, below `out`.

    Raises:
        MuseError: a run folder that is damaged, unfinished or foreign; a package that does not fit
            the run; an `out` that has files of others.
    """
    out = Path(config.out)
    if config.zip and not out.name:
        raise MuseError(f"out={out}: zip=true needs a folder with a name, for NAME.zip beside it.")
    archive = out.parent / f"{out.name}.zip"
    _check_free(out, archive, config)
    used = load_run(config, config.run)
    if used.config.fusion:
        raise MuseError(
            f"{config.run}: a fusion reads predictions, no features. Its own are in {config.run}"
            "/predictions; for other data predict with each of its members first."
        )
    ids = _recordings(used, config)
    zipped = _partition_of_archive(list(ids)) if config.zip else None
    package = used.package([], ids)
    for name in WRITTEN[:2]:
        shutil.rmtree(out / name, ignore_errors=True)
    head = head_of(used.config.task)
    files: dict[str, Path] = {}  # name in the archive -> file
    count = 0
    for applied in used.apply(package):
        recordings = package.partitions[applied.partition]
        paths = save_predictions(
            head, out, recordings, applied.target, applied.partition, applied.values
        )
        count += len(paths)
        if applied.partition == zipped:
            files |= {f"{applied.target}/{path.name}": path for path in paths}
    about = {
        "muse": muse.__version__,
        "run": str(used.saved.folder),
        "run_id": used.saved.result["run_id"],
        "task": used.config.task.name,
        "features": used.features,
        "synthetic": package.synthetic,
        "data": {"folder": str(package.folder), "partitions": package.digests},
    }
    write_json(out / "predictions.json", about)
    mark = ", SYNTHETIC data" if package.synthetic else ""
    print(f"{count} files of {', '.join(ids)}{mark}: {out / 'predictions'}")
    if zipped:
        _write_archive(archive, files)
        print(f"{len(files)} files of {zipped}, TARGET/ID.csv: {archive}")


def _recordings(used: LoadedRun, config: PredictConfig) -> dict[str, list[str]]:
    """The recordings to predict; without a partition.csv all that have features are `test`."""
    folder = find_package(used.config.task, used.config.data.root)
    if (folder / "metadata" / "partition.csv").exists():
        there = used.recordings()
    else:
        there = {"test": recordings_in(folder, used.features[0])}
    return {name: there.get(name, []) for name in config.partition or there}


def _check_free(out: Path, archive: Path, config: PredictConfig) -> None:
    """Raise MuseError rather than replace a file that is not ours, or ours without being asked."""
    if out.exists() and not out.is_dir():
        raise MuseError(f"out={out}: is a file; expected a new or empty folder.")
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in there if name not in WRITTEN]
    if foreign:
        raise MuseError(
            f"out={out}: has files that `muse predict` has not written, such as {foreign[0]}. Give "
            "a new or empty folder."
        )
    taken = [out] * bool(there) + [archive] * (config.zip and archive.exists())
    if taken and not config.overwrite:
        raise MuseError(
            f"{taken[0]}: predictions are there already. Give another out, or replace them with "
            "overwrite=true."
        )


def _partition_of_archive(partitions: list[str]) -> str:
    if "test" in partitions:
        return "test"
    if len(partitions) == 1:
        return partitions[0]
    raise MuseError(
        f"zip=true: the archive has one partition, but there are {', '.join(partitions)} and no "
        "test. Say which with partition=NAME."
    )


def _write_archive(path: Path, files: dict[str, Path]) -> None:
    """Equal predictions give an equal archive: the entries have no time of their own."""

    def write(draft: Path) -> None:
        with zipfile.ZipFile(draft, "w") as archive:
            for name, file in sorted(files.items()):
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)

    write_file(path, write)
