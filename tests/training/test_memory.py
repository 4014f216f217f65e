"""Parts of a batch bound what a step keeps and leave the gradient as it is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from muse.data.windows import Frames
from muse.models.attention import Attention
from muse.models.cai_attention import CaiAttention, CaiAttentionRecurrent
from muse.models.gated_cnn import GatedCNN, GatedCNNRecurrent
from muse.models.plain import PlainRecurrent
from muse.models.recurrent import Recurrent
from muse.training import memory
from muse.training.loop import train_epoch
from muse.training.memory import COPIES_OF_WEIGHTS, expected_memory, frame_bytes, step_parts
from tests.conftest import kept_for_backward

FEATURES, LENGTHS = 5, np.array([40, 31, 12, 38, 22, 7, 40, 40])
CLASSES = 3
PLAIN = {"precision": "float32", "loss_over": "window", "clip": None, "noise": 0.0}
PLAIN |= {"class_weights": None, "warmup": None}


def data(loss: str) -> Frames:
    rng = np.random.default_rng(0)
    total = int(LENGTHS.sum())
    gold = rng.integers(0, CLASSES, (total + 1, 1)) if loss == "cross_entropy" else None
    labels = rng.normal(size=(total + 1, 1)) if gold is None else gold.astype(float)
    features = torch.from_numpy(rng.normal(size=(total + 1, FEATURES)))
    samples = np.stack([LENGTHS.cumsum() - LENGTHS, LENGTHS], axis=1)
    return Frames(
        features, torch.from_numpy(labels), samples, [], {"x": features.shape[1]}, ["arousal"]
    )


def step(model: nn.Module, frames: Frames, loss: str) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradient of one step with all windows; the weights stay as they are."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    head = "classes" if loss == "cross_entropy" else "regression"
    task = SimpleNamespace(head=head, metric=None, classes_of=lambda _: CLASSES)
    config = SimpleNamespace(loss=loss, batch_size=len(LENGTHS), task=task, **PLAIN)
    losses = train_epoch(model, optimiser, frames, frames.samples, config)
    return losses.item(), [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("loss", ["ccc", "mse", "l1", "cross_entropy"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_parts_have_the_gradient_of_the_whole_batch(monkeypatch, cell, bidirectional, loss):
    torch.manual_seed(1)
    outputs = CLASSES if loss == "cross_entropy" else 1
    settings = {"cell": cell, "hidden": 6, "layers": 2, "bidirectional": bidirectional}
    model, frames = Recurrent(FEATURES, outputs, **settings).double(), data(loss)
    monkeypatch.setattr("muse.training.loop.group_by_length", lambda windows: [windows])
    value, whole = step(model, frames, loss)
    sizes = []
    handle = model.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    for count, expected in ((3, [3, 3, 2]), (8, [1] * 8)):
        each = frame_bytes(model, FEATURES)
        monkeypatch.setattr(memory, "STEP_BYTES", -(-8 * 40 * each // count))
        sizes.clear()
        again, parts = step(model, frames, loss)
        assert sizes == expected
        assert again == pytest.approx(value, rel=1e-6)  # reported in float32
        for mine, theirs in zip(parts, whole, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-13)
    handle.remove()


def test_a_batch_is_split_evenly_and_only_where_it_must_be(monkeypatch):
    windows = np.array([[0, 30], [30, 20], [60, 30], [90, 10], [120, 30]])

    def parts(limit: int) -> list[list[int]]:
        monkeypatch.setattr(memory, "STEP_BYTES", limit)
        return [part[:, 0].tolist() for part in step_parts(windows, 100)]

    assert parts(5 * 30 * 100) == [[0, 30, 60, 90, 120]]
    assert parts(5 * 30 * 100 - 1) == [[0, 30, 60], [90, 120]]
    assert parts(2 * 30 * 100) == [[0, 30], [60, 90], [120]]
    assert parts(1) == [[0], [30], [60], [90], [120]]


@pytest.mark.parametrize(
    ("settings", "features", "parts"),
    [
        ({"layers": 2}, 14, 1),
        ({"layers": 2}, 88, 1),
        ({"layers": 2, "cell": "gru"}, 88, 1),
        ({"layers": 4, "bidirectional": True}, 88, 4),
        ({"layers": 4, "hidden": 128, "bidirectional": True}, 88, 7),
        ({"layers": 4, "hidden": 128, "bidirectional": True, "cell": "gru"}, 88, 5),
    ],
)
def test_small_published_models_take_a_batch_as_a_whole(settings, features, parts):
    """256 windows of 300 frames."""
    each = frame_bytes(Recurrent(features, 1, **settings), features)
    windows = np.stack([np.arange(256) * 300, np.full(256, 300)], axis=1)
    assert len(step_parts(windows, each)) == parts


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (Recurrent, {"cell": "gru", "hidden": 32, "layers": 2, "bidirectional": True}),
        (Recurrent, {"cell": "gru", "hidden": 64, "layers": 1}),
        (Attention, {"dim": 32, "layers": 3, "heads": 2}),
        (Attention, {"dim": None, "layers": 1, "feedforward": 0}),
        (PlainRecurrent, {"cell": "gru", "hidden": 32, "layers": 2, "bidirectional": True}),
        (CaiAttention, {"attention_layers": 2}),
        (CaiAttentionRecurrent, {"cell": "gru", "hidden": 32}),
        (GatedCNN, {"channels": 32, "blocks": 2, "width": 5}),
        (GatedCNNRecurrent, {"channels": 32, "cell": "gru", "hidden": 32}),
    ],
)
def test_what_a_frame_keeps_is_less_than_estimated(cls, settings):
    model = cls(20, 1, **settings)
    frames = 4 * 60
    batch, lengths = torch.randn(60, 4, 20).transpose(0, 1), torch.tensor([60, 40, 60, 12])
    kept, _ = kept_for_backward(model, batch, lengths)
    estimated = frame_bytes(model, 20) * frames
    assert estimated / 3 < kept < estimated


def test_parts_bound_what_is_kept_for_the_backward_pass(monkeypatch):
    model = Recurrent(FEATURES, 1, cell="gru", hidden=32, layers=2, bidirectional=True).double()
    frames, kept = data("ccc"), []
    whole = model.forward

    def forward(features, lengths):
        kept.append(kept_for_backward(whole, features, lengths))
        return kept[-1][1]

    monkeypatch.setattr(model, "forward", forward)
    step(model, frames, "ccc")
    most = max(size for size, _ in kept)
    kept.clear()
    monkeypatch.setattr(memory, "STEP_BYTES", 40 * frame_bytes(model, FEATURES))
    step(model, frames, "ccc")
    assert len(kept) == 8
    assert max(size for size, _ in kept) < most / 3


def test_expected_memory_is_that_of_the_process_weights_step_and_copied_data():
    model, frames = nn.Linear(FEATURES, 2), data("mse")
    partitions = {"train": frames, "devel": frames}
    each = 8 * FEATURES + 6 * (FEATURES + 2)
    weights = 4 * (2 * FEATURES + 2) * COPIES_OF_WEIGHTS
    copied = 2 * 8 * (FEATURES + 1) * (int(LENGTHS.sum()) + 1)

    def expected(window: int, batch: int, data: bool = False) -> int:
        return expected_memory(model, partitions, window, batch, data) - memory.PROCESS_BYTES

    assert expected(100, 8) == weights + 8 * 40 * each  # no window is longer than 40
    assert expected(10, 1) == weights + int(LENGTHS.sum()) * each // 2  # predicting takes more
    assert expected(100, 8, True) - expected(100, 8) == copied
    assert expected(100, 10**9) == weights + memory.STEP_BYTES
