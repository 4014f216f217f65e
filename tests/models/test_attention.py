"""Attention gives the same alone and padded, is that of PyTorch's module, knows any length."""

import math

import pytest
import torch
from torch import nn

from muse.errors import MuseError
from muse.models import build_model
from muse.models.attention import Attention, AttentionRecurrent, Layer, sinusoids
from tests.conftest import kept_for_backward
from tests.models.test_recurrent import LENGTHS, padded_batch


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
@pytest.mark.parametrize("dim", [None, 12])
@pytest.mark.parametrize("model", [Attention, AttentionRecurrent])
def test_alone_or_padded_is_the_same(model, dim, positions):
    torch.manual_seed(1)
    settings = {"dim": dim, "positions": positions, "feedforward": 7, "dropout": 0.4}
    if model is AttentionRecurrent:
        settings |= {"bidirectional": True, "cell": "gru", "attention_layers": 2}
    net = model(5, 2, **settings).double().eval()
    x = padded_batch()
    together = net(x, LENGTHS)
    assert together.shape == (4, 9, 2)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = net(x[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("frames_first", [False, True])
def test_a_layer_is_the_multi_head_attention_of_pytorch(frames_first):
    """With a residual connection around it and a normalised input."""
    torch.manual_seed(2)
    layer = Layer(12, heads=3, feedforward=0, dropout=0.0).double()
    oracle = nn.MultiheadAttention(12, 3, batch_first=True).double()
    oracle.load_state_dict(
        {
            "in_proj_weight": layer.queries_keys_values.weight,
            "in_proj_bias": layer.queries_keys_values.bias,
            "out_proj.weight": layer.out.weight,
            "out_proj.bias": layer.out.bias,
        }
    )
    x = padded_batch(12)
    if frames_first:  # the memory order in which batches come
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    there = torch.arange(9) < LENGTHS[:, None]
    normed = nn.functional.layer_norm(x, (12,))
    expected, _ = oracle(normed, normed, normed, key_padding_mask=~there)
    got = layer(x, there[:, None, None, :])
    torch.testing.assert_close(got[there], (x + expected)[there], rtol=0, atol=1e-13)


def test_positions_are_those_of_the_formula():
    table = sinusoids(6, 5, torch.zeros(1, dtype=torch.float64))
    for frame in range(6):
        for k in range(5):
            angle = frame / 10000 ** ((k - k % 2) / 5)
            expected = math.cos(angle) if k % 2 else math.sin(angle)
            assert table[frame, k].item() == pytest.approx(expected, abs=1e-12)


def test_without_positions_the_order_does_not_matter():
    torch.manual_seed(3)
    x, order = torch.randn(1, 7, 6, dtype=torch.float64), torch.randperm(7)
    for positions in ("none", "sinusoidal"):
        net = Attention(6, 1, dim=6, heads=3, positions=positions).double().eval()
        straight, mixed = net(x, torch.tensor([7])), net(x[:, order], torch.tensor([7]))
        same = torch.allclose(straight[:, order], mixed, atol=1e-12)
        assert same == (positions == "none")


def test_memory_does_not_grow_with_the_square_of_the_frames():
    """What is kept for the backward pass doubles with the frames; weights of all pairs would not.

    Of 800 frames and two heads, these alone would take 5 MB in float32.
    """
    net = Attention(6, 1, dim=8, layers=1, heads=2, feedforward=0)
    kept = {}
    for frames in (400, 800):
        batch, lengths = torch.randn(2, frames, 6), torch.tensor([frames, frames - 90])
        kept[frames], _ = kept_for_backward(net, batch, lengths)
    assert 1.8 < kept[800] / kept[400] < 2.05
    assert kept[800] < 2 * 800 * 800


def test_the_values_of_long_recordings_are_finite():
    net = Attention(6, 1, dim=8, layers=1, heads=2, feedforward=0).eval()
    with torch.inference_mode():
        out = net(torch.randn(2, 2000, 6), torch.tensor([2000, 1900]))
    assert out.isfinite().all() and out.shape == (2, 2000, 1)


@pytest.mark.parametrize(
    ("inputs", "dim", "heads", "width", "projected"),
    [
        (88, None, 4, 88, False),
        (35, None, 4, 36, True),
        (88, 64, 4, 64, True),
        (1, None, 4, 4, True),
    ],
)
def test_features_that_the_heads_do_not_divide_are_projected(inputs, dim, heads, width, projected):
    net = Attention(inputs, 1, dim=dim, heads=heads)
    assert net.encoder.dim == width
    assert isinstance(net.encoder.project, nn.Linear) == projected
    assert net(torch.randn(2, 5, inputs), torch.tensor([5, 3])).shape == (2, 5, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 30}, "model.dim (30) must be divisible by model.heads (4)"),
        ({"heads": 0}, "model.heads=0: expected a whole number of 1 or more"),
        ({"layers": 0}, "model.layers=0"),
        ({"feedforward": -1}, "model.feedforward=-1: expected a whole number of 0 or more"),
        ({"positions": "learned"}, "model.positions=learned: expected one of sinusoidal, none"),
        ({"dropout": 1}, "model.dropout=1: expected a probability"),
        ({"hidden": 3}, "The settings of Attention are: dim, layers, heads"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(MuseError) as caught:
        build_model({"_target_": "muse.models.attention.Attention", **settings}, {"x": 3}, 1)
    assert message in str(caught.value)
