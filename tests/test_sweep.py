"""Sweeps: what is done is not done again, failures stop nobody, the end tells what came out."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import hydra
import numpy as np
import pytest
import yaml
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus

from muse.config.compose import _composing
from muse.config.overrides import name_of
from muse.cores import JOB_BYTES, cores
from muse.errors import MuseError
from muse.runs.finished import run_folders
from muse.runs.identity import settings_key
from muse.sweep import devices, watch
from muse.sweep import jobs as sweep_jobs
from muse.sweep.jobs import expand, placed, run_job, workers_of_job
from muse.sweep.leaderboard import report
from muse.sweep.records import left_to_do, setup_of
from muse.sweep.state import LINK_FILE, finished_ids, state_of
from muse.sweep.watch import at_once
from tests.conftest import edit, stress_package

SMALL = ["task=stress", "epochs=2", "seeds=2", "model.hidden=4", "model.layers=1", "batch_size=4",
         "bootstrap=0", "tensorboard=false", "plots=false", "standardise=true", "target=valence",
         "features=a"]  # fmt: skip


@pytest.fixture
def job(make_config, tmp_path, monkeypatch):
    """job("lr=0.1") -> the folder of this job of a sweep, run if need be."""
    stress_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)

    def job(*words: str, root: str = "outputs/sweep/one") -> Path:
        config = make_config("train", *SMALL, *words)
        run_job(config, Path(root))
        return Path(root) / settings_key(config)

    return job


def stamp(folder: Path) -> int:
    return (folder / "result.json").stat().st_mtime_ns


def test_a_finished_job_is_not_trained_again(job):
    folder = job()
    before = stamp(folder)
    assert job() == folder and stamp(folder) == before
    job("rerun=all")
    assert stamp(folder) != before and job("workers=1", "device=cpu") == folder


def test_a_job_that_another_run_has_done_refers_to_it(job, tmp_path):
    one, two = job(), job(root="outputs/sweep/two")
    assert json.loads((two / LINK_FILE).read_text()) == {"run": str(one.absolute())}
    assert not (two / "result.json").exists() and state_of(two) == "finished"
    assert report(Path("outputs/sweep/two"), show_test=False) == 0


def test_a_job_tells_its_devel_score_to_a_sweeper(job, make_config):
    result = json.loads((job() / "result.json").read_text())
    score = run_job(make_config("train", *SMALL), Path("outputs/sweep/one"))
    assert score == result["targets"]["valence"]["devel"]["ccc"]
    assert run_job(make_config("train", *SMALL, "features=c"), Path("outputs/sweep/one")) is None


@pytest.mark.slow
def test_what_is_finished_is_read_once_for_all_jobs(job, monkeypatch):
    lrs = ("lr=0.1", "lr=0.2", "lr=0.3")
    before = [stamp(job(lr)) for lr in lrs]
    finished_ids.cache_clear()
    walked = []

    def counted(root):
        walked.append(root)
        return run_folders(root)

    monkeypatch.setattr("muse.sweep.state.run_folders", counted)
    assert [stamp(job(lr)) for lr in lrs] == before
    assert walked == [Path("outputs/sweep/one").absolute()]  # all were found there


@pytest.fixture
def sweep(make_config, tmp_path, monkeypatch):
    """sweep(JOBS, WORDS) -> the jobs that are left to do; sweep.run(JOB) runs one of them."""
    stress_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own/task/mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [stress]\n")
    root = Path("outputs/sweep/one")

    @cache
    def whole(*words: str):
        words = [
            *SMALL,
            f"hydra.sweep.dir={root}",
            f"hydra.searchpath=[{tmp_path / 'own'}]",
            *words,
        ]
        with _composing():
            return hydra.compose("train", overrides=words, return_hydra_config=True)

    def left(jobs: list[list[str]], *words: str) -> list[list[str]]:
        return left_to_do(jobs, whole(*words))

    def run(job: list[str]) -> None:
        run_job(make_config("train", *SMALL, *job), root, job, setup_of(whole().hydra))

    left.run = run
    return left


def test_a_finished_job_is_not_composed_again_while_all_is_as_it_was(sweep, tmp_path):
    one, other = ["lr=0.1", "workers=1"], ["lr=0.2", "workers=1"]
    assert sweep([one, other]) == [one, other]
    sweep.run(one)
    assert sweep([one, other]) == [other]
    assert sweep([["lr=0.1", "workers=2"]]) == []  # changes no number
    for more in (["noise=0.1"], ["rerun=all"]):
        assert sweep([[*one, *more]]) == [[*one, *more]]
    assert sweep([one], "rerun=all") == [one]
    assert sweep([one], "+hydra.job.env_set.MUSE_DATA=elsewhere") == [one]
    (tmp_path / "own/task/mine.yaml").write_text("defaults: [stress]\nwindow: 7\n")
    assert sweep([one]) == [one]
    (tmp_path / "own/task/mine.yaml").write_text("defaults: [stress]\n")
    assert sweep([one]) == []
    edit(tmp_path / "data/c3_muse_stress/label_segments/valence/3.csv", 2, "0,1,0.5")
    assert sweep([one]) == [one]
    sweep.run(one)
    assert sweep([one]) == []
    (result,) = Path("outputs/sweep/one").glob("??????????/result.json")
    result.write_text(result.read_text().replace("valence", "arousal"))
    assert sweep([one]) == [one]


@pytest.mark.parametrize("text", ["window: ${now:%S}", "window: ${oc.env:${name}}"])
def test_what_may_be_different_each_time_is_composed_each_time(sweep, tmp_path, text):
    (tmp_path / "own/task/mine.yaml").write_text(text)
    sweep.run(["lr=0.1"])
    assert sweep([["lr=0.1"]]) == [["lr=0.1"]]
    assert not list(Path("outputs/sweep/one").glob("*/job.json"))


def test_an_environment_variable_of_the_settings_counts(sweep, monkeypatch):
    monkeypatch.setenv("MUSE_DATA", "data")
    sweep.run(["lr=0.1"])
    assert sweep([["lr=0.1"]]) == []
    monkeypatch.setenv("MUSE_DATA", "other")
    assert sweep([["lr=0.1"]]) == [["lr=0.1"]]


def test_each_value_of_each_axis_is_composed_before_the_first_job(monkeypatch):
    Plugins.instance()  # runs the files of all plugins, once more if they were imported before
    from hydra_plugins.muse_sweeper import MuseSweeper

    composed = []
    monkeypatch.setattr(
        MuseSweeper.__base__, "validate_batch_is_legal", lambda _, jobs: composed.extend(jobs)
    )
    jobs = expand(["task=stress", "lr=1,2,3", "noise=0,1"])
    MuseSweeper(None, None).validate_batch_is_legal(jobs)
    assert {word for job in composed for word in job} == {word for job in jobs for word in job}
    assert len(composed) == 4


def test_the_leaderboard_reads_the_settings_that_were_kept(sweep, monkeypatch, capsys):
    sweep.run(["lr=0.1"])
    sweep.run(["lr=0.2"])
    root = Path("outputs/sweep/one")
    report(root, show_test=False)
    before = capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr("muse.sweep.leaderboard.read_settings", None)
        report(root, show_test=False)
    assert capsys.readouterr().out == before and "0.2" in before
    for record in root.glob("*/job.json"):
        record.unlink()
    report(root, show_test=False)
    assert capsys.readouterr().out == before


def test_run_folders_are_found_without_a_look_inside(tmp_path):
    for name in ("b/run", "a", "b/run/predictions/inner"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "result.json").touch()
    (tmp_path / "unfinished/below").mkdir(parents=True)
    (tmp_path / "unfinished/config.yaml").touch()
    (tmp_path / "unfinished/below/result.json").touch()
    assert list(run_folders(tmp_path)) == [tmp_path / "a", tmp_path / "b/run"]


def test_jobs_are_all_values_of_all_axes_and_words_replace_those_of_an_experiment():
    assert expand(["a=1,2", "b=x", "c=range(2)"]) == [
        [f"a={a}", "b=x", f"c={c}"] for a in (1, 2) for c in (0, 1)
    ]
    assert expand(["lr=0.1"], {"lr": "1,2", "h": "3,4"}) == [["lr=0.1", "h=3"], ["lr=0.1", "h=4"]]


def test_other_data_are_other_numbers_and_nothing_is_lost(job, tmp_path):
    folder = job()
    old = json.loads((folder / "result.json").read_text())
    edit(tmp_path / "data/c3_muse_stress/label_segments/valence/3.csv", 2, "0,1,0.5")
    assert job() == folder
    new = json.loads((folder / "result.json").read_text())
    assert new["run_id"] != old["run_id"]
    kept = folder.with_name(f"{folder.name}_{old['run_id']}")
    assert json.loads((kept / "result.json").read_text()) == old


def test_a_failure_keeps_its_reason_and_is_tried_again(job, tmp_path, capsys):
    folder = job("features=c")
    assert state_of(folder) == "failed"
    assert report(folder.parent, show_test=False) == 1
    text = capsys.readouterr().out
    assert "no feature set 'c'" in text and "muse train " in text and "features=c" in text
    (tmp_path / "data/c3_muse_stress/feature_segments/b").rename(
        tmp_path / "data/c3_muse_stress/feature_segments/c"
    )
    job("features=c", "rerun=none")
    assert state_of(folder) == "failed"
    job("features=c")
    assert state_of(folder) == "finished"


def test_a_bug_keeps_its_traceback(job, monkeypatch):
    def broken(*_):
        return 1 / 0

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", broken)
        folder = job()
    status = json.loads((folder / "status.json").read_text())
    assert status["reason"] == "ZeroDivisionError: division by zero"
    assert "in broken" in (folder / "train.log").read_text()
    job()
    assert state_of(folder) == "finished"


def test_an_interrupted_job_goes_on_where_it_stood(job, monkeypatch):
    whole = job(root="elsewhere")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", stop)
        with pytest.raises(KeyboardInterrupt):
            job()
    with monkeypatch.context() as patch:  # nothing is trained again
        patch.setattr("muse.training.loop.train_epoch", stop)
        folder = job()
    one, two = (json.loads((f / "result.json").read_text())["targets"] for f in (whole, folder))
    assert one == two


def test_the_leaderboard(job, capsys):
    windows = {0.1: 8, 0.01: 8, 0.001: 9}
    folders = {lr: job(f"lr={lr}", f"window={w}", "hop=4") for lr, w in windows.items()}
    root = folders[0.1].parent
    assert report(root, show_test=False) == 0
    rows = list(csv.DictReader((root / "leaderboard.csv").read_text().splitlines()))
    results = {
        lr: json.loads((f / "result.json").read_text())["targets"]["valence"]
        for lr, f in folders.items()
    }
    order = sorted(folders, key=lambda lr: -results[lr]["devel"]["ccc"])
    assert [float(row["lr"]) for row in rows] == order
    assert [float(row["devel"]) for row in rows] == [results[k]["devel"]["ccc"] for k in order]
    assert [row["test"] != "" for row in rows] == [True, False, False]
    assert list(rows[0])[:3] == ["target", "window", "lr"]
    means = {lr: result["over_seeds"]["devel"]["mean"] for lr, result in results.items()}
    text = capsys.readouterr().out
    assert (
        f"8: {np.mean([means[0.1], means[0.01]]):.4f}" in text and f"9: {means[0.001]:.4f}" in text
    )
    report(root, show_test=True)
    lines = (root / "leaderboard.csv").read_text().splitlines()
    assert all(row["test"] for row in csv.DictReader(lines))
    with pytest.raises(MuseError, match=f"no jobs here.* The newest one there: {root}$"):
        report(root.parent, show_test=False)


def test_a_leaderboard_that_cannot_be_written_is_printed(job, capsys):
    root = job().parent
    (root / "leaderboard.csv").mkdir()
    assert report(root, show_test=False) == 0
    *_, last = capsys.readouterr().out.strip().splitlines()
    assert last == f"{root / 'leaderboard.csv'}: cannot be written (Is a directory)."


def test_what_follows_from_other_settings_is_no_axis(job, make_config, tmp_path, capsys):
    """The weights of a mean follow from its members; nobody can sweep them."""
    runs = [job(f"features={name}", "lr=0.1") for name in ("a", "b")]
    for method in ("mean", "weighted"):
        words = ["task=stress", "target=valence", f"runs=[{runs[0]},{runs[1]}]", f"method={method}"]
        config = make_config("fuse", *words, "bootstrap=0", "tensorboard=false", "plots=false")
        run_job(config, Path("outputs/sweep/fusion"))
    capsys.readouterr()
    assert report(Path("outputs/sweep/fusion"), show_test=False) == 0
    text = capsys.readouterr().out
    assert "method" in text and "model.weights" not in text
    assert "the setting that matters most" not in text  # there is one


def test_a_damaged_job_is_reported(job, capsys):
    folder = job()
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken/status.json").write_text("[1, 2]")
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / LINK_FILE).write_text("&a [*a, *a]")
    assert report(folder.parent, show_test=False) == 2
    text = capsys.readouterr().out
    assert f"damaged: {folder.parent / 'other'}" in text and "CCC, 1 job\n" in text


def test_the_folder_of_a_sweep_follows_its_words():
    one = name_of(["task=stress", "lr=1,2", "-m", "workers=2"])
    assert one.startswith("stress_") and one == name_of(["lr=1,2", "task=stress", "-m"])
    assert one != name_of(["lr=1,3", "task=stress", "-m"])
    assert name_of(["task=stress,sent"]).startswith("stress-sent_")


def test_never_more_jobs_than_cores_or_than_there_are(monkeypatch):
    assert 1 <= cores(-1) <= os.cpu_count() and cores(1) == 1 and cores(999) == cores(-1)
    monkeypatch.setattr(watch, "cores", lambda jobs: 8 if jobs < 1 else min(jobs, 8))
    monkeypatch.setattr("muse.cores.free_memory", lambda: None)
    for jobs, there, beside in ((-1, 24, 8), (3, 24, 3), (-1, 2, 2), (99, 5, 5)):
        assert at_once(jobs, there) == beside


def test_no_more_jobs_than_memory_is_good_for(monkeypatch, caplog):
    for module in (watch, sweep_jobs):
        monkeypatch.setattr(module, "cores", lambda jobs: 8 if jobs < 1 else min(jobs, 8))
    monkeypatch.setattr("muse.cores.free_memory", lambda: int(5.5 * JOB_BYTES))
    assert at_once(-1, 24) == 5
    assert caplog.messages == [
        "5 processes at a time, not 8: each may take 1.5 GB, and 8.2 GB of memory are free. "
        "workers=8 starts as many all the same."
    ]
    assert at_once(7, 24) == 7  # an explicit number is the user's
    assert workers_of_job(-1, 5) == 1
    assert workers_of_job(-1, 2) == 2
    assert workers_of_job(8, 2) == 4
    assert workers_of_job(-1, 1) == -1  # bounded when the data are known
    assert len(caplog.messages) == 1


def test_jobs_are_spread_over_the_devices_and_keep_their_settings(make_config, monkeypatch):
    monkeypatch.setattr("muse.sweep.devices.gpus", lambda: 2)
    devices.share_places()
    config = make_config("train", *SMALL)
    found = []
    for _ in range(4):  # each a process of its own
        devices._place.cache_clear()
        found.append(placed(config, 4))
    assert [one.device for one in found] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert {settings_key(one) for one in found} == {settings_key(config)}
    devices._held.pop(1).release()  # one has ended: the next takes its place
    devices._place.cache_clear()
    assert placed(config, 4).device == "cuda:1"
    assert placed(config, 1).device == "auto"
    assert placed(replace(config, device="cuda:1"), 4).device == "cuda:1"
    devices._place.cache_clear()
    while devices._held:
        devices._held.pop().release()
    assert [devices.on_devices(name, 3) for name in ("auto", "cuda:1", "cpu")] == [6, 3, None]
    assert devices.on_devices("auto", None) is None


def muse_command(folder: Path, *words: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "muse", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_is_continued_by_the_same_command(tmp_path):
    stress_package(tmp_path / "data", frames=200)
    words = ["train", "-m", *SMALL, "epochs=30", "patience=30", "lr=0.01,0.02,0.03,0.04",
             "features=a,c"]  # fmt: skip
    process = muse_command(tmp_path, *words)
    deadline, sweep = time.time() + 300, "outputs/sweep/*/*"
    finished, training = set(), set()
    while not finished or len(training - finished) < 2:  # each worker is in the middle of a job
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
        training = {p.parents[2] for p in tmp_path.glob(f"{sweep}/checkpoints/*/*.safetensors")}
        finished = {p.parent for p in tmp_path.glob(f"{sweep}/result.json")}
    (worker, *_) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "a job was killed from outside" in err
    results = tmp_path.glob("outputs/sweep/*/*/result.json")
    done = {path: path.stat().st_mtime_ns for path in results}
    assert 0 < len(done) < 4
    process = muse_command(tmp_path, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "4 of the jobs" in err  # those of the feature set c
    assert "CCC, 4 jobs" in out and out.count("no feature set 'c'") == 4
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    (root,) = (tmp_path / "outputs/sweep").iterdir()
    assert len(list(root.glob("*/result.json"))) == 4
    assert processes_of_seeds(tmp_path) == {max(1, cores(-1) // min(cores(-1), 8))}


# a worker that would write a part of a long message, and is killed then
HALF = """
import os, signal, struct, sys
from multiprocessing.connection import Connection
send = Connection._send_bytes
def half(connection, data):
    if len(data) > 4000 and "popen_loky" in " ".join(sys.orig_argv):
        connection._send(struct.pack("!i", len(data)))
        os.kill(os.getpid(), signal.SIGKILL)
    send(connection, data)
Connection._send_bytes = half
"""


@pytest.mark.slow
def test_what_a_job_hands_over_is_there_whole_or_not_at_all(tmp_path):
    stress_package(tmp_path / "data")
    (tmp_path / "sitecustomize.py").write_text(HALF)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = ["train", "-m", *SMALL, "lr=0.01,0.02", "hydra.launcher.n_jobs=2"]
    process = muse_command(tmp_path, *words, env={**os.environ, "PYTHONPATH": path})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "CCC, 2 jobs" in out, err


def test_a_job_hands_over_no_settings():
    done = JobReturn(["lr=0.1"], {"a": 1}, {"b": 2}, "folder", "train", JobStatus.COMPLETED, 0.5)
    watch.Watch().on_job_end(config={}, job_return=done)
    assert (done.cfg, done.hydra_cfg, done.return_value) == (None, None, 0.5)


@pytest.mark.slow
def test_an_interrupted_sweep_ends_with_one_line(tmp_path):
    stress_package(tmp_path / "data", frames=200)
    words = ["train", "-m", *SMALL, "epochs=9999", "patience=9999", "lr=0.01,0.02", "workers=2",
             "tensorboard=false", "plots=false"]  # fmt: skip
    process = muse_command(tmp_path, *words, start_new_session=True)
    deadline = time.time() + 300
    while len(list(tmp_path.glob("outputs/sweep/*/*/checkpoints/*/*.safetensors"))) < 2:
        if process.poll() is not None or time.time() > deadline:
            process.kill()
            pytest.fail("the jobs have not begun")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    lines = [line for line in err.splitlines() if line and " jobs, " not in line]
    assert lines == ["Interrupted. The same command goes on where the sweep stood."]


@pytest.mark.slow
def test_another_launcher_of_hydra(tmp_path):
    stress_package(tmp_path / "data")
    words = ["train", "-m", *SMALL, "lr=0.01,0.02", "hydra/launcher=basic"]
    before = {}
    for _ in range(2):
        out, err = muse_command(tmp_path, *words).communicate(timeout=300)
        assert "CCC, 2 jobs" in out, err
        results = {p: p.stat().st_mtime_ns for p in tmp_path.glob("outputs/sweep/*/*/result.json")}
        assert len(results) == 2 and before in ({}, results)
        before = results
    assert processes_of_seeds(tmp_path) == {-1}  # one job at a time has all cores


def processes_of_seeds(home: Path) -> set[int]:
    """`workers` of each run of a sweep: what is left of the cores for its seeds."""
    files = home.glob("outputs/sweep/*/*/config.yaml")
    return {yaml.safe_load(path.read_text())["workers"] for path in files}


def children(pid: int) -> list[int]:
    """The worker processes of a sweep: those that have torch loaded."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            line = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == pid and "popen_loky" in line:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_sweep_of_an_experiment_shows_its_jobs_and_its_leaderboard(tmp_path):
    stress_package(tmp_path / "data")
    axes = ["model.hidden=4", "model.layers=1", "model.bidirectional=true,false", "lr=0.01"]
    small = [word for word in SMALL if not word.startswith(("task=", "model."))]
    words = ["train", "+experiment=muse2021/stress", *small, *axes]
    process = muse_command(tmp_path, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "CCC, 2 jobs" in out and "2 of 2 jobs, 0 failed" in err
    process = muse_command(tmp_path, *words)
    out, err = process.communicate(timeout=300)
    assert "2 of 2 jobs were done before" in err
    (sweep,) = (tmp_path / "outputs/sweep").iterdir()
    out, err = muse_command(tmp_path, "summary", str(sweep)).communicate(timeout=300)
    assert "MuSe-Stress 2021, valence: CCC, 2 jobs" in out and str(sweep / "leaderboard.csv") in out
    words = ["resume", str(sweep), "hydra.mode=MULTIRUN"]
    assert (
        refused(tmp_path, *words) == "muse resume: has no sweeps; -m is for train and fuse only.\n"
    )


def refused(folder: Path, *words: str) -> str:
    process = muse_command(folder, *words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in err
    return err
