"""What training does on a GPU, beside what it does on the CPU; skipped without one."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from muse.commands.train import run as train
from muse.data.windows import Frames, cut_windows
from muse.training import population, population_step
from muse.training.device import prepare
from muse.training.loop import Member, train_epoch, train_seed
from muse.training.memory import members_within
from muse.training.model import new_model
from muse.training.population import train_population
from tests.conftest import stress_package
from tests.training.test_loop import frames
from tests.training.test_population import (
    SETTINGS,
    alone,
    assert_equal,
    assert_same_run,
    config,  # noqa: F401 a fixture
    data,
    double,  # noqa: F401 a fixture
    in_float32,
    member,
    rounding,
    scheduled,
    several,
    together,
)

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
CASES = [("lstm", False), ("lstm", True), ("gru", False), ("gru", True)]


@pytest.fixture
def gpu() -> torch.device:
    return prepare("cuda", 1)


def on(device: torch.device, frames: Frames) -> Frames:
    return replace(frames, features=frames.features.to(device), labels=frames.labels.to(device))


def on_gpu(make: partial, gpu: torch.device) -> Callable[..., Member]:
    """A member whose data are on the GPU."""

    def made(folder, **more) -> Member:
        devel = data(2)
        found = make(folder, train=on(gpu, data(1)), devel=devel, **more)
        return found._replace(devel=found.devel and on(gpu, devel))

    return made


@pytest.fixture
def kernel() -> str:
    """Of the population; tests that compare kernels give each."""
    return "products"


@pytest.fixture
def members(config, double, gpu, kernel) -> list:  # noqa: F811
    """Without dropout, whose masks a GPU draws in its own way."""
    if kernel == "triton":
        pytest.importorskip("triton")
    config.model["dropout"] = 0.0
    settings = {"weight_decay": 0.01, "clip": 0.5, "kernel": kernel}
    return [on_gpu(make, gpu) for make in several(config, 4, **settings)]


@pytest.mark.parametrize("kernel", ["products", "triton"])
@pytest.mark.parametrize(("cell", "bidirectional"), CASES)
def test_members_equal_their_training_alone_and_on_the_cpu(
    members, config, gpu, tmp_path, cell, bidirectional  # noqa: F811
):  # fmt: skip
    config.model.update(cell=cell, bidirectional=bidirectional)
    one = alone(members, tmp_path / "alone")
    assert_equal(one, together(members, tmp_path / "together"), 1e-5)
    cpu = several(config, 4, weight_decay=0.01, clip=0.5)
    assert_equal(alone(cpu, tmp_path / "cpu"), one, 1e-5)


@pytest.mark.parametrize("way", [alone, together])
def test_an_interrupted_training_goes_on_with_dropout(
    config, double, gpu, tmp_path, way  # noqa: F811
):  # fmt: skip
    """Alone between the layers of cuDNN as well, whose random numbers are in no checkpoint."""

    def stops(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    members = [on_gpu(make, gpu) for make in several(config)]
    for some in [members] if way is together else [[one] for one in members]:
        with pytest.raises(KeyboardInterrupt):
            way([partial(one, on_epoch=stops) for one in some], tmp_path / "broken")
    whole = way(members, tmp_path / "whole")
    assert_equal(whole, way(members, tmp_path / "broken"))


def test_bf16_leaves_the_layers_of_cudnn_in_float32(config, gpu):  # noqa: F811
    """PyTorch would compute them in float16, in which small gradients are lost."""
    given, seen = on(gpu, frames(1)), []
    model = new_model(config, given)
    model.encoder.register_forward_hook(lambda _, __, output: seen.append(output[0].dtype))
    optimiser = torch.optim.Adam(model.parameters())
    windows = cut_windows(given.samples, config.window, config.hop)
    losses = train_epoch(model, optimiser, given, windows, replace(config, precision="bf16"))
    assert set(seen) == {torch.float32} and losses.isfinite().all()


@pytest.mark.parametrize(("cell", "bidirectional"), CASES)
def test_bf16_is_off_by_its_rounding(config, gpu, tmp_path, cell, bidirectional):  # noqa: F811
    config.model.update(cell=cell, bidirectional=bidirectional, hidden=16, head=16, dropout=0.0)

    def made(config, folder, seed):
        one = member(config, folder, seed, train=in_float32(1), devel=in_float32(2))
        return one._replace(train=on(gpu, one.train), devel=on(gpu, one.devel))

    step = replace(config, loss="mse", epochs=1, batch_size=99)
    members = [partial(made, step, seed=seed) for seed in range(4)]
    assert 1e-3 < rounding(members, together, tmp_path) < 0.03


@pytest.mark.parametrize("make", [several, scheduled])
def test_other_settings_equal_training_alone(config, double, gpu, tmp_path, make):  # noqa: F811
    """One loss over the batch; models that are trained again."""
    config.model["dropout"] = 0.0
    members = [on_gpu(one, gpu) for one in make(replace(config, loss_over="batch"))]
    assert_equal(alone(members, tmp_path / "alone"), together(members, tmp_path / "together"), 1e-5)


def waits(action) -> int:
    """How often the CPU waits for the GPU."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            torch.cuda.set_sync_debug_mode("warn")  # which warns of itself
            action()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in found)


@pytest.mark.parametrize("kernel", ["products", "triton"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_nothing_waits_for_the_gpu_before_the_end_of_an_epoch(
    members, config, gpu, tmp_path, monkeypatch, bidirectional  # noqa: F811
):  # fmt: skip
    config.model.update(bidirectional=bidirectional, dropout=0.3)
    given = on(gpu, data(1))
    model = new_model(config, given).double()
    optimiser = torch.optim.Adam(model.parameters())
    windows = cut_windows(given.samples, config.window, config.hop)
    step = partial(train_epoch, model, optimiser, given, windows, config)
    step()  # the first one makes handles
    seed = not bidirectional  # of cuDNN's dropout between layers, before the first step
    assert waits(step) == 1 + seed
    found = []
    real = population_step.train_steps

    def steps(given):
        losses = []
        found.append(waits(lambda: losses.append(real(given))))
        return losses[0]

    monkeypatch.setattr(population, "train_steps", steps)
    train_population([partial(make, tmp_path) for make in members], 99)
    assert set(found[1:]) == {1}


def test_a_population_is_halved_where_the_gpu_is_full(
    config, double, gpu, tmp_path, monkeypatch, caplog  # noqa: F811
):  # fmt: skip
    """A real error: what the process may take lies between one member's share and that of four."""
    caplog.set_level("INFO")
    monkeypatch.setattr("muse.training.memory.POPULATION_SHARE", 1e9)  # the plan is far too large
    config.model.update(hidden=256, dropout=0.0)
    large = replace(frames(1, 8, 400), targets=["arousal"])
    large = replace(large, features=large.features.double(), labels=large.labels.double())

    def made(folder, seed):
        one = member(replace(config, window=400, hop=400, epochs=2), folder, seed, devel=large)
        return one._replace(train=on(gpu, large), devel=on(gpu, large))

    members = [partial(made, seed=101 + k) for k in range(4)]

    def peak(most: int) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(gpu)
        together(members, tmp_path / str(most), most)
        return torch.cuda.max_memory_reserved(gpu)

    middle = (peak(1) + peak(4)) / 2
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(gpu).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction(middle / total, gpu)
        results = together(members, tmp_path / "halved")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    assert "Out of memory" in caplog.text
    assert_equal(alone(members, tmp_path / "4"), results, 1e-5)


def test_the_plan_of_the_memory(members, gpu, tmp_path):
    of = members[0](tmp_path)
    model = new_model(of.config, of.train).double()
    assert members_within(model, of.train, 1000, [], True) > 1
    assert members_within(model, of.train, 10**12, [], True) == 1


def test_a_run(make_config, gpu, tmp_path):
    stress_package(tmp_path / "data")
    folders = []
    for number in ("off", "4"):
        words = "seeds=3", "target=valence", "device=cuda", f"data.root={tmp_path}/data"
        made = make_config("train", *SETTINGS, *words, f"population={number}", "model.dropout=0")
        train(made)
        folders.append(Path(made.job.folder))
    assert_same_run(*folders)


def test_features_that_do_not_fit_are_streamed(make_config, gpu, tmp_path, monkeypatch):
    """The same numbers, whether they are resident or read window by window."""
    stress_package(tmp_path / "data")
    scores = []
    for share in (0.5, 0.0):
        monkeypatch.setattr("muse.data.windows.RESIDENT", share)
        words = "seeds=1", "target=valence", "device=cuda", f"data.root={tmp_path}/data"
        made = make_config("train", *SETTINGS, *words, "model.dropout=0")
        train(made)
        lines = (Path(made.job.folder) / "metrics.jsonl").read_text().splitlines()
        scores.append([line.partition('"seconds"')[0] for line in lines])
    assert scores[0] == scores[1]


def test_single_training_gives_the_same_numbers_again(members, tmp_path):
    """Deterministic kernels: twice the same to the last bit."""
    one, two = (train_seed(*members[0](tmp_path / name)) for name in "ab")
    for a, b in zip(one.weights.values(), two.weights.values(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
