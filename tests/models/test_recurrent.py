"""LSTM and GRU give the same alone, padded, and as packed sequences of PyTorch."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from muse.errors import MuseError
from muse.models import build_model
from muse.models.recurrent import Recurrent

LENGTHS = torch.tensor([9, 4, 1, 7])


def padded_batch(dim: int = 5) -> torch.Tensor:
    """(4, 9, dim) with nonsense, not zeros, behind each length."""
    return torch.randn(4, 9, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_alone_or_padded_is_the_same(cell, bidirectional, layers):
    torch.manual_seed(1)
    settings = {"hidden": 6, "layers": layers, "bidirectional": bidirectional, "dropout": 0.4}
    model = Recurrent(5, 2, cell=cell, **settings).double().eval()
    x = padded_batch()
    together = model(x, LENGTHS)
    assert together.shape == (4, 9, 2)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_both_directions_are_those_of_a_packed_pytorch_module(cell, layers):
    torch.manual_seed(2)
    model = Recurrent(5, 1, cell=cell, hidden=6, layers=layers, bidirectional=True).double()
    oracle = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](
        6, 6, layers, batch_first=True, bidirectional=True
    ).double()
    weights = {}
    for k in range(layers):
        for module, ending in ((model.encoder.ahead[k], ""), (model.encoder.back[k], "_reverse")):
            for name, value in module.named_parameters():
                weights[name.replace("l0", f"l{k}") + ending] = value.detach().clone()
    oracle.load_state_dict(weights)
    x = model.project(padded_batch())
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(oracle(packed)[0], batch_first=True, total_length=9)
    got = model.encoder(x.transpose(0, 1), LENGTHS).transpose(0, 1)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(got[row, :length], expected[row, :length], rtol=0, atol=1e-14)
    # gradients as well, for a loss over the frames that exist
    mask = (torch.arange(9) < LENGTHS[:, None])[:, :, None]
    mine = torch.autograd.grad((got * mask).square().sum(), model.project.weight, retain_graph=True)
    theirs = torch.autograd.grad((expected * mask).square().sum(), model.project.weight)
    torch.testing.assert_close(mine[0], theirs[0], rtol=1e-10, atol=1e-12)


def test_a_direction_ahead_does_not_look_ahead():
    model = Recurrent(3, 1, hidden=4, layers=2).eval()
    x = torch.randn(1, 6, 3)
    changed = x.clone()
    changed[:, 4:] += 1
    lengths = torch.tensor([6])
    assert torch.equal(model(x, lengths)[:, :4], model(changed, lengths)[:, :4])


def test_architecture_of_the_published_baseline():
    """Parameters by hand: F*H, then per layer 4H(2H) weights and 8H biases, then the head."""
    model = Recurrent(88, 1, hidden=64, layers=4)
    lstm = 4 * (4 * 64 * (64 + 64) + 8 * 64)
    assert sum(p.numel() for p in model.parameters()) == 88 * 64 + lstm + 64 * 64 + 64 + 64 + 1
    assert model.project.bias is None
    both = Recurrent(88, 5, hidden=32, layers=2, bidirectional=True)
    assert both.head[0].in_features == 64 and both.head[-1].out_features == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "rnn"}, "model.cell=rnn: expected one of lstm, gru"),
        ({"hidden": 0}, "model.hidden=0: expected a whole number"),
        ({"layers": 1.5}, "model.layers=1.5: expected a whole number"),
        ({"dropout": 1.0}, "model.dropout=1.0: expected a probability"),
        ({"bidirectional": "maybe"}, "model.bidirectional=maybe: expected true or false"),
        ({"dropout": "x"}, "model.dropout=x: expected a probability"),
        ({"hiden": 3}, "unexpected keyword argument 'hiden'. The settings of Recurrent are: cell"),
        ({"_target_": "muse.models.nothing.Model"}, "cannot be imported"),
        ({"_target_": "muse.models.recurrent.Nothing"}, "cannot be imported"),
        ({"_target_": "Model"}, "cannot be imported"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    settings = {"_target_": "muse.models.recurrent.Recurrent", **settings}
    with pytest.raises(MuseError) as caught:
        build_model(settings, {"x": 3}, 1)
    assert message in str(caught.value)


def test_a_model_that_no_memory_can_hold_is_refused():
    settings = {"_target_": "muse.models.recurrent.Recurrent", "hidden": 10**7}
    with pytest.raises(MuseError, match="hidden=10000000: does not fit into memory"):
        build_model(settings, {"x": 3}, 1)
