"""Every published row of Cai et al. and Hamieh et al. (2021): its experiment builds and trains."""

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

import muse.commands.table
import muse.commands.train
import muse.sweep.jobs
from muse.config.compose import load_config
from muse.config.shipped import config_folder
from muse.errors import MuseError
from muse.models import build_model
from muse.sweep.jobs import expand
from muse.tables.candidates import Runs
from muse.tables.cells import Sources
from muse.tables.published import BASELINE, Row, read_paper
from muse.tables.systems import resolved, systems_of
from tests.conftest import PARTITION_OF, write

PARTITIONS = PARTITION_OF | {"5": "devel"}  # with two recordings of devel there is an interval
RATES = {"cai2021": [0.0002, 0.001, 0.002, 0.005], "hamieh2021": [0.0005, 0.001, 0.005]}
COLUMNS = {"egemaps": 88, "deepspectrum": 4096, "vggish": 128, "vggface": 512, "fau": 17,
           "bert": 768, "bio": 3}  # fmt: skip


def published_rows(name: str, feature_sets: dict) -> Iterator[tuple[Sources, Row]]:
    """The rows of a paper, each as that whose runs fill it."""
    paper = read_paper(name)
    for table in paper.tables:
        systems = systems_of(paper)
        runs = Runs([], table, None)
        sources = Sources(paper, table, table.rows, systems, runs, feature_sets)
        for row in table.rows:
            yield sources, resolved(row, table.task, systems)[0]


class Experiment:
    """What the commands in the first lines of an experiment give: task -> settings, axes."""

    def __init__(self, name: str):
        text = (config_folder() / f"experiment/{name}.yaml").read_text()
        content = yaml.safe_load(text)
        given = content.get("hydra", {}).get("sweeper", {}).get("params", {})
        self.configs, self.axes = {}, {}
        for line in re.findall(r"^# muse (.*)$", text, re.MULTILINE):
            command, *words = shlex.split(line)
            jobs = expand(words, given)
            config = load_config(command, jobs[0])
            self.configs[config.task.name] = config
            axes: dict[str, dict] = {}
            for key, _, value in (word.partition("=") for job in jobs for word in job):
                axes.setdefault(key, {})[value] = None
            self.axes[config.task.name] = {key: list(values) for key, values in axes.items()}


@pytest.mark.parametrize("name", ["cai2021", "hamieh2021"])
def test_the_experiment_of_every_published_row_composes_and_builds(make_config, name):
    experiments: dict[str, Experiment] = {}
    built = set()
    for sources, row in published_rows(name, make_config("table").feature_sets):
        system, task = sources.systems[row.system], sources.table.task
        if not system.model:
            assert row.system == BASELINE
            continue
        if system.experiment not in experiments:
            experiments[system.experiment] = Experiment(system.experiment)
        experiment = experiments[system.experiment]
        config, axes = experiment.configs[task], experiment.axes[task]
        model = {k.removeprefix("model."): v for k, v in axes.items() if k.startswith("model.")}
        rates = [float(lr) for lr in axes.get("lr", [])]
        assert rates == RATES[name] or not system.single
        assert {k: config.model[k] for k in system.model} == system.model
        assert not model.keys() & system.model.keys()
        assert {k: getattr(config, k) for k in system.run} == system.run
        if system.single:
            inputs = {n: COLUMNS.get(n, 1) for n in system.read_of(row.features)}
            assert ",".join(inputs) in {text.strip("[]") for text in axes["features"]}
        else:
            members = [one for (one,) in sources.member_rows(row, sources.table.targets[0])]
            assert len(members) > 1
            assert all(sources.systems[one.system].single for one in members)
            inputs = dict.fromkeys([str(one) for one in members] + sources.beside(row), 1)
        for ends in product(*((values[0], values[-1]) for values in model.values())):
            sizes = {k: float(v) if k == "dropout" else int(v)
                     for k, v in zip(model, ends, strict=True)}  # fmt: skip
            key = (system.experiment, tuple(inputs.values()), ends)
            if key not in built:
                built.add(key)
                assert build_model(config.model | sizes, inputs, 1)
    shipped = {path.stem for path in (config_folder() / "experiment" / name).glob("*.yaml")}
    assert set(experiments) == {f"{name}/{stem}" for stem in shipped}  # none is left over


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Five recordings of MuSe-Stress and MuSe-Physio in the working folder, eight columns each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    sets = dict.fromkeys(COLUMNS.keys() - {"bio"}, 8) | dict.fromkeys(["BPM", "ECG", "resp"], 1)
    for folder, targets in (("c3_muse_stress", ["valence", "arousal"]),
                            ("c4_muse_physio", ["anno12_EDA"])):  # fmt: skip
        home = tmp_path / "data" / folder
        write(home / "metadata/partition.csv", "Id,Partition\n", PARTITIONS.items())
        for id_ in PARTITIONS:
            time = np.arange(12 + int(id_)) * 500
            for name, count in sets.items():
                header = ",".join(
                    ["timestamp", "segment_id", *(f"{name}_{k}" for k in range(count))]
                )
                rows = ([t, 1, *rng.normal(size=count).round(3)] for t in time)
                write(home / f"feature_segments/{name}/{id_}.csv", f"{header}\n", rows)
            for target in targets:
                rows = zip(time, np.ones_like(time), np.sin(time / 2000).round(3), strict=True)
                header = "timestamp,segment_id,value\n"
                write(home / f"label_segments/{target}/{id_}.csv", header, rows)
    return tmp_path


@pytest.fixture
def table(print_table):
    """table(...) -> what is printed."""
    return print_table


QUICK = "epochs:1,seeds:1,bootstrap:10,tensorboard:false,plots:false"
TINY = f"{QUICK},lr:0.001,model.hidden:2,model.dropout:0.1"
SINGLE = f"{{{TINY},batch_size:64,model.heads:4,model.attention_layers:1,model.channels:2}}"


def cells(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_shows_the_runs_of_its_system(package, table, make_config):
    for loss in ("ccc", "mse"):
        words = ["task=stress", "target=arousal", "features=egemaps", "model=plain",
                 "model.cell=gru",
                 "model.bidirectional=true", "model.layers=4", "model.hidden=2", f"loss={loss}",
                 *QUICK.replace(":", "=").split(",")]  # fmt: skip
        config = make_config("train", *words)
        config.job.folder = f"outputs/train/{loss}"
        muse.commands.train.run(config)
    rows = cells(table("table=hamieh2021", "tables=[1,3]", "format=csv"))
    found = {(r["table"], r["system"]): r for r in rows if r["run"]}
    shown = {key: row["run"].rpartition("/")[2] for key, row in found.items()}
    assert shown == {("1", "egemaps, BiGRU"): "ccc", ("3", "egemaps, BiGRU, CCC loss"): "ccc",
                     ("3", "egemaps, BiGRU, MSE loss"): "mse"}  # fmt: skip
    row = found["3", "egemaps, BiGRU, MSE loss"]
    result = json.loads(Path("outputs/train/mse/result.json").read_text())
    devel = result["targets"]["arousal"]["devel"]
    assert float(row["published"]) == 0.3038 and float(row["muse"]) == devel["ccc"]
    ends = [float(row["difference_low"]), float(row["difference_high"])]
    assert ends == [limit - 0.3038 for limit in devel["interval"]]
    low, high = (f"{end:+.4f}" for end in ends)
    text = table("table=hamieh2021", "tables=[3]")
    assert "Hamieh et al., 2021, Table 3 (losses), stress: CCC, devel\n" in text
    assert f"{low} to {high}" in text and "test" not in text
    test = result["targets"]["arousal"]["test"]["ccc"]
    text = table("table=hamieh2021", "tables=[3]", "partitions=[devel,test]")
    assert f"{devel['ccc']:.4f} / {test:.4f}" in text


def test_rows_and_tables_that_are_asked_for(package, table):
    text = table("table=cai2021", "tables=[6]", "tasks=[physio]", "format=csv")
    assert [(r["system"], r["partition"], r["published"]) for r in cells(text)] == [
        ("baseline", "test", "0.4908"), ("proposed", "test", "0.5412")
    ]  # fmt: skip
    rows = cells(table("table=cai2021", "features=[egemaps,a+b]", "tables=[2,4]", "format=csv"))
    systems = ("self-attention", "LSTM", "self-attention + LSTM")
    names = [f"{features}, {system}" for features in ("egemaps", "a+b") for system in systems]
    assert list(dict.fromkeys(row["system"] for row in rows)) == names
    rows = cells(table("table=cai2021", "tables=[5]", "fusions=[[a,b]]", "format=csv"))
    models = ("self-attention + LSTM", "GCNN + LSTM", "self-attention + LSTM, GCNN + LSTM")
    assert [row["system"] for row in rows] == [f"a + b, late fusion of {m}" for m in models]
    for words, message in [
        (["table=cai2021", "tables=[1]"], "tables=1: expected one of 2, 3, 4, 5, 6"),
        (["table=cai2021", "tables=[3]", "tasks=[stress]"], "no table has such rows"),
        (["table=cai2021", "tasks=[sent]"], "tasks=sent: expected one of stress, physio"),
        (["table=cai2021", "members=devel"], "members=devel: the late fusions of cai2021 are of"),
    ]:
        with pytest.raises(MuseError, match=re.escape(message)):
            table(*words)


def test_settings_that_no_row_could_show_are_refused(package, table):
    words = ["table=hamieh2021", "tables=[1]", "train=missing"]
    with pytest.raises(
        MuseError, match=r"layers=2, but the rows of LSTM in table 1 show runs with"
    ):
        table(*words, "settings={model.layers:2}")
    with pytest.raises(MuseError, match="settings: no model has a setting 'layer'"):
        table(*words, "settings={model.layer:4}")
    with pytest.raises(MuseError, match="fusion_settings: loss=mse, but the rows of late fusion"):
        table("table=hamieh2021", "tables=[7]", "train=missing", "fusion_settings={loss:mse}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("cai2021", "[2,4,6]"),
        ("cai2021", "[3,5]"),
        ("hamieh2021", "[1,2,3,4]"),
        ("hamieh2021", "[5,6,7,8,9]"),
    ],
)
def test_every_published_row_is_trained(package, table, name, tables, monkeypatch):
    monkeypatch.setattr(muse.sweep.jobs, "cores", lambda asked: 1)  # no processes to be begun
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)  # pictures take most of the time
    words = [f"table={name}", f"tables={tables}", "format=csv", "train=missing",
             f"settings={SINGLE}", f"fusion_settings={{{TINY}}}"]  # fmt: skip
    words[-2] = words[-2].replace("epochs:1", "epochs:1,difficulty.epochs:1")
    rows = cells(table(*words))
    assert [r for r in rows if not r["muse"]] == [r for r in rows if r["system"] == BASELINE]
    before = {p: p.stat().st_mtime_ns for p in package.glob("outputs/**/result.json")}
    assert cells(table(*words)) == rows
    assert {p: p.stat().st_mtime_ns for p in package.glob("outputs/**/result.json")} == before
