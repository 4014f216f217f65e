"""The one bridge to Hydra: a checked dataclass from the command line, words from errors."""

import json
import os
import secrets
import shlex
import shutil
import signal
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import muse
from muse.cli import COMMANDS
from muse.config import RunInfo, SynthConfig, TrainConfig
from muse.errors import MuseError, did_you_mean

SCHEMAS = {"train": TrainConfig, "synth": SynthConfig}
NOT_SETTINGS = ("run", "feature_sets", "task", "model")  # groups, or filled in by muse


def config_folder() -> Path:
    """The shipped configs/: inside an installed muse, or at the root of a checkout."""
    package = Path(muse.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def run(command: str) -> None:
    """Run `command` with the settings of sys.argv[1:]; a user's mistake is one message, exit 1."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(help_text(command))
        return
    sys.argv[1:] = expand_bare_word(command, words)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here and are put into words below
    OmegaConf.register_new_resolver(
        "unique", lambda: secrets.token_hex(3), use_cache=True, replace=True
    )

    failed: list[MuseError] = []

    @hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)
    def job(config: DictConfig) -> None:
        try:
            settings = checked(command, config)
            import_module(f"muse.commands.{command}").run(settings)
        except MuseError as error:
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
    if failed:
        sys.exit(f"muse {command}: {failed[0]}")


def expand_bare_word(command: str, words: list[str]) -> list[str]:
    """Turn one bare word after the command into the key that the command declares for it."""
    key = COMMANDS[command].bare_word
    if words and key and "=" not in words[0] and words[0][0] not in "-+~":
        return [f"{key}={words[0]}", *words[1:]]
    return words


def load_config(command: str, overrides: list[str], folder: str = "."):
    """Return the settings of a command as the command line would: for notebooks and scripts.

    Args:
        overrides: what would stand on the command line, such as `task=stress`.
        folder: the run folder.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose(command, overrides=overrides)
    return to_dataclass(command, config, RunInfo(folder, _command_line(command, overrides)))


def checked(command: str, config: DictConfig):
    """The settings of the job that Hydra is running.

    If they are wrong nothing has run, so the folder that Hydra has made for the run goes.
    """
    job = HydraConfig.get()
    line = _command_line(command, list(job.overrides.task))
    folder = Path(job.runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())  # short enough to be typed
    info = RunInfo(str(folder), line)
    try:
        return to_dataclass(command, config, info)
    except MuseError:
        _remove_unused(Path(info.folder))
        raise


def to_dataclass(command: str, config: DictConfig, info: RunInfo):
    """Return the dataclass of the command, filled from ``config``.

    Raises MuseError for unknown keys, missing values, wrong types and what the dataclass refuses.
    """
    try:
        typed = OmegaConf.merge(OmegaConf.structured(SCHEMAS[command]), config, {"run": info})
        missing = sorted(OmegaConf.missing_keys(typed))
        if missing:
            example = COMMANDS[command].example
            raise MuseError(f"no value for {', '.join(missing)}. For example: {example}")
        OmegaConf.resolve(typed)
        return OmegaConf.to_object(typed)
    except OmegaConfBaseException as error:
        raise MuseError(in_words(command, error)) from None


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


def known_keys(command: str, parent: str) -> list[str]:
    """Names of the settings below ``parent`` ('' is the top), from the command's YAML files."""
    node = shipped(command)
    for part in filter(None, parent.split(".")):
        node = node.get(part)
        if part in ("task", "model") and node is None:
            group = sorted((config_folder() / part).glob("*.yaml"))
            node = {key: None for file in group for key in yaml.safe_load(file.read_text())}
        if not isinstance(node, dict):
            return []
    names = {f.name for f in fields(SCHEMAS[command])} if not parent else set()
    return sorted((names | set(node)) - {"run", "defaults", "hydra"})


def shipped(command: str) -> dict:
    """The command's YAML as it is shipped, nothing composed or resolved."""
    return yaml.safe_load((config_folder() / f"{command}.yaml").read_text())


def help_text(command: str) -> str:
    """The text of `muse COMMAND --help`: choices, then every setting with its default."""
    about = COMMANDS[command]
    defaults = shipped(command)
    choices = [name for entry in defaults["defaults"] if isinstance(entry, dict) for name in entry]
    lines = [f"usage: {about.example.split('=')[0].rsplit(' ', 1)[0]} key=value ...", ""]
    lines += [about.summary, f"Example: {about.example}", "", "choices"]
    for group in choices:
        folder = config_folder() / group.lstrip("/")
        if folder.is_dir():
            names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            lines.append(f"  {group:14} {names}")
    lines += ["", "settings (default)"]
    lines += settings(SCHEMAS[command], defaults)
    if "model" in choices:
        lines += ["", "settings of the model (model=lstm)"]
        model = yaml.safe_load((config_folder() / "model" / "lstm.yaml").read_text())
        lines += [f"  model.{name} = {shown(value)}" for name, value in model.items()]
    lines += [
        "",
        "Hydra: -m sweeps over values with commas, --cfg job prints the composed settings,",
        "--config-dir adds a folder of your own configs, --hydra-help tells the rest.",
    ]
    return "\n".join(lines)


def settings(schema: type, defaults: dict, prefix: str = "") -> list[str]:
    """One line for each setting of a dataclass: name, default, what it means."""
    lines = []
    for item in fields(schema):
        if not prefix and item.name in NOT_SETTINGS:
            continue
        value = defaults.get(item.name)
        if isinstance(value, dict):
            lines += settings(item.type, value, f"{item.name}.")
        else:
            name = f"{prefix}{item.name}"
            lines.append(f"  {name:14} {item.metadata.get('help', '')} ({shown(value)})")
    return lines


def shown(value) -> str:
    """A default as a person reads it: ${oc.env:MUSE_DATA,data} is `data`."""
    if value == "???":
        return "required"
    if isinstance(value, str) and value.startswith("${oc.env:"):
        return value.rstrip("}").split(",", 1)[1].strip('"')
    if isinstance(value, str) and value.startswith("${"):
        return f"that of the {value[2:].split('.')[0]}"
    return value if isinstance(value, str) else json.dumps(value)
