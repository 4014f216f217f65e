"""Members of a population: each as its training alone, whatever the others do."""

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch

from muse.commands.resume import run as resume
from muse.commands.retrain import run as retrain
from muse.commands.train import run as train
from muse.config.compose import load_config
from muse.config.origin import Schedule
from muse.errors import MuseError
from muse.models.recurrent import Recurrent
from muse.models.stacked import dropout_of, forward_rows, to_row
from muse.runs.tensors import read_tensors
from muse.scoring import ccc
from muse.training import population, population_step
from muse.training.checkpoint import Checkpoint
from muse.training.loop import Member, train_seed
from muse.training.memory import stacked_bytes
from muse.training.model import new_model
from muse.training.population import members_at_once, train_population
from muse.training.retrain import settings_to_retrain
from tests.conftest import kept_for_backward, sent_package, stress_package
from tests.training.test_loop import frames


@cache
def settings():
    words = ["task=stress", "features=x", "window=8", "hop=3", "batch_size=4", "epochs=3",
             "lr=0.01", "model.hidden=4", "model.layers=2", "model.dropout=0.3", "model.head=3",
             "workers=1"]  # fmt: skip
    return load_config("train", words)


@pytest.fixture
def config():
    return deepcopy(settings())


@pytest.fixture
def double(monkeypatch):
    """All models in float64, and a checkpoint after every epoch."""
    for module in ("loop", "population_members"):
        monkeypatch.setattr(f"muse.training.{module}.new_model", lambda *_: new_model(*_).double())
    monkeypatch.setattr(population, "CHECKPOINT_SHARE", float("inf"))


def data(seed: int, lengths=(16, 13, 5, 1)):
    """Recordings of unequal length, in float64."""
    own = frames(seed, len(lengths), 16)
    own.samples[:, 1] = lengths
    return replace(own, features=own.features.double(), labels=own.labels.double())


def in_float32(seed: int):
    own = data(seed)
    return replace(own, features=own.features.float(), labels=own.labels.float())


def member(
    config,
    folder,
    seed=101,
    on_epoch=lambda record: None,
    train=None,
    devel=None,
    schedule=None,
):
    train, devel = train or data(1), devel or data(2)
    gold = devel.labels[:-1, 0].numpy()
    checkpoint = Checkpoint(folder / f"{seed}.safetensors", ("id",), "arousal", f"seed_{seed}")
    if schedule:
        about = seed, on_epoch, checkpoint, None, schedule
        return Member(config, train, None, None, *about)
    return Member(config, train, devel, lambda p: ccc(p[:, 0], gold), seed, on_epoch, checkpoint)


def several(config, count=3, **settings) -> list[partial]:
    """Functions that make members of a folder, with a seed and a number of epochs each."""
    return [
        partial(member, replace(config, epochs=2 + k % 3, **settings), seed=101 + k)
        for k in range(count)
    ]


def scheduled(config, **settings) -> list[partial]:
    """Members that are trained again, each for its own epochs with the learning rates it had."""
    rates = {1: 0.01}, {1: 0.01, 3: 0.002}, {1: 0.02, 2: 0.01, 3: 0.005}
    schedules = [Schedule("arousal", 101 + k, False, 2 + k, lr) for k, lr in enumerate(rates)]
    again = replace(config, epochs=9, patience=1, **settings)
    return [partial(member, again, seed=s.seed, schedule=s) for s in schedules]


def alone(members, folder) -> list:
    return [train_seed(*make(folder)) for make in members]


def together(members, folder, most=99) -> list:
    """The results of a population: nothing is left to train of its checkpoints."""
    train_population([partial(make, folder) for make in members], most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muse.training.loop.train_epoch", None)
        return alone(members, folder)


def assert_equal(one, other, tolerance=1e-9) -> None:
    """The same epochs, scores and weights, the best and the last, of each result."""
    for a, b in zip(one, other, strict=True):
        assert (a.best_epoch, a.epochs) == (b.best_epoch, b.epochs)
        assert a.devel == pytest.approx(b.devel, abs=tolerance)
        for mine, its in ((a.weights, b.weights), (a.last, b.last)):
            torch.testing.assert_close(mine, dict(its), rtol=0, atol=tolerance)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_each_member_equals_its_training_alone(config, double, tmp_path, cell, bidirectional):
    """Dropout, noise, decay, clipping, unequal lengths and data; members end at different times."""
    config.model.update(cell=cell, bidirectional=bidirectional)
    fewer = data(3, lengths=(9, 16, 3))
    cases = [
        ({"patience": 1}, {}),
        ({"lr": 0.1, "lr_patience": 0, "patience": 2, "weight_decay": 0.1}, {}),
        ({"epochs": 1, "clip": 0.05, "batch_size": 3}, {"train": fewer}),
        ({"epochs": 2, "noise": 0.2, "warmup": 0.3, "lr_on": "loss"}, {"devel": fewer}),
        ({"epochs": 4, "model": config.model | {"dropout": 0.0}}, {}),
    ]
    records: dict[str, dict] = {"alone": {}, "together": {}}

    def make(folder, k, settings, more):
        told = records[folder.name].setdefault(k, [])
        on_epoch = told.append if len(told) == 0 else lambda record: None
        return member(replace(config, **settings), folder, 101 + k, on_epoch, **more)

    members = [partial(make, k=k, settings=s, more=m) for k, (s, m) in enumerate(cases)]
    one, other = alone(members, tmp_path / "alone"), together(members, tmp_path / "together")
    assert_equal(one, other)
    assert len({result.epochs for result in one}) > 2
    for mine, its in zip(records["alone"].values(), records["together"].values(), strict=True):
        for a, b in zip(mine, its, strict=True):
            assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, abs=1e-9)


def _counted(seen: list[int], model, rows, *more):
    seen.append(len(rows))
    return forward_rows(model, rows, *more)


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_other_losses_and_the_plain_model(config, double, tmp_path, loss):
    """The mean over frames is that of the whole batch, whatever its parts are."""
    config.model.clear()
    config.model.update(_target_="muse.models.plain.PlainRecurrent", hidden=4, dropout=0.2)
    members = several(replace(config, loss=loss), batch_size=7)
    assert_equal(alone(members, tmp_path / "alone"), together(members, tmp_path / "together"))


def classes(seed: int, **more):
    """Recordings with a class of each of two targets in every frame, most of them 0."""
    own = data(seed, **more)
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (len(own.labels), 2), generator=rng)
    labels = (labels * torch.randint(2, labels.shape, generator=rng)).double()
    return replace(own, labels=labels, targets=["valence", "arousal"])


def test_balanced_classes(config, double, tmp_path, make_config):
    """Each member weighs its own windows, for each target."""
    task = make_config("train", "task=sent", "features=x").task
    weighed = replace(config, task=task, loss="cross_entropy", class_weights="balanced")
    some, fewer = {"train": classes(1)}, {"train": classes(3, lengths=(16, 4, 1))}
    members = [*several(weighed), partial(member, replace(weighed, class_weights=None), seed=201)]
    members = [
        partial(make, devel=classes(2), **more)
        for make, more in zip(members, (some, fewer, some, some), strict=True)
    ]
    assert_equal(alone(members, tmp_path / "alone"), together(members, tmp_path / "together"))


def test_one_loss_over_the_batch(config, double, tmp_path, monkeypatch):
    """Also where its parts go through the models again in the backward pass."""
    members = several(replace(config, loss_over="batch"), batch_size=7, noise=0.1, clip=0.5)
    members[1] = partial(members[1], train=data(3, lengths=(9, 16, 3)))
    one = alone(members, tmp_path / "alone")
    kept, again = [], []
    for limit, seen in ((2**30, kept), (2**10, again)):
        monkeypatch.setattr(population_step, "STEP_BYTES", limit)
        monkeypatch.setattr(population_step, "forward_rows", partial(_counted, seen))
        assert_equal(one, together(members, tmp_path / str(limit)))
    assert max(kept) == 3 and max(again) == 1 and sum(again) > sum(kept)


def gradient(members, way, folder, **settings) -> torch.Tensor:
    """Of all members in the first training step: Adam's mean of it is a tenth."""
    way(
        [
            partial(make.func, replace(make.args[0], **settings), **make.keywords)
            for make in members
        ],
        folder,
    )
    found = []
    for file in sorted(folder.iterdir()):
        tensors, _ = read_tensors(file)
        found += [tensors[k] for k in sorted(tensors) if k.endswith("exp_avg")]
    return 10 * torch.cat([value.flatten() for value in found]).double()


def rounding(members, way, folder) -> float:
    """How far the gradient in bf16 is off from that in float32, in parts of its norm."""
    exact = gradient(members, alone, folder / "exact")
    rounded = gradient(members, way, folder / way.__name__, precision="bf16")
    return float((rounded - exact).norm() / exact.norm())


@pytest.mark.parametrize(("cell", "bidirectional"), [("lstm", True), ("gru", False)])
def test_bf16_rounds_as_alone(config, tmp_path, cell, bidirectional):
    """A gradient is off from that in float32 by no more than 8 bits make of it alone.

    Additions in another order round at other places, so the two differ from one another by as
    much. The gradients of 32 models of several kinds (hidden 32, 120 frames) were off by 0.2 to
    1.0 % alone, and by 0.2 to 1.6 % in a population.
    """
    config.model.update(cell=cell, bidirectional=bidirectional, hidden=16, head=16)
    step, given = replace(config, loss="mse", epochs=1, batch_size=99), in_float32(1)
    members = [partial(member, step, seed=seed, train=given, devel=given) for seed in range(4)]
    one, other = (rounding(members, way, tmp_path) for way in (alone, together))
    assert 1e-3 < other < 0.03 and other < 3 * one


def test_members_that_are_trained_again(config, double, tmp_path):
    """Without devel, each for its own epochs with the learning rates that it had."""
    members = scheduled(config)
    one = alone(members, tmp_path / "alone")
    assert_equal(one, together(members, tmp_path / "together", most=2))
    assert [result.epochs for result in one] == [2, 3, 4] and one[0].devel is None


def test_waiting_members_take_the_place_of_those_that_end(config, double, tmp_path, monkeypatch):
    """Those of another shape are trained for themselves."""
    seen = []
    monkeypatch.setattr(population_step, "forward_rows", partial(_counted, seen))
    members = several(config, 4)
    other = replace(config, model=config.model | {"hidden": 5})
    members.insert(1, partial(member, other, seed=201))
    results = together(members, tmp_path / "together", most=2)
    assert_equal(alone(members, tmp_path / "alone"), results)
    assert set(seen) == {1, 2}


@pytest.mark.parametrize(
    ("first", "then", "make", "settings"),
    [
        ("alone", "together", several, {"lr_patience": 0}),
        ("together", "alone", several, {"lr_patience": 0}),
        ("together", "together", several, {"lr_patience": 0}),
        ("together", "alone", several, {"loss_over": "batch"}),
        ("alone", "together", several, {"class_weights": "balanced", "loss": "cross_entropy"}),
        ("alone", "together", scheduled, {"warmup": 0.2}),
        ("together", "alone", scheduled, {}),
    ],
)
def test_an_interrupted_training_goes_on(
    config, double, tmp_path, make_config, first, then, make, settings
):
    """From the checkpoint of a population, alone and together, and the other way round."""
    ways = {"alone": alone, "together": together}
    if "class_weights" in settings:
        settings = settings | {"task": make_config("train", "task=sent", "features=x").task}
    members = make(config, **settings)
    if "class_weights" in settings:
        members = [partial(one, train=classes(1), devel=classes(2)) for one in members]

    def stops(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    for some in [[one] for one in members] if first == "alone" else [members]:
        with pytest.raises(KeyboardInterrupt):
            ways[first]([partial(one, on_epoch=stops) for one in some], tmp_path / "interrupted")
    assert_equal(alone(members, tmp_path / "whole"), ways[then](members, tmp_path / "interrupted"))


def test_out_of_memory_halves_the_population(config, double, tmp_path, monkeypatch, caplog):
    """The members begin again at their checkpoints; no epoch is told twice."""
    caplog.set_level("INFO")
    limit = [5]

    def forward(model, rows, *more):
        if len(rows) > limit[0]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return forward_rows(model, rows, *more)

    monkeypatch.setattr(population_step, "forward_rows", forward)
    told = []

    def on_epoch(record):
        told.append((record["seed"], record["epoch"]))
        limit[0] = 2 if record["epoch"] == 2 else limit[0]  # another program has taken the rest

    members = several(config, 5)
    train_population([partial(m, tmp_path / "together", on_epoch=on_epoch) for m in members], 99)
    results = alone(members, tmp_path / "together")
    assert_equal(alone(members, tmp_path / "alone"), results)
    assert len(set(told)) == len(told) == sum(result.epochs for result in results)
    assert caplog.messages == ["Out of memory: the population goes on with 1 models at once."]
    limit[0] = 0
    train_population([partial(make, tmp_path / "none") for make in members], 99)
    assert not (tmp_path / "none").exists()  # each is left to its training alone


def test_a_member_whose_data_do_not_fit_is_left_out(config, double, tmp_path):
    def full(folder):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    members = several(config, 2)
    train_population([partial(make, tmp_path) for make in (full, *members)], 99)
    assert {path.stem for path in tmp_path.iterdir()} == {"101", "102"}


def test_a_member_that_diverges_stops_no_other(config, double, tmp_path):
    wrong = data(1)
    wrong.labels[3, 0] = torch.nan
    members = several(config)
    members[1] = partial(members[1], train=wrong)
    train_population([partial(make, tmp_path / "together") for make in members], 99)
    rest = members[::2]
    assert_equal(alone(rest, tmp_path / "alone"), alone(rest, tmp_path / "together"))
    with pytest.raises(MuseError, match=r"seed 102, epoch 1, step \d: the loss is nan"):
        alone([members[1]], tmp_path / "together")


def test_fewer_at_once_where_the_memory_is_small(config, double, tmp_path, monkeypatch):
    monkeypatch.setattr("muse.training.memory.free_memory", lambda: 10)
    begun, live = [], []

    def make(folder, k):
        begun.append(k)
        live.append(k - sum(p.exists() for p in folder.glob("*")))  # those before are at their end
        return member(replace(config, epochs=1), folder, 101 + k)

    train_population([partial(make, tmp_path, k) for k in range(3)], 99)
    assert begun == [0, 1, 2] and live == [0, 0, 0]


def test_on_the_cpu_no_more_go_through_together_than_memory_is_good_for(
    config, double, tmp_path, monkeypatch
):
    monkeypatch.setattr(population_step, "STEP_BYTES", 2**12)
    seen = []
    monkeypatch.setattr(population_step, "forward_rows", partial(_counted, seen))
    members = several(config, 5)
    assert_equal(alone(members, tmp_path / "alone"), together(members, tmp_path / "together"))
    assert max(seen) < 5


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_memory_that_a_population_keeps_is_planned(cell, bidirectional):
    """No more is kept for the backward pass than is planned for, and no less than a third."""
    settings = {"cell": cell, "hidden": 32, "layers": 3, "bidirectional": bidirectional}
    model = Recurrent(20, 1, **settings, dropout=0.3)
    rows = torch.stack([to_row(model.state_dict())] * 3).requires_grad_()
    x, lengths = torch.randn(3, 30, 8, 20), torch.full((3, 8), 30)
    drop = dropout_of([0.3] * 3, [(30, 8)] * 3, [torch.Generator()] * 3)
    kept, _ = kept_for_backward(partial(forward_rows, model), rows, x, lengths, drop)
    planned = stacked_bytes(model, 20, True) * 3 * 30 * 8
    assert planned / 3 < kept - 4 * rows.numel() < planned


SETTINGS = ("task=stress", "features=a", "standardise=true", "window=6", "hop=3", "batch_size=4",
            "bootstrap=0", "model.hidden=4", "model.layers=2", "model.dropout=0.3", "lr=0.01",
            "tensorboard=false", "epochs=3")  # fmt: skip
INDICATOR = "difficulty.hidden=3", "difficulty.layers=1", "difficulty.epochs=2"


@pytest.mark.parametrize(
    "words",
    [
        ("seeds=3", "crossfit=2", "target=valence"),
        ("seeds=1", "folds=2", "features=[a,difficulty_b]", "target=valence", *INDICATOR),
        pytest.param(("seeds=2", "folds=2", "joint=true"), marks=pytest.mark.slow),
        pytest.param(("seeds=2", "loss_over=batch", "target=valence"), marks=pytest.mark.slow),
        pytest.param(("seeds=2", "task=sent", "class_weights=balanced"), marks=pytest.mark.slow),
        pytest.param(("seeds=2", "precision=bf16", "target=valence"), marks=pytest.mark.slow),
    ],
)
def test_the_run_folder_is_that_of_single_training(make_config, tmp_path, words):
    """Seeds, out-of-fold models and the folds of a cross-validation; classes, rounding."""
    (sent_package if "task=sent" in words else stress_package)(tmp_path / "data")
    folders = []
    for number in ("off", "4"):
        words = *words, f"data.root={tmp_path}/data", f"population={number}"
        config = make_config("train", *SETTINGS, *words)
        train(config)
        folders.append(Path(config.job.folder))
    assert_same_run(*folders, tolerance=0.05 if "precision=bf16" in words else 1e-4)


def test_a_retrained_run_is_that_of_single_retraining(make_config, tmp_path):
    stress_package(tmp_path / "data")
    words = "seeds=3", "target=arousal", "lr=0.05", f"data.root={tmp_path}/data"
    first = make_config("train", *SETTINGS, *words)
    train(first)
    folders = []
    for number in ("off", "4"):
        config = make_config("retrain", f"retrain={first.job.folder}", f"population={number}")
        retrain(config)
        folders.append(Path(config.job.folder))
    assert_same_run(*folders)
    lines = (folders[1] / "metrics.jsonl").read_text().splitlines()
    assert len({json.loads(line)["epoch"] for line in lines}) > 1
    assert settings_to_retrain(config).kernel == "products"  # as the run
    assert settings_to_retrain(replace(config, kernel="triton")).kernel == "triton"


def assert_same_run(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    """The same files, settings and, within the rounding of float32, numbers."""
    files = [
        {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()} for folder in (one, other)
    ]
    assert files[0] == files[1]
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, other)]
    assert results[0]["run_id"] == results[1]["run_id"]
    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (one, other)
    ]
    for a, b in zip(*lines, strict=True):
        assert list(a) == list(b)
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, abs=tolerance)
    assert_close(*(result["targets"] for result in results), tolerance)


def assert_close(one, other, tolerance: float) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_close(one[key], other[key], tolerance)
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_close(a, b, tolerance)
    else:
        assert one == (pytest.approx(other, abs=tolerance) if isinstance(other, float) else other)


def test_a_run_that_was_interrupted_alone_is_resumed_as_a_population(
    make_config, tmp_path, monkeypatch
):
    stress_package(tmp_path / "data")
    words = *SETTINGS, "seeds=2", "target=valence", f"data.root={tmp_path}/data"
    whole = make_config("train", *words)
    train(whole)
    broken = make_config("train", *words)

    def stops(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muse.training.run.save_job", stops)
        with pytest.raises(KeyboardInterrupt):
            train(replace(broken, epochs=2))
    resume(make_config("resume", f"resume={broken.job.folder}", "population=2", "kernel=products",
                       "epochs=3"))  # fmt: skip
    assert_same_run(Path(whole.job.folder), Path(broken.job.folder))


def test_what_a_population_cannot_have(config):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert members_at_once(config, cpu, 200) == 1  # where it is not faster
    assert members_at_once(config, gpu, 200) == 200
    assert members_at_once(config, gpu, 5) == 1
    other = replace(config, model={"_target_": "muse.models.svm.SVM"})
    assert members_at_once(other, gpu, 200) == 1
    with pytest.raises(MuseError, match=r"population=8 does not go with muse.models.svm.SVM: only"):
        members_at_once(replace(other, population=8), cpu, 200)
    assert members_at_once(replace(other, population="off"), cpu, 200) == 1
    for settings in ({"loss_over": "batch"}, {"precision": "bf16"}):
        assert members_at_once(replace(config, population=8, **settings), cpu, 200) == 8


@pytest.mark.parametrize("value", [1, 0, 2.5, True, "on", [4], None])
def test_values_that_are_refused(config, value):
    with pytest.raises(MuseError, match=r"population=.*: expected auto, off, or how many"):
        replace(config, population=value)


def test_a_number_and_off_without_quotes(config):
    assert replace(config, population=False).population == "off"
    assert replace(config, population=8).population == 8
