"""Members of a population: each as its training alone, whatever the others do."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from muse.scoring import ccc
from muse.training.checkpoint import Checkpoint
from muse.training.loop import Member, new_model, train_seed
from muse.training.population import train_population
from tests.training.test_loop import frames


@pytest.fixture
def config(make_config):
    return make_config("train", "task=stress", "features=x", "window=20", "hop=7", "batch_size=8",
                       "epochs=4", "lr=0.01", "model.hidden=5", "model.layers=2",
                       "model.dropout=0.3", "model.head=6")  # fmt: skip


@pytest.fixture
def double(monkeypatch):
    """All models in float64."""
    for module in ("loop", "population"):
        monkeypatch.setattr(f"muse.training.{module}.new_model", lambda *_: new_model(*_).double())


def data(seed: int, dtype=torch.float64, lengths=(40, 31, 12, 3, 22, 7)):
    """Recordings of unequal length."""
    own = frames(seed)
    own.samples[:, 1] = lengths
    return replace(own, features=own.features.to(dtype), labels=own.labels.to(dtype))


def member(config, folder, seed, on_epoch=lambda record: None, train=None, devel=None) -> Member:
    train, devel = train or data(1), devel or data(2)
    gold = devel.labels[:-1, 0].numpy()
    checkpoint = Checkpoint(folder / f"{seed}.safetensors", ("id",), "arousal", f"seed_{seed}")

    def score(output: np.ndarray) -> float:
        return ccc(output[:, 0], gold)

    return Member(config, train, devel, score, seed, on_epoch, checkpoint)


def numbers(result) -> list:
    """What a training leaves."""
    weights = torch.cat(
        [own[name].flatten() for own in (result.weights, result.last) for name in sorted(own)]
    )
    return [result.best_epoch, result.epochs, result.devel, weights]


def both_ways(members, tmp_path, most=99) -> tuple[list, list, list[list], list[list]]:
    """Results and records of members alone, and of the same in a population.

    Args:
        members: functions of a folder and of what is told of epochs.
    """
    alone, together, records, told = [], [], [], []
    for make in members:
        records.append([])
        alone.append(train_seed(*make(tmp_path / "alone", on_epoch=records[-1].append)))
        told.append([])
    made = [partial(make, tmp_path / "together", on_epoch=own.append)
            for make, own in zip(members, told, strict=True)]  # fmt: skip
    train_population(made, most)
    steps = torch.Tensor.backward
    for make in members:
        together.append(_from_checkpoint(make(tmp_path / "together")))
    assert torch.Tensor.backward is steps
    return alone, together, records, told


def _from_checkpoint(of: Member):
    """The result of a training whose checkpoint has ended: nothing is left to train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muse.training.loop.train_epoch", None)
        return train_seed(*of)


def assert_equal(alone, together, tolerance: float) -> None:
    for one, other in zip(map(numbers, alone), map(numbers, together), strict=True):
        assert one[:2] == other[:2]
        assert one[2] == pytest.approx(other[2], abs=tolerance)
        torch.testing.assert_close(one[3], other[3], rtol=0, atol=tolerance)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_member_equals_its_training_alone(config, double, tmp_path, cell, bidirectional):
    """Dropout, noise, decay, clipping, unequal lengths and data; members end at different times."""
    config.model.update(cell=cell, bidirectional=bidirectional)
    settings = [
        {"epochs": 6, "patience": 1},
        {"lr": 0.1, "lr_patience": 0, "epochs": 6, "patience": 3, "weight_decay": 0.1},
        {"epochs": 2, "clip": 0.05, "batch_size": 5},
        {"epochs": 3, "noise": 0.2, "warmup": 0.3, "lr_on": "loss"},
        {"epochs": 4, "model": config.model | {"dropout": 0.0}},
    ]
    fewer = data(3, lengths=(9, 40, 40, 5, 1, 30))
    members = [
        partial(member, replace(config, **own), seed=101 + k, train=fewer if k == 2 else None,
                devel=fewer if k == 3 else None)
        for k, own in enumerate(settings)
    ]  # fmt: skip
    alone, together, records, told = both_ways(members, tmp_path)
    assert_equal(alone, together, 1e-9)
    assert len({result.epochs for result in alone}) > 2
    for own, other in zip(records, told, strict=True):
        assert len(own) == len(other)
        for one, two in zip(own, other, strict=True):
            assert {**one, "seconds": 0} == pytest.approx({**two, "seconds": 0}, abs=1e-9)
