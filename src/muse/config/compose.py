"""From YAML and overrides to a checked dataclass; errors of Hydra and OmegaConf in plain words."""

import secrets
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import hydra
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.overrides import name_of, own_model, quote_texts
from muse.config.shared import JobInfo
from muse.config.shipped import config_folder, known_keys, shipped
from muse.errors import MuseError, did_you_mean


def register_resolvers(words: list[str]) -> None:
    """The resolvers of the commands' YAML: ${unique:} and ${sweep:}."""
    name = name_of(words)
    for resolver, answer in (("unique", lambda: secrets.token_hex(3)), ("sweep", lambda: name)):
        OmegaConf.register_new_resolver(resolver, answer, use_cache=True, replace=True)


def load_config(command: str, overrides: list[str], folder: str = "."):
    """Return the settings of a command as the command line would: for notebooks and scripts.

    Args:
        overrides: what would stand on the command line, such as `task=stress`.
        folder: the run folder.
    """
    register_resolvers(overrides)
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose(command, overrides=quote_texts(command, own_model(overrides)))
    return to_dataclass(command, config, JobInfo(folder, command_line(command, overrides)))


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
        raise MuseError(explain_error(command, error)) from None


def from_data(command: str, data: object, where: Path, info: JobInfo):
    """Return the dataclass of a command from a file's plain data: nothing in it is interpolated.

    Settings that the file does not have are those that came later: they get their default.

    Raises MuseError, which names the file ``where``, as `to_dataclass`.
    """
    if not isinstance(data, dict):
        raise MuseError(f"{where}: no settings; expected lines of `key: value`.")
    for text in _texts(data):
        if "${" in text or text == "???":
            raise MuseError(f"{where}: {text!r}: expected plain values, nothing to be filled in.")
    known = {field.name for field in fields(SCHEMAS[command])}
    later = {key: value for key, value in shipped(command).items()
             if key in known and not isinstance(value, dict) and "$" not in str(value)
             and value != "???"}  # fmt: skip
    try:
        return to_dataclass(command, OmegaConf.create(later | data), info)
    except (MuseError, OmegaConfBaseException) as error:
        raise MuseError(f"{where}: {error}") from None


def _texts(data: object) -> Iterator[str]:
    """All texts in nested data."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for part in [*data, *data.values()] if isinstance(data, dict) else data:
            yield from _texts(part)


def command_line(command: str, overrides: list[str]) -> str:
    return f"muse {command} {shlex.join(overrides)}".rstrip()


def explain_error(command: str, error: Exception) -> str:
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
    inner = known_keys(command, str(key))
    if inner and "not a subclass" in str(cause):
        return f"{key} is several settings: {', '.join(f'{key}.{name}' for name in inner)}."
    if "not in" not in str(cause):
        return f"{key}: {str(cause).splitlines()[0]}"
    parent, _, name = str(key).rpartition(".")
    known = known_keys(command, parent)
    where = f" of {parent}" if parent else ""
    return (
        f"there is no setting '{key}'.{did_you_mean(name, known)}\n"
        f"The settings{where}: {', '.join(known)}."
    )
