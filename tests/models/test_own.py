"""Models that users bring: found from their folder, tried out before they are trained."""

import json
import linecache
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import muse.commands.train
from muse.errors import MuseError
from muse.models import build_model, find_class, source_of
from muse.runs.weights import load_model_file
from tests.conftest import stress_package

SMALL = ["epochs=2", "seeds=1", "batch_size=4", "bootstrap=0", "tensorboard=false", "plots=false"]
LINEAR = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, inputs, outputs, width=4, scales=None):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))

    def forward(self, features, lengths):
        return RESULT
"""
SETS = """
from torch import nn

class Model(nn.Module):
    def __init__(self, input_sets: dict[str, int], outputs: int):
        super().__init__()
        self.widths = list(input_sets.values())
        layers = {name: nn.Linear(width, outputs) for name, width in input_sets.items()}
        self.layers = nn.ModuleDict(layers)

    def forward(self, features, lengths):
        parts = features.split(self.widths, dim=-1)
        return sum(layer(part) for layer, part in zip(self.layers.values(), parts))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module(source) -> the name of a module of this source that Python finds."""

    def make(source: str) -> str:
        folder = tmp_path / "own"
        folder.mkdir(exist_ok=True)
        name = f"own_{abs(hash(source))}"
        (folder / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        return name

    return make


@pytest.fixture
def train(make_config, tmp_path):
    def train(*words: str) -> dict:
        stress_package(tmp_path)
        config = make_config("train", "task=stress", "features=a", "standardise=true", "window=8",
                             "hop=4", *SMALL, *words, f"data.root={tmp_path}")  # fmt: skip
        muse.commands.train.run(config)
        return json.loads((Path(config.job.folder) / "result.json").read_text())

    return train


def test_a_model_of_ones_own_has_the_settings_given_beside_it(train, module):
    name = module(LINEAR.replace("RESULT", "self.layers(features)"))
    words = ["model.width=3", "model.scales.short=2"]  # and none of the LSTM's
    result = train(f"model._target_={name}.Model", *words)
    assert result["model"] == {"_target_": f"{name}.Model", "width": 3, "scales": {"short": 2}}


def test_a_model_may_ask_for_the_feature_sets_and_their_widths(train, module, tmp_path):
    name = module(SETS)
    words = [f"model._target_={name}.Model", "features=[b,a]", "target=valence"]
    part = train(*words)["targets"]["valence"]
    path = tmp_path / "run" / part["weights"]
    used = load_model_file(path, [f"{name}.Model"], torch.device("cpu"))
    shapes = {key: tuple(value.shape) for key, value in used.model.state_dict().items()}
    assert shapes["layers.b.weight"] == (1, 1) and shapes["layers.a.weight"] == (1, 2)
    assert used.model.widths == [1, 2] and used.features == {"b": ["b_0"], "a": ["a_0", "a_1"]}


@pytest.mark.parametrize(
    ("parameters", "given"),
    [
        ("inputs, outputs", {"inputs": 3, "outputs": 2}),
        ("outputs, *, input_sets", {"input_sets": {"b": 1, "a": 2}, "outputs": 2}),
        (
            "inputs, input_sets, outputs",
            {"inputs": 3, "input_sets": {"b": 1, "a": 2}, "outputs": 2},
        ),
        ("outputs, **others", {"inputs": 3, "outputs": 2}),
        (
            "input_sets, input_rows, outputs",
            {"input_sets": {"b": 1, "a": 2}, "input_rows": {"b": 1, "a": 2}, "outputs": 2},
        ),
    ],
)
def test_the_names_of_the_parameters_say_what_a_model_gets(module, parameters, given):
    name = module(f"""
from torch import nn

class Model(nn.Module):
    def __init__(self, {parameters}):
        given = dict(locals())
        super().__init__()
        given |= given.pop("others", {{}})
        self.given = {{k: v for k, v in given.items() if k not in ("self", "__class__")}}
""")
    rows = {"a": 2} if "input_rows" in given else None
    model = build_model({"_target_": f"{name}.Model"}, {"b": 1, "a": 2}, 2, rows)
    assert {key: model.given[key] for key in given} == given == model.given


@pytest.mark.slow
def test_it_works_from_another_folder_on_the_command_line(tmp_path):
    stress_package(tmp_path / "data")
    (tmp_path / "my_package").mkdir()
    source = LINEAR.replace("RESULT", "self.layers(features)")
    (tmp_path / "my_package/models.py").write_text(source)
    (tmp_path / "configs/model").mkdir(parents=True)
    config = {"_target_": "my_package.models.Model", "width": 5}
    (tmp_path / "configs/model/mine.yaml").write_text(yaml.safe_dump(config))
    words = ["train", "stress", "--config-dir", "configs", "model=mine", "features=a", *SMALL]
    muse = Path(sys.executable).with_name("muse")  # the console script, not `python -m`
    done = subprocess.run([muse, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.glob("outputs/train/*/result.json")
    assert json.loads(result.read_text())["model"] == config


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "self.layers(features)[..., 0]",
            r"forward gives \(2, 15\) .* expected a tensor \(2, 15, 1\)",
        ),
        ("self.layers(features).mean(1)", r"forward gives \(2, 1\)"),
        ("self.layers(features).repeat(1, 1, 2)", r"forward gives \(2, 15, 2\)"),
        ("(self.layers(features), lengths)", "forward gives tuple"),
    ],
)
def test_an_output_of_another_shape_is_no_silent_broadcast(train, module, output, message):
    name = module(LINEAR.replace("RESULT", output))
    with pytest.raises(MuseError, match=message):
        train(f"model._target_={name}.Model")


def test_a_model_that_looks_at_the_padding_is_noticed(train, module, caplog):
    source = LINEAR.replace("RESULT", "self.layers(features - features.mean(1, keepdim=True))")
    name = module(source)
    with caplog.at_level(logging.WARNING):
        train(f"model._target_={name}.Model")
    assert "other predictions beside a longer one than alone" in caplog.text


def test_trying_a_model_out_changes_no_number(train, module):
    source = LINEAR.replace("RESULT", "self.layers(features)").replace("Tanh", "RReLU")
    name = module(source)
    one = train(f"model._target_={name}.Model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muse.training.loop._try_out", lambda *_: None)
        other = train(f"model._target_={name}.Model")
    assert one["targets"] == other["targets"]


def test_unknown_settings_of_a_model_get_the_known_ones(train, module):
    name = module(LINEAR.replace("RESULT", "self.layers(features)"))
    with pytest.raises(MuseError, match=r"unexpected keyword argument 'hidden'.*width, scales"):
        train(f"model._target_={name}.Model", "model.hidden=3")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("size, outputs", "argument: 'size'. The settings of Model are: size. Its constructor"),
        (
            "inputs",
            "'outputs'. The settings of Model are: none. Its constructor must have the para",
        ),
        ("input_sets, outputs, size", "argument: 'size'. The settings of Model are: size."),
    ],
)
def test_what_muse_passes_to_a_constructor_is_said_where_it_is_missing(module, parameters, message):
    name = module(
        LINEAR.replace("RESULT", "0").replace("inputs, outputs, width=4, scales=None", parameters)
    )
    with pytest.raises(MuseError) as error:
        build_model({"_target_": f"{name}.Model"}, {"a": 2}, 1)
    assert message in str(error.value)
    assert ("muse passes" in str(error.value)) == (parameters != "input_sets, outputs, size")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Model(:\n", r"own_\d+\.py, line 1: SyntaxError"),
        ("x = 1\ny = 1 / 0\n", r"own_\d+\.py, line 2: ZeroDivisionError: division by zero"),
        ("class Model:\n    pass\n", "expected a class derived from torch.nn.Module"),
        ("Other = 1\n", "cannot be imported .*has no attribute 'Model'"),
    ],
)
def test_what_is_no_model_gets_words(module, source, message):
    name = module(source)
    with pytest.raises(MuseError, match=message):
        find_class(f"{name}.Model")


def test_layers_may_share_their_weights(train, module):
    tied = LINEAR.replace("    def forward", "        self.again = self.layers\n\n    def forward")
    name = module(tied.replace("RESULT", "self.again(features)"))
    assert train(f"model._target_={name}.Model")["targets"]["valence"]["devel"]


def test_other_code_is_another_run(train, module, tmp_path):
    source = LINEAR.replace("RESULT", "self.layers(features)")
    name = module(source)
    one = train(f"model._target_={name}.Model")
    same = train(f"model._target_={name}.Model")
    (tmp_path / "own" / f"{name}.py").write_text(source.replace("Tanh", "ReLU"))
    sys.modules.pop(name)
    linecache.clearcache()
    other = train(f"model._target_={name}.Model")
    assert one["run_id"] == same["run_id"] != other["run_id"]


def test_a_helper_of_an_own_model_is_part_of_its_code(module, tmp_path):
    helper = tmp_path / "own/own_helper_of_model.py"
    helper.parent.mkdir()
    helper.write_text("import json\nSCALE = 1\n")
    name = module("from own_helper_of_model import SCALE\n" + LINEAR.replace("RESULT", "SCALE"))
    before = source_of(f"{name}.Model")
    assert "SCALE = 1" in before and "JSONDecoder" not in before
    helper.write_text("import json\nSCALE = 2\n")
    assert source_of(f"{name}.Model") != before


def test_modules_of_a_package_are_found_by_relative_imports(module, tmp_path):
    package = tmp_path / "own/own_package_of_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("from . import deep\n")
    (package / "deep.py").write_text("DEEP = 1\n")
    (package / "net.py").write_text("from .parts import deep" + LINEAR.replace("RESULT", "deep"))
    module("")  # the folder is one in which modules are found
    assert "DEEP = 1" in source_of("own_package_of_model.net.Model")
    assert source_of("muse.models.recurrent.Recurrent") is None
