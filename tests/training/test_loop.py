"""Seeds, early stop, best weights: on a task that takes milliseconds."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from muse.data.windows import Frames
from muse.errors import MuseError
from muse.scoring import ccc
from muse.training.loop import train_seed
from muse.training.model import new_model, predict


def frames(seed: int, recordings: int = 6, length: int = 40) -> Frames:
    """Recordings whose label is a running mean of the first of three features."""
    rng = np.random.default_rng(seed)
    features = np.zeros((recordings * length + 1, 3), np.float32)
    features[:-1] = rng.normal(size=(recordings * length, 3))
    labels = np.zeros((recordings * length + 1, 1), np.float32)
    labels[:-1, 0] = np.convolve(features[:-1, 0], np.ones(5) / 2, mode="same")
    starts = np.arange(recordings) * length
    samples = np.stack([starts, np.full(recordings, length)], axis=1)
    bounds = [(str(k), int(s), int(s) + length) for k, s in enumerate(starts)]
    return Frames(
        torch.from_numpy(features), torch.from_numpy(labels), samples, bounds, {"x": 3}, ["arousal"]
    )


@pytest.fixture
def config(make_config):
    return make_config(
        "train",
        "task=stress",
        "features=x",
        "window=20",
        "hop=7",
        "batch_size=8",
        "epochs=4",
        "lr=0.01",
        "model.hidden=8",
        "model.layers=2",
        "model.dropout=0.3",
    )


def run(config, seed: int, on_epoch=lambda record: None):
    """Train a seed on the tiny task and return its result."""
    devel = frames(2)
    gold = devel.labels[:-1, 0].numpy()
    return train_seed(config, frames(1), devel, lambda p: ccc(p[:, 0], gold), seed, on_epoch)


def numbers(result) -> list:
    """Everything a seed leaves, for exact comparison."""
    return [result.devel, result.best_epoch, *(v.tolist() for v in result.weights.values())]


@pytest.mark.slow
def test_a_seed_gives_the_same_numbers_alone_beside_others_and_in_a_process(config):
    alone = numbers(run(config, 102))
    torch.manual_seed(12345)  # what others do with PyTorch's generator is no matter
    beside = [numbers(run(config, seed)) for seed in (101, 102, 103)]
    torch.rand(17)
    assert beside[1] == alone
    assert beside[0] != alone and beside[2] != alone
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(_in_a_process, config).result() == alone


def _in_a_process(config) -> list:
    torch.set_num_threads(1)
    return numbers(run(config, 102))


def test_training_leaves_the_global_generator_alone(config):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(config, 101)
    assert torch.equal(torch.rand(3), expected)


def test_weights_are_those_of_the_epoch_that_is_best_on_devel(config):
    records = []
    result = run(replace(config, epochs=12), 101, records.append)
    devel = [record["devel"] for record in records]
    assert result.devel == max(devel) and result.best_epoch == 1 + int(np.argmax(devel))
    model = new_model(config, frames(2))
    model.load_state_dict(result.weights)
    again = ccc(predict(model, frames(2))[:, 0], frames(2).labels[:-1, 0].numpy())
    assert again == result.devel
    assert [record["epoch"] for record in records] == list(range(1, 13))
    assert all(record["best"] == max(devel[: k + 1]) for k, record in enumerate(records))


def test_the_last_weights_are_those_of_a_training_that_ends_in_its_best_epoch(config):
    scores = iter([0.1, 0.3, 0.2, 0.25])
    data = frames(1)
    result = train_seed(config, data, data, lambda _: next(scores), 101, lambda record: None)
    assert (result.best_epoch, result.epochs) == (2, 4)
    rising = iter([0.1, 0.2, 0.3, 0.4])
    whole = train_seed(config, data, data, lambda _: next(rising), 101, lambda record: None)
    for name, value in whole.weights.items():
        assert torch.equal(result.last[name], value) and torch.equal(whole.last[name], value)
        assert not torch.equal(result.weights[name], value)


@pytest.mark.parametrize("loss", ["ccc", "mse", "l1"])
def test_groups_of_similar_length_train_like_one_padded_batch(config, monkeypatch, loss):
    data = frames(1)
    data.samples[:, 1] = [40, 31, 12, 3, 22, 7]
    data = replace(data, features=data.features.double(), labels=data.labels.double())
    monkeypatch.setattr("muse.training.loop.new_model", lambda *_: new_model(*_).double())
    config.model["dropout"] = 0.0
    config = replace(config, loss=loss, window=40, hop=40, batch_size=5)

    def weights() -> list[np.ndarray]:
        result = train_seed(config, data, data, lambda _: 0.0, 101, lambda record: None)
        return [value.numpy() for value in result.weights.values()]

    grouped = weights()
    monkeypatch.setattr("muse.training.loop.group_by_length", lambda windows, *_: [windows])
    for mine, whole in zip(grouped, weights(), strict=True):
        np.testing.assert_allclose(mine, whole, rtol=1e-9, atol=1e-12)


def test_it_learns(config):
    assert run(replace(config, epochs=30), 101).devel > 0.6


def scripted(config, scores: list[float]) -> tuple[list[dict], object]:
    """Train with devel scores that are given, not computed."""
    left, records = iter(scores), []
    data = frames(1)
    result = train_seed(config, data, data, lambda _: next(left), 101, records.append)
    return records, result


def test_without_patience_all_epochs_are_trained_and_the_best_is_kept(config):
    scores = [0.3, *[0.1] * 29]
    records, result = scripted(replace(config, epochs=30, patience=None), scores)
    assert (len(records), result.epochs, result.best_epoch) == (30, 30, 1)
    assert len(scripted(replace(config, epochs=30), scores)[0]) == 16


def test_the_learning_rate_may_wait_for_the_training_loss(config, monkeypatch):
    """Halved after more than lr_patience epochs without a lower loss, whatever devel does."""
    losses = iter([0.9, 0.8, 0.85, 0.8, 0.8, 0.7, 0.75, 0.75, 0.75, 0.6])
    monkeypatch.setattr(
        "muse.training.loop.train_epoch",
        lambda *_: torch.tensor([1.0, -1.0]) * 0.1 + next(losses),  # the mean of two steps
    )
    settings = {"epochs": 10, "patience": None, "lr_patience": 2, "lr_on": "loss"}
    scores = [k / 10 for k in range(10)]
    records, _ = scripted(replace(config, **settings), scores)
    rates = [record["lr"] for record in records]
    assert rates == pytest.approx([0.01] * 5 + [0.005] * 4 + [0.0025])


def test_early_stop_after_patience_epochs_without_a_better_score(config):
    scores = [0.1, 0.3, 0.2, 0.3, 0.25, 0.9]
    records, result = scripted(replace(config, epochs=6, patience=3), scores)
    assert (result.epochs, result.best_epoch, result.devel) == (5, 2, 0.3)
    assert len(records) == 5


def test_the_learning_rate_is_halved_on_a_plateau_down_to_the_floor(config):
    scores = [0.5] + [0.4] * 9
    settings = {"epochs": 10, "patience": 20, "lr_patience": 2, "lr_floor": 0.004}
    records, _ = scripted(replace(config, **settings), scores)
    assert [r["lr"] for r in records] == [0.01] * 4 + [0.005] * 3 + [0.004] * 3


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(config):
    data = frames(1)
    data.labels[100, 0] = torch.nan
    with pytest.raises(
        MuseError, match=r"seed 101, epoch 1, step \d: the loss is nan.*lr=0.01 now"
    ):
        train_seed(config, data, data, lambda _: 0.0, 101, lambda record: None)


def test_a_prediction_that_is_not_finite_stops(config):
    devel = frames(2)
    devel.features[7, 0] = torch.nan
    with pytest.raises(MuseError, match=r"epoch 1, after the last step: a devel prediction is nan"):
        train_seed(config, frames(1), devel, lambda _: 0.0, 101, lambda record: None)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_predictions_do_not_depend_on_how_recordings_are_batched(
    config, monkeypatch, bidirectional
):
    config.model["bidirectional"] = bidirectional
    data = frames(3)
    data.samples[:, 1] = [40, 31, 12, 1, 40, 22]
    model = new_model(config, data).double()
    data = replace(data, features=data.features.double())
    together = predict(model, data)
    monkeypatch.setattr("muse.training.model.CELLS_AT_ONCE", 1)
    alone = predict(model, data)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-14)
    assert not together[31 + 40 : 80].any()  # frames that are in no sample


def test_bf16_learns_the_same_within_its_rounding(config):
    half = replace(config, precision="bf16")
    exact, rounded = [], []
    train, devel = frames(1), frames(2)
    weights = []
    for settings, losses in ((config, exact), (half, rounded)):

        def note(record, losses=losses):
            losses.append(record["loss"])

        result = train_seed(settings, train, devel, lambda _: 0.0, 101, note)
        weights.append(result.weights)
    assert exact != rounded
    assert np.allclose(exact, rounded, atol=0.02)
    assert all(value.dtype == torch.float32 for value in weights[1].values())
