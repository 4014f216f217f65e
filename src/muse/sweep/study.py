"""A study of Optuna in its database, which several processes share; who does which trial."""

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from muse.config.search_space import Axis, shown
from muse.errors import MuseError

try:  # what else uses Optuna has it from here, and with it this error
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
    from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
except ImportError:
    raise MuseError(
        "muse tune needs Optuna, which is not installed. Type: pip install 'muse[tune]'"
    ) from None

FILE = "study.db"  # in the folder of a study, unless the database is elsewhere
MISSED = 6  # heartbeats without which a trial counts as killed
RETRIES = 3  # of a trial that was killed or has failed
ATTEMPTS = 5  # to open a database
WAIT_SECONDS = 60  # for SQLite, while another process writes
RETRY_OF = "retry_of"  # attribute of a trial: the numbers of the trials that it tries again
FOLDER = "folder"  # of its run, below that of the study; known from the first heartbeat on
REASON = "reason"  # why it has failed; one that was killed has none


class Study:
    """An open study. Its processes need not know of each other: all they share is the database."""

    def __init__(self, name: str, folder: Path, database: str | None, heartbeat: int = 10):
        """Open a study, a new one if there is none of that name.

        Args:
            folder: has the database, if no other is given.
            database: its URL, as SQLAlchemy takes it.
            heartbeat: seconds between the signs of life of a trial.

        Raises MuseError if the database cannot be reached.
        """
        self.name, self.heartbeat = name, heartbeat
        self._adopted: set[int] = set()
        url = database or f"sqlite:///{(folder / FILE).absolute()}"
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with reachable(database or str(folder / FILE)), _without_warnings():
            self.storage = _opened(url, heartbeat)
            try:  # one that can only be read, too
                self.optuna = optuna.load_study(study_name=name, storage=self.storage)
            except KeyError:
                self.optuna = optuna.create_study(
                    storage=self.storage, study_name=name, direction="maximize", load_if_exists=True
                )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials so far, in their order."""
        return self.optuna.get_trials(deepcopy=False)

    def check(self, about: dict[str, object], command: str) -> None:
        """Keep what the study is about; MuseError if it was begun with something else.

        Args:
            command: as it was typed.
        """
        before = self.optuna.user_attrs
        for key, value in about.items():
            if before.get(key, value) != value:
                raise MuseError(
                    f"study={self.name} was begun with other {key}, which cannot be compared: "
                    f"{before[key]}, now {value}. Give another name: study=NAME\n"
                    f"It was begun with: {before.get('command')}"
                )
        for key, value in ({"command": command} | about).items():
            if key not in before:
                self.optuna.set_user_attr(key, value)

    def counted(self, before: int | None = None) -> int:
        """How many trials, up to number ``before``, are done, under way or to be tried again.

        One that was killed does not count, nor one that has failed and is tried again.
        """
        again = {number for t in self.trials for number in t.user_attrs.get(RETRY_OF, [])}
        return sum(
            t.state != TrialState.FAIL or (REASON in t.user_attrs and t.number not in again)
            for t in self.trials[:before]
        )

    def unfinished(self, trials: int) -> bool:
        """Whether one of the trials is not done, be it in this process or in another."""
        return self.counted() < trials or not all(t.state.is_finished() for t in self.trials)

    def claim(self, trials: int) -> Trial | None:
        """A trial for this process; None if others have them all.

        Of processes that ask at the same moment the later ones give up what is too many.
        """
        self._fail_stale()
        waiting = any(t.state == TrialState.WAITING for t in self.trials)
        if self.counted() >= trials and not waiting:
            return None
        with _without_warnings():
            trial = self.optuna.ask()
        if self.counted(trial.number) < trials:
            return trial
        self.optuna.tell(trial, state=TrialState.FAIL)
        return None

    @contextmanager
    def alive(self, trial: Trial) -> Iterator[None]:
        """Give signs of life of a trial until the end of the block."""
        ended = threading.Event()
        self._beat(trial.number)

        def go_on() -> None:
            while not ended.wait(self.heartbeat):
                self._beat(trial.number)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def fail(self, trial: Trial, reason: str) -> None:
        """End a trial that cannot be trained."""
        trial.set_user_attr(REASON, reason)
        self.optuna.tell(trial, state=TrialState.FAIL)

    def give_up(self, trial: Trial) -> None:
        """End a trial that is interrupted; it is tried again."""
        if not self.trials[trial.number].state.is_finished():
            self.optuna.tell(trial, state=TrialState.FAIL)
            try_again(self.optuna, self.trials[trial.number])

    def try_failed_again(self) -> None:
        """Let trials that have failed be tried again."""
        again = {number for t in self.trials for number in t.user_attrs.get(RETRY_OF, [])}
        for trial in self.trials:
            if REASON in trial.user_attrs and trial.number not in again:
                try_again(self.optuna, trial)

    def close(self) -> None:
        """Close the connections to the database: no fork may have them."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def _fail_stale(self) -> None:
        """Let the trials of processes that were killed be tried again.

        A trial that was killed before its first sign of life gets one here, and none after it.
        """
        for trial in self.trials:
            if trial.state == TrialState.RUNNING and FOLDER not in trial.user_attrs:
                if trial.number not in self._adopted:
                    self._beat(trial.number)
                self._adopted.add(trial.number)
        with _without_warnings():
            optuna.storages.fail_stale_trials(self.optuna)

    def _beat(self, number: int) -> None:
        study = self.storage.get_study_id_from_name(self.name)
        trial = self.storage.get_trial_id_from_study_id_trial_number(study, number)
        self.storage.record_heartbeat(trial)


def _opened(url: str, heartbeat: int) -> optuna.storages.RDBStorage:
    """The database, a new one if there is none; another process may make it at this moment."""
    own = {"connect_args": {"timeout": WAIT_SECONDS}} if url.startswith("sqlite") else {}
    for left in reversed(range(ATTEMPTS)):
        try:
            return optuna.storages.RDBStorage(
                url,
                own,
                heartbeat_interval=heartbeat,
                grace_period=MISSED * heartbeat,
                heartbeat_stale_trial_callback=try_again,
            )
        except (IntegrityError, OperationalError):
            if not left:
                raise
            time.sleep(0.2)
        except ImportError as error:
            raise MuseError(f"database: its driver is not installed ({error}).") from None


def try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Put a trial with the same settings at the end of the queue, if it was not there too often."""
    history = [*trial.user_attrs.get(RETRY_OF, []), trial.number]
    if len(history) <= RETRIES:
        study.enqueue_trial(trial.params, user_attrs={RETRY_OF: history})


def draw(trial: Trial, axes: list[Axis]) -> dict[str, str]:
    """The settings of a trial: name -> value, as on the command line."""
    drawn = {}
    for axis in axes:
        if axis.choices:
            value = trial.suggest_categorical(axis.key, axis.choices)
        elif axis.step:
            value = trial.suggest_int(axis.key, axis.low, axis.high, step=axis.step, log=axis.log)
        else:
            value = trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)
        drawn[axis.key] = shown(value)
    return drawn


def sampler(name: str, seed: list[int], startup: int) -> optuna.samplers.BaseSampler:
    """A sampler by its name in the settings.

    Args:
        seed: of the study and of the trial. What is drawn then depends on these and on the trials
            that are known, not on the process, and no two processes draw the same.
        startup: trials at random.
    """
    import numpy as np

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    kinds = {
        "tpe": partial(optuna.samplers.TPESampler, n_startup_trials=startup),
        "gp": partial(optuna.samplers.GPSampler, n_startup_trials=startup),
        "random": optuna.samplers.RandomSampler,
    }
    return kinds[name](seed=number)


def pruner(name: str, startup: int, warmup: int, steps: int) -> optuna.pruners.BasePruner:
    """A pruner by its name in the settings.

    Args:
        startup: finished trials before the median of them cuts others short.
        warmup: steps that each trial gets at least.
        steps: of a trial at most.
    """
    if name == "median":
        return optuna.pruners.MedianPruner(startup, warmup)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(warmup, max(warmup, steps))
    return optuna.pruners.NopPruner()


@contextmanager
def reachable(database: str) -> Iterator[None]:
    """A database that cannot be reached, or has no driver, is the user's to mend."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        raise MuseError(
            f"the database of the study, {_without_password(database)}, cannot be used "
            f"({str(cause).splitlines()[0]}). Expected one that can be reached and written, such "
            "as database=sqlite:////folder/study.db or postgresql://user@host/database."
        ) from None


def _without_password(url: str) -> str:
    before, at, host = url.rpartition("@")
    scheme, _, user = before.partition("://")
    return f"{scheme}://{user.split(':')[0]}@{host}" if at else url


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Optuna warns that heartbeats are for its own loop, and that they may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
