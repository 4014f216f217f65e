"""The one bridge to Hydra: a checked dataclass from the command line, words from errors."""

import logging
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields, replace
from importlib import import_module
from keyword import iskeyword
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from muse import progress, sweep
from muse.cli import COMMANDS
from muse.command_line import MULTIRUN, SWEPT, for_hydra, own_model, quote_texts, unquoted
from muse.config import SCHEMAS
from muse.config_parts import JobInfo
from muse.cores import cores
from muse.errors import MuseError, did_you_mean
from muse.help import config_folder, help_text, known_keys, shipped


def run(command: str) -> None:
    """Run `command` with the settings of sys.argv[1:]; a user's mistake is one message, exit 1."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(help_text(command))
        return
    if command == "train" and any(word.startswith("resume=") for word in words):
        command = "resume"
    if set(MULTIRUN) & set(words) and command not in SWEPT:
        sys.exit(f"muse {command}: is no sweep; -m goes with {' and '.join(SWEPT)}.")
    sys.argv[1:] = for_hydra(command, words)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here and are put into words below
    _register_resolvers(sys.argv[1:])
    line = _command_line(command, words)  # as it was typed, to be typed again
    failed: list[MuseError | BrokenPipeError] = []

    @hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)
    def job(config: DictConfig) -> None:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            _job_of_sweep(command, config)
            return
        try:
            settings = checked(command, config, line)
            module = f"{command}_" if iskeyword(command) else command
            import_module(f"muse.commands.{module}").run(settings)
        except (MuseError, BrokenPipeError) as error:
            failed.append(error)
        except OSError as error:
            failed.append(_refused(error))

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's stop is a Ctrl-C
    try:
        with sweep.watched() if set(MULTIRUN) & set(words) else nullcontext():
            job()
        if sweep.sweeps:
            _end_of_sweep()
    except (MuseError, BrokenPipeError) as error:
        failed.append(error)
    except TerminatedWorkerError:
        sys.exit(
            f"muse {command}: a job was killed from outside, perhaps for want of memory, and took "
            "the others with it. The same command goes on where the sweep stood."
        )
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"muse {command}: {in_words(command, error)}")
    except OSError as error:
        failed.append(_refused(error))
    except KeyboardInterrupt:
        sys.exit(130)
    if failed and isinstance(failed[0], BrokenPipeError):
        raise failed[0]
    if failed:
        sys.exit(f"muse {command}: {failed[0]}")


def _register_resolvers(words: list[str]) -> None:
    """What the YAML of commands asks of muse: ${unique:}, ${sweep:} and ${cores:JOBS}."""
    name = sweep.name_of(words)
    for resolver, answer in (("unique", lambda: secrets.token_hex(3)), ("sweep", lambda: name),
                             ("cores", sweep.side_by_side)):  # fmt: skip
        OmegaConf.register_new_resolver(resolver, answer, use_cache=True, replace=True)


def _refused(error: OSError) -> MuseError:
    """What the system has refused: a folder that may not be read or written, a full disk."""
    return MuseError(f"{error.filename or 'the system'}: {error.strerror or error}.")


def _job_of_sweep(command: str, config: DictConfig) -> None:
    """A job of `-m`: what goes wrong stays in its folder."""
    progress.quiet = True
    logging.getLogger().handlers.clear()  # each run has its log, and the sweep its bar
    job = HydraConfig.get()
    root, line = Path(job.sweep.dir), _command_line(command, unquoted(job.overrides.task))
    try:
        settings = to_dataclass(command, config, JobInfo("", line))
    except MuseError as error:
        sweep.keep_failure(root / f"job_{job.job.num}", error, line)
        return
    beside = int(job.launcher.get("n_jobs", 1))
    settings = replace(settings, jobs=max(1, cores(settings.jobs) // beside))  # for the seeds
    sweep.run_job(settings, root, import_module(f"muse.commands.{command}").load)


def _end_of_sweep() -> None:
    """The leaderboard; exit status 1 if a job has failed."""
    from muse.leaderboard import report

    root, _, show_test = sweep.sweeps[0]
    failures = report(root, show_test)
    if failures:
        raise MuseError(f"{failures} of the jobs of {root} have no result; see above.")


def load_config(command: str, overrides: list[str], folder: str = "."):
    """Return the settings of a command as the command line would: for notebooks and scripts.

    Args:
        overrides: what would stand on the command line, such as `task=stress`.
        folder: the run folder.
    """
    _register_resolvers(overrides)
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose(command, overrides=quote_texts(command, own_model(overrides)))
    return to_dataclass(command, config, JobInfo(folder, _command_line(command, overrides)))


def checked(command: str, config: DictConfig, line: str):
    """The settings of the job that Hydra is running.

    If they are wrong nothing has run, so the folder that Hydra has made for the run goes.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
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


def _command_line(command: str, overrides: list[str]) -> str:
    return f"muse {command} {shlex.join(overrides)}".rstrip()


def _remove_unused(folder: Path) -> None:
    """Remove a run folder in which there is nothing."""
    if folder != Path() and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


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
