"""From YAML and overrides to a checked dataclass; errors of Hydra and OmegaConf in plain words."""

import re
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.fuse import FuseConfig
from muse.config.overrides import SWEPT, config_dirs, name_of, own_model, quote_texts
from muse.config.shared import JobInfo, published_settings
from muse.config.shipped import choices_of, config_folder, group_files, known_keys, shipped
from muse.config.use import CHANGEABLE
from muse.errors import MuseError, did_you_mean

# settings of config.yaml of runs made before -> the name of today
RENAMED = {"jobs": "workers"}
# names that other tools have -> what muse has
ELSEWHERE = {
    "plateau": "its parts are lr_on (devel or loss), lr_patience, lr_factor and lr_floor",
    "learning_rate": "it is called lr",
    **dict.fromkeys(
        ("optimizer", "optimiser"), "it is Adam, whose settings are lr, weight_decay and clip"
    ),
    "early_stopping": "it is called patience",
}
# what OmegaConf calls the type of a setting -> what is expected
KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def register_resolvers(words: list[str]) -> None:
    """The resolvers of the commands' YAML: ${unique:} and ${sweep:}."""
    name = name_of(words)
    for resolver, answer in (("unique", lambda: secrets.token_hex(3)), ("sweep", lambda: name)):
        OmegaConf.register_new_resolver(resolver, answer, use_cache=True, replace=True)


def _published(name: str, default: object, *, _root_: DictConfig) -> object:
    """${published:lr,0.002}: as published for the task, target and features of a config."""
    section, _, name = name.rpartition(".")
    source = OmegaConf.select(_root_, f"task.{section or 'published'}")
    target, names = (OmegaConf.select(_root_, key) for key in ("target", "features"))
    known = published_settings(
        OmegaConf.to_container(source) if source else None,
        [target] if target else list(OmegaConf.select(_root_, "task.targets") or []),
        list(names) if isinstance(names, ListConfig) else [names],
    )
    return known.get(name, default)


def _per_segment(yes: object, no: object, *, _root_: DictConfig) -> object:
    """${per_segment:true,false}: the first for a task with classes, which segments have."""
    return yes if OmegaConf.select(_root_, "task.classes") else no


# at import, since the jobs of a sweep resolve their settings in processes of their own
for _name, _resolver in (("published", _published), ("per_segment", _per_segment)):
    OmegaConf.register_new_resolver(_name, _resolver, replace=True)


def load_config(command: str, overrides: list[str], folder: str = "."):
    """Return the settings of a command as the command line would: for notebooks and scripts.

    Args:
        overrides: what would stand on the command line, such as `task=stress`.
        folder: the run folder.
    """
    register_resolvers(overrides)
    with _composing():
        config = hydra.compose(command, overrides=quote_texts(command, own_model(overrides)))
    line = command_line(command, overrides)
    return to_dataclass(command, config, JobInfo(folder, line, overrides))


@contextmanager
def _composing() -> Iterator[None]:
    """Hydra's compose API with the shipped configs, also inside a command that Hydra runs."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = outer


def sweep_params(command: str, overrides: list[str]) -> dict[str, str]:
    """The axes that the YAML of an experiment gives to Hydra's sweeper."""
    register_resolvers(overrides)
    with _composing():
        config = hydra.compose(command, overrides=overrides, return_hydra_config=True)
    return {str(key): str(value) for key, value in (config.hydra.sweeper.params or {}).items()}


def model_keys(command: str, overrides: list[str]) -> list[str]:
    """The settings of the model that a command line chooses, also those that lack a value."""
    register_resolvers(overrides)
    with _composing():
        config = hydra.compose(command, overrides=quote_texts(command, own_model(overrides)))
    return [str(key) for key in config.model]


def given_keys(command: str, overrides: list[str]) -> list[str]:
    """The settings that a command line and its experiment give a value, known or not."""
    register_resolvers(overrides)
    with _composing():
        config = hydra.compose(command, overrides=quote_texts(command, own_model(overrides)))
    return [str(key) for key in config]


def to_dataclass(command: str, config: DictConfig, info: JobInfo):
    """Return the dataclass of the command, filled from ``config``.

    Raises MuseError for unknown keys, missing values, wrong types and what the dataclass refuses.
    """
    try:
        job = {"job": info} if "job" in SCHEMAS[command].__dataclass_fields__ else {}
        typed = OmegaConf.unsafe_merge(OmegaConf.structured(SCHEMAS[command]), config, job)
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
    data = {RENAMED.get(key, key): value for key, value in data.items()}
    if isinstance(data.get("workers"), int) and data["workers"] < 1:
        data["workers"] = -1  # jobs=0 and jobs=-5 were one per core as well
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


def command_with(line: str, settings: dict[str, str], without: Sequence[str] = ()) -> str:
    """A command line with other values of some settings; nothing if there is none."""
    if not line:
        return line
    left_out = {*settings, *without}
    words = [word for word in shlex.split(line) if word.lstrip("+").split("=")[0] not in left_out]
    return shlex.join([*words, *(f"{key}={value}" for key, value in settings.items())])


def explain_error(command: str, error: Exception, words: Sequence[str] = ()) -> str:
    """What Hydra or OmegaConf found wrong, with the known names where a name was unknown.

    Args:
        words: the command line, whose --config-dir may have models and tasks of the user's own.
    """
    example = f"For example: {COMMANDS[command].example}"
    cause = error
    while cause.__cause__ is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = ", ".join(error.options)
        return f"{group}={name}: expected one of {known}.{did_you_mean(name, error.options)}"
    lost = re.search(r"Could not find '(\w+)/(.+)'", str(error))
    if isinstance(error, MissingConfigException) and lost:  # in a folder of the group
        names = choices_of(lost[1], config_dirs(words))
        hint = did_you_mean(lost[2], names)
        return f"{lost[1]}={lost[2]}: expected one of {', '.join(names)}.{hint}"
    several = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'\n", str(error))
    if several:
        return _several(command, *several.groups())
    if isinstance(error, OverrideParseException):
        typed = re.match(r"\+*(\w+)=", error.override)
        if typed and typed[1] not in known_keys(command, "", config_dirs(words)):
            return _unknown(command, typed[1], words, config_dirs(words))
        return f"{error}\nIn a shell a list needs quotes: 'features=[egemaps,vggface]'. {example}"
    unknown = re.match(r"Could not override '(\w+)'", str(error))
    if unknown:
        return _unknown(command, unknown[1], words, config_dirs(words))
    absent = re.match(r"You must specify '(\w+)'.*?:\n(.*)", str(error), re.DOTALL)
    if absent:
        given = [word.lstrip("+").split("=")[0] for word in words if "=" in word]
        typo = next((f" instead of {key}" for key in given if did_you_mean(key, [absent[1]])), "")
        known = ", ".join(absent[2].split())
        return f"no value for {absent[1]}; give {absent[1]}=NAME{typo}, one of {known}.\n{example}"
    key = str(getattr(cause, "full_key", None) or "")
    if not isinstance(cause, OmegaConfBaseException) or not key:
        return f"{str(error).strip()}\n{example}"
    folders = config_dirs(words)
    inner = known_keys(command, key, folders)
    if inner and "not a subclass" in str(cause):
        return f"{key} is several settings: {', '.join(f'{key}.{name}' for name in inner)}."
    text = re.match(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", str(cause))
    if text and text[2] in KINDS:
        return f"{key}={text[1]}: expected {KINDS[text[2]]}."
    if "not in" not in str(cause):
        return f"{key}: {str(cause).splitlines()[0]}"
    return _unknown(command, key, words, folders)


def _several(command: str, key: str, value: str) -> str:
    """What to give instead of key=a,b, which is neither a list nor a sweep."""
    ways = [f"a list is '{key}=[{value}]'"]
    if re.fullmatch(r"\d+,\d+", value):
        ways.append(f"a number has a point, {key}={value.replace(',', '.')}")
    if command in SWEPT:
        ways.append(f"a sweep over these is muse {command} -m ... {key}={value}")
    return f"{key}={value}: several values; {'; '.join(ways)}."


def _unknown(command: str, key: str, words: Sequence[str], folders: list[Path]) -> str:
    """What to give instead of a setting that there is not."""
    parent, _, name = key.rpartition(".")
    if command == "resume" and key.split(".")[0] in {field.name for field in fields(FuseConfig)}:
        return (
            f"{key}: a run is continued with its own. What may be changed: {', '.join(CHANGEABLE)}."
        )
    if key in ("experiment", "debug") and command in SWEPT:
        word = next((word for word in words if word.startswith(f"{key}=")), key)
        return f"{word}: a group that is added, with a plus: +{word}"
    if key in RENAMED:
        return f"there is no setting '{key}' any more: it is called {RENAMED[key]}."
    if key in ELSEWHERE:
        return f"there is no setting '{key}'; {ELSEWHERE[key]}."
    known = known_keys(command, parent, folders)
    if not parent and name in known_keys(command, "model", folders):
        return f"there is no setting '{key}'. Did you mean 'model.{key}'?"
    if parent == "model" and name in known:
        chosen = next((w[6:] for w in words if w.startswith("model=")), "lstm")
        models = {f.stem: yaml.safe_load(f.read_text()) for f in group_files("model", folders)}
        having = [model for model, values in models.items() if name in (values or {})]
        return f"model={chosen} has no setting '{key}'; models that have it: {', '.join(having)}."
    where = f" of {parent}" if parent else ""
    return (
        f"there is no setting '{key}'.{did_you_mean(name, known)}\n"
        f"The settings{where}: {', '.join(known)}."
    )
