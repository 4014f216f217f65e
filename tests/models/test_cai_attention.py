"""The attention of Cai et al. (2021) is eq. 1, written out, and that of PyTorch."""

import math

import pytest
import torch
from torch import nn

from muse.errors import MuseError
from muse.models import build_model
from muse.models.cai_attention import CaiAttention, CaiAttentionRecurrent
from tests.conftest import kept_for_backward
from tests.models.test_plain import recurrent_outputs
from tests.models.test_recurrent import LENGTHS, padded_batch


def equation_1(x: torch.Tensor, layer: nn.Linear, heads: int) -> torch.Tensor:
    """softmax(Q K' / sqrt(d_k)) V of one recording x (T, D), head by head and frame by frame."""
    dim = x.shape[1]
    each = dim // heads
    q, k, v = (
        x @ layer.weight[i * dim : (i + 1) * dim].T + layer.bias[i * dim : (i + 1) * dim]
        for i in range(3)
    )
    rows = []
    for frame in range(len(x)):
        parts = []
        for head in range(heads):
            own = slice(head * each, (head + 1) * each)
            weights = (k[:, own] @ q[frame, own] / math.sqrt(each)).exp()
            parts.append((weights / weights.sum()) @ v[:, own])
        rows.append(torch.cat(parts))
    return torch.stack(rows)


@pytest.mark.parametrize(("dim", "pad"), [(12, False), (10, True)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [CaiAttention, CaiAttentionRecurrent])
def test_it_is_equation_1_and_one_linear_layer(kind, layers, dim, pad):
    torch.manual_seed(2)
    net = kind(dim, 2, layers, heads=4, pad=pad).double()
    x = padded_batch(dim)
    got = net(x, LENGTHS)
    attended = []
    for row, length in enumerate(LENGTHS.tolist()):
        alone = torch.cat([x[row, :length], torch.zeros(length, 12 - dim)], dim=1)
        for layer in net.attention.queries_keys_values:
            alone = equation_1(alone, layer, heads=4)
        attended.append(alone)
    expected = (
        [net.output(alone) for alone in attended]
        if kind is CaiAttention
        else recurrent_outputs(net.recurrent, attended)
    )
    for row, alone in enumerate(expected):
        torch.testing.assert_close(got[row, : len(alone)], alone, rtol=0, atol=1e-13)


def test_a_layer_is_the_multi_head_attention_of_pytorch_without_its_output_projection():
    torch.manual_seed(3)
    net = CaiAttention(12, 1, heads=3).double()
    oracle = nn.MultiheadAttention(12, 3, batch_first=True).double()
    (layer,) = net.attention.queries_keys_values
    oracle.load_state_dict(
        {
            "in_proj_weight": layer.weight,
            "in_proj_bias": layer.bias,
            "out_proj.weight": torch.eye(12),
            "out_proj.bias": torch.zeros(12),
        }
    )
    x = padded_batch(12)
    there = torch.arange(9) < LENGTHS[:, None]
    expected, _ = oracle(x, x, x, key_padding_mask=~there)
    got = net.attention(x, LENGTHS)
    torch.testing.assert_close(got[there], expected[there], rtol=0, atol=1e-13)


def test_parameters_by_hand():
    """3(D^2 + D) per layer; nothing else but the linear output: no projection, no normalisation."""
    count = sum(p.numel() for p in CaiAttention(88, 1, 4, heads=8).parameters())
    assert count == 4 * 3 * (88 * 88 + 88) + 88 + 1


def test_memory_does_not_grow_with_the_square_of_the_frames():
    net, kept = CaiAttention(8, 1, heads=2), {}
    for frames in (400, 800):
        batch, lengths = torch.randn(2, frames, 8), torch.tensor([frames, frames - 90])
        kept[frames], _ = kept_for_backward(net, batch, lengths)
    assert 1.8 < kept[800] / kept[400] < 2.05


@pytest.mark.parametrize(
    ("inputs", "settings", "message"),
    [
        (
            35,
            {"heads": 4},
            "model.heads=4 does not divide the 35 features of a frame. Give one of 1, 5, 7, or "
            "model.pad=true, which appends zeros up to 36 features.",
        ),
        (6, {"heads": 8}, "Give one of 1, 2, 3, 6, or model.pad=true"),
        (8, {"heads": 0}, "model.heads=0: expected a whole number of 1 or more"),
        (8, {"attention_layers": 0}, "model.attention_layers=0"),
        (8, {"dim": 64}, "The settings of CaiAttention are: attention_layers, heads, pad"),
    ],
)
def test_wrong_settings_are_named(inputs, settings, message):
    with pytest.raises(MuseError) as caught:
        target = "muse.models.cai_attention.CaiAttention"
        build_model({"_target_": target, **settings}, {"x": inputs}, 1)
    assert message in str(caught.value)
