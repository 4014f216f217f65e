"""The page: what is on it, what it must not be, and how it looks to a browser."""

import base64
import json
import re
import shutil
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands import report
from muse.config.compose import load_config
from muse.data.layout import SYNTHETIC_MARK
from muse.errors import MuseError
from muse.files import digest_of, write_json
from muse.report import curves, entries
from muse.report.collect import collect
from muse.report.live import server_of
from muse.report.page import page
from muse.scoring import ccc
from muse.training.run import begin_run, settle
from tests.conftest import sent_package, stress_package

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Runs of feature sets a and b, the mean of both, a Sent run, one under way, one damaged."""
    home = tmp_path_factory.mktemp("report")
    stress_package(home / "data", frames=40)
    sent_package(home / "data")
    cache = [f"data.root={home / 'data'}", f"data.cache={home / 'cache'}", "tensorboard=false"]
    small = [*cache, "model.layers=1", "model.hidden=4", "bootstrap=20", "workers=1", "device=cpu"]

    def train(name: str, command: str, *words: str) -> Path:
        folder = home / "runs" / name
        config = load_config(command, [*small, *words], str(folder))
        begin_run(settle(config), folder)
        return folder

    stress = ("task=stress", "epochs=3", "seeds=2")
    runs = [train(name, "train", *stress, f"features={name}", "lr=0.05") for name in "ab"]
    named = f"runs=[{','.join(map(str, runs))}]"
    train("mean", "fuse", "task=stress", "target=arousal", "method=mean", named)
    train("sent", "train", "task=sent", "features=a", "epochs=1", "seeds=1", "target=valence")
    under_way, damaged = home / "runs" / "under_way", home / "runs" / "damaged"
    for folder in (under_way, damaged):
        shutil.copytree(runs[0], folder)
    (under_way / "result.json").unlink()
    write_json(under_way / "status.json", {"status": "running", "reason": ""})
    metrics = (under_way / "metrics.jsonl").read_text().splitlines()
    (under_way / "metrics.jsonl").write_text("\n".join(metrics[:2]) + "\n" + metrics[2][:30])
    text = (damaged / "result.json").read_text()
    (damaged / "result.json").write_text(text.replace('"seed": 101', '"seed": 7'))
    return home


def settings(home: Path, *words: str):
    named = [f"runs={home / 'runs'}", f"out={home / 'report.html'}", f"data.cache={home / 'cache'}"]
    return load_config("report", [*named, *words])


@pytest.fixture(scope="module")
def kept() -> dict:
    """What is read once, as by a page that is served."""
    return {}


@pytest.fixture(scope="module")
def content(home, kept) -> dict:
    return collect(settings(home), kept)


def run_named(content: dict, name: str) -> dict:
    return next(run for run in content["runs"] if Path(run["folder"]).name == name)


def board_of(content: dict, task: str, target: str) -> dict:
    return next(b for b in content["boards"] if (b["task"], b["target"]) == (task, target))


def values_of(run: Path, kind: str, id_: str, target: str = "arousal") -> np.ndarray:
    return pd.read_csv(run / kind / target / "devel" / f"{id_}.csv")["value"].to_numpy(float)


def test_leaderboards_are_by_devel_and_show_test_of_the_best_alone(home, content, kept):
    board = board_of(content, "stress", "arousal")
    rows = [content["runs"][row["run"]] for row in board["rows"]]
    results = [json.loads((Path(run["folder"]) / "result.json").read_text()) for run in rows]
    devel = [result["targets"]["arousal"]["devel"]["ccc"] for result in results]
    assert len(devel) == 3 and devel == sorted(devel, reverse=True)
    assert [run["targets"]["arousal"]["devel"] for run in rows] == devel
    best = results[0]["targets"]["arousal"]["test"]["ccc"]
    assert [run["targets"]["arousal"]["test"] for run in rows] == [best, None, None]
    everything = collect(settings(home, "show_test=true", "table=null"), kept)
    tests = [result["targets"]["arousal"]["test"]["ccc"] for result in results]
    shown = [everything["runs"][row["run"]]["targets"]["arousal"]["test"] for row in board["rows"]]
    assert shown == tests
    # of the runs of features neither the features nor the data are settings that differ
    assert all("features" not in row["settings"] for row in board["rows"])
    assert "lr=0.05" in board["rows"][[r["folder"][-1] for r in rows].index("a")]["settings"]


def test_predictions_are_those_of_the_run_with_the_score_of_each_recording(home, content):
    part = run_named(content, "a")["targets"]["arousal"]
    (row,) = part["recordings"]
    gold, predicted = (
        values_of(home / "runs" / "a", kind, "4") for kind in ("labels", "predictions")
    )
    assert row["id"] == "4" and row["score"] == round(ccc(predicted, gold), 4)
    kept = content["signals"][row["gold"]]
    assert kept["times"] == {"first": 0.0, "step": 0.5}
    for packed, values in ((row, predicted), (kept, gold)):
        steps = np.frombuffer(base64.b64decode(packed["values"]), "<u2")
        unpacked = packed["low"] + steps / 65535 * (packed["high"] - packed["low"])
        assert unpacked == pytest.approx(values, abs=np.ptp(values) / 65535)
    other = run_named(content, "b")["targets"]["arousal"]["recordings"][0]
    assert other["gold"] == row["gold"]  # kept once
    shares = part["distribution"]["shares"]
    assert set(shares) == {f"labels, {p}" for p in ("train", "devel", "test")} | {
        "prediction, devel"
    }
    found = np.histogram(predicted, part["distribution"]["edges"])[0] / len(predicted)
    assert shares["prediction, devel"] == pytest.approx(found, abs=2 / len(predicted))
    assert part["distribution"]["moments"]["labels, devel"][:2] == pytest.approx(
        [len(gold), gold.mean()]
    )


def test_a_page_says_which_predictions_it_has(home, kept, monkeypatch):
    few = collect(settings(home, "best=1", "table=null"), kept)
    shown = [len(r["targets"]) - sum("recordings" not in t for t in r["targets"].values())
             for r in few["runs"]]  # fmt: skip
    assert sum(shown) == len(few["boards"]) == 3
    assert any("of the best 1 runs" in note for note in few["notes"])
    monkeypatch.setattr("muse.report.details.VALUES", 1)
    none = collect(settings(home, "table=null"), kept)
    assert any("room for 1 of 6 runs" in note for note in none["notes"])


def test_a_member_that_is_left_out_says_its_mean(home, content):
    members = run_named(content, "mean")["targets"]["arousal"]["members"]
    a, b = (values_of(home / "runs" / name, "predictions", "4") for name in "ab")
    gold = values_of(home / "runs" / "a", "labels", "4")
    expected = {"a": (a, (a.mean() + b) / 2), "b": (b, (a + b.mean()) / 2)}
    assert members["fusion"] == pytest.approx(ccc((a + b) / 2, gold), abs=1e-4)
    for row in members["rows"]:
        alone, without = expected[row["name"]]
        assert row["alone"] == pytest.approx(ccc(alone, gold), abs=1e-4)
        assert row["without"] == pytest.approx(ccc(without, gold), abs=1e-4)


def test_classes_have_a_confusion_matrix_and_shares(home, content):
    part = run_named(content, "sent")["targets"]["valence"]
    result = json.loads((home / "runs/sent/result.json").read_text())["targets"]["valence"]
    assert part["confusion"] == result["devel"]["confusion"]
    labels = [values_of(home / "runs/sent", "labels", "4", "valence")]
    shares = np.bincount(np.concatenate(labels).astype(int), minlength=5) / 2
    assert part["distribution"]["shares"]["labels, devel"] == shares.tolist()


def test_what_is_under_way_is_shown_and_what_is_damaged_is_said(home, content):
    run = run_named(content, "under_way")
    assert run["state"] == "running" and run["features"] == ["a"] and not run["targets"]
    assert len(run["curves"]["valence"]["seed 101"]["epoch"]) == 2  # the third is half written
    assert any("damaged" in note and "checksum" in note for note in content["notes"])
    assert not run["synthetic"]
    mark = home / "data/c3_muse_stress" / SYNTHETIC_MARK
    mark.touch()
    (found,), _ = entries.entries([home / "runs/under_way"], {})
    mark.unlink()
    assert found.shown["synthetic"]
    assert run_named(content, "a")["settings"]["lr"] == "0.05"
    assert run_named(content, "a")["facts"]["run_id"]


def test_long_curves_keep_their_first_best_and_last_epoch(monkeypatch):
    monkeypatch.setattr(curves, "LEAST", 5)
    monkeypatch.setattr(curves, "CURVE_POINTS", 0)
    epochs = list(range(1, 101))
    devel = [float("nan")] + [0.001 * epoch for epoch in epochs[1:]]
    devel[36] = 0.98765432
    runs = [{"curves": {"arousal": {"seed 1": {"epoch": epochs, "devel": devel}}}}]
    assert curves.thin_curves(runs) == 5
    thin = runs[0]["curves"]["arousal"]["seed 1"]
    assert thin["epoch"] == [1, 26, 37, 51, 75, 100]
    assert thin["devel"][0] is None and 0.9877 in thin["devel"]


def test_comparison_paper_classes_and_raters_stand_beside(home, kept):
    runs = [str(home / "runs" / name) for name in "ab"]
    package = home / "data" / "c3_muse_stress"
    write_json(package / "classes/report.json", {"synthetic": True, "targets": {"arousal": {
        "algorithm": "kmeans", "features": ["mean", "slope"], "distinctive": [0.2, 0.7],
        "class_features": [[0.1, -1.2], [-0.1, 1.2]], "class_signal": [0.3, 0.4],
        "sizes": {"train": [5, 7]}, "silhouette": 0.25}}})  # fmt: skip
    write_json(package / "gold/arousal/report.json", {
        "target": "arousal", "synthetic": False, "raters": ["x", "y"], "recordings": ["1", "2"],
        "agreement": {"ccc": {"before": {"mean": 0.5}, "after": {"mean": None}}}, "notes": ["n"],
    })  # fmt: skip
    (package / "gold/arousal/weights.csv").write_text(
        "recording,rater,weight,agreement,shift_mean_s\n1,x,0.2,0.4,1\n1,y,0.8,,0\n2,x,0.4,0.6,3\n"
    )
    try:
        found = collect(settings(home, f"compare=[{','.join(runs)}]"), kept)["tables"]
        del kept["compare"]
        bad = collect(settings(home, f"compare=[{runs[0]},{home}]", "table=null"), kept)
    finally:
        shutil.rmtree(package / "classes")
        shutil.rmtree(package / "gold")
    comparison, sent, stress, classes, raters = found
    assert [row[:2] for row in comparison["rows"]] == [["valence", "a - b"], ["arousal", "a - b"]]
    assert ("sent" in sent["title"], "stress" in stress["title"]) == (True, True)
    published = next(row for row in stress["rows"] if row[0] == "egemaps")
    assert "0.5845 / 0.5019" in published  # as published
    assert classes["rows"] == [["slope", -1.2, 1.2], ["mean", 0.1, -0.1]] and classes["synthetic"]
    assert raters["rows"] == [["x", 0.3, 0.5, 2.0], ["y", 0.8, None, 0.0]]
    assert any("no config.yaml" in note for note in bad["notes"])


def test_the_latest_run_alone(home, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("outputs").symlink_to(home / "runs")
    with pytest.raises(MuseError, match=r"none of the runs .*\nleft out: outputs/damaged.*changed"):
        collect(settings(home, "runs=latest"), kept)  # it was written last
    (tmp_path / "outputs").unlink()
    shutil.copytree(home / "runs/sent", "outputs/sent")
    (run,) = collect(settings(home, "runs=latest", "table=null"), kept)["runs"]
    assert run["folder"] == "outputs/sent"


def test_what_cannot_be_shown_is_said(home, tmp_path, make_config, capsys):
    out = home / "report.html"
    out.touch()
    with pytest.raises(MuseError, match="is there already"):
        report.run(settings(home))
    report.run(settings(home, "overwrite=true", "table=null"))
    assert "4 finished runs, 1 other" in capsys.readouterr().out
    assert 1e5 < out.stat().st_size < 1e6
    for words, text in [
        ([f"runs={tmp_path}"], "no runs below"),
        ([f"runs={tmp_path / 'none'}"], "is no folder"),
    ]:
        with pytest.raises(MuseError, match=text):
            collect(make_config("report", *words), {})
    for words, text in [
        (["out=report.pdf"], "ends in .html"),
        (["live=true", "host=0.0.0.0"], "others could see"),
        (["live=true", "token=secret"], "16 or more"),
    ]:
        with pytest.raises(MuseError, match=text):
            make_config("report", *words)
    assert not make_config("report", "live=true", "host=::", f"token={'a' * 16}").local


def served(config, read):
    server = server_of(config, read)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def get(server, path: str, method: str = "GET", **headers: str):
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_the_live_page_is_read_only_and_for_this_machine_alone(home, content):
    with served(settings(home, "live=true", "port=0"), lambda: content) as server:
        status, headers, body = get(server, "/data.json")
        assert status == 200 and json.loads(body) == json.loads(json.dumps(content))
        assert get(server, "/data.json", If_None_Match=headers["ETag"])[0] == 304
        assert b"<!doctype html>" in get(server, "/")[2]
        assert get(server, "/", "HEAD")[2] == b""
        assert get(server, "/", Host="evil.example:80")[0] == 403
        assert get(server, "/", Host=f"localhost:{server.server_port}")[0] == 200
        for path in ("/../../etc/passwd", "//x", "/runs", "/report.html"):
            assert get(server, path)[0] == 404
        for method in ("POST", "PUT", "DELETE"):
            assert get(server, "/", method)[0] == 501
        with pytest.raises(MuseError, match=rf"port={server.server_port}.*another"):
            server_of(settings(home, "live=true", f"port={server.server_port}"), dict)
        server.shutdown()


def test_a_token_is_needed_where_one_is_set(home, content):
    token = "0123456789abcdef"
    words = ("live=true", "port=0", f"token={token}")
    with served(settings(home, *words), lambda: content) as server:
        assert get(server, "/")[0] == get(server, "/?token=0123456789abcdeg")[0] == 403
        assert get(server, f"/data.json?token={token}", Host="lab.example:80")[0] == 200
        server.shutdown()


def test_names_and_settings_end_no_element(content):
    text = page(content | {"notes": [EVIL, "</script><b>"]})
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    assert json.loads(data)["notes"] == [EVIL, "</script><b>"] and "<" not in data
    assert "Leon Sorokin" in text and "Permission is hereby granted" in text
    assert not re.search(r"(src|href)=|@import|url\(", text)


def first_column(tab) -> list[str]:
    rows = "[...document.querySelectorAll('#leaderboard tbody tr:not(.board) th button')]"
    return tab.run(f"{rows}.map(button => button.textContent)")


def test_a_browser_sorts_filters_and_draws(home, content, chromium, tmp_path):
    (tmp_path / "report.html").write_text(page(content))
    tab = chromium.open(tmp_path / "report.html", width=400)
    js = tab.run
    assert js("document.documentElement.scrollWidth") == 400  # only tables scroll sideways
    blank = """[...document.querySelectorAll('canvas')].filter(canvas => {
        const { width, height } = canvas;
        const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
        return !data.some(value => value > 0); }).length"""
    canvases = "document.querySelectorAll('canvas').length"
    assert (js(canvases), js(blank)) == (2, 0)  # of the Sent run: its classes are a table
    before = first_column(tab)
    assert len(before) == 6  # sent, three of arousal, two of valence
    head = "[...document.querySelectorAll('#leaderboard thead th')]"
    head += ".find(th => th.textContent.startsWith('devel'))"
    assert js(f"{head}.getAttribute('aria-sort')") == "descending"
    js(f"{head}.querySelector('button').focus()")
    js("document.activeElement.click()")
    assert js(f"{head}.getAttribute('aria-sort')") == "ascending"
    boards = [len(board["rows"]) for board in content["boards"]]
    turned = [name for k, n in enumerate(boards) for name in before[sum(boards[:k]) :][:n][::-1]]
    assert first_column(tab) == turned
    assert js("document.activeElement.dataset.key") == "sort devel"  # it keeps the focus
    js("""{ const select = document.querySelector('[data-key="filter features"]');
        select.value = 'b'; select.dispatchEvent(new Event('change')); }""")
    assert sorted(first_column(tab)) == ["b", "b", "fusion of a + b"]
    js("""{ const select = document.querySelector('[data-key="filter target"]');
        select.value = 'valence'; select.dispatchEvent(new Event('change')); }""")
    assert first_column(tab) == ["b"]
    js("document.querySelector('#leaderboard tbody th button').click()")
    assert js("document.activeElement.id") == "run-title"
    assert js("document.getElementById('run-title').textContent").startswith("b, lstm")
    assert (js(canvases), js(blank)) == (3, 0)
    drawn = "document.querySelectorAll('canvas')[1].toDataURL()"
    whole = js(drawn)
    js("document.querySelector('[data-key=\"signals Zoom in\"]').click()")
    js("new Promise(done => setTimeout(done, 100))")
    assert js(drawn) != whole  # the keyboard's way to zoom
    unnamed = """[...document.querySelectorAll('button, select, input, table, [role]')].filter(
        one => !(one.textContent || one.closest('label')?.textContent || one.ariaLabel).trim())"""
    assert js(f"{unnamed}.length") == 0
    tables = "[...document.querySelectorAll('table:not([aria-hidden])')]"
    assert js(f"{tables}.every(table => table.caption)")
    assert tab.errors == [] and len(tab.requests) == 1


def test_a_browser_shows_names_as_text(home, content, chromium, tmp_path):
    evil = json.loads(json.dumps(content).replace('"folder": "', f'"folder": "{EVIL}'))
    for run in evil["runs"]:
        run |= {"features": [EVIL], "model": EVIL, "command": EVIL, "settings": {EVIL: EVIL}}
        run |= {"facts": {EVIL: EVIL}, "title": EVIL, "reason": EVIL, "synthetic": True}
        for part in run["targets"].values():
            for row in part.get("recordings", []):
                row["id"] = EVIL
    evil |= {"notes": [EVIL], "roots": [EVIL]}
    for board in evil["boards"]:
        board |= {"title": EVIL, "package": EVIL, "synthetic": True}
    (tmp_path / "evil.html").write_text(page(evil))
    tab = chromium.open(tmp_path / "evil.html", dark=True)
    assert tab.run("document.querySelectorAll('script').length") == 2  # the data and ours
    assert f"Recording {EVIL}" in tab.run("document.body.innerText")
    figures = tab.run("[...document.querySelectorAll('figcaption')].map(one => one.textContent)")
    assert figures and all("SYNTHETIC data" in text for text in figures)
    assert tab.errors == []


@pytest.mark.slow
def test_the_live_page_follows_the_runs(home, chromium, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(home / "runs" / "b", runs / "b")
    config = settings(home, "live=true", "port=0", f"runs={runs}")
    kept: dict = {}
    with served(config, lambda: collect(config, kept)) as server:
        tab = chromium.open(f"http://127.0.0.1:{server.server_port}/")
        assert tab.run("document.getElementById('state').textContent") == "1 finished"
        draft = tmp_path / "draft"
        shutil.copytree(home / "runs" / "a", draft)
        result = json.loads((draft / "result.json").read_text())
        del result["digest"]
        write_json(draft / "result.json", result | {"digest": digest_of(result)})
        draft.rename(runs / "a")
        for _ in range(60):
            if tab.run("document.getElementById('state').textContent") == "2 finished":
                break
            time.sleep(0.5)
        assert sorted(first_column(tab)) == ["a", "a", "b", "b"]
        server.shutdown()
        server.server_close()
        for _ in range(30):
            if "No answer" in tab.run("document.getElementById('made').textContent"):
                break
            time.sleep(0.5)
        assert "No answer" in tab.run("document.getElementById('made').textContent")
