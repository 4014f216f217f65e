"""`muse compare`: what is read of runs, what is refused, and the table in its formats."""

import csv
import io
import json
import shutil
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import muse.commands.compare
import muse.commands.fuse
import muse.commands.train
import muse.runs.read
from muse.config.compare import CompareConfig
from muse.config.shipped import shipped
from muse.errors import MuseError
from muse.files import digest_of, write_rows
from muse.runs.folder import begin, write_result
from muse.scoring import ccc, regression_scores
from muse.tables.comparison import NUMBERS, Comparison
from muse.tables.comparison_text import render
from tests.conftest import sent_package, stress_package

DEVEL, TEST = ("4", "5", "10"), ("2", "6")
SEEDS = {"good": [0.6, 0.62, 0.64], "bad": [0.4, 0.5, 0.3]}


def gold_of(id_: str, target: str) -> np.ndarray:
    wave = np.sin if target == "valence" else np.cos
    return wave(np.arange(20 + int(id_)) / 4).astype(np.float32)


def predicted(id_: str, target: str, noise: float) -> np.ndarray:
    rng = np.random.default_rng([int(id_), int(100 * noise)])
    gold = gold_of(id_, target)
    return (gold + noise * rng.normal(size=len(gold))).astype(np.float32)


@pytest.fixture
def make_run(make_config, tmp_path, monkeypatch):
    """make_run("good", 0.3, seeds=[…], …) -> the folder of a finished run whose predictions are
    the gold standard with so much noise."""
    monkeypatch.chdir(tmp_path)
    # to read the settings of a folder takes as long as all the rest, and they do not change
    monkeypatch.setattr(muse.runs.read, "read_settings", cache(muse.runs.read.read_settings))

    settings = cache(make_config)

    def make_run(name: str, noise: float, *words: str, features="a", seeds=(0.5,), devel=DEVEL,
                 targets=("valence", "arousal"), gold=gold_of, **more) -> Path:  # fmt: skip
        only = [f"target={targets[0]}"] if len(targets) == 1 else []
        config = settings("train", "task=stress", f"features={features}", *only, *words)
        folder, parts = Path("outputs/train") / name, {}
        begin(folder, config)
        (folder / "weights").mkdir()
        for target in targets:
            scores = {"train": None}
            for partition, ids in (("devel", devel), ("test", TEST)):
                golds = [gold(id_, target) for id_ in ids]
                values = [predicted(id_, target, noise) for id_ in ids]
                for kind, arrays in (("labels", golds), ("predictions", values)):
                    for id_, array in zip(ids, arrays, strict=True):
                        path = folder / kind / target / partition / f"{id_}.csv"
                        rows = np.arange(len(array))
                        write_rows(path, rows * 500.0, np.ones(len(rows)), {"value": array})
                scores[partition] = regression_scores(values, golds)
            (folder / f"weights/{target}.safetensors").write_bytes(b"x")
            parts[target] = {
                **{"best_seed": 101, "best_epoch": 1, "standardised": []},
                "weights": f"weights/{target}.safetensors",
                **scores,
                "seeds": [
                    {"seed": 101 + k, "devel": s, "test": s / 2} for k, s in enumerate(seeds)
                ],
                "over_seeds": {"devel": {"mean": float(np.mean(seeds)), "deviation": None}},
            }
            if "folds" in more:
                row = {"fold": 1, "seed": 101, "epoch": 1, "recordings": [*devel, *TEST],
                       "groups": [], "score": 0.5, "weights": parts[target]["weights"]}  # fmt: skip
                over = {"mean": 0.5, "deviation": None}
                parts[target] |= {"folds": [row], "pooled": {"ccc": 0.5}, "over_folds": over}
        result = {
            **{"run_id": name, "task": "stress", "metric": "ccc", "synthetic": False},
            **{"features": [features], "model": config.model, "debug": False},
            "data": {"folder": "data", "digest": name, "partitions": {}},
            "targets": parts,
        }
        write_result(folder, result | more)
        return folder

    return make_run


@pytest.fixture
def compare(capsys):
    """compare(run, run, key=value, ...) -> what is printed."""

    def compare(*runs, **settings) -> str:
        capsys.readouterr()
        muse.commands.compare.run(config_of(*runs, **settings))
        return capsys.readouterr().out

    return compare


def config_of(*runs, **settings) -> CompareConfig:
    known = {item.name for item in fields(CompareConfig)}
    values = {key: value for key, value in shipped("compare").items() if key in known}
    return CompareConfig(**values | {"runs": [str(run) for run in runs]} | settings)


def table(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def change(folder: Path, **more) -> None:
    """Write result.json again with other content, as if muse had."""
    result = json.loads((folder / "result.json").read_text())
    result |= more
    del result["digest"]
    result["digest"] = digest_of(result)
    (folder / "result.json").write_text(json.dumps(result))


def test_the_numbers_are_those_of_the_files(make_run, compare):
    good, bad = make_run("good", 0.3, features="a"), make_run("bad", 0.9, features="b")
    rows = table(compare(good, bad, format="csv"))
    assert [row["target"] for row in rows] == ["valence", "arousal"]
    for row in rows:
        score = {}
        for name, noise in (("first", 0.3), ("second", 0.9)):
            p = np.concatenate([predicted(id_, row["target"], noise) for id_ in DEVEL])
            score[name] = ccc(p, np.concatenate([gold_of(id_, row["target"]) for id_ in DEVEL]))
            assert float(row[f"{name}_score"]) == pytest.approx(score[name], abs=1e-9)
        gap = score["first"] - score["second"]
        assert float(row["difference"]) == pytest.approx(gap, abs=1e-9)
        assert (row["first"], row["second"], row["recordings"]) == ("a", "b", "3")
        assert (row["p"], row["exact"], row["p_seeds"]) == ("0.25", "True", "")
        assert (row["first_run"], row["second_run"]) == (str(good), str(bad))
    (test,) = table(compare(good, bad, partition="test", target="arousal", format="csv"))
    assert (test["recordings"], test["p"], test["partition"]) == ("2", "0.5", "test")


SMALL = ["features=a", "target=valence", "standardise=true", "epochs=2", "model.hidden=4",
         "model.head=4", "bootstrap=0", "tensorboard=false", "plots=false", "lr=0.01"]  # fmt: skip


@pytest.fixture
def train(make_config, tmp_path, monkeypatch):
    """train("train", "task=stress", …) -> the folder and the result of the target valence."""
    stress_package(tmp_path / "data")
    sent_package(tmp_path / "data")
    monkeypatch.chdir(tmp_path)

    def train(command: str, *words: str) -> tuple[Path, dict]:
        config = make_config(command, *words)
        config.job.folder = f"outputs/{command}/{config.task.name}"
        getattr(muse.commands, command).run(config)
        result = json.loads(Path(config.job.folder, "result.json").read_text())
        return Path(config.job.folder), result["targets"]["valence"]

    return train


def test_a_trained_run_and_a_fusion_are_read_as_they_were_scored(train, compare):
    folder, one = train("train", "task=stress", *SMALL, "seeds=2")
    words = ["task=stress", "target=valence", "method=mean"]
    shutil.copytree(folder, "copy")
    fusion, two = train(
        "fuse", *words, f"runs=[{folder},copy]", "bootstrap=0", "tensorboard=false", "plots=false"
    )
    (row,) = table(compare(folder, "latest", format="csv"))
    assert (row["first"], row["second"], row["second_run"]) == ("a", "mean of a + a_2", str(fusion))
    assert float(row["first_score"]) == pytest.approx(one["devel"]["ccc"], abs=1e-9)
    assert float(row["second_score"]) == pytest.approx(two["devel"]["ccc"], abs=1e-9)
    assert (row["p"], row["low"], row["p_seeds"]) == ("", "", "")
    text = compare(folder, fusion)
    assert "One recording: there is neither an interval nor a test." in text
    assert "95 % interval" not in text.splitlines()[1]  # nothing would stand in the column


def test_classes_are_read_as_they_were_scored(train, compare):
    metric = "task.metric={f1:0.5,auc:0.5}"
    folder, result = train("train", "task=sent", *SMALL, "seeds=1", metric)
    shutil.copytree(folder, "copy")
    (row,) = table(compare(folder, "copy", format="csv", partition="test"))
    score = result["test"]["0.5*f1+0.5*auc"]
    assert float(row["first_score"]) == pytest.approx(score, abs=1e-9)
    assert (row["difference"], row["metric"]) == ("0.0", "0.5 macro F1 + 0.5 AUC")


def test_pairs_and_their_correction(make_run, compare):
    runs = [
        make_run(name, noise, features=name)
        for name, noise in zip("abc", (0.2, 0.8, 0.5), strict=True)
    ]
    every = table(compare(*runs, format="csv", target="valence"))
    assert [row["first"] + row["second"] for row in every] == ["ab", "ac", "bc"]
    assert all(float(r["p_holm"]) == min(1, 3 * float(r["p"])) for r in every)  # all are 0.25
    first = table(compare(*runs, pairs="first", format="csv", target="valence"))
    assert [row["first"] + row["second"] for row in first] == ["ab", "ac"]
    assert [row["difference"] for row in first] == [row["difference"] for row in every[:2]]
    text = compare(*runs, target="valence")
    assert "p (Holm)" in text and "corrected for the 3 pairs of a target" in text
    assert "p (Holm)" not in compare(*runs[:2])


def test_seeds_are_tested_beside_recordings(make_run, compare):
    good, bad = (make_run(n, 0.5, features=n, seeds=s) for n, s in SEEDS.items())
    (row,) = table(compare(good, bad, target="valence", format="csv"))
    # means 0.62 and 0.4, variances 0.0004 and 0.01 of three each: t = 0.22 / sqrt(0.0104 / 3)
    assert float(row["mean_difference"]) == pytest.approx(0.22)
    assert 0.05 < float(row["p_seeds"]) < 0.08 and row["seeds"] == "3 / 3"
    (row,) = table(compare(good, bad, target="valence", format="csv", partition="test"))
    assert float(row["mean_difference"]) == pytest.approx(0.11)
    text = compare(good, bad)
    assert "+0.2200 (3 / 3)" in text and "Welch's t test" in text
    one = make_run("one", 0.4, features="c")
    assert "Welch" not in compare(good, one)


def test_formats_and_the_picture(make_run, compare):
    synthetic = make_run("x_1", 0.3, seeds=[0.5, 0.6], synthetic=True)
    real = make_run("x_2", 0.9, seeds=[0.4, 0.6])
    text = compare(synthetic, real)
    head = "MuSe-Stress 2021, devel, SYNTHETIC data: difference of CCC"
    assert text.startswith(head) and "x_1 - x_2" in text and f"x_2: {real}" in text
    assert "3 recordings: 95 % bootstrap interval" in text and "all 8 swaps" in text
    assert "With 3 recordings no p can be below 0.25." in text
    markdown = compare(synthetic, real, format="markdown", names=["a|b", "c"])
    assert f"## {head}" in markdown and r"| valence | a\|b - c |" in markdown
    latex = compare(synthetic, real, format="latex")
    assert r"valence & x\_1 - x\_2 &" in latex and r"95 \% interval" in latex
    assert r"\begin{tabular}{llccccccc}" in latex and f"% x_1: {synthetic}" in latex
    assert compare(synthetic, real, out="new/table.txt") == "new/table.txt\nnew/table.png\n"
    assert Path("new/table.txt").read_text() == text
    assert Path("new/table.png").read_bytes().startswith(b"\x89PNG")
    for words in ({"out": "new/table.txt"}, {"out": "new/table.tex"}, {"plot": "new/table.png"}):
        with pytest.raises(MuseError, match=r"is there already. Give another name"):
            compare(synthetic, real, **words)
    assert not Path("new/table.tex").exists()
    assert compare(synthetic, real, plot="only.png").endswith("only.png\n")


def test_a_name_in_csv_is_no_formula(make_run, compare):
    one, two = make_run("one", 0.3), make_run("two", 0.9)
    (row, _) = table(compare(one, two, format="csv", names=["=1+1", "b"]))
    assert row["first"] == "'=1+1"


def test_what_the_runs_are_called(make_run, compare):
    def names(*runs) -> list[str]:
        row = table(compare(*runs, format="csv"))[0]
        return [row["first"], row["second"]]

    lstm = make_run("one", 0.3)
    assert names(lstm, make_run("two", 0.4, features="b")) == ["a", "b"]
    assert names(lstm, make_run("three", 0.4, "model=gru")) == ["a, lstm", "a, gru"]
    assert names(lstm, make_run("four", 0.4)) == ["one", "four"]
    shutil.copytree(lstm, "one")
    assert names(lstm, "one") == ["outputs/train/one", "one"]


def test_targets_that_all_runs_have(make_run, compare):
    both = make_run("both", 0.3)
    one = make_run("one", 0.5, targets=["arousal"])
    other = make_run("other", 0.5, targets=["valence"])
    assert [row["target"] for row in table(compare(both, one, format="csv"))] == ["arousal"]
    with pytest.raises(MuseError, match=r"target=valence: not all runs have it: .*one has arousal"):
        compare(both, one, target="valence")
    with pytest.raises(
        MuseError, match=r"no common target: .*one has arousal; .*other has valence"
    ):
        compare(one, other)


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        (
            ["devel=", "4,5"],
            {},
            "good/labels/valence/devel/10.csv: outputs/train/other has no such",
        ),
        (
            ["devel=", "4,5,10,11"],
            {},
            "other/labels/valence/devel/11.csv: outputs/train/good has no",
        ),
        (["task.classes=0", "ccc=biased"], {}, "other: has ccc=biased, but outputs/train/good has"),
        ([], {"task": "wilder"}, "other: has task=wilder, but outputs/train/good has task=stress"),
    ],
)
def test_runs_that_cannot_be_compared(make_run, compare, words, more, message):
    good = make_run("good", 0.3)
    ids = words[1].split(",") if words[:1] == ["devel="] else DEVEL
    other = make_run("other", 0.5, *(words if ids is DEVEL else []), devel=ids, **more)
    with pytest.raises(MuseError, match=message):
        compare(good, other)


def test_a_run_is_named_once(make_run, compare):
    good = make_run("good", 0.3)
    with pytest.raises(MuseError, match="runs: outputs/train/good is named twice"):
        compare(good, "latest")


def test_the_text_of_many_recordings():
    row = dict.fromkeys((*NUMBERS, "difference", "first_score", "second_score"), 0.5)
    row |= {"target": "joy", "first": "a", "second": "b", "recordings": 300, "exact": False,
            "seeds": "2 / 3", "p": 0.0002}  # fmt: skip
    about = ("Title", "joy", "devel", "macro F1")
    one = Comparison(*about, pd.DataFrame([row]), {"a": "x", "b": "y"}, 5000, False)
    text = render(one, "terminal")
    assert "Title: difference of macro F1" in text and "  2.0e-04  +0.5000 (2 / 3)  0.5000" in text
    assert "300 recordings:" in text and "5000 random swaps" in text and "no p" not in text


def test_other_labels_and_frames_are_refused(make_run, compare):
    good = make_run("good", 0.3)

    def late(id_, target):
        gold = gold_of(id_, target).copy()
        gold[6] += 0.5 * (id_ == "5")
        return gold

    other = make_run("other", 0.5, gold=late)
    with pytest.raises(MuseError, match=r"other/labels/valence/devel/5.csv: row 8 has label 1\.4"):
        compare(good, other)
    short = make_run("short", 0.5)
    for name in ("labels", "predictions"):
        path = short / name / "arousal/devel/4.csv"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    parts = json.loads((short / "result.json").read_text())
    for key in ("format", "muse", "files", "digest"):
        del parts[key]
    write_result(short, parts)
    with pytest.raises(
        MuseError, match=r"short/labels/arousal/devel/4.csv: 23 rows below the head"
    ):
        compare(good, short)
    assert compare(good, short, target="valence")


def test_a_changed_file_and_a_link_are_refused(make_run, compare):
    good, other = make_run("good", 0.3), make_run("other", 0.5)
    path = other / "predictions/valence/devel/5.csv"
    text = path.read_text()
    path.write_text(text.replace("0.", "1.", 1))
    with pytest.raises(MuseError, match=r"devel/5.csv: changed since the run was finished"):
        compare(good, other)
    path.unlink()
    Path("elsewhere.csv").write_text(text)
    path.symlink_to(Path("elsewhere.csv").absolute())
    with pytest.raises(MuseError, match=r"devel/5.csv: a link"):
        compare(good, other)
    path.unlink()
    with pytest.raises(MuseError, match=r"devel/5.csv: the file is missing"):
        compare(good, other)


def test_predictions_that_are_none_are_refused(make_run, compare):
    good, other = make_run("good", 0.3), make_run("other", 0.5)
    path = other / "predictions/valence/devel/5.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "0,1,", *lines[2:]]) + "\n")
    parts = json.loads((other / "result.json").read_text())
    content = {k: v for k, v in parts.items() if k not in ("format", "muse", "files", "digest")}
    write_result(other, content)
    with pytest.raises(MuseError, match="found value with missing values"):
        compare(good, other)
    path.unlink()
    write_result(other, content)
    with pytest.raises(MuseError, match=r"valence/devel/5.csv: the run has no such file"):
        compare(good, other)
    content["targets"]["valence"]["devel"] = None  # as where the predictions were not finite
    write_result(other, content)
    with pytest.raises(MuseError, match=r"partition=devel: .*other has no devel score of valence"):
        compare(good, other)


def test_all_recordings_are_for_cross_validation(make_run, compare):
    one, two = (
        make_run(n, x, features=n, seeds=[0.1, 0.2], folds=2) for n, x in (("a", 0.3), ("b", 0.9))
    )
    (row, _) = table(compare(one, two, partition="all", format="csv"))
    assert (row["recordings"], row["p_seeds"]) == ("5", "")
    p = np.concatenate([predicted(id_, "valence", 0.3) for id_ in (*DEVEL, *TEST)])
    g = np.concatenate([gold_of(id_, "valence") for id_ in (*DEVEL, *TEST)])
    assert float(row["first_score"]) == pytest.approx(ccc(p, g), abs=1e-9)
    with pytest.raises(MuseError, match="partition=all: outputs/train/plain was trained on the"):
        compare(one, make_run("plain", 0.3), partition="all")


def test_the_settings_are_checked(make_config):
    for words, message in (
        (["runs=[a]"], "a comparison needs two runs or more"),
        (["runs=[a,a]"], "a is named twice"),
        (["runs=[a,b]", "names=[x]"], "1 names for 2 runs"),
        (["runs=[a,b]", "plot=x.pdf"], "expected a name that ends in .png"),
        (["runs=[a,b]", "out=x.png"], "expected plot=FILE.png"),
        (["runs=[a,b]", "partition=train"], "expected one of devel, test, all"),
        (["runs=[a,b]", "resamples=10"], "expected 100 or more"),
    ):
        with pytest.raises(MuseError, match=message):
            make_config("compare", *words)
    assert isinstance(make_config("compare", "runs=[a,b]"), CompareConfig)
