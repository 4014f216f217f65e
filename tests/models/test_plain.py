"""Plain recurrent models are PyTorch's own modules, one recording at a time."""

import pytest
import torch
from torch import nn

from muse.errors import MuseError
from muse.models import build_model
from muse.models.plain import PlainRecurrent
from tests.models.test_recurrent import LENGTHS, padded_batch

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


def recurrent_outputs(net: PlainRecurrent, recordings: list[torch.Tensor]) -> list[torch.Tensor]:
    """What PyTorch's module of one or two directions and a linear layer with the weights of
    ``net`` give for recordings (T, F), each alone."""
    both, layers = net.bidirectional, net.encoder
    count = len(layers.ahead) if both else layers.num_layers
    cell = layers.ahead[0] if both else layers
    oracle = CELLS[type(cell).__name__.lower()](
        cell.input_size, cell.hidden_size, count, batch_first=True, bidirectional=both
    ).double()
    weights = layers.state_dict()
    if both:
        weights = {
            name.replace("l0", f"l{k}") + ending: value
            for k in range(count)
            for module, ending in ((layers.ahead[k], ""), (layers.back[k], "_reverse"))
            for name, value in module.state_dict().items()
        }
    oracle.load_state_dict(weights)
    return [net.output(oracle(x[None])[0])[0] for x in recordings]


@pytest.mark.parametrize("layers", [1, 4])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_is_the_module_of_pytorch_and_a_linear_layer(cell, both, layers):
    torch.manual_seed(2)
    net = PlainRecurrent(5, 2, cell, 6, layers, both).double()
    x = padded_batch()
    got = net(x, LENGTHS)
    recordings = [x[row, :length] for row, length in enumerate(LENGTHS.tolist())]
    for row, expected in enumerate(recurrent_outputs(net, recordings)):
        torch.testing.assert_close(got[row, : len(expected)], expected, rtol=0, atol=1e-14)


def test_parameters_by_hand():
    """Per layer and direction 4H(F + H) weights and 8H biases; of a GRU three quarters."""
    lstm = 4 * 64 * (88 + 64) + 512 + 3 * (4 * 64 * 128 + 512)
    count = sum(p.numel() for p in PlainRecurrent(88, 1).parameters())
    assert count == lstm + 64 + 1
    both = 2 * (3 * 64 * (88 + 64) + 384 + 3 * (3 * 64 * (128 + 64) + 384))
    count = sum(p.numel() for p in PlainRecurrent(88, 1, "gru", bidirectional=True).parameters())
    assert count == both + 128 + 1


@pytest.mark.parametrize("both", [False, True])
def test_dropout_is_between_the_layers(both):
    x = padded_batch().float()
    one, two = (
        PlainRecurrent(5, 1, hidden=32, layers=layers, bidirectional=both, dropout=0.9)
        for layers in (1, 2)
    )
    assert torch.equal(one(x, LENGTHS), one(x, LENGTHS))
    assert not torch.equal(two(x, LENGTHS), two(x, LENGTHS))
    two.eval()
    assert torch.equal(two(x, LENGTHS), two(x, LENGTHS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "rnn"}, "model.cell=rnn: expected one of lstm, gru"),
        ({"layers": 0}, "model.layers=0: expected a whole number of 1 or more"),
        ({"dropout": 2}, "model.dropout=2: expected a probability"),
        ({"head": 3}, "The settings of PlainRecurrent are: cell, hidden, layers"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(MuseError) as caught:
        build_model({"_target_": "muse.models.plain.PlainRecurrent", **settings}, {"x": 3}, 1)
    assert message in str(caught.value)
