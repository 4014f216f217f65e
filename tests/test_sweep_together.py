"""Jobs of a sweep that share shapes train as one population; their folders tell nothing of it."""

import sys
from pathlib import Path

import pytest

import muse.cli.main
from muse.config.compose import load_config
from muse.runs.identity import settings_key
from muse.runs.lock import locked
from muse.sweep.jobs import run_job
from muse.sweep.state import state_of
from muse.sweep.together import train_together
from muse.training.population import train_population
from tests.conftest import stress_package
from tests.training.test_population import SETTINGS, assert_same_run

WORDS = [*SETTINGS, "target=valence", "seeds=2", "data.root=data", "workers=1", "epochs=2"]
ROOT = Path("outputs/sweep/together")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    stress_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)


def folder_of(job: list[str], root: Path = ROOT) -> Path:
    return root / settings_key(load_config("train", job))


@pytest.fixture
def populations(monkeypatch) -> list[int]:
    """The number of members of each population that is trained."""
    seen = []

    def counted(members, most):
        seen.append(len(members))
        train_population(members, most)

    monkeypatch.setattr("muse.training.population.train_population", counted)
    return seen


def test_jobs_train_together_and_leave_the_folders_of_single_runs(populations, monkeypatch):
    own = [["lr=0.01"], ["lr=0.1", "model.dropout=0.5"], ["features=zz"], ["epochs=x"],
           ["batch_size=3", "weight_decay=0.1"], ["batch_size=3"]]  # fmt: skip
    jobs = [[*WORDS, "population=3", *words] for words in own]
    train_together("train", jobs, ROOT)
    assert populations == [4, 4]
    assert not list(ROOT.rglob("result.json"))
    with monkeypatch.context() as patch:
        patch.setattr("muse.training.loop.train_epoch", None)  # nothing is left to train
        for job in jobs[:2]:
            run_job(load_config("train", job), ROOT)
            assert state_of(folder_of(job)) == "finished"
    assert not folder_of(jobs[2]).exists()
    alone = [*jobs[1], "population=off", "rerun=all"]
    run_job(load_config("train", alone), Path("elsewhere"))
    assert_same_run(folder_of(alone, Path("elsewhere")), folder_of(jobs[1]))
    train_together("train", jobs[:2], ROOT)  # finished
    assert populations == [4, 4]


@pytest.mark.slow
def test_jobs_share_an_indicator(populations, monkeypatch):
    own = "features=[a,difficulty_b]", "difficulty.hidden=3", "difficulty.epochs=2"
    jobs = [[*WORDS, *own, "population=4", f"lr={lr}"] for lr in (0.01, 0.1)]
    train_together("train", jobs, ROOT)
    assert populations == [4]
    monkeypatch.setattr("muse.training.loop.train_epoch", None)  # nothing is left to train
    for job in jobs:
        run_job(load_config("train", job), ROOT)
        assert (folder_of(job) / "weights/difficulty_b.safetensors").is_file()


def test_nothing_happens_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr("muse.training.population.train_population", None)
    for words in (["population=off"], ["population=auto", "device=cpu"]):
        train_together("train", [[*WORDS, *words, f"lr={lr}"] for lr in (0.1, 0.2)], ROOT)
    assert not ROOT.exists()


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_and_its_folders_are_free(monkeypatch):
    jobs = [[*WORDS, "population=4", f"lr={lr}"] for lr in (0.1, 0.2)]

    def stops(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.population.train_population", stops)
        with pytest.raises(KeyboardInterrupt):
            train_together("train", jobs, ROOT)
    for job in jobs:
        assert state_of(folder_of(job)) == "interrupted"
        with locked(folder_of(job)):
            pass
    train_together("train", jobs, ROOT)
    run_job(load_config("train", jobs[0]), ROOT)
    assert state_of(folder_of(jobs[0])) == "finished"


@pytest.mark.slow
def test_the_command(populations, monkeypatch, capsys):
    line = ["train", "-m", *WORDS, "population=4", "lr=0.1,0.2"]
    monkeypatch.setattr(sys, "argv", ["muse", *line])
    muse.cli.main.main()
    assert "2 jobs" in capsys.readouterr().out
    assert populations == [4]
