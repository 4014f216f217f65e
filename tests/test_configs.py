"""Every shipped config composes, passes the checks and builds its model; wrong values do not."""

import math
from dataclasses import asdict, dataclass
from itertools import product

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from muse.config.compose import from_data, load_config, sweep_params
from muse.config.fields import Settings, numbers_of, setting
from muse.config.overrides import name_of
from muse.config.shared import JobInfo
from muse.config.shipped import config_folder
from muse.errors import MuseError
from muse.models import build_model
from muse.runs.identity import run_id, settings_key
from muse.training.prepare import id_of, load_inputs
from tests.conftest import stress_package

TASKS = sorted(path.stem for path in (config_folder() / "task").glob("*.yaml"))
MODELS = sorted(path.stem for path in (config_folder() / "model").glob("*.yaml"))
MODELS.remove("albert")  # needs pretrained weights and a transcript, see tests/test_transcripts.py


# tasks differ for a model in their outputs alone: of frames, or of the classes of segments
@pytest.mark.parametrize(
    ("task", "model"),
    [*((task, "lstm") for task in TASKS), *product(["stress", "sent"], MODELS)],
)
def test_every_task_goes_with_every_model(make_config, task, model):
    config = make_config("train", f"task={task}", "features=a", f"model={model}")
    assert config.task.name == task
    assert config.seeds == [101, 102, 103, 104, 105]
    # two feature sets, which one model needs; the heads of published attention divide their width
    sets = {"audio": 2000, "y": 8} if "audio" in config.model else {"x": 3, "y": 5}
    assert build_model(config.model, sets, 5)


@pytest.mark.parametrize("task", TASKS)
def test_synthetic_packages_are_of_the_tasks_that_are_trained(make_config, task):
    known = make_config("train", f"task={task}", "features=a").task
    assert make_config("synth", f"task={task}").task == known


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


@pytest.mark.parametrize(
    ("words", "layers", "hidden", "both", "lr"),
    [  # sections 4.1, 4.2 and 4.4 and Figure 4 of the MuSe 2021 paper
        (["task=wilder", "target=valence", "features=bert"], 4, 128, False, 0.005),
        (["task=wilder", "target=arousal", "features=bert"], 2, 64, False, 0.001),
        (["task=wilder", "features=bert"], 2, 64, False, 0.001),  # two targets, one lr
        (["task=wilder", "target=valence", "features=[bert,fau]"], 2, 64, False, 0.001),
        (["task=sent", "target=valence", "features=bert"], 4, 64, True, 0.001),
        (["task=sent", "target=valence", "features=[egemaps]"], 4, 128, True, 0.001),
        (["task=sent", "target=arousal", "features=bert"], 2, 64, False, 0.01),
        (["task=sent", "target=arousal", "features=bert", "model=gru"], 2, 64, False, 0.01),
        (["task=sent", "target=valence", "features=bert", "model=attention_lstm"],
         4, 64, True, 0.001),
        (["task=stress", "target=arousal", "features=bio"], 4, 64, False, 0.002),
        (["task=physio", "features=bio"], 4, 64, False, 0.01),
        (["task=physio", "features=bio", "lr=0.1", "model.layers=3"], 3, 64, False, 0.1),
        (["task=stress", "features=a", "~task.published"], 1, 64, False, 0.002),  # a lab's own task
        (["task=stress", "features=a", "~task.published.lr"], 4, 64, False, 0.002),
        (["+experiment=muse2021_code/wilder"], 4, 128, False, 0.0001),
        (["+experiment=muse2021_code/sent"], 4, 64, False, 0.0001),
        (["+experiment=muse2021_code/stress"], 4, 64, True, 0.002),
        (["+experiment=muse2021_code/physio"], 2, 32, True, 0.005),
        (["+experiment=muse2021_code/physio", "features=bert", "lr=1"], 2, 32, True, 1),
    ],
)  # fmt: skip
def test_settings_are_as_published_for_target_and_features(
    make_config, words, layers, hidden, both, lr
):
    config = make_config("train", *words)
    got = [config.model[name] for name in ("layers", "hidden", "bidirectional")]
    assert (*got, config.lr) == (layers, hidden, both, lr)
    code = "experiment" in words[0]
    assert config.batch_size == (1024 if code else 256) and len(config.seeds) == (10 if code else 5)


def test_a_run_says_which_of_its_settings_are_as_published(make_config):
    words = ["task=wilder", "target=valence", "features=bert", "model.hidden=7"]
    assert make_config("train", *words).as_published() == {
        "model.layers": 4, "model.bidirectional": False, "lr": 0.005
    }  # fmt: skip
    assert not make_config("train", "task=stress", "features=a", "~task.published").as_published()
    for model in ("gru", "attention_lstm", "plain"):
        assert not make_config(
            "train", "task=stress", "features=a", f"model={model}"
        ).as_published()
    fusion = ["target=valence", "runs=[x,y]"]
    assert make_config("fuse", "task=stress", *fusion, "lr=1").as_published() == {
        "model.layers": 1, "model.hidden": 64, "model.bidirectional": False
    }  # fmt: skip
    assert make_config("fuse", "task=stress", *fusion, "~task.fusion").lr == 0.0001
    config = make_config("fuse", "+experiment=muse2021_code/wilder_fusion", "runs=[x,y]")
    assert (config.lr, config.epochs, config.batch_size, config.model["hidden"]) == (
        0.001, 20, 64, 32
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "words", "features", "standardised", "id_", "key"),
    [  # of runs that were made before settings said themselves whether they change numbers
        ("train", ["task=stress", "features=[a,b]"], ["a", "b"], {"valence": ["a"], "arousal": []},
         "84e02ac626c9503f", "2e22e04e50"),
        ("train", ["task=physio", "features=a", "workers=2", "model=attention_lstm", "device=cpu",
                   "data.readers=3"], ["a"], {"anno12_EDA": []}, "36799e57ee88b29d", "f9afa9f652"),
        ("train", ["task=sent", "features=a", "seeds=[3]"], ["a"], {"valence": [], "arousal": []},
         "4286f97691621f52", "eeba47cd28"),
        ("train", ["task=wilder", "features=a", "target=arousal"], ["a"], {"arousal": []},
         "d3cf2826cb66020d", "9028d8273c"),
        ("fuse", ["task=sent", "target=valence", "runs=[x,y]"], ["x", "y"], {"valence": []},
         "9cf9caf10463f4a9", "13b2c9df5d"),
    ],
)  # fmt: skip
def test_runs_keep_their_ids(make_config, command, words, features, standardised, id_, key):
    config = make_config(command, *words)
    assert run_id(config, features, standardised, "digest", None) == id_
    assert settings_key(config) == key


def test_the_id_of_a_run_on_a_package_is_kept(make_config, tmp_path):
    stress_package(tmp_path)
    words = ["task=stress", "features=[a,b]", "target=valence", "epochs=3", f"data.root={tmp_path}"]
    config = make_config("train", *words)
    assert id_of(config, load_inputs(config)) == "c3e17b1d53132041"


def test_only_settings_that_change_numbers_are_in_the_id_and_name_a_sweep(make_config):
    """Settings of all three kinds, and one that was added after the first runs."""

    @dataclass
    class Inner(Settings):
        cache: str = setting("x", identity=False, default="c")
        root: str = setting("x", identity="indirect", default="r")
        depth: int = setting("x", default=1)

    @dataclass
    class Outer(Settings):
        inner: Inner
        added: str = setting("x", implied="old", default="old")

    assert numbers_of(Outer(Inner())) == {"inner": {"depth": 1}}
    assert numbers_of(Outer(Inner(), "new")) == {"inner": {"depth": 1}, "added": "new"}
    sweep = ["task=stress", "lr=1,2"]
    for word in ("data.readers=3", "data.cache=x", "workers=2", "show_test=true", "job=x", "-m",
                 "hydra.launcher.n_jobs=2", "++device=cpu"):  # fmt: skip
        assert name_of([*sweep, word]) == name_of(sweep), word
    for word in (
        "data.root=x",
        "epochs=2",
        "threads=2",
        "model.hidden=3",
        "select.features=[a]",
        "~model",
    ):
        assert name_of([*sweep, word]) != name_of(sweep), word


def test_settings_of_earlier_runs_are_read_by_their_new_names(tmp_path, make_config):
    config = make_config("train", "task=stress", "features=a")
    data = {name: value for name, value in asdict(config).items() if name != "job"}
    del data["workers"], data["task"]["published"]["by"]  # as it was written
    for jobs, workers in ((-1, -1), (3, 3), (0, -1), (-5, -1)):
        old = from_data("train", data | {"jobs": jobs}, tmp_path, JobInfo("", ""))
        assert old.workers == workers and numbers_of(old) == numbers_of(config)


def test_limits_are_declared_and_checked_once():
    @dataclass
    class Declared(Settings):
        KEY = "part."
        share: float | None = setting("x", low=0, below=1, default=None)
        order: str = setting("x", choices=("one", "two"), default="one")
        sets: object = setting("x", names=True, null=True, choices=("a", "b"), default=None)

    assert Declared(0, "two", "a").sets == ["a"] and Declared().share is None
    for values, message in (
        ({"share": 1.0}, "part.share=1.0: expected 0 or more and less than 1."),
        ({"share": -0.1}, "part.share=-0.1: expected 0 or more and less than 1."),
        ({"share": math.nan}, "part.share=nan: expected 0 or more and less than 1."),
        ({"order": "on"}, "part.order=on: expected one of one, two. Did you mean 'one'?"),
        ({"sets": ["a", "a"]}, "part.sets=['a', 'a']: a is named twice; name each once."),
        ({"sets": ["a", "c"]}, "part.sets=c: expected one of a, b."),
    ):
        with pytest.raises(MuseError) as caught:
            Declared(**values)
        assert str(caught.value).startswith(message)


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
        ("missing=none", "missing=none: expected one of zero, error, drop"),
        ("ccc=n", "ccc=n: expected one of sample, biased"),
        ("hop=301", "hop=301 is longer than window=300"),
        ("loss_over=all", "loss_over=all: expected one of window, batch"),
        ("clip=0", "clip=0.0: expected more than 0"),
        ("noise=-1", "noise=-1.0: expected 0 or more"),
        ("window=0", "window=0: expected 1 or more"),
        ("lr=0", "lr=0.0: expected more than 0 and at most 10"),
        ("lr_factor=1", "lr_factor=1.0: expected more than 0 and less than 1"),
        ("lr=1e10", "lr=10000000000.0: expected more than 0 and at most 10"),
        ("workers=0", "workers=0: expected 1 or more, or -1 for one per core"),
        ("workers=-5", "workers=-5: expected 1 or more, or -1 for one per core"),
        ("task.outside_segments=kep", "task.outside_segments=kep: expected one of keep, drop. Did"),
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


@pytest.mark.parametrize(("task", "loss"), [("stress", "mse"), ("sent", "cross_entropy")])
def test_only_a_ccc_is_taken_over_the_batch(make_config, task, loss):
    with pytest.raises(MuseError, match=f"loss_over=batch with loss={loss}: only a CCC differs"):
        make_config("train", f"task={task}", "features=a", f"loss={loss}", "loss_over=batch")


def test_the_settings_of_2020_change_the_id_only_where_they_are_given(make_config):
    words = ["task=stress", "features=a"]
    plain = numbers_of(make_config("train", *words))
    assert not plain.keys() & {"loss_over", "clip", "noise"}
    for word, value in (("loss_over=batch", "batch"), ("clip=1", 1.0), ("noise=0.1", 0.1)):
        name = word.split("=")[0]
        assert numbers_of(make_config("train", *words, word)) == plain | {name: value}


@pytest.mark.parametrize("task", ["stress", "sent"])
def test_experiments_of_2020_have_the_settings_of_its_code(make_config, task):
    words = [f"task={task}", "features=[a,b,c]"]
    config = make_config("train", "+experiment=muse2020/lstm_attention", *words)
    classes = task == "sent"
    got = config.batch_size, config.patience, config.loss_over, config.model["pool"]
    assert got == ((20, 5, "window", True) if classes else (50, 10, "batch", False))
    assert (config.lr, config.clip, config.noise, config.epochs) == (0.0001, 1.0, 0.1, 15)
    config = make_config("train", "+experiment=muse2020/multimodal_transformer", *words)
    got = config.lr, config.clip, config.batch_size, config.epochs, config.loss_over
    assert got == (0.001, 0.8, 16, 20, "window")
    model = build_model(config.model, {"a": 4, "b": 2, "c": 3}, 5)
    assert len(model.memory) == 3 and config.model["layers"] == config.model["heads"] == 5
    config = make_config("train", "+experiment=muse2020/end2you", *words[:1])
    assert config.features == ["audio", "vggface", "fasttext"]
    got = config.lr, config.batch_size, config.epochs, config.model["tanh"]
    assert got == (0.00008, 10, 50, not classes)
    more = "batch_size=7", "lr=1"  # a word on the command line wins
    config = make_config("train", "+experiment=muse2020/lstm_attention", *words, *more)
    assert (config.batch_size, config.lr) == (7, 1)


@pytest.mark.parametrize(
    ("task", "sets", "rates", "more"),
    [
        ("wilder", 7, ["0.0001", "0.001", "0.005"], 1),
        ("sent", 7, ["0.001", "0.005", "0.01"], 1),
        ("stress", 7, ["0.0001", "0.0002", "0.0005", "0.001", "0.002"], 1),
        ("physio", 7, ["0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.01"], 2),
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


def test_settings_are_composed_within_a_command_as_well():
    """A table that trains what is missing does so, within the Hydra of its own command."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        assert load_config("train", ["task=stress", "features=a"]).task.name == "stress"
        assert sweep_params("train", ["+experiment=muse2021/stress"])["model.layers"] == "1,2,4"
        with pytest.raises(MuseError):
            load_config("train", ["task=stress", "features=a", "lr=0"])
        assert hydra.compose("train", ["task=sent"]).task.name == "sent"
    assert not GlobalHydra.instance().is_initialized()


def test_settings_for_a_notebook_need_no_folder():
    """The folders that commands invent are there without the command line, each its own."""
    words = {"gold": ["raters=x", "unit=s"], "classes": ["task=stress"], "check": ["task=stress"]}
    for command, overrides in words.items():
        first, second = (load_config(command, overrides).out for _ in range(2))
        assert first.startswith(f"outputs/{command}/") and first != second and "$" not in first
    assert load_config("train", ["task=stress", "features=a", "workers=1"]).task.name == "stress"
