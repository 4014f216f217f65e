"""The LSTM with self-attention of MuSe 2020 against loops over frames; alone and padded."""

import pytest
import torch
from torch import Tensor

from muse.errors import MuseError
from muse.models import build_model
from muse.models.lstm_attention import LSTMAttention
from tests.models.test_recurrent import LENGTHS, padded_batch


def lstm_by_hand(lstm: torch.nn.LSTM, x: Tensor) -> Tensor:
    """The equations of an LSTM, frame by frame: (T, F) -> (T, H)."""
    hidden = cell = x.new_zeros(lstm.hidden_size)
    outputs = []
    for frame in x:
        gates = lstm.weight_ih_l0 @ frame + lstm.bias_ih_l0 + lstm.bias_hh_l0
        enter, forget, new, leave = (gates + lstm.weight_hh_l0 @ hidden).chunk(4)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs)


def by_hand(model: LSTMAttention, x: Tensor) -> Tensor:
    """The model on one recording (T, F), by loops: (T, O)."""
    queries, keys = (
        lstm_by_hand(pair["ahead"], x) + lstm_by_hand(pair["back"], x.flip(0)).flip(0)
        for pair in (model.queries, model.keys)
    )
    rows = []
    for query in queries:
        weights = torch.stack([(query * key).sum() for key in keys]).exp()
        attended = sum(w * key for w, key in zip(weights / weights.sum(), keys, strict=True))
        rows.append(torch.cat([query, attended]))
    rows = torch.stack(rows)
    if model.pool:
        rows = rows.max(0).values.repeat(len(rows), 1)
    return rows @ model.output.weight.T + model.output.bias


@pytest.mark.parametrize("pool", [False, True])
def test_outputs_and_gradients_are_those_of_the_equations(pool):
    torch.manual_seed(1)
    model = LSTMAttention(5, 3, hidden=4, pool=pool).double()
    x = padded_batch()
    got = model(x, LENGTHS)
    assert got.shape == (4, 9, 3)
    expected = [by_hand(model, row[:n]) for row, n in zip(x, LENGTHS.tolist(), strict=True)]
    for row, alone in zip(got, expected, strict=True):
        torch.testing.assert_close(row[: len(alone)], alone, rtol=0, atol=1e-13)
    there = torch.arange(9) < LENGTHS[:, None]
    mine = torch.autograd.grad(got[there].square().sum(), model.parameters())
    theirs = torch.autograd.grad(torch.cat(expected).square().sum(), model.parameters())
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pool", [False, True])
def test_alone_or_padded_is_the_same(pool):
    torch.manual_seed(2)
    model, x = LSTMAttention(5, 2, hidden=6, pool=pool).double().eval(), padded_batch()
    together = model(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-14)


def test_the_output_is_pooled_where_the_task_has_classes(make_config):
    for task, pooled in (("sent", True), ("stress", False)):
        config = make_config("train", f"task={task}", "features=a", "model=lstm_attention")
        assert config.model["pool"] is pooled and config.model["hidden"] == 40
    words = ["task=sent", "features=a", "model=lstm_attention", "model.pool=false"]
    assert make_config("train", *words).model["pool"] is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "model.hidden=0: expected a whole number of 1 or more"),
        ({"pool": 3}, "model.pool=3: expected true or false"),
        ({"layers": 2}, "The settings of LSTMAttention are: hidden, pool"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    target = "muse.models.lstm_attention.LSTMAttention"
    with pytest.raises(MuseError) as caught:
        build_model({"_target_": target, **settings}, {"x": 3}, 1)
    assert message in str(caught.value)
