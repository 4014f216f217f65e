"""Losses against plain numpy over the frames that exist."""

import numpy as np
import pytest
import torch

from muse.training.losses import loss_function, loss_weight, window_losses

LENGTHS = [5, 3, 4]


@pytest.fixture
def batch():
    """Predictions and gold (3, 5, 2) with nonsense behind each length."""
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(3, 5, 2, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.randn(3, 5, 2, generator=generator, dtype=torch.float64),
        torch.tensor(LENGTHS),
    )


def pairs(batch):
    """One (prediction, gold) per window and target, cut to its length."""
    p, g = batch[0].detach().numpy(), batch[1].numpy()
    return [(p[b, :n, k], g[b, :n, k]) for b, n in enumerate(LENGTHS) for k in range(2)]


def test_ccc_is_averaged_over_windows(batch):
    cccs = [
        2 * np.cov(p, g, bias=True)[0, 1] / (p.var() + g.var() + (p.mean() - g.mean()) ** 2)
        for p, g in pairs(batch)
    ]
    assert loss_function("ccc")(*batch).item() == pytest.approx(1 - np.mean(cccs), rel=1e-12)


@pytest.mark.parametrize(("name", "error"), [("mse", np.square), ("l1", np.abs)])
def test_mse_and_l1_are_averaged_over_frames(batch, name, error):
    errors = np.concatenate([error(p - g) for p, g in pairs(batch)])
    assert loss_function(name)(*batch).item() == pytest.approx(errors.mean(), rel=1e-12)


def test_cross_entropy_reads_the_last_frame_of_each_window():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 5, 2 * 4, generator=generator, dtype=torch.float64)  # 2 targets
    gold = torch.tensor([[0, 1], [2, 3], [3, 3]])
    frames = gold[:, None].expand(3, 5, 2).double()
    losses = []
    for b, n in enumerate(LENGTHS):
        for k in range(2):
            row = logits[b, n - 1, 4 * k : 4 * k + 4].numpy()
            losses.append(np.log(np.exp(row).sum()) - row[gold[b, k]])
    got = loss_function("cross_entropy", [4, 4])(logits, frames, torch.tensor(LENGTHS))
    assert float(got) == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize("name", ["ccc", "mse", "l1"])
def test_frames_behind_a_length_have_no_gradient(batch, name):
    loss_function(name)(*batch).backward()
    for b, n in enumerate(LENGTHS):
        assert batch[0].grad[b, :n].abs().min() > 0
        assert not batch[0].grad[b, n:].any()


def test_constant_windows_give_a_finite_loss_and_gradient():
    prediction = torch.zeros(2, 4, 1, requires_grad=True)
    gold = torch.zeros(2, 4, 1)
    loss = loss_function("ccc")(prediction, gold, torch.tensor([4, 1]))
    loss.backward()
    assert loss.item() == 1
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("name", ["ccc", "mse", "l1", "cross_entropy"])
def test_what_windows_add_is_the_loss_of_the_batch(name):
    """Also in parts, each padded for itself."""
    rng = torch.Generator().manual_seed(1)
    outputs = [3, 2] if name == "cross_entropy" else [1, 1]
    prediction = torch.randn(5, 7, sum(outputs), generator=rng, dtype=torch.float64)
    gold = torch.randint(2, (5, 7, 2), generator=rng).double()
    lengths = torch.tensor([7, 3, 5, 4, 2])
    whole = loss_function(name, outputs)(prediction, gold, lengths)
    added = [
        window_losses(name, prediction[part], gold[part], lengths[part], outputs)
        for part in (slice(0, 2), slice(2, 5))
    ]
    weight = loss_weight(name, lengths.numpy())
    of_targets = torch.cat(added).sum(0) / weight
    torch.testing.assert_close(of_targets.mean(), whole, rtol=0, atol=1e-12)
