"""`muse table muse2020`: its rows, their experiments, scores that are weighted sums, mean ranks."""

import csv
import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

import muse.commands.synth
import muse.commands.table
import muse.sweep.jobs
from muse.config.shipped import config_folder
from muse.errors import MuseError
from muse.models import build_model
from muse.runs.finished import FinishedRun
from muse.tables.candidates import Cell, Runs
from muse.tables.cells import Line, Sources, line_of
from muse.tables.published import NUMBERS, Row, Table, read_paper
from muse.tables.ranks import rank_blocks
from muse.tables.render import Block
from muse.tables.systems import systems_of, tried

PAPER = read_paper("muse2020")
SYSTEMS = systems_of(PAPER)
METRIC = "0.66*micro_f1+0.34*uar"
VISUAL = {"vggface", "au", "gaze", "landmarks_2d", "landmarks_3d", "pdm", "pose", "xception",
          "gocar", "openpose"}  # fmt: skip
SAMPLES = 2000  # of a frame of raw audio, which has no columns
GIVEN = {"muse2020/albert": ["model.weights=weights"]}  # what its YAML leaves to the user


def has_experiment(system: str) -> bool:
    return (config_folder() / "experiment" / f"{SYSTEMS[system].experiment}.yaml").exists()


@pytest.fixture
def table(print_table):
    """table(...) -> what is printed."""
    return partial(print_table, "table=muse2020")


def cells(text: str) -> dict:
    """(table, system, target, partition) -> row of the CSV."""
    rows = csv.DictReader(io.StringIO(text))
    return {(r["table"], r["system"], r["target"], r["partition"]): r for r in rows}


def test_every_published_number_is_in_one_table():
    text = (NUMBERS / "muse2020.csv").read_text(encoding="utf-8")
    published = list(csv.DictReader(io.StringIO(text)))
    assert sum(len(one.numbers) for one in PAPER.tables) == len(published) == 80
    tables = {(one.number, one.task): one for one in PAPER.tables}
    assert list(tables) == [("2", "wild"), ("2", "trust"), ("3", "topic"), ("4", "topic")]
    # read off Table 2 and section 6.2
    lstm, three = "LSTM + Self-ATT", "fasttext+egemaps+xception"
    assert tables["2", "wild"].numbers[Row(lstm, "egemaps"), "valence", "test"] == -0.0097
    assert tables["2", "wild"].combined and tables["4", "topic"].combined
    assert tables["3", "topic"].numbers[Row(lstm, ""), "topic", "test"] == 37.37
    assert tables["4", "topic"].numbers[Row("MMT", three), "combined", "test"] == 38.81
    assert tables["4", "topic"].targets == ["valence", "arousal"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_experiment_of_a_system_composes_for_all_its_rows(make_config, system):
    if not has_experiment(system):
        pytest.skip(f"configs/experiment/{SYSTEMS[system].experiment}.yaml is not there")
    known, wanted, configs = make_config("table").feature_sets, SYSTEMS[system], {}
    for one in PAPER.tables:
        rows = [row for row in one.rows if row.system == system]
        for row in (own for shown in rows for own in tried(shown, one.task, SYSTEMS)):
            names = wanted.read_of(row.features)
            if one.task not in configs:
                words = [*wanted.words(one.task), f"features=[{','.join(names)}]"]
                config = make_config("train", *words, *GIVEN.get(wanted.experiment, []))
                configs[one.task] = config
                sources = Sources(PAPER, one, rows, SYSTEMS, Runs([], one, None), known)
                required = sources.required(row)
                assert config.task.name == one.task and config.features == names
                assert {k: config.model[k] for k in required.model} == required.model
                assert {k: getattr(config, k) for k in required.run} == required.run
            sizes = {name: known[name].dimension.get("muse-car", SAMPLES)
                     for name in names if name in known}  # fmt: skip
            if len(sizes) == len(names) and wanted.experiment not in GIVEN:
                assert build_model(configs[one.task].model, sizes, 1)


def test_every_named_experiment_is_there_and_none_is_left_over():
    shipped = {path.stem for path in (config_folder() / "experiment/muse2020").glob("*.yaml")}
    assert {system.experiment for system in SYSTEMS.values()} == {
        f"muse2020/{stem}" for stem in shipped
    }


def test_names_of_the_paper_stand_for_feature_sets():
    lstm = SYSTEMS["LSTM + Self-ATT"]
    assert set(lstm.read_of("all visual")) == VISUAL
    assert set(lstm.read_of("egemaps+fasttext+vision")) == {"egemaps", "fasttext"} | VISUAL
    assert SYSTEMS["MMT"].read_of("fasttext+egemaps+fau") == ["fasttext", "egemaps", "au"]


def trust_run(name: str, targets: list[str], devel: float) -> FinishedRun:
    scores = {target: {"devel": {"ccc": devel}, "test": None} for target in targets}
    model = {"_target_": "muse.models.lstm_attention.LSTMAttention"}
    result = {"task": "trust", "debug": False, "synthetic": False, "features": ["egemaps"],
              "metric": "ccc", "model": model, "targets": scores}  # fmt: skip
    run = FinishedRun(Path(name), result)
    run.__dict__["settings"] = SimpleNamespace(targets=targets, joint=len(targets) > 1)
    return run


def test_a_model_of_three_targets_stands_in_the_multitask_row_alone(make_config):
    (one,) = (one for one in PAPER.tables if one.task == "trust")
    lstm, multitask = Row("LSTM + Self-ATT", "egemaps"), Row("End2You multitask", "egemaps")
    model = {"_target_": "muse.models.lstm_attention.LSTMAttention"}
    systems = SYSTEMS | {multitask.system: replace(SYSTEMS[multitask.system], model=model)}
    several = ["trustworthiness", "valence", "arousal"]
    runs = [trust_run("alone", several[:1], 0.1), trust_run("joint", several, 0.2)]
    sources = Sources(PAPER, one, [lstm, multitask], systems, Runs(runs, one, None),
                      make_config("table").feature_sets)  # fmt: skip
    assert sources.find(lstm, "trustworthiness").run == Path("alone")
    assert sources.find(multitask, "trustworthiness").run == Path("joint")


def topic_run(name: str, features: list[str], model: str, metric: str = METRIC) -> FinishedRun:
    """A run with 40 % micro F1 and 30 % UAR on devel; on test half of that, a tenth for arousal."""
    part = {"micro_f1": 0.4, "uar": 0.3, "f1": 0.9, "interval": [0.1, 0.5]}
    part[metric] = 0.66 * 0.4 + 0.34 * 0.3 if metric == METRIC else part[metric]
    scores = {}
    for target, share in (("topic", 0.5), ("valence", 0.5), ("arousal", 0.1)):
        test = {key: value * share for key, value in part.items() if key != "interval"}
        scores[target] = {"devel": part, "test": test | {"interval": [0.2, 0.3]}}
    model = {"_target_": f"muse.models.{model}"}
    result = {"task": "topic", "debug": False, "synthetic": False, "features": features,
              "metric": metric, "model": model, "targets": scores}  # fmt: skip
    return FinishedRun(Path(name), result)


def lines_of(number: str, runs: list[FinishedRun], known: dict) -> dict[str, Line]:
    (one,) = (one for one in PAPER.tables if one.number == number and one.task == "topic")
    sources = Sources(PAPER, one, one.rows, SYSTEMS, Runs(runs, one, None), known)
    return {row.system: line_of(sources, row) for row in one.rows}


def test_a_weighted_sum_is_shown_in_per_cent_with_its_interval(make_config):
    known = make_config("table").feature_sets
    lstm = "lstm_attention.LSTMAttention"
    line = lines_of("3", [topic_run("a", ["gocar"], lstm)], known)["LSTM + Self-ATT"]
    cell = line.cells["topic"]  # of the feature sets that were tried
    assert cell.devel == pytest.approx(66 * 0.4 + 34 * 0.3) == 36.6
    assert cell.test == pytest.approx(18.3)
    assert cell.intervals == {"devel": [10, 50], "test": [20, 30]}
    assert not lines_of("3", [topic_run("a", ["lld"], lstm)], known)["LSTM + Self-ATT"].cells
    # trained for another metric: the same score, but the interval is of the other one
    other = lines_of("3", [topic_run("b", ["gocar"], lstm, "f1")], known)["LSTM + Self-ATT"]
    assert other.cells["topic"].devel == pytest.approx(36.6)
    assert other.cells["topic"].intervals == {}
    three = ["xception", "egemaps", "fasttext"]
    run = topic_run("c", three, "multimodal_transformer.MultimodalTransformer")
    mmt = lines_of("4", [run], known)["MMT"]
    assert list(mmt.cells) == ["valence", "arousal", "combined"]  # topic is not in it
    assert mmt.cells["combined"].test == pytest.approx((18.3 + 3.66) / 2)


def block(number: str, lines: list[Line], targets: list[str]) -> Block:
    return Block("T", number, "topic", targets, ["devel", "test"], lines, False, 2)


def test_mean_ranks_by_hand():
    names = ["A", "B", "C", "D"]
    devel = {"topic": [50, 40, 40, 10], "combined": [30, 50, 40, None]}
    published = {"topic": [3.0, None, 1, 2], "combined": [1.0, 2, None, 2]}

    def lines(target: str) -> list[Line]:
        scores = zip(names, devel[target], strict=True)
        return [Line(name, {} if score is None else {target: Cell(score, score / 2, None)})
                for name, score in scores]  # fmt: skip

    rows = [Row(name, "x") for name in names]
    numbers = {t: {(row, t, "test"): score for row, score in zip(rows, published[t], strict=True)
                   if score is not None} for t in published}  # fmt: skip
    worse = [Line("A", {"topic": Cell(5, 99, None)}), *lines("topic")]  # chosen on devel: not this
    tables = [
        SimpleNamespace(table=Table(number, "topic", [target], False, [], rows, numbers[target],
                                    "f1", True), rows=own)
        for number, target, own in (("3", "topic", [rows[0], *rows]), ("4", "combined", rows))
    ]  # fmt: skip
    blocks = [block("3", worse, ["topic"]),
              block("4", lines("combined"), ["combined"])]  # fmt: skip
    (found,) = rank_blocks(PAPER, tables, blocks)
    assert found.targets == ["topic", "combined", "mean rank"] and not found.compared
    # topic: A 1, B and C 2, D 4; combined: B 1, C 2, A 3, D none
    ranks = {line.name: [line.cells[t].devel for t in found.targets] for line in found.lines}
    assert ranks["A"] == [1, 3, 2] and ranks["B"] == [2, 1, 1.5] and ranks["C"] == [2, 2, 2]
    assert ranks["D"][0] == 4 and ranks["D"][1] != ranks["D"][1]
    # A and C have the same mean rank: A has the better one of topic
    assert [line.name for line in found.lines] == ["B", "A", "C", "D"]
    assert [line.cells["topic"].test for line in found.lines] == [2, 1, 2, 4]
    means = {line.name: line.published["mean rank", "test"] for line in found.lines}
    # topic: A 1, D 2, C 3; combined: B and D 1, A 3; B and C have one of the two
    assert means["A"] == 2 and means["D"] == 1.5 and means["C"] != means["C"]
    assert rank_blocks(PAPER, tables[:1], blocks[:1]) == []


def test_the_published_mean_rank_and_what_the_paper_contradicts_are_shown(
    table, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    text = table()
    ranks = text.split("mean rank of systems, topic: rank, test")[1].splitlines()
    assert ranks[2].split() == ["MMT", "2.0", "1.0", "1.5"]  # second on topics, best on emotions
    assert "0.3198 / 0.4128" in text and ".4359 for Trust" in text
    assert "0.3078 / 0.2834" in text and ".3088 / .2884" in text
    assert "Table 3 (from section 6.2), topic: 0.66 micro F1 + 0.34 UAR in %, test" in text
    bodies = [line for line in text.splitlines() if line.count("  ") > 2]
    assert max(map(len, bodies)) <= 100
    for form, row in [
        ("markdown", "| vggface, SVM | - | 42.67 | - |"),
        ("latex", r"vggface, SVM &  & 42.67 & \\"),
    ]:
        assert row in table("tables=[4]", f"format={form}").splitlines()
    text = table("tasks=[topic]", "systems=[MMT,SVM]")  # published ranks are among all systems
    ranks = text.split("mean rank of systems, topic: rank, test")[1].splitlines()
    assert [line.split() for line in ranks[2:5]] == [
        ["MMT", "2.0", "1.0", "1.5"],
        ["SVM", "-", "-", "-"],
        [],
    ]
    rows = cells(table("tasks=[trust]", "systems=[End2You multitask]", "format=csv"))
    assert [row["published"] for row in rows.values()] == ["0.3264", "0.4119"]


def test_words_that_the_paper_does_not_have_are_refused(table):
    for words, message in [
        (["systems=[End2Me]"], "systems=End2Me: expected one of .*'End2You'"),
        (["fusions=[[a,b]]"], "muse2020 has no late fusions"),
        (["members=devel"], "muse2020 has no late fusions"),
        (["tables=[1]"], "tables=1: expected one of 2, 3, 4"),
        (["tables=[3]", "systems=[SVM]"], "no table has such rows"),
    ]:
        with pytest.raises(MuseError, match=message):
            table(*words)


CASES = dict.fromkeys((one.task, row.system) for one in PAPER.tables for row in one.rows)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "system"), CASES)
def test_every_published_row_is_trained(make_config, table, task, system, tmp_path, monkeypatch):
    if not has_experiment(system):
        pytest.skip(f"configs/experiment/{SYSTEMS[system].experiment}.yaml is not there")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(muse.sweep.jobs, "cores", lambda asked: 1)  # no processes to be begun
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)  # pictures take most of the time
    rows = [row for one in PAPER.tables if one.task == task for row in one.rows]
    read = {name for row in rows if row.system == system
            for one in tried(row, task, SYSTEMS)
            for name in SYSTEMS[system].read_of(one.features)}  # fmt: skip
    known = make_config("synth", f"task={task}").feature_sets
    small = [f"feature_sets.{name}.dimension={{muse-car:3}}" for name in sorted(read & set(known))
             if max(known[name].dimension.values(), default=0) > 3]  # fmt: skip
    size = "task.size.seconds={train:9960,devel:3720,test:3780}"  # a minute each
    words = ["scale=0.001", f"features=[{','.join(sorted(read))}]", "out=data", size, *small]
    muse.commands.synth.run(make_config("synth", f"task={task}", *words))
    tiny = (
        "{epochs:1,seeds:1,bootstrap:0,tensorboard:false,plots:false,model.hidden:2,model.dim:10}"
    )
    if system == "ALBERT fine-tuned":
        pytest.importorskip("transformers")
        from tests.tiny_albert import write_albert

        write_albert(tmp_path / "weights", ["word"])
        tiny = tiny.replace("}", ",model.weights:weights}")
    words = [f"tasks=[{task}]", f"systems=[{system}]", "train=missing", f"settings={tiny}",
             "format=csv"]  # fmt: skip
    found = cells(table(*words))
    assert [key for key, row in found.items() if not row["muse"] and "+" not in key[0]] == []
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("outputs/**/result.json")}
    assert cells(table(*words)) == found
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("outputs/**/result.json")} == before
