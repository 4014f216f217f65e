"""`muse table`: which runs are shown, what stands beside them, and what is trained for it."""

import csv
import io
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import muse.commands.fuse
import muse.commands.table
import muse.commands.train
import muse.tables.published
from muse.errors import MuseError
from muse.files import digest_of
from muse.runs.finished import FinishedRun
from muse.tables.candidates import Cell, Runs
from muse.tables.cells import Line, Sources
from muse.tables.published import Row, read_paper
from muse.tables.render import Block, _csv, _latex
from muse.tables.systems import shown_rows, systems_of, unnamed_members
from tests.conftest import stress_package

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published"
SMALL = ["epochs=2", "seeds=1", "model.hidden=4", "model.head=4", "batch_size=4", "bootstrap=0",
         "tensorboard=false", "plots=false", "lr=0.01"]  # fmt: skip


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
def table(print_table):
    """table(...) -> what is printed."""
    return partial(print_table, "table=muse2021", "tasks=[stress]")


def cells(text: str) -> dict:
    """(system, target, partition) -> row of the CSV."""
    rows = csv.DictReader(io.StringIO(text))
    return {(row["system"], row["target"], row["partition"]): row for row in rows}


def test_published_numbers_are_those_of_the_paper():
    tables = {table.task: table for table in read_paper("muse2021").tables}

    def value(task: str, features: str, *where: str, system: str = "LSTM") -> float:
        return tables[task].numbers[Row(system, features), *where]

    # read off Table 3 of the paper
    assert value("stress", "egemaps", "combined", "devel") == 0.5068
    assert value("stress", "vggface", "valence", "test") == 0.5058
    assert value("sent", "bert", "valence", "test") == 31.90
    fusion = {"system": "LSTM late fusion"}
    assert value("wilder", "late fusion: best V + A + T", "arousal", "devel", **fusion) == 0.4929
    assert value("physio", "vggish", "anno12_EDA", "devel") == 0.3416
    assert (tables["sent"].metric, tables["sent"].percent) == ("f1", True)
    assert (tables["physio"].metric, tables["physio"].percent) == ("ccc", False)
    assert list(tables) == ["wilder", "sent", "stress", "physio"]
    assert [len(table.rows) for table in tables.values()] == [11, 11, 11, 11]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs ../shared/data/published")
def test_all_published_numbers_are_those_that_were_read_off_the_papers():
    key = ["paper", "table", "task", "target", "system", "features", "partition", "modality"]

    def numbers(path: Path) -> pd.Series:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert not frame.duplicated(key).any()
        return frame.set_index([*key, "metric"])["value"].astype(float)

    theirs = pd.concat(numbers(path) for path in PUBLISHED.glob("*.csv"))
    for path in (Path(muse.tables.published.__file__).parent / "numbers").glob("*.csv"):
        ours = numbers(path)
        assert ours.to_dict().items() <= theirs.to_dict().items()
        own = ours.index.get_level_values("paper") == path.stem
        assert own.sum() == len(numbers(PUBLISHED / path.name))  # none is left out


def run_of(name: str, features: str, devel: dict, cell: str = "lstm") -> FinishedRun:
    """A finished run with devel scores: target -> score."""
    targets = {t: {"devel": {"ccc": v}, "test": {"ccc": v / 2}} for t, v in devel.items()}
    model = {"_target_": "muse.models.recurrent.Recurrent", "cell": cell, "hidden": 3}
    return FinishedRun(
        Path(name),
        {"task": "wilder", "debug": False, "synthetic": False, "features": [features],
         "metric": "ccc", "model": model, "targets": targets},
    )  # fmt: skip


@pytest.mark.parametrize(("members", "audio"), [("paper", "deepspectrum"), ("devel", "egemaps")])
def test_fusions_are_of_the_feature_sets_that_the_paper_names(make_config, members, audio):
    paper = read_paper("muse2021")
    (table,) = (table for table in paper.tables if table.task == "wilder")
    systems = systems_of(paper, members)
    both = {name: dict.fromkeys(["valence", "arousal"], devel) for name, devel in
            {"egemaps": 0.5, "deepspectrum": 0.4, "vggface": 0.3, "bert": 0.2}.items()}  # fmt: skip
    runs = Runs([run_of(name, name, devel) for name, devel in both.items()], table, None)
    rows = shown_rows(table, systems, None, None)
    sources = Sources(paper, table, rows, systems, runs, make_config("table").feature_sets)
    found = {row.features: {t: {str(c.run) for c in sources.members(row, t)}
                            for t in table.targets} for row in rows}  # fmt: skip
    for target in ("valence", "arousal"):
        assert found["late fusion: best A + V"][target] == {audio, "vggface"}
        assert found["late fusion: best V + A + T"][target] == {audio, "vggface", "bert"}


def test_named_members_are_feature_sets_of_their_modality_and_rows_of_the_table(make_config):
    known, paper = make_config("table").feature_sets, read_paper("muse2021")
    tables = {table.task: table for table in paper.tables}
    systems = systems_of(paper)
    named_in = systems["LSTM late fusion"].modalities
    assert set(named_in) == set(tables)
    for task, targets in named_in.items():
        assert list(targets) == tables[task].targets
        rows = {row.features: row.modalities for row in tables[task].rows}
        for named in targets.values():
            for letter, name in named.items():
                assert rows[name] == (letter,)
                assert known[name].modality == muse.tables.published.MODALITIES[letter]
    # sections 4.2 and 4.3 of the paper leave these open
    assert unnamed_members(tables["sent"], systems) == ["sent valence audio"]
    assert unnamed_members(tables["wilder"], systems) == []
    assert unnamed_members(tables["physio"], systems) == []
    everything = unnamed_members(tables["physio"], systems_of(paper, "devel"))
    assert len(everything) == 3


def test_a_row_of_the_paper_takes_runs_of_its_model_alone(train, table):
    train("gru", "features=egemaps", "model=gru")
    found = cells(table("format=csv"))
    assert not found["egemaps", "valence", "devel"]["muse"]
    assert "only runs of its model" in table() and "model.cell=lstm" in table()
    train("lstm", "features=egemaps")
    assert cells(table("format=csv"))["egemaps", "valence", "devel"]["run"].endswith("/lstm")


def test_a_row_of_ones_own_takes_any_model(train, table, home):
    sets = home / "data/c3_muse_stress/feature_segments"
    (sets / "vggface").rename(sets / "mine")
    train("gru", "features=mine", "model=gru")
    assert cells(table("features=[mine]", "format=csv"))["mine", "valence", "devel"]["muse"]


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
    block = Block("MuSe 2021, Table 3, stress", "3", "stress", ["valence"], ["devel", "test"],
                  [line, formula], synthetic=False, decimals=4)  # fmt: skip
    lines = _latex([block]).splitlines()
    assert lines[0] == "% a_1 $x$ {b} ~ ^ \\ 5 % &#, valence: =runs /one"
    assert lines[8] == (
        r"a\_1 \$x\$ \{b\} \textasciitilde{} \textasciicircum{} \textbackslash{} 5 \% \&\#"
        r" & 0.5000 / - \\"
    )
    rows = list(csv.DictReader(io.StringIO(_csv([block]))))
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


def test_test_of_the_last_epoch(train, table):
    targets = train("one", "features=egemaps", "epochs=5", "seeds=3")
    last = cells(table("format=csv", "test=last"))
    best = cells(table("format=csv"))
    for target, part in targets.items():
        row = last["egemaps", target, "test"]
        assert float(row["muse"]) == part["test_last"]
        assert float(row["difference"]) == part["test_last"] - float(row["published"])
        key = "egemaps", target, "devel"
        assert last[key] == best[key]  # the same run, whatever its test
    both = np.mean([part["test_last"] for part in targets.values()])
    assert float(last["egemaps", "combined", "test"]["muse"]) == pytest.approx(both)
    assert any(part["test_last"] != part["test"]["ccc"] for part in targets.values())
    assert "with the weights of the last epoch" in table("test=last")
    path = Path("outputs/train/one/result.json")  # as version 0.1 wrote it
    result = json.loads(path.read_text())
    for part in result["targets"].values():
        del part["test_last"]
    del result["digest"]
    path.write_text(json.dumps(result | {"digest": digest_of(result)}))
    assert cells(table("format=csv", "test=last"))["egemaps", "valence", "test"]["muse"] == ""
    assert cells(table("format=csv"))["egemaps", "valence", "test"]["muse"]


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
