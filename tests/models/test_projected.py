"""The model of MuSe-Personalisation is PyTorch's own modules, one recording at a time."""

import pytest
import torch
from torch import nn

from muse.errors import MuseError
from muse.models.projected import ProjectedRecurrent
from tests.models.test_recurrent import LENGTHS, padded_batch


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("output", ["tanh", "linear"])
def test_it_is_a_linear_layer_a_gru_and_two_linear_layers(both, output):
    torch.manual_seed(4)
    net = ProjectedRecurrent(5, 2, "gru", 7, 6, 1, both, head=3, output=output).double()
    oracle = nn.GRU(7, 6, batch_first=True, bidirectional=both).double()
    weights = net.encoder.state_dict()
    if both:
        ends = {"ahead.0.": "", "back.0.": "_reverse"}
        weights = {name.removeprefix(start) + end: value for start, end in ends.items()
                   for name, value in weights.items() if name.startswith(start)}  # fmt: skip
    oracle.load_state_dict(weights)
    _, first, _, _, last = net.head
    x = padded_batch()
    got = net(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        hidden = oracle(net.project[0](x[row : row + 1, :length]))[0]
        expected = last(first(hidden).relu())[0]
        expected = expected.tanh() if output == "tanh" else expected
        torch.testing.assert_close(got[row, :length], expected, rtol=0, atol=1e-13)


def test_parameters_by_hand():
    """A linear layer of 88 to 256, a GRU of 256, 256 to 64, 64 to 1."""
    count = sum(p.numel() for p in ProjectedRecurrent(88, 1).parameters())
    gru = 3 * 256 * (256 + 256) + 6 * 256
    assert count == 88 * 256 + 256 + gru + 256 * 64 + 64 + 64 + 1


def test_each_dropout_is_in_its_place():
    for name, expected in (("project_dropout", 0), ("dropout", 1), ("head_dropout", 2)):
        net = ProjectedRecurrent(5, 1, **{name: 0.5})
        found = [m.p for m in (net.project[1], net.head[0], net.head[3])]
        assert [k for k, p in enumerate(found) if p == 0.5] == [expected]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"cell": "rnn"}, "cell=rnn: expected one of lstm, gru"),
        ({"project": 0}, "project=0: expected a whole number of 1 or more"),
        ({"output": "sigmoid"}, "output=sigmoid: expected one of tanh, linear"),
        ({"head_dropout": 1.0}, "head_dropout=1.0: expected a probability"),
    ],
)
def test_settings(settings, text):
    with pytest.raises(MuseError, match=text):
        ProjectedRecurrent(5, 1, **settings)
