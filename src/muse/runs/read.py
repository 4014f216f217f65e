"""Finished and interrupted runs, read back: every file is checked before it is used.

A run folder is data. Nothing in it is executed, unpickled or interpolated, no path or name in it
leads out of it, and only regular files are read.
"""

import json
import re
import shlex
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import yaml

from muse.config.compose import from_data
from muse.config.shared import JobInfo
from muse.config.train import TrainConfig
from muse.config.use import UseConfig
from muse.data.layout import is_name
from muse.errors import MuseError
from muse.files import check_plain, checksum, digest_of, read_regular
from muse.runs.identity import FORMAT
from muse.runs.result_checks import is_sound
from muse.runs.status import can_continue, status_of

LEVELS = 50  # of nested settings
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, if PyYAML has it
AGAIN = "Copy the run folder again, or train anew."


@dataclass(frozen=True)
class SavedRun:
    """A finished run."""

    folder: Path
    config: TrainConfig
    result: dict  # see muse.runs.folder

    def file(self, name: str) -> Path:
        """The path of a file of the run, after its checksum was found right."""
        path = self.folder / name
        if checksum(_bytes(path)) != self.result["files"].get(name):
            raise MuseError(f"{path}: changed since the run was finished. {AGAIN}")
        return path


def read_run(folder: str) -> SavedRun:
    """Read a finished run.

    Raises MuseError for a folder that is none, is not finished, is damaged or was changed.
    """
    home = Path(folder)
    result = read_result(home)
    run = SavedRun(home, read_settings(home), result)
    run.file("config.yaml")
    if set(result["targets"]) != set(run.config.targets):
        raise MuseError(f"{home}: result.json and config.yaml have different targets. {AGAIN}")
    return run


def is_fusion(content: object) -> bool:
    """Whether the content of a run's config.yaml or result.json is that of a late fusion."""
    return isinstance(content, dict) and ("method" in content or "members" in content)


def read_result(home: Path) -> dict:
    """The content of result.json, or MuseError with what is wrong and what to do."""
    path = home / "result.json"
    if not path.is_file():
        raise MuseError(_no_result(home))
    try:
        result = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise MuseError(f"{path}: damaged, not valid JSON ({error}). {AGAIN}") from None
    if not isinstance(result, dict) or "format" not in result:
        raise MuseError(f"{path}: no result of `muse train`; expected the file of a run folder.")
    if result["format"] != FORMAT:
        raise MuseError(
            f"{path}: has format {result['format']}, this muse reads format {FORMAT}. Use the "
            f"version of muse that wrote it ({result.get('muse')}), or train anew."
        )
    content = {key: value for key, value in result.items() if key != "digest"}
    if result.get("digest") != digest_of(content):
        raise MuseError(
            f"{path}: damaged or changed by hand, its content does not fit its checksum. {AGAIN}"
        )
    if not is_sound(result):
        raise MuseError(f"{path}: no result of `muse train`. {AGAIN}")
    return result


def read_unfinished(home: Path) -> TrainConfig:
    """The settings of a run that is to be continued.

    Raises MuseError as `read_run`, and for links in the folder: it is written to.
    """
    check_plain(home)
    settings, status = read_settings(home), home / "status.json"
    try:
        content = json.loads(_bytes(status))
        known = content["config"], content.get("next")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MuseError(f"{status}: damaged, no status of `muse train`. {AGAIN}") from None
    if checksum(_bytes(home / "config.yaml")) not in known:
        raise MuseError(
            f"{home / 'config.yaml'}: changed since the run began; it would end in other numbers "
            "than its command says. Restore the file, or train anew. What may be changed is given "
            "to resume: muse resume RUN epochs=200"
        )
    return settings


def read_settings(home: Path) -> TrainConfig:
    """The settings of a run, finished or not, from its config.yaml."""
    return deepcopy(_settings_of(home, *_text_of(home)))


@lru_cache(maxsize=1000)  # to make them of the same text takes a quarter of a second each time
def _settings_of(home: Path, command: str, text: str) -> TrainConfig:
    path = home / "config.yaml"
    data = _parsed(path, text)
    settings = from_data(
        "fuse" if is_fusion(data) else "train", data, path, JobInfo(str(home), command)
    )
    for name in [settings.task.name, *settings.task.targets, *(settings.features or [])]:
        if not is_name(name):  # they become the names of files
            raise MuseError(f"{path}: {name!r}: expected a name, not a path. {AGAIN}")
    return settings


def read_plain_settings(home: Path, without: str = "") -> tuple[str, object]:
    """The command of a run and the content of its config.yaml, as it stands there.

    For those who only show it, since it is many times as fast as `read_settings`; and more so
    ``without`` a group of settings.
    """
    command, text = _text_of(home)
    if without:
        text = re.sub(rf"^{without}:\n([ -].*\n)*", "", text, flags=re.MULTILINE)
    return command, _parsed(home / "config.yaml", text)


def _text_of(home: Path) -> tuple[str, str]:
    """The command of a run, and the text of its config.yaml."""
    path = home / "config.yaml"
    if not path.is_file():
        raise MuseError(_no_run(home))
    try:
        text = _bytes(path).decode()
    except ValueError as error:
        raise MuseError(f"{path}: damaged, not valid YAML ({error}). {AGAIN}") from None
    return text.splitlines()[0].removeprefix("# ") if text.startswith("# ") else "", text


def _parsed(path: Path, text: str) -> object:
    try:
        _check_yaml(text)
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise MuseError(f"{path}: damaged, not valid YAML ({reason}). {AGAIN}") from None


def settings_here(settings: TrainConfig, use: UseConfig) -> TrainConfig:
    """The settings of a run with the data, device and threads that a command was given."""
    return replace(
        settings,
        data=replace(use.data, root=use.data.root or settings.data.root),
        device=use.device or settings.device,
        threads=use.threads or settings.threads,
    )


def _check_yaml(text: str) -> None:
    """Raise YAMLError for aliases, by which a small file can stand for an endless one, and for
    thousands of levels, which the fast loader crashes on."""
    level = 0
    for event in yaml.parse(text, _Loader):
        level += isinstance(event, yaml.CollectionStartEvent)
        level -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or level > LEVELS:
            what = "an alias" if level <= LEVELS else f"more than {LEVELS} levels"
            raise yaml.YAMLError(f"{what}; expected plain values")


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing. {AGAIN}") from None
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}). {AGAIN}") from None


def _no_result(home: Path) -> str:
    """Why there is no result.json, in words."""
    if not (home / "config.yaml").is_file():
        return _no_run(home)
    state, reason = status_of(home)
    text = f"{home}: the run is not finished (status {state}{': ' * bool(reason)}{reason})."
    if can_continue(home) or state == "pruned":
        return f"{text} Continue it with: muse resume {shlex.quote(str(home))}"
    return f"{text} Remove the cause and train anew: to resume would fail again."


def _no_run(home: Path) -> str:
    if not home.is_dir():
        text = f"{home}: there is no such run folder."
    else:
        text = f"{home}: no run folder, it has no config.yaml of `muse train`."
    for folder in (home, home.parent):
        runs = [path.parent for path in folder.glob("*/config.yaml")] if folder.is_dir() else []
        if runs:
            newest = sorted(runs, key=lambda run: run.stat().st_mtime)[-3:]
            return text + " There are: " + ", ".join(map(str, newest))
    return text + " Runs of `muse train` are below outputs/train."
