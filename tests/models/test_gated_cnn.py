"""The gated convolution of Cai et al. (2021) is eq. 15; padding changes no frame's output."""

import pytest
import torch
from torch import nn

from muse.errors import MuseError
from muse.models import build_model
from muse.models.gated_cnn import GatedCNN, GatedCNNRecurrent
from tests.models.test_plain import recurrent_outputs
from tests.models.test_recurrent import LENGTHS, padded_batch


def equation_15(x: torch.Tensor, block: nn.Conv1d) -> torch.Tensor:
    """(conv(X, W) + b) * sigmoid(conv(X, V) + c) of one recording x (T, F), by two convolutions."""
    rows = block.out_channels // 2
    parts = []
    for own in (slice(rows), slice(rows, None)):
        conv = nn.Conv1d(x.shape[1], rows, block.kernel_size[0], padding="same").double()
        conv.load_state_dict({"weight": block.weight[own], "bias": block.bias[own]})
        parts.append(conv(x.T[None])[0].T)
    return parts[0] * parts[1].sigmoid()


@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("kind", [GatedCNN, GatedCNNRecurrent])
def test_it_is_equation_15_and_one_linear_layer(kind, blocks, width):
    torch.manual_seed(2)
    net = kind(5, 2, 6, blocks, width).double()
    x = padded_batch()
    got = net(x, LENGTHS)
    gated = []
    for row, length in enumerate(LENGTHS.tolist()):
        alone = x[row, :length]
        for block in net.gated.blocks:
            alone = equation_15(alone, block)
        gated.append(alone)
    expected = (
        [net.output(alone) for alone in gated]
        if kind is GatedCNN
        else recurrent_outputs(net.recurrent, gated)
    )
    for row, alone in enumerate(expected):
        torch.testing.assert_close(got[row, : len(alone)], alone, rtol=0, atol=1e-13)


def test_what_lies_past_the_lengths_is_never_read():
    """Two blocks of width 3 see two frames ahead: without zeros the last frames would change."""
    torch.manual_seed(3)
    net = GatedCNN(5, 1, 6, blocks=2).double()
    x = padded_batch()
    there = torch.arange(9) < LENGTHS[:, None]
    other = torch.where(there[:, :, None], x, torch.full_like(x, torch.nan))
    assert torch.equal(net(x, LENGTHS)[there], net(other, LENGTHS)[there])
    unmasked = net(x, torch.full_like(LENGTHS, 9))
    assert not torch.allclose(unmasked[1, 3], net(x, LENGTHS)[1, 3])


def test_parameters_by_hand():
    """Two convolutions of width * F * C weights and C biases; the LSTM 4H(C + H) and 8H."""
    net = GatedCNNRecurrent(512, 1, channels=128, hidden=1024)
    lstm = 4 * 1024 * (128 + 1024) + 8 * 1024
    count = sum(p.numel() for p in net.parameters())
    assert count == 2 * (3 * 512 * 128 + 128) + lstm + 1024 + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 4}, "model.width=4: expected an odd number"),
        ({"width": 0}, "model.width=0: expected a whole number of 1 or more"),
        ({"channels": 0}, "model.channels=0"),
        ({"blocks": 0.5}, "model.blocks=0.5"),
        ({"hidden": 3}, "The settings of GatedCNN are: channels, blocks, width"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(MuseError) as caught:
        build_model({"_target_": "muse.models.gated_cnn.GatedCNN", **settings}, {"x": 3}, 1)
    assert message in str(caught.value)
