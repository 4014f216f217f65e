"""The search: what is drawn, trained, cut short and told, and trials whose process was killed."""

import csv
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from muse.cli.app import run
from muse.commands import resume
from muse.config.compose import load_config
from muse.config.search_space import Axis, axes_of, base_words, split_words
from muse.config.shared import JobInfo
from muse.errors import MuseError
from muse.runs.find import listed_runs
from muse.runs.folder import begin, set_status
from muse.runs.identity import settings_key
from muse.runs.read import read_result
from muse.runs.status import can_continue, read_status
from muse.sweep.state import LINK_FILE, finished_ids
from tests.conftest import stress_package

optuna = pytest.importorskip("optuna")
from muse.sweep import study as studies  # noqa: E402
from muse.sweep import study_summary, tuning  # noqa: E402
from muse.sweep.study import FOLDER, REASON, RETRIES, RETRY_OF, Study  # noqa: E402

SMALL = ["task=stress", "features=a", "target=valence", "seeds=2", "epochs=2", "batch_size=4",
         "model.layers=1", "model.hidden=4", "standardise=true", "bootstrap=0", "plots=false",
         "tensorboard=false"]  # fmt: skip
ALONE = "workers=1"  # in this process
STATE = optuna.trial.TrialState


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a package in data/."""
    stress_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    finished_ids.cache_clear()
    return tmp_path


@pytest.fixture
def tune(home, monkeypatch, capsys):
    """tune("trials=2", ...) -> what the command prints, as on the command line."""

    def call(*words: str, command: str = "tune") -> str:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["muse", *words])
        run(command)
        return capsys.readouterr().out

    return call


def refused(tune, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        tune(*words)
    return str(stop.value)


def rows_of(folder: Path) -> list[dict]:
    return list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))


# the space


def test_a_space_is_written_as_a_sweep_of_hydra():
    fixed, axes = split_words([
        "task=stress", "lr=tag(log,interval(1e-4,1e-2))", "model.hidden=choice(32,64)",
        "model.layers=range(1,5)", "model.dropout=interval(0,0.5)", "batch_size=range(32,129,32)",
        "features=choice([a,b],c)", "clip=0.5,null", "--config-dir", "mine", "data.root='a,b'",
        "noise=range(0.1,0.35,0.1)",
    ])  # fmt: skip
    assert fixed == ["task=stress", "--config-dir", "mine", "data.root='a,b'"]
    values = {key: (a.choices or (a.low, a.high), a.step, a.log) for key, a in axes.items()}
    assert values == {
        "lr": ((0.0001, 0.01), None, True),
        "model.hidden": (("32", "64"), None, False),
        "model.layers": ((1, 4), 1, False),  # the end of a range is left out
        "model.dropout": ((0.0, 0.5), None, False),
        "batch_size": ((32, 128), 32, False),
        "features": (("[a,b]", "c"), None, False),
        "clip": (("0.5", "null"), None, False),
        "noise": (("0.1", "0.2", "0.3"), None, False),
    }
    assert axes["lr"].word(0.00123456789) == "lr=0.00123457" and axes["lr"].first == "lr=0.0001"
    nested = axes_of({"model": {"hidden": "1,2"}, "lr": "interval(0,1)", "model.hidden": "3,4"})
    assert nested["model.hidden"].choices == ("3", "4") and list(nested) == ["model.hidden", "lr"]
    assert base_words(["lr=choice(0.1,0.2)", "x=1"]) == [
        "x=1", "lr=0.1", "++space.lr='choice(0.1,0.2)'"
    ]  # fmt: skip


def test_an_interval_of_whole_numbers_where_the_setting_is_one():
    axis = Axis("model.hidden", "interval(8,64)", low=8.0, high=64.0)
    assert axis.for_setting(32) == Axis("model.hidden", "interval(8,64)", low=8, high=64, step=1)
    assert axis.for_setting(0.5) is axis and axis.for_setting(True) is axis
    with pytest.raises(MuseError, match="the setting is a whole number"):
        Axis("a", "interval(0.5,2)", low=0.5, high=2.0).for_setting(3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lr=interval(2,1)", "from a number to a larger one"),
        ("lr=tag(log,interval(0,1))", "from a number above 0"),
        ("lr=range(3,3)", "an empty range"),
        ("lr=tag(exp,interval(1,2))", "expected such as"),
        ("lr=glob(*)", "expected such as"),
        ("lr=interval(1", "A search is written as"),
        ("task=choice(stress,wilder)", "cannot be searched"),
        ("+experiment=a,b", "cannot be searched"),
    ],
)
def test_what_cannot_be_searched(word, message):
    with pytest.raises(MuseError, match=message):
        split_words([word])


# a study


def study_of(root: Path, *words: str) -> list:
    """The trials of a study below a folder, after the command was given with these words."""
    tuning.tune(load_config("tune", [*words, ALONE], str(root)))
    return Study(load_config("tune", list(words)).study, root, None).trials


def test_every_trial_is_a_run_of_muse_train_and_the_same_command_goes_on(tune):
    words = [*SMALL, "lr=tag(log,interval(1e-3,1e-1))", "model.head=choice(3,5)"]
    out = tune(*words, ALONE, "trials=2")
    (root,) = Path("outputs/tune").iterdir()
    assert f"study {root.name}, 2 trials (2 finished)" in out and root.name.startswith("stress_")
    rows = rows_of(root)
    values = [float(row["value"]) for row in rows]
    assert sorted(row["trial"] for row in rows) == ["0", "1"] and values[0] >= values[1]
    run = Path(rows[0]["run"])
    best = read_result(run)
    part = best["targets"]["valence"]
    assert values[0] == part["over_seeds"]["devel"]["mean"]
    assert float(rows[0]["best_seed"]) == part["devel"]["ccc"]
    assert float(rows[0]["test"]) == part["test"]["ccc"] and not rows[1]["test"]
    shown = f"best: trial {rows[0]['trial']}, CCC, mean of the seeds on devel: {values[0]:.4f}"
    assert shown in out and (root / "study.png").stat().st_size > 10_000
    _, name, *line = shlex.split(best["command"])
    own = {f"lr={rows[0]['lr']}", f"model.head={rows[0]['model.head']}"}
    assert name == "train" and set(line) == own | {*SMALL, ALONE}
    assert settings_key(load_config("train", line)) == run.name  # the same run of muse train
    summary = tune(str(root), command="summary")
    assert "2 trials (2 finished)" in summary and shown in summary
    (root / "trials.csv").unlink()
    (root / "trials.csv").mkdir()
    summary = tune(str(root), command="summary")
    assert shown in summary and summary.endswith("cannot be written (Is a directory).\n")


@pytest.mark.slow
def test_the_same_command_does_what_is_missing_and_no_run_twice(home):
    one, two = home / "outputs/tune/one", home / "outputs/tune/two"
    words = [*SMALL, "++space.lr='tag(log,interval(1e-3,1e-1))'", "study=one"]
    first = study_of(one, *words, "trials=1")
    stamps = {path: path.stat().st_mtime_ns for path in one.glob("*/result.json")}
    trials = study_of(one, *words, "trials=2")
    assert [t.params for t in trials][:1] == [t.params for t in first] and len(trials) == 2
    assert len(stamps) == 1
    assert all(path.stat().st_mtime_ns == before for path, before in stamps.items())
    words[-1] = "study=two"
    told = study_of(two, *words, "trials=2", "objective=best")  # what another one has trained
    assert [trial.params for trial in told] == [trial.params for trial in trials]
    assert len(list(two.glob(f"*/{LINK_FILE}"))) == 2 and not list(two.glob("*/result.json"))
    for trial, other in zip(trials, told, strict=True):
        part = read_result(one / trial.user_attrs[FOLDER])["targets"]["valence"]
        assert trial.value == part["over_seeds"]["devel"]["mean"]
        assert other.value == part["devel"]["ccc"]
    with pytest.raises(MuseError, match="study=two was begun with other objective, which cannot"):
        study_of(two, *words, "trials=2")


def test_a_study_of_something_else(study):
    about = {"space": {"lr": "0.1 to 1"}, "settings": "abc"}
    study.check(about, "muse tune lr=interval(0.1,1)")
    study.check(dict(about), "muse tune workers=2")
    with pytest.raises(MuseError, match=r"other space.*\n.*begun with: muse tune lr=interval"):
        study.check(about | {"space": {"lr": "0.1 to 2"}}, "muse tune")


def test_what_is_drawn_depends_on_seed_and_number_alone():
    def drawn(seed: int, numbers: range) -> list[dict]:
        study = optuna.create_study(direction="maximize")
        found = []
        for _ in range(max(numbers) + 1):
            trial = study.ask()
            study.sampler = studies.sampler("tpe", [seed, trial.number], 2)
            values = studies.draw(trial, list(split_words(
                ["lr=interval(0.1,0.9)", "h=range(1,100)", "m=a,b,c"])[1].values()))  # fmt: skip
            study.tell(trial, float(values["lr"]))
            found.append(values)
        return found

    whole = drawn(1, range(8))
    assert whole[:5] == drawn(1, range(5))  # a study that stopped goes on as if it had not
    assert len({row["lr"] for row in whole}) == 8 and drawn(2, range(1)) != whole[:1]
    assert all(0.1 <= float(row["lr"]) <= 0.9 and row["m"] in "abc" for row in whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "gp", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_samplers_and_pruners(name, pruner):
    study = optuna.create_study(direction="maximize", pruner=studies.pruner(pruner, 2, 1, 9))
    axes = list(split_words(["lr=tag(log,interval(0.1,0.9))", "h=range(1,9)", "m=a,b"])[1].values())
    for number in range(5):
        trial = study.ask()
        study.sampler = studies.sampler(name, [1, number], 2)
        drawn = studies.draw(trial, axes)
        assert 0.1 <= float(drawn["lr"]) <= 0.9 and 1 <= int(drawn["h"]) <= 8
        trial.report(-number, 3)
        assert trial.should_prune() in ((False,) if pruner == "none" else (False, True))
        study.tell(trial, -number)


def test_the_search_of_an_experiment_and_of_the_command_line(home, tmp_path):
    own = tmp_path / "mine/experiment"
    own.mkdir(parents=True)
    (own / "lab.yaml").write_text(
        "# @package _global_\nepochs: 7\ntrials: 3\n"
        "space: {lr: 'interval(0.001,0.01)', model.hidden: '4,8', model.layers: 'range(1,3)'}\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {batch_size: '2,4', seeds: 1}}}\n"
    )
    words = ["task=stress", "features=a", "+experiment=lab", "model.hidden=interval(16,32)",
             "model.layers=2", f"hydra.searchpath=[{tmp_path / 'mine'}]"]  # fmt: skip
    config = load_config("tune", [w for w in words if "interval" not in w])
    config.job = JobInfo("outputs/tune/x", "muse tune", words)
    search = tuning.plan_search(config)
    axes = {axis.key: axis for axis in search.axes}
    assert set(axes) == {"lr", "batch_size", "model.hidden"}  # the command line has the last word
    assert (axes["model.hidden"].low, axes["model.hidden"].step) == (16, 1)
    assert "~space" in search.words and "~trials" in search.words and config.trials == 3
    job = load_config("train", [*search.words, *(axis.first for axis in search.axes)])
    assert (job.epochs, job.lr, job.model["hidden"], job.model["layers"]) == (7, 0.001, 16, 2)


AXIS = "lr=interval(0.001,0.01)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sampler=tpa"], "sampler=tpa: expected one of tpe, gp, random. Did you mean 'tpe'"),
        (["folds=2"], "a study chooses settings on devel"),
        (["rerun=all"], "a study is begun anew under another name"),
        (["lr=0.1", "study=one"], "no search space: give several values"),
        (["study=a/b"], "study=a/b: expected a name"),
        (["++space.lrr='interval(1,2)'"], "there is no setting 'lrr'. Did you mean 'lr'?"),
        (["++space.lr=3"], "space: lr=3 has one value"),
        (["++space.lr='1,2'", "database=sqlite:////nowhere/at/all.db"], "unable to open database"),
        (["++space.lr='1,2'", "database=ftp://me:secret@host/x"], "//me@host/x, cannot be used"),
    ],
)
def test_mistakes_are_one_line(make_config, words, message, monkeypatch):
    monkeypatch.setattr(studies, "ATTEMPTS", 1)
    with pytest.raises(MuseError) as wrong:
        tuning.tune(make_config("tune", *SMALL, *words))
    assert message in str(wrong.value) and "secret" not in str(wrong.value)


def test_mistakes_of_the_command_line(tune, monkeypatch):
    line = refused(tune, *SMALL, "model.hiden=choice(1,2)")
    assert "there is no setting 'model.hiden'. Did you mean 'hidden'?" in line
    for module in ("optuna", "muse.sweep.study", "muse.sweep.study_summary", "muse.sweep.tuning"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    line = refused(tune, *SMALL, AXIS)
    assert "Optuna, which is not installed. Type: pip install 'muse[tune]'" in line


@pytest.mark.slow
def test_a_study_of_which_every_trial_fails(tune):
    line = refused(tune, *SMALL, AXIS, "features=c", "trials=2", ALONE)
    assert "none of 2 trials has finished. The first: features: there is no feature set" in line


# pruning


class Told:
    """Stands for a trial: keeps what it is told."""

    def __init__(self, prune_at: int):
        self.told, self.prune_at = [], prune_at

    def report(self, value: float, step: int) -> None:
        self.told.append((step, round(value, 6)))

    def should_prune(self) -> bool:
        return self.told[-1][0] >= self.prune_at


@pytest.mark.parametrize(("over", "last"), [("mean", (0.3 + 0.5) / 2), ("best", (0.4 + 0.5) / 2)])
def test_the_pruner_is_told_the_objective_over_the_models_so_far(make_config, over, last):
    config = make_config("tune", *SMALL, "epochs=10", "target=null", f"objective={over}")
    trial = Told(prune_at=21)
    watch = tuning._watch(config, trial)
    watch({"target": "valence", "seed": 101, "epoch": 1, "devel": 0.1, "best": 0.1})
    watch({"target": "valence", "seed": 101, "epoch": 2, "devel": 0.4, "best": 0.4})
    watch({"target": "valence", "seed": 101, "epoch": 3, "devel": 0.2, "best": 0.4})
    watch({"target": "valence", "seed": 102, "epoch": 1, "devel": 0.2, "best": 0.2})
    watch({"target": "valence", "seed": 102, "fold": 1, "epoch": 1, "devel": 0.9, "best": 0.9})
    with pytest.raises(tuning.PrunedError, match=r"at CCC 0\.4[05]00 in epoch 21"):
        watch({"target": "arousal", "seed": 101, "epoch": 1, "devel": 0.5, "best": 0.5})
    second = {"mean": 0.3, "best": 0.4}[over]
    expected = [(1, 0.1), (2, 0.4), (3, 0.4), (11, second), (21, last)]
    assert trial.told == [(step, pytest.approx(value)) for step, value in expected]


def test_the_value_of_a_trial():
    part = {"devel": {"ccc": 0.6}, "over_seeds": {"devel": {"mean": 0.5}}}
    other = {"devel": {"ccc": 0.2}, "over_seeds": {"devel": {"mean": 0.1}}}
    result = {"metric": "ccc", "targets": {"valence": part, "arousal": other}}
    assert tuning.objective(result, "mean") == pytest.approx(0.3)
    assert tuning.objective(result, "best") == pytest.approx(0.4)


def test_a_pruned_trial_is_not_finished_and_its_run_says_so(home, capsys):
    root = home / "outputs/tune/one"
    words = [*SMALL, "seeds=1", "study=one", "startup=1", "warmup_epochs=2", "epochs=3",
             "++space.lr='0.01,0.02'"]  # fmt: skip
    (first,) = study_of(root, *words, "trials=1")
    study = Study("one", root, None).optuna
    study.add_trial(
        optuna.create_trial(
            params=first.params,
            distributions=first.distributions,
            value=0.99,
            intermediate_values=dict.fromkeys(range(1, 7), 0.99),
            user_attrs=first.user_attrs,
        )
    )
    study.enqueue_trial({"lr": {"0.01": "0.02", "0.02": "0.01"}[first.params["lr"]]})
    *_, pruned = study_of(root, *words, "trials=3")
    assert "trial 2: pruned at CCC" in capsys.readouterr().out
    assert pruned.state == STATE.PRUNED and list(pruned.intermediate_values) == [1, 2]
    folder = root / pruned.user_attrs[FOLDER]
    assert read_status(folder)["status"] == "pruned" and not (folder / "result.json").exists()
    assert not can_continue(folder)  # not the run that `resume latest` means
    assert {run.folder: run.state for run in listed_runs(home)}[folder] == "pruned"
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    study_summary.summarise(root, None, False)
    assert "3 trials (2 finished, 1 pruned)" in capsys.readouterr().out
    resume.run(load_config("resume", [f"resume={folder}"]))  # who wants it all the same names it
    assert read_result(folder)["targets"]["valence"]["seeds"][0]["epochs"] == 3


# processes


@pytest.fixture
def study(tmp_path) -> Study:
    return Study("one", tmp_path, None, heartbeat=1)


def test_a_study_is_read_where_nothing_can_be_written(study, tmp_path):
    study.optuna.tell(study.claim(1), 0.5)
    url = f"sqlite:///file:{tmp_path / studies.FILE}?mode=ro&uri=true"
    assert [trial.value for trial in Study("one", tmp_path, url).trials] == [0.5]


def old_heartbeat(folder: Path) -> None:
    with sqlite3.connect(folder / studies.FILE) as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour')")
    database.close()


def test_a_trial_without_a_sign_of_life_is_tried_again_with_the_same_settings(study, tmp_path):
    trial = study.claim(2)
    value = trial.suggest_float("lr", 0, 1)
    with study.alive(trial):
        other = Study("one", tmp_path, None, heartbeat=1)
        assert other.claim(1) is None and other.unfinished(1)  # it lives
    for tries in range(1, RETRIES + 1):
        old_heartbeat(tmp_path)
        trial = other.claim(1)
        trial.set_user_attr(FOLDER, "x")
        assert trial.suggest_float("lr", 0, 1) == value
        assert len(trial.user_attrs[RETRY_OF]) == tries
        other._beat(trial.number)
    old_heartbeat(tmp_path)
    trial = other.claim(1)  # killed too often: another one in its place
    assert RETRY_OF not in trial.user_attrs
    other.optuna.tell(trial, 0.5)
    assert not other.unfinished(1) and other.counted() == 1


def test_a_trial_that_was_killed_before_its_first_sign_of_life(study, tmp_path):
    with studies._without_warnings():
        study.optuna.ask()  # and killed
    assert study.claim(1) is None  # it gets one here
    old_heartbeat(tmp_path)
    assert study.claim(1).user_attrs[RETRY_OF] == [0]


def test_what_is_too_many_is_given_up(study, monkeypatch):
    counted = Study.counted
    assert study.claim(1)
    with monkeypatch.context() as patch:  # as if another had asked before that trial was there
        patch.setattr(Study, "counted", lambda self, before=0: counted(self, before))
        assert study.claim(1) is None
    assert [trial.state for trial in study.trials] == [STATE.RUNNING, STATE.FAIL]
    assert study.counted() == 1 and study.claim(1) is None and len(study.trials) == 2


def test_failed_trials_count_until_they_are_tried_again(study):
    trial = study.claim(1)
    study.fail(trial, "no such folder")
    assert study.counted() == 1 and not study.unfinished(1)
    study.try_failed_again()
    assert study.unfinished(1) and study.claim(1).user_attrs[RETRY_OF] == [0]
    assert study.counted() == 1
    assert study.trials[0].user_attrs[REASON] == "no such folder"


@pytest.mark.slow
def test_an_interrupted_trial_is_tried_again_and_goes_on(home, monkeypatch):
    words = [*SMALL, "study=one", "trials=1", "++space.lr='0.01,0.02'"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", stop)
        with pytest.raises(KeyboardInterrupt):
            study_of(home, *words)
    with monkeypatch.context() as patch:  # nothing is trained again
        patch.setattr("muse.training.loop.train_epoch", stop)
        trials = study_of(home, *words)
    assert [trial.state for trial in trials] == [STATE.FAIL, STATE.COMPLETE]
    assert trials[0].params == trials[1].params and REASON not in trials[0].user_attrs


def test_a_run_that_another_process_trains_is_waited_for(home, make_config, monkeypatch):
    config = make_config("train", *SMALL)
    folder = home / "study" / settings_key(config)
    tries = []

    def busy_once(config, root, watch):
        tries.append(folder.exists())
        if len(tries) == 1:
            begin(folder, config)
            set_status(folder, "running")
        else:
            tuning_run(config, root, watch)

    tuning_run = tuning.run_job
    monkeypatch.setattr(tuning, "run_job", busy_once)
    monkeypatch.setattr(tuning, "POLL_SECONDS", 0.01)
    result = tuning._result(config, home / "study", lambda record: None)
    assert len(tries) == 2 and result["run_id"] == read_result(folder)["run_id"]


def test_importance_is_the_share_of_the_variance():
    study = optuna.create_study(direction="maximize")
    kinds = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("a", "b")}
    for k in range(40):
        params = {"a": k / 40, "b": (k * 7 % 40) / 40}
        study.add_trial(
            optuna.create_trial(params=params, distributions=kinds, value=params["a"] ** 2)
        )
    found = study_summary.importances(study, ["a", "b"])
    assert list(found) == ["a", "b"] and found["a"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert study_summary.importances(optuna.create_study(), ["a"]) == {}


def command(folder: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "muse", "tune", *words], cwd=folder,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip


@pytest.mark.slow
def test_two_processes_share_a_study_and_one_of_them_is_killed(tmp_path):
    stress_package(tmp_path / "data", frames=60)
    words = [*SMALL, "epochs=12", "trials=10", "startup=3", "heartbeat=1", "study=one", ALONE,
             "lr=tag(log,interval(1e-3,1e-1))", "model.hidden=interval(3,9)"]  # fmt: skip
    first, second = command(tmp_path, *words), command(tmp_path, *words)
    root, deadline = tmp_path / "outputs/tune/one", time.time() + 300
    while len(list(root.glob("*/result.json"))) < 3:
        assert first.poll() is None and time.time() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    rows = rows_of(root)
    states = [row["state"] for row in rows]
    assert len(rows) == 10 and set(states) <= {"finished", "pruned"} and "10 trials (" in out
    runs = [read_status(path.parent)["status"] for path in root.glob("*/status.json")]
    assert sorted(runs) == sorted(states)
    study = Study("one", root, None)
    assert all(trial.state.is_finished() for trial in study.trials)
    assert study.counted() == 10


@pytest.mark.slow
def test_trials_side_by_side_and_one_of_their_processes_is_killed(tmp_path):
    stress_package(tmp_path / "data", frames=60)
    words = [*SMALL, "epochs=12", "trials=8", "heartbeat=1", "study=one", "workers=2",
             "lr=tag(log,interval(1e-3,1e-1))"]  # fmt: skip
    parent = command(tmp_path, *words)
    root, deadline = tmp_path / "outputs/tune/one", time.time() + 300
    while len(list(root.glob("*/result.json"))) < 2:
        assert parent.poll() is None and time.time() < deadline
        time.sleep(0.05)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    out, err = parent.communicate(timeout=300)
    assert parent.returncode == 0, err
    assert "8 trials (" in out and len(rows_of(root)) == 8
