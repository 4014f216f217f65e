"""Which jobs of a sweep are finished, known before their settings are composed.

To compose the settings of a job takes Hydra longer than to read its result. So a finished job has
job.json in its folder: its words on the command line, and checksums of all else that its run
follows from: muse, the YAML, the data. While all of that is as it was, the job is left out. Where
it cannot be told, the job is composed, and then recognised by its run id, or trained.
"""

import json
import os
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

from omegaconf import DictConfig

import muse
from muse.config.fields import path_of
from muse.config.overrides import names_sweep
from muse.config.shipped import config_folder
from muse.config.train import TrainConfig
from muse.data.layout import feature_folder, find_package, plan_features
from muse.errors import MuseError
from muse.files import checksum, digest_of, read_regular, write_json
from muse.runs.identity import numbers_of
from muse.sweep.state import is_finished, run_of_job

RECORD = "job.json"
TITLE = "task.title"  # of a row, and no setting
PLAIN = {"oc.env", "published", "per_segment"}  # resolvers that give the same each time
AT_MOST = 200  # folders below one that is searched for YAML
LAUNCHER = ("hydra.launcher.", "hydra/launcher=")  # how jobs run, not what they are


def setup_of(hydra: DictConfig) -> str | None:
    """A checksum of what the settings of a job follow from, beside its words and its data.

    That is muse, the YAML that Hydra reads, the environment variables named in it and the words for
    Hydra. None if that cannot be told.

    Args:
        hydra: the node `hydra` of the settings of a sweep or of one of its jobs.
    """
    sources = hydra.runtime.config_sources
    if not all(one.schema == "file" or one.provider in ("hydra", "schema") for one in sources):
        return None
    files = _yaml_files([Path(source.path) for source in sources if source.schema == "file"])
    if files is None:
        return None
    texts = [_text(path, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in files]
    own = [text for file, text in zip(files, texts, strict=True)
           if not file.is_relative_to(config_folder())]  # fmt: skip
    named = [name for text in texts for name in re.findall(r"\$\{\s*oc\.env:\s*([^,}\s]*)", text)]
    used = {name for text in own for name in re.findall(r"\$\{\s*([\w.]+)\s*:", text)}
    if not used <= PLAIN or not all(re.fullmatch(r"\w+", name) for name in named):
        return None
    words = [word for word in hydra.overrides.hydra if not word.startswith(LAUNCHER)]
    return digest_of({
        "code": _code(),
        "yaml": {str(file): text for file, text in zip(files, texts, strict=True)},
        "environment": {name: os.environ.get(name) for name in named},
        "words": [hydra.job.config_name, *words],
    })  # fmt: skip


def _yaml_files(folders: list[Path]) -> list[Path] | None:
    """All YAML files below folders; None if one is no folder of configs alone, but a whole tree."""
    found = []
    for folder in folders:
        for number, (home, _, names) in enumerate(os.walk(folder)):
            if number == AT_MOST:
                return None
            found += [Path(home, name) for name in names if name.endswith(".yaml")]
    return sorted(found)


@lru_cache(maxsize=10 * AT_MOST)
def _text(path: Path, *_: int) -> str:
    """The content of a YAML file, read again when its times have changed."""
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def _code() -> str:
    """A checksum of muse as this process runs it."""
    home = Path(muse.__file__).parent
    return checksum(b"".join(path.read_bytes() for path in sorted(home.rglob("*.py"))))


def data_paths(config: TrainConfig) -> list[Path]:
    """The files, and folders of files, that the data of a job are read from."""
    package = find_package(config.task, config.data.root).absolute()
    sets = plan_features(config.features, config.feature_sets, package).read
    paths = [package / "metadata", *(feature_folder(package, name) for name in sets)]
    paths += [package / "label_segments" / target for target in config.targets]
    # a folder that is new in one of these may stand for another feature set
    paths += [package, package / "feature_segments", package / "label_segments"]
    return paths + ([path_of(config.groups).absolute()] if config.groups else [])


def stamps(paths: list[Path]) -> list[tuple]:
    """Size, times and inode of every file of ``paths``, and of what is in those that are folders.

    A folder that is missing is left out.
    """
    return [
        (str(path), now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
        for home in paths
        for path in (sorted(home.iterdir()) if home.is_dir() else [home] * home.exists())
        for now in [path.stat()]
    ]


def keep_record(
    folder: Path, words: list[str], setup: str | None, config: TrainConfig, run_id: str, data: list
) -> None:
    """Note that a job is finished, if all that its run follows from can be told.

    Args:
        folder: of the job.
        words: of its command line, as the sweeper has made them.
        setup: see `setup_of`; when the job was composed.
        data: the `stamps` of its data from before they were read.
    """
    from muse.models import is_of_muse  # with torch, which the watching process needs not

    elsewhere = config.fusion or config.tokenizer or "weights" in config.model
    known = setup and not elsewhere and is_of_muse(str(config.model["_target_"]))
    if not known or any("${" in word for word in words):
        return
    paths = list(map(str, data_paths(config)))
    record = {"words": key_of(words), "setup": setup, "run_id": run_id, "name": folder.name}
    record |= {"data": paths, "stamps": digest_of({"of": data})}
    write_json(folder / RECORD, record | {"code": _code(), "row": row_of(config)})


def key_of(words: list[str]) -> list[str]:
    """The words of a job without those that change no number."""
    return [word for word in words if names_sweep(word)]


def left_to_do(jobs: list[list[str]], config: DictConfig) -> list[list[str]]:
    """The jobs of a sweep without those that are known to be finished.

    Args:
        jobs: the words of each.
        config: the settings of the sweep, with those of Hydra.
    """
    setup = setup_of(config.hydra)
    if setup is None or config.get("rerun") == "all":
        return jobs
    done = set(_finished(Path(config.hydra.sweep.dir), setup))
    return [
        job
        for job in jobs
        if tuple(key_of(job)) not in done or any(word.startswith("rerun=") for word in job)
    ]


def _finished(root: Path, setup: str) -> Iterator[tuple[str, ...]]:
    """The words of the jobs below a folder that are finished, with this setup and today's data."""
    known: dict[tuple, str] = {}
    for path in sorted(root.glob(f"*/{RECORD}")):
        try:
            record = json.loads(read_regular(path))
            if record["setup"] != setup or record["name"] != path.parent.name:
                continue
            data = tuple(record["data"])
            if data not in known:
                known[data] = digest_of({"of": stamps([Path(name) for name in data])})
            if known[data] != record["stamps"]:
                continue
            if is_finished(run_of_job(path.parent), record["run_id"]):
                yield tuple(record["words"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, MuseError):
            continue  # in doubt the job is composed


def row_of(config: TrainConfig) -> dict[str, str]:
    """The settings of a job as the leaderboard has them: `model.hidden` -> text; the task's TITLE.

    Those that a fusion's method implies are left out.
    """
    settings = dict(_flat(numbers_of(config)))
    if config.fusion and config.method != "lstm":  # its weights and seed follow from the method
        settings = {name: value for name, value in settings.items() if not of_model(name)}
    settings |= {"task": config.task.name, "features": "+".join(config.features)}
    return (
        settings | ({"groups": config.groups} if config.groups else {}) | {TITLE: config.task.title}
    )


def kept_row(folder: Path, run_id: str) -> dict[str, str] | None:
    """The `row_of` a job, which this muse has kept with its record; None without one.

    To read thousands of config.yaml takes minutes.
    """
    try:
        record = json.loads(read_regular(folder / RECORD))
        same = (record["run_id"], record["code"]) == (run_id, _code())
        return {str(key): str(value) for key, value in record["row"].items()} if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def of_model(name: str) -> bool:
    """Whether a setting is one that some models do not have."""
    return name == "seeds" or name.startswith("model.")


def _flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as `model.hidden` -> text; a task is its name."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name == "task":
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            text = f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
            yield name, text
