"""Gradients of a batch in parts: one CCC over all its frames, the clipped norm, the noise."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from muse.data.windows import Frames, collate
from muse.errors import MuseError
from muse.models.recurrent import Recurrent
from muse.training import memory
from muse.training.gradient import with_noise
from muse.training.loop import train_epoch, train_seed
from muse.training.memory import frame_bytes
from muse.training.model import predict
from tests.training.test_loop import config, frames, numbers, run  # noqa: F401
from tests.training.test_memory import FEATURES, LENGTHS, PLAIN, data

TASK = SimpleNamespace(head="regression", metric="ccc")
BATCH = PLAIN | {"task": TASK, "loss": "ccc", "loss_over": "batch", "batch_size": len(LENGTHS)}


def two_targets() -> Frames:
    whole = data("ccc")
    labels = torch.cat([whole.labels, whole.labels.roll(3, 0) * 2 + 1], 1)
    return replace(whole, labels=labels, targets=["arousal", "valence"])


def step(model, given: Frames, settings: dict) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradient of one step with all windows; the weights stay as they are."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    losses = train_epoch(model, optimiser, given, given.samples, SimpleNamespace(**settings))
    return losses.item(), [weight.grad.clone() for weight in model.parameters()]


def ccc_by_hand(p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    covariance = ((p - p.mean()) * (g - g.mean())).mean()
    spread = p.var(correction=0) + g.var(correction=0) + (p.mean() - g.mean()) ** 2
    return 2 * covariance / spread


def limit_parts(monkeypatch, model, count: int) -> None:
    """Let the windows go through the model in ``count`` parts or more, if they are one group."""
    each = frame_bytes(model, FEATURES)
    monkeypatch.setattr(memory, "STEP_BYTES", -(-len(LENGTHS) * 40 * each // count))


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "computed again"])
@pytest.mark.parametrize("parts", [1, 3, 8])
def test_one_ccc_over_the_batch_has_the_gradient_of_all_windows_alone(monkeypatch, parts, keep):
    """Windows of unequal length, one after another, against the formula over all their frames."""
    torch.manual_seed(1)
    model = Recurrent(FEATURES, 2, hidden=6, bidirectional=True).double()
    given = two_targets()
    outputs = [
        model(given.features[None, a : a + n], torch.tensor([n]))[0]
        for a, n in given.samples.tolist()
    ]
    output, gold = torch.cat(outputs), given.labels[:-1]
    expected = (
        1 - (ccc_by_hand(output[:, 0], gold[:, 0]) + ccc_by_hand(output[:, 1], gold[:, 1])) / 2
    )
    theirs = torch.autograd.grad(expected, model.parameters())
    if parts > 1:
        limit_parts(monkeypatch, model, parts)
        monkeypatch.setattr("muse.training.loop.within_step", lambda *_: keep)
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, batch: sizes.append(len(batch[0])))
    value, mine = step(model, given, BATCH)
    handle.remove()
    again = 2 if parts > 1 and not keep else 1  # through the model
    assert sum(sizes) == again * len(LENGTHS) and len(sizes) >= again * parts
    assert value == pytest.approx(expected.item(), rel=1e-12)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13)


def test_parts_that_go_through_the_model_again_have_the_same_dropout_and_noise(monkeypatch):
    given, results = data("ccc"), []
    for keep in (True, False):
        torch.manual_seed(2)
        model = Recurrent(FEATURES, 1, hidden=6, layers=2, dropout=0.5).double()
        limit_parts(monkeypatch, model, 3)
        monkeypatch.setattr("muse.training.loop.within_step", lambda *_, keep=keep: keep)
        results.append((*step(model, given, BATCH | {"noise": 0.3}), torch.rand(2)))
    (kept, gradients, numbers_), (again, others, after) = results
    assert kept == again and torch.equal(numbers_, after)
    for a, b in zip(gradients, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_parts_are_kept_only_if_they_fit_together(monkeypatch):
    parts = [np.array([[0, 30], [30, 20]]), np.array([[60, 10]])]  # 60 and 10 frames with padding
    for limit, fits in ((7000, True), (6999, False)):
        monkeypatch.setattr(memory, "STEP_BYTES", limit)
        assert memory.within_step(parts, 100) is fits


def test_over_windows_and_over_the_batch_are_different_losses():
    torch.manual_seed(3)
    model, given = Recurrent(FEATURES, 1, hidden=6).double(), data("ccc")
    (one, _), (other, _) = (
        step(model, given, BATCH | {"loss_over": over}) for over in ("window", "batch")
    )
    assert abs(one - other) > 1e-4
    alone = replace(given, samples=given.samples[:1])  # a batch of one window: the same
    (one, first), (other, second) = (
        step(model, alone, BATCH | {"loss_over": over}) for over in ("window", "batch")
    )
    assert one == pytest.approx(other, rel=1e-12)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("over", ["window", "batch"])
def test_the_norm_of_the_whole_gradient_is_clipped(over):
    torch.manual_seed(4)
    model, given = Recurrent(FEATURES, 1, hidden=6).double(), data("ccc")
    settings = BATCH | {"loss_over": over}
    _, plain = step(model, given, settings)
    norm = torch.cat([part.flatten() for part in plain]).norm().item()
    _, clipped = step(model, given, settings | {"clip": norm / 4})
    for a, b in zip(clipped, plain, strict=True):
        torch.testing.assert_close(a, b / 4, rtol=1e-4, atol=1e-12)
    _, free = step(model, given, settings | {"clip": norm * 1.01})
    assert all(map(torch.equal, free, plain))


def test_noise_has_its_deviation_and_leaves_the_padding_alone():
    torch.manual_seed(5)
    given = data("ccc")
    features, _, lengths = collate(given, given.samples)
    noisy = with_noise(features, lengths, 0.1)
    difference = noisy - features
    there = torch.arange(features.shape[1]) < lengths[:, None]
    assert not difference[~there].any()
    assert difference[there].std().item() == pytest.approx(0.1, rel=0.1)  # of 1150 numbers
    assert abs(difference[there].mean().item()) < 0.012
    assert noisy.stride() == features.stride()  # frames first in memory


def test_noise_is_of_the_seed_and_in_training_only(config):  # noqa: F811
    noisy = replace(config, noise=0.2)
    one, again, other = run(noisy, 101), run(noisy, 101), run(config, 101)
    assert numbers(one) == numbers(again) != numbers(other)
    seen = []

    def note(features, *_):
        seen.append(features)
        return features.new_zeros(*features.shape[:2], 1)

    model = torch.nn.Module()
    model.forward = note
    predict(model, frames(2))
    assert torch.equal(
        torch.cat([part.flatten(0, 1) for part in seen]).sum(), frames(2).features.sum()
    )


@pytest.mark.parametrize("over", ["window", "batch"])
def test_training_with_all_of_it_learns(config, over):  # noqa: F811
    settings = replace(config, loss_over=over, clip=1.0, noise=0.05, epochs=30)
    result = run(settings, 101)
    assert result.devel > 0.6 and numbers(run(settings, 101)) == numbers(result)


def test_a_loss_over_the_batch_that_is_not_finite_stops(config):  # noqa: F811
    given = frames(1)
    given.labels[100, 0] = torch.nan
    settings = replace(config, loss_over="batch", clip=1.0)
    with pytest.raises(MuseError, match=r"epoch 1, step \d: the loss is nan"):
        train_seed(settings, given, given, lambda _: 0.0, 101, lambda record: None)
