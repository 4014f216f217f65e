"""The fast ways of the CPU give what the plain ones give: outputs and gradients."""

import pytest
import torch
from torch import nn

from muse.models.attention import Attention, AttentionRecurrent
from muse.models.products import ROWS_AT_ONCE, Turn, in_parts, linear
from muse.models.recurrent import CELLS, Recurrent

LENGTHS = torch.tensor([11, 4, 1, 7, 11])


class Plain(nn.Module):
    """The published architecture, one recording at a time, by PyTorch's own modules."""

    def __init__(self, fast: Recurrent, inputs: int, hidden: int, layers: int, cell: str):
        super().__init__()
        both = fast.bidirectional
        self.project, self.head = fast.project, fast.head
        self.cell = CELLS[cell](hidden, hidden, layers, bidirectional=both, batch_first=True)
        weights = {}
        if both:
            for k in range(layers):
                for module, end in (
                    (fast.encoder.ahead[k], ""),
                    (fast.encoder.back[k], "_reverse"),
                ):
                    for name, value in module.named_parameters():
                        weights[name.replace("l0", f"l{k}") + end] = value.detach()
        else:
            weights = fast.encoder.state_dict()
        self.cell.double().load_state_dict(weights)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        return [
            self.head(self.cell(self.project(x[None, :length]))[0])[0]
            for x, length in zip(features, lengths.tolist(), strict=True)
        ]


@pytest.mark.parametrize("inputs", [3, 20], ids=["narrow", "wide"])
@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_is_the_plain_one(cell, bidirectional, layers, inputs):
    torch.manual_seed(3)
    fast = Recurrent(inputs, 2, cell, 8, layers, bidirectional, head=6).double()
    plain = Plain(fast, inputs, 8, layers, cell)
    x = torch.randn(5, 11, inputs, dtype=torch.float64)
    got, expected = fast(x, LENGTHS), plain(x, LENGTHS)
    for row, alone in enumerate(expected):
        torch.testing.assert_close(got[row, : len(alone)], alone, rtol=0, atol=1e-13)
    shared = [fast.project.weight, *fast.head.parameters()]
    loss = sum(got[row, : len(alone)].square().sum() for row, alone in enumerate(expected))
    mine = torch.autograd.grad(loss, [*shared, *fast.encoder.parameters()])
    theirs = torch.autograd.grad(
        sum(part.square().sum() for part in expected), [*shared, *plain.cell.parameters()]
    )
    for a, b in zip(mine[: len(shared)], theirs, strict=False):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    total = sum(g.square().sum() for g in mine[len(shared) :])  # the order of weights differs
    other = sum(g.square().sum() for g in theirs[len(shared) :])
    torch.testing.assert_close(total, other, rtol=1e-11, atol=0)


@pytest.mark.parametrize("rows", [16, 40, 1000])
@pytest.mark.parametrize("kind", [Attention, AttentionRecurrent])
def test_attention_does_not_depend_on_how_much_goes_at_once(monkeypatch, kind, rows):
    torch.manual_seed(4)
    model = kind(7, 2, dim=8).double()
    x = torch.randn(5, 11, 7, dtype=torch.float64)
    expected = model(x, LENGTHS)
    gradient = torch.autograd.grad(expected.square().sum(), model.parameters())
    monkeypatch.setattr("muse.models.products.ROWS_AT_ONCE", rows)
    got = model(x, LENGTHS)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), model.parameters()), gradient, strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("frames", "batch"), [(40, 3), (1, 5), (7, 1)])
def test_linear_as_a_convolution(frames, batch, bias):
    torch.manual_seed(5)
    layer = nn.Linear(48, 24, bias=bias)
    assert layer.weight.dtype == torch.float32  # else the layer itself would be called
    x = torch.randn(frames, batch, 48, requires_grad=True)
    got = linear(layer, x)
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-5)
    g = torch.randn(frames, batch, 24)
    mine = torch.autograd.grad(got, [x, *layer.parameters()], g)
    theirs = torch.autograd.grad(exact, [x, *layer.parameters()], g.double())
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_parts_are_the_whole():
    torch.manual_seed(6)
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x = torch.randn(ROWS_AT_ONCE // 3 + 7, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(in_parts(network, x), network(x), rtol=0, atol=1e-14)


def test_turning_twice_changes_nothing():
    turned = torch.tensor([[2, 0], [1, 1], [0, 2]])
    x = torch.arange(12.0).view(3, 2, 2).requires_grad_()
    y = Turn.apply(x, turned)
    assert y[:, 0].tolist() == x[:, 0].flip(0).tolist() and y[:, 1].tolist() == x[:, 1].tolist()
    assert torch.equal(Turn.apply(y, turned), x)
    torch.autograd.gradcheck(lambda z: Turn.apply(z, turned), x.double().detach().requires_grad_())
