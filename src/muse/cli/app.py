"""The one bridge to Hydra: a checked dataclass from the command line, words from errors."""

import os
import shutil
import signal
import sys
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from traceback import walk_tb

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from muse import terminal
from muse.cli.arguments import (
    check_choices,
    for_hydra,
    settings_of,
    without_dashes,
    without_spaces,
)
from muse.cli.help import help_text
from muse.config.commands import COMMANDS
from muse.config.compose import command_line, explain_error, register_resolvers, to_dataclass
from muse.config.overrides import SWEPT, is_multirun, unquoted
from muse.config.shared import JobInfo
from muse.config.shipped import config_folder
from muse.errors import MuseError
from muse.files import checksum
from muse.runs.identity import settings_key
from muse.sweep import watch
from muse.sweep.jobs import placed, run_job
from muse.sweep.records import setup_of
from muse.sweep.state import keep_failure, reason_of, state_of

SLURM = "hydra_plugins.muse_slurm."  # the module of the launcher


def run(command: str) -> None:
    """Run `command` with the settings of sys.argv[1:]; a user's mistake is one message, exit 1."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(help_text(command, words))
        return
    command = _command_of(command, words)
    try:
        check_choices(words)
        sys.argv[1:] = for_hydra(command, words)
    except MuseError as error:
        sys.exit(f"muse {command}: {error}")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here and are put into words below
    register_resolvers(sys.argv[1:])
    given = settings_of(command, words)
    line = command_line(command, words)  # as it was typed, to be typed again
    watch.current = None  # of an earlier call in this process
    failed: list[MuseError | BrokenPipeError] = []

    @hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)
    def job(config: DictConfig) -> float | None:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _job_of_sweep(command, config)
        folder = _folder()
        try:
            settings = to_dataclass(command, config, JobInfo(str(folder), line, given))
            module = f"{command}_" if iskeyword(command) else command
            import_module(f"muse.commands.{module}").run(settings)
        except (MuseError, BrokenPipeError) as error:
            failed.append(error)
        except OSError as error:
            failed.append(_refused(error))
        _remove_unused(folder)
        return None

    for name in ("SIGTERM", "SIGHUP"):  # a cluster's stop and a closed terminal are a Ctrl-C
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(number, signal.default_int_handler)
    try:
        job()
        if watch.current:
            _end_of_sweep(watch.current)
    except (MuseError, BrokenPipeError) as error:
        failed.append(error)
    except TerminatedWorkerError:
        sys.exit(
            f"muse {command}: a job was killed from outside, perhaps for want of memory, and took "
            "the others with it. The same command goes on where the sweep stood."
        )
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(terminal.printable(f"muse {command}: {explain_error(command, error, words)}"))
    except (ValueError, TypeError) as error:
        if not _is_of_hydra(error):
            raise
        sys.exit(f"muse {command}: {error}\nFor example: {COMMANDS[command].example}")
    except OSError as error:
        failed.append(_refused(error))
    except KeyboardInterrupt:
        if watch.current:
            print("Interrupted. The same command goes on where the sweep stood.", file=sys.stderr)
        sys.exit(130)
    finally:
        if watch.current:
            watch.current.end()
    if failed and isinstance(failed[0], BrokenPipeError):
        raise failed[0]
    if failed:
        sys.exit(terminal.printable(f"muse {command}: {failed[0]}"))


def _command_of(command: str, words: list[str]) -> str:
    """The command that the words are for; what is no setting is answered with what to type."""
    for what, mend in (("spaces", without_spaces), ("dashes", without_dashes)):
        mended = mend(command, words)
        if mended:
            sys.exit(f"muse {command}: settings are key=value, without {what}. Type: {mended}")
    if command == "train":  # the settings of these are in the folder of a run
        others = (other for other in ("resume", "retrain") for word in words
                  if word.startswith(f"{other}="))  # fmt: skip
        command = next(others, command)
    if command not in SWEPT and any(map(is_multirun, words)):
        sys.exit(f"muse {command}: has no sweeps; -m is for {' and '.join(SWEPT)} only.")
    return command


def _is_of_hydra(error: Exception) -> bool:
    """Whether Hydra itself, reading the command line, has raised an error that is none of its."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return frames[-1].startswith("hydra.") and "muse.config.compose" not in frames


def _refused(error: OSError) -> MuseError:
    """What the system has refused: a folder that may not be read or written, a full disk."""
    return MuseError(f"{error.filename or 'the system'}: {error.strerror or error}.")


def _job_of_sweep(command: str, config: DictConfig) -> float | None:
    """A job of `-m`: what goes wrong stays in its folder. Returns what a sweeper optimises."""
    if command not in SWEPT:
        raise MuseError(f"has no sweeps; -m is for {' and '.join(SWEPT)} only.")
    job = HydraConfig.get()
    words, setup = list(job.overrides.task), setup_of(job)
    root, line = Path(job.sweep.dir), command_line(command, unquoted(words))
    unnamed = root / f"job_{checksum(line.encode())}"  # its settings have no key if they are wrong
    try:
        settings = to_dataclass(command, config, JobInfo("", line))
        if settings.fusion and settings.target is None:
            known = ",".join(settings.task.targets)
            raise MuseError(f"target=null: a job of a sweep fuses one target. Give target={known}")
    except MuseError as error:
        keep_failure(unnamed, error, line)
        return _failed_job(job, unnamed)
    shutil.rmtree(unnamed, ignore_errors=True)  # of an earlier call
    at_once = int(job.launcher.get("n_jobs", 1))
    settings = placed(settings, at_once)
    with terminal.quietly():
        score = run_job(settings, root, words, setup)
    return _failed_job(job, root / settings_key(settings)) if score is None else score


def _failed_job(job: DictConfig, folder: Path) -> None:
    """For Slurm a job that has failed is an error, which its launcher makes the exit status."""
    if state_of(folder) == "failed" and job.launcher._target_.startswith(SLURM):
        raise MuseError(reason_of(folder))


def _end_of_sweep(sweep: watch.Sweep) -> None:
    """The leaderboard; exit status 1 if a job has failed."""
    from muse.sweep.leaderboard import report

    sweep.end()
    failures = report(sweep.root, sweep.show_test)
    if failures:
        raise MuseError(f"{failures} of the jobs of {sweep.root} have no result; see above.")


def _folder() -> Path:
    """The folder that Hydra has made for a run."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())  # short enough to be typed
    return folder


def _remove_unused(folder: Path) -> None:
    """Remove an empty run folder; below the working folder, parents that are then empty as well."""
    if folder != Path() and folder.is_dir() and not any(folder.iterdir()):
        if folder.is_absolute():
            folder.rmdir()
        else:
            os.removedirs(folder)
