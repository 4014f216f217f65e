"""The one bridge to Hydra: a checked dataclass from the command line, words from errors."""

import os
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from muse.cli import COMMANDS
from muse.config import SCHEMAS
from muse.config_parts import JobInfo
from muse.errors import MuseError, did_you_mean
from muse.help import config_folder, help_text, known_keys

WITH_A_FOLDER = ("--config-dir", "-cd")


def run(command: str) -> None:
    """Run `command` with the settings of sys.argv[1:]; a user's mistake is one message, exit 1."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(help_text(command))
        return
    if command == "train" and any(word.startswith("resume=") for word in words):
        command = "resume"
    sys.argv[1:] = overrides_first(own_model(expand_bare_word(command, words)))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here and are put into words below
    OmegaConf.register_new_resolver(
        "unique", lambda: secrets.token_hex(3), use_cache=True, replace=True
    )

    failed: list[MuseError | BrokenPipeError] = []

    @hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)
    def job(config: DictConfig) -> None:
        try:
            settings = checked(command, config)
            import_module(f"muse.commands.{command}").run(settings)
        except (MuseError, BrokenPipeError) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            failed.append(error)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's stop is a Ctrl-C
    try:
        job()
    except MuseError as error:
        failed.append(error)
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"muse {command}: {in_words(command, error)}")
    except KeyboardInterrupt:
        sys.exit(130)
    if failed and isinstance(failed[0], BrokenPipeError):
        raise failed[0]
    if failed:
        sys.exit(f"muse {command}: {failed[0]}")


def expand_bare_word(command: str, words: list[str]) -> list[str]:
    """Turn one bare word after the command into the key that the command declares for it."""
    key = COMMANDS[command].bare_word
    if words and key and "=" not in words[0] and words[0][:1] not in ("-", "+", "~"):
        return [f"{key}={words[0]}", *words[1:]]
    return words


def overrides_first(words: list[str]) -> list[str]:
    """Settings before options: argparse refuses settings on both sides of `--config-dir FOLDER`."""
    is_setting = [
        ("=" in word or word[:1] == "~") and word[:1] != "-" and before not in WITH_A_FOLDER
        for before, word in zip(["", *words], words, strict=False)
    ]
    settings = [word for word, yes in zip(words, is_setting, strict=True) if yes]
    return settings + [word for word, yes in zip(words, is_setting, strict=True) if not yes]


def own_model(words: list[str]) -> list[str]:
    """With `model._target_=` the model has the settings beside it, not those of the default model.

    They need no `+`: which ones there are is known to the class alone.
    """
    if not any(word.lstrip("+").startswith("model._target_=") for word in words):
        return words
    given = ["++" + word.lstrip("+") if word.startswith("model.") else word for word in words]
    group = any(word.startswith("model=") for word in words)
    return given if group else ["~model", *given]


def load_config(command: str, overrides: list[str], folder: str = "."):
    """Return the settings of a command as the command line would: for notebooks and scripts.

    Args:
        overrides: what would stand on the command line, such as `task=stress`.
        folder: the run folder.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose(command, overrides=own_model(overrides))
    return to_dataclass(command, config, JobInfo(folder, _command_line(command, overrides)))


def checked(command: str, config: DictConfig):
    """The settings of the job that Hydra is running.

    If they are wrong nothing has run, so the folder that Hydra has made for the run goes.
    """
    job = HydraConfig.get()
    line = _command_line(command, list(job.overrides.task))
    folder = Path(job.runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())  # short enough to be typed
    info = JobInfo(str(folder), line)
    try:
        return to_dataclass(command, config, info)
    except MuseError:
        _remove_unused(Path(info.folder))
        raise


def to_dataclass(command: str, config: DictConfig, info: JobInfo):
    """Return the dataclass of the command, filled from ``config``.

    Raises MuseError for unknown keys, missing values, wrong types and what the dataclass refuses.
    """
    try:
        typed = OmegaConf.merge(OmegaConf.structured(SCHEMAS[command]), config)
        if "job" in typed:
            typed = OmegaConf.merge(typed, {"job": info})
        missing = sorted(OmegaConf.missing_keys(typed))
        if missing:
            example = COMMANDS[command].example
            raise MuseError(f"no value for {', '.join(missing)}. For example: {example}")
        OmegaConf.resolve(typed)
        return OmegaConf.to_object(typed)
    except OmegaConfBaseException as error:
        raise MuseError(in_words(command, error)) from None


def from_data(command: str, data: object, where: Path, info: JobInfo):
    """Return the dataclass of a command from a file's plain data: nothing in it is interpolated.

    Raises MuseError, which names the file ``where``, as `to_dataclass`.
    """
    if not isinstance(data, dict):
        raise MuseError(f"{where}: no settings; expected lines of `key: value`.")
    for text in _texts(data):
        if "${" in text or text == "???":
            raise MuseError(f"{where}: {text!r}: expected plain values, nothing to be filled in.")
    try:
        return to_dataclass(command, OmegaConf.create(data), info)
    except (MuseError, OmegaConfBaseException) as error:
        raise MuseError(f"{where}: {error}") from None


def _texts(data: object) -> Iterator[str]:
    """All texts in nested data."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for part in [*data, *data.values()] if isinstance(data, dict) else data:
            yield from _texts(part)


def _command_line(command: str, overrides: list[str]) -> str:
    return f"muse {command} {shlex.join(overrides)}".rstrip()


def _remove_unused(folder: Path) -> None:
    """Remove a run folder in which there is nothing but empty logs."""
    files = list(folder.iterdir()) if folder != Path() else []
    if files and all(file.suffix == ".log" and not file.stat().st_size for file in files):
        shutil.rmtree(folder, ignore_errors=True)


def in_words(command: str, error: Exception) -> str:
    """What Hydra or OmegaConf found wrong, with the known names where a name was unknown."""
    example = f"For example: {COMMANDS[command].example}"
    cause = error
    while cause.__cause__ is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = ", ".join(error.options)
        return f"{group}={name}: expected one of {known}.{did_you_mean(name, error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error}\nIn a shell a list needs quotes: 'features=[egemaps,vggface]'. {example}"
    key = getattr(cause, "full_key", None)
    if not isinstance(cause, OmegaConfBaseException) or not key:
        return f"{str(error).strip()}\n{example}"
    if "not in" not in str(cause):
        return f"{key}: {str(cause).splitlines()[0]}"
    parent, _, name = str(key).rpartition(".")
    known = known_keys(command, parent)
    where = f" of {parent}" if parent else ""
    return (
        f"there is no setting '{key}'.{did_you_mean(name, known)}\n"
        f"The settings{where}: {', '.join(known)}."
    )
