"""Every shipped config composes, passes the checks and builds its model; wrong values do not."""

import math

import pytest
import yaml

from muse.config.shipped import config_folder
from muse.errors import MuseError
from muse.models import build_model

TASKS = sorted(path.stem for path in (config_folder() / "task").glob("*.yaml"))
MODELS = sorted(path.stem for path in (config_folder() / "model").glob("*.yaml"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_goes_with_every_model(make_config, task, model):
    config = make_config("train", f"task={task}", "features=a", f"model={model}")
    assert config.task.name == task
    assert config.seeds == [101, 102, 103, 104, 105]
    assert build_model(config.model, {"x": 3}, 5)
    assert make_config("synth", f"task={task}").task == config.task


@pytest.mark.parametrize(
    ("task", "window", "hop", "layers", "hidden", "both", "lr"),
    [
        ("wilder", 200, 100, 2, 64, False, 0.001),
        ("sent", 200, 100, 2, 128, True, 0.001),
        ("stress", 300, 50, 4, 64, False, 0.002),
        ("physio", 300, 50, 1, 64, False, 0.002),
    ],
)
def test_defaults_are_the_published_settings(
    make_config, task, window, hop, layers, hidden, both, lr
):
    config = make_config("train", f"task={task}", "features=a")
    model = config.model
    assert (config.window, config.hop, config.lr, config.batch_size) == (window, hop, lr, 256)
    assert (model["layers"], model["hidden"], model["bidirectional"]) == (layers, hidden, both)


def test_sizes_are_those_of_table_1(make_config):
    """Hours, minutes and seconds of Table 1 and the sums of Table 2 of the MuSe 2021 paper."""
    published = {
        "wilder": [(22, 16, 43), (6, 48, 58), (6, 2, 20)],
        "sent": [(22, 35, 55), (6, 49, 46), (6, 14, 8)],
        "stress": [(3, 25, 56), (1, 10, 50), (1, 10, 41)],
        "physio": [(3, 25, 56), (1, 10, 50), (1, 10, 41)],
    }
    for task, times in published.items():
        size = make_config("synth", f"task={task}").task.size
        assert list(size.seconds.values()) == [3600 * h + 60 * m + s for h, m, s in times]
        counts = [166, 62, 64] if task in ("wilder", "sent") else [41, 14, 14]
        assert list(size.recordings.values()) == counts
    segments = make_config("synth", "task=sent").task.size.segments
    assert (segments["train"], segments["devel"]) == (4042, 1273)


def test_dimensions_are_known_for_every_feature_set_of_a_package(make_config):
    for name in TASKS:
        config = make_config("synth", f"task={name}")
        for feature_set in config.task.size.features:
            assert config.feature_sets[feature_set].dimension[config.task.corpus] > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=0", "seeds=0: expected 1 or more"),
        ("seeds=[1,1]", "a seed is named twice"),
        ("seeds=[]", "expected a number of seeds"),
        ("seeds=x", "expected a number of seeds"),
        ("features=[a,a]", "a is named twice"),
        ("features=[]", "expected a name"),
        ("features=null", "features=None: expected a name"),
        ("features=[a,null]", "expected a name"),
        ("features={a:1}", "expected a name"),
        ("window=1", "window=1 with loss=ccc"),
        ("target=joy", "target=joy: expected one of valence, arousal"),
        ("loss=cc", "loss=cc: expected one of ccc, mse, l1, cross_entropy. Did you mean 'ccc'?"),
        ("loss=cross_entropy", "does not go with task=stress"),
        ("missing=drop", "missing=drop: expected one of zero, error"),
        ("ccc=n", "ccc=n: expected one of sample, biased"),
        ("hop=301", "hop=301 is longer than window=300"),
        ("window=0", "window=0: expected 1 or more"),
        ("lr=0", "lr=0.0: the learning rate must be above 0"),
        ("lr_factor=1", "lr_factor=1.0: expected a value between"),
        ("data.readers=0", "data.readers=0: expected 1 or more"),
        ("task.metric=f1", "metric f1 with classes=0"),
        ("~model._target_", "model has no _target_"),
    ],
)
def test_wrong_values_are_refused_before_anything_runs(make_config, override, message):
    with pytest.raises(MuseError) as caught:
        make_config(
            "train", "task=stress", *([] if "features" in override else ["features=a"]), override
        )
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("task", "sets", "rates", "more"),
    [
        ("wilder", 7, ["0.0001", "0.001", "0.005"], 1),
        ("sent", 7, ["0.001", "0.005", "0.01"], 1),
        ("stress", 7, ["0.0001", "0.0002", "0.0005", "0.001", "0.002"], 1),
        ("physio", 7, ["0.0001", "0.0002", "0.0005", "0.001", "0.002"], 2),
    ],
)
def test_experiments_are_the_published_grids(task, sets, rates, more):
    file = config_folder() / "experiment" / "muse2021" / f"{task}.yaml"
    axes = yaml.safe_load(file.read_text())["hydra"]["sweeper"]["params"]
    values = {name: str(value).split(",") for name, value in axes.items()}
    assert values["model.hidden"] == ["32", "64", "128"] and values["lr"] == rates
    assert values["model.layers"] == ["1", "2", "4"] and len(values["features"]) == sets
    assert values["model.bidirectional"] == ["true", "false"]
    assert math.prod(map(len, values.values())) == sets * 3 * 3 * 2 * len(rates) * more


def test_every_config_begins_with_what_it_is():
    for path in config_folder().rglob("*.yaml"):
        text = path.read_text()
        assert text.startswith("# "), path
        assert isinstance(yaml.safe_load(text), dict), path


def test_settings_for_a_notebook_need_no_folder():
    """The folders that commands invent are there without the command line, each its own."""
    from muse.config.compose import load_config

    words = {"gold": ["raters=x", "unit=s"], "classes": ["task=stress"], "check": ["task=stress"]}
    for command, overrides in words.items():
        first, second = (load_config(command, overrides).out for _ in range(2))
        assert first.startswith(f"outputs/{command}/") and first != second and "$" not in first
    assert load_config("train", ["task=stress", "features=a", "jobs=1"]).task.name == "stress"
