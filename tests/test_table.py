"""`muse table`: which runs are shown, what stands beside them, and what is trained for it."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import muse.commands.fuse
import muse.commands.table
import muse.commands.train
from muse.errors import MuseError
from muse.tables.cells import Cell, Line
from muse.tables.published import read_table
from muse.tables.render import Block, _csv, _latex
from tests.conftest import stress_package

SMALL = ["epochs=2", "seeds=1", "model.hidden=4", "model.head=4", "batch_size=4", "bootstrap=0",
         "tensorboard=false", "lr=0.01"]  # fmt: skip


ONE_JOB = f"{{{','.join([*SMALL, 'model.layers=1', 'model.bidirectional=false'])}}}".replace(
    "=", ":"
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a package in data/ whose feature sets are egemaps and vggface."""
    sets = stress_package(tmp_path / "data") / "feature_segments"
    (sets / "a").rename(sets / "egemaps")
    (sets / "b").rename(sets / "vggface")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(make_config, home):
    def train(name: str, *words: str) -> dict:
        config = make_config("train", "task=stress", "standardise=true", *SMALL, *words)
        config.job.folder = f"outputs/train/{name}"
        muse.commands.train.run(config)
        return json.loads(Path(f"outputs/train/{name}/result.json").read_text())["targets"]

    return train


@pytest.fixture
def table(make_config, capsys):
    """table(...) -> what is printed."""

    def table(*words: str) -> str:
        capsys.readouterr()
        config = make_config("table", "table=muse2021", "tasks=[stress]", *words)
        muse.commands.table.run(config)
        return capsys.readouterr().out

    return table


def cells(text: str) -> dict:
    """(system, target, partition) -> row of the CSV."""
    rows = csv.DictReader(io.StringIO(text))
    return {(row["system"], row["target"], row["partition"]): row for row in rows}


def test_published_numbers_are_those_of_the_paper():
    published = read_table("muse2021")
    # read off Table 3 of the paper
    assert published.value("stress", "egemaps", "combined", "devel") == 0.5068
    assert published.value("stress", "vggface", "valence", "test") == 0.5058
    assert published.value("sent", "bert", "valence", "test") == 31.90
    assert published.value("wilder", "late fusion: best V + A + T", "arousal", "devel") == 0.4929
    assert published.value("physio", "vggish", "anno12_EDA", "devel") == 0.3416
    assert published.is_percent("sent") and not published.is_percent("physio")
    assert list(published.targets) == ["wilder", "sent", "stress", "physio"]
    assert [len(rows) for rows in published.rows.values()] == [11, 11, 11, 11]


def test_each_cell_is_the_best_run_on_devel(train, table):
    one = train("one", "features=egemaps", "seeds=[1]")
    two = train("two", "features=egemaps", "seeds=[2]")
    train("debug", "features=egemaps", "+debug=fast")
    train("early", "features=[egemaps,vggface]")
    found = cells(table("format=csv"))
    chosen = {}
    for target, published in (("valence", 0.5845), ("arousal", 0.4290)):
        name, best = max(("one", one), ("two", two), key=lambda r: r[1][target]["devel"]["ccc"])
        chosen[target] = best[target]
        row = found["egemaps", target, "devel"]
        assert float(row["muse"]) == best[target]["devel"]["ccc"]
        assert float(found["egemaps", target, "test"]["muse"]) == best[target]["test"]["ccc"]
        assert float(row["published"]) == published and row["run"] == f"outputs/train/{name}"
        assert float(row["difference"]) == float(row["muse"]) - published
    combined = float(found["egemaps", "combined", "devel"]["muse"])
    assert combined == pytest.approx(np.mean([c["devel"]["ccc"] for c in chosen.values()]))
    assert found["vggface", "valence", "devel"]["muse"] == ""
    text = table()
    assert "0.5845 / 0.5019" in text and "SYNTHETIC" not in text
    assert "preliminary" in text and "stress valence test 0.5614 (Cai et al., 2021)" in text
    assert f"egemaps, valence: {found['egemaps', 'valence', 'devel']['run']}" in text
    line = next(line for line in text.splitlines() if line.startswith("vggface"))
    assert line.split()[1:4] == ["-", "/", "-"]


def test_columns_fit_the_terminal_and_have_values(train, table, monkeypatch):
    train("one", "features=egemaps", "target=valence")
    monkeypatch.setenv("COLUMNS", "400")
    wide = table().splitlines()
    assert wide[1].split() == ["valence", "muse", "valence", "published", "valence", "difference",
                               "arousal", "published", "combined", "published"]  # fmt: skip
    monkeypatch.setenv("COLUMNS", "100")
    narrow = table().splitlines()
    heads = [line.split() for line in narrow if "published" in line and "/" not in line][:3]
    assert [head[0] for head in heads] == ["valence", "arousal", "combined"]
    assert sum(line.startswith("egemaps  ") for line in narrow) == 3
    end = next(k for k, line in enumerate(narrow) if line.startswith("egemaps, valence: "))
    assert max(map(len, narrow[1:end])) <= 100
    rows = table("format=latex").splitlines()
    row = next(line for line in rows if line.startswith("vggface"))
    assert row.split(" & ")[:3] == ["vggface", "", "0.6019 / 0.5058"]


def test_names_cannot_break_a_format():
    name = "a_1 $x$ {b} ~ ^ \\ 5 %\n&#"
    line = Line(name, {"valence": Cell(0.5, None, Path("=runs\n/one"))})
    formula = Line("=1+1", {"valence": Cell(-0.25, 0.125, Path("two"))})
    block = Block("stress", ["valence"], [line, formula], synthetic=False, decimals=4)
    lines = _latex(read_table("muse2021"), [block]).splitlines()
    assert lines[0] == "% a_1 $x$ {b} ~ ^ \\ 5 % &#, valence: =runs /one"
    assert lines[8] == (
        r"a\_1 \$x\$ \{b\} \textasciitilde{} \textasciicircum{} \textbackslash{} 5 \% \&\#"
        r" & 0.5000 / - \\"
    )
    rows = list(csv.DictReader(io.StringIO(_csv(read_table("muse2021"), [block]))))
    assert [row["system"] for row in rows] == ["a_1 $x$ {b} ~ ^ \\ 5 % &#"] * 2 + ["'=1+1"] * 2
    assert rows[0]["run"] == "'=runs /one" and [row["muse"] for row in rows] == [
        "0.5", "", "-0.25", "0.125"
    ]  # fmt: skip


def test_a_synthetic_package_is_never_compared(train, table, home):
    (home / "data/c3_muse_stress/SYNTHETIC.txt").touch()
    train("one", "features=egemaps")
    text = table()
    assert "SYNTHETIC data" in text and "difference" not in text
    assert all(not row["difference"] for row in cells(table("format=csv")).values())
    (home / "data/c3_muse_stress/SYNTHETIC.txt").unlink()
    train("real", "features=vggface")
    text = table()  # real runs alone
    assert "SYNTHETIC" not in text and "egemaps, valence" not in text
    assert "egemaps, valence" in table("synthetic=true")


def test_fusions_are_of_the_best_runs_of_each_modality(train, table, make_config):
    train("a", "features=egemaps")
    train("v", "features=vggface")
    words = ["task=stress", "target=valence", "runs=[outputs/train/a,outputs/train/v]", *SMALL]
    config = make_config("fuse", *words)
    config.job.folder = "outputs/fuse/f"
    muse.commands.fuse.run(config)
    result = json.loads(Path("outputs/fuse/f/result.json").read_text())["targets"]["valence"]
    row = cells(table("format=csv"))["late fusion: best A + V", "valence", "devel"]
    assert float(row["muse"]) == result["devel"]["ccc"] and row["run"] == "outputs/fuse/f"
    shutil.move("outputs/train/a", "outputs/train/gone")  # the fusion is of another run
    row = cells(table("format=csv"))["late fusion: best A + V", "valence", "devel"]
    assert row["muse"] == ""


def test_formats(train, table):
    train("one", "features=egemaps")
    markdown = table("format=markdown")
    assert "| system | valence muse |" in markdown and "- egemaps, valence: outputs" in markdown
    latex = table("format=latex", "out=table.tex")
    assert latex == "table.tex\n"
    text = Path("table.tex").read_text()
    assert r"\begin{tabular}{lccccccccc}" in text and r"late fusion: best A + V &" in text
    with pytest.raises(MuseError, match="the file is there already"):
        table("out=table.tex")


def test_rows_of_ones_own(train, table):
    train("one", "features=vggface")
    text = table("features=[vggface]")
    assert "vggface" in text and "egemaps" not in text
    with pytest.raises(MuseError, match="fusions: nothing is no row of the table; it has vggface"):
        table("features=[vggface]", "fusions=[[vggface,nothing]]")
    with pytest.raises(MuseError, match="tasks=stres: expected one of"):
        table("tasks=[stres]")


def test_what_is_missing_is_trained_once(table, home):
    settings = ["model.layers=1", "model.bidirectional=false", "standardise=true", *SMALL]
    settings = ",".join(settings).replace("=", ":")
    words = ["features=[egemaps,vggface]", "train=missing", "fusions=[[egemaps,vggface]]",
             f"settings={{{settings}}}", f"fusion_settings={{{settings}}}",
             "format=csv"]  # fmt: skip
    found = cells(table(*words))
    name = "late fusion: egemaps + vggface"
    for system in ("egemaps", "vggface", name):
        for target in ("valence", "arousal", "combined"):
            assert found[system, target, "devel"]["muse"], (system, target)
    before = {path: path.stat().st_mtime_ns for path in home.glob("outputs/**/result.json")}
    assert len(before) == 4  # two models, and a fusion per target
    assert cells(table(*words)) == found
    assert {p: p.stat().st_mtime_ns for p in home.glob("outputs/**/result.json")} == before


def test_what_is_trained_stands_below_the_root_of_the_table(table, home):
    words = ["features=[egemaps]", "fusions=[]", "train=missing", "root=mine", "format=csv",
             f"settings={ONE_JOB}"]  # fmt: skip
    found = cells(table(*words))
    assert found["egemaps", "valence", "devel"]["muse"]
    assert found["egemaps", "valence", "devel"]["run"].startswith("mine/")
    assert not (home / "outputs").exists() or not list((home / "outputs").rglob("result.json"))
    words[3] = "root=other"
    again = cells(table(*words, "synthetic=false"))  # nothing is copied, all is trained again
    assert again["egemaps", "valence", "devel"]["run"].startswith("other/")


def test_a_job_of_a_table_that_fails_is_reported(table, home):
    (home / "data/c3_muse_stress/feature_segments/egemaps/3.csv").unlink()
    with pytest.raises(MuseError, match=r"1 of 1 jobs have no result:\n.*3\.csv: the file is miss"):
        table("features=[egemaps]", "fusions=[]", "train=missing",
              f"settings={ONE_JOB}")  # fmt: skip
