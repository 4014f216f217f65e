"""The Multimodal Transformer against one made of PyTorch's modules; alone and padded; dropout."""

import math

import pytest
import torch
from torch import Tensor, nn

from muse.errors import MuseError
from muse.models import blockwise, build_model
from muse.models.multimodal_transformer import LEAST_MEMORY, MultimodalTransformer, Transformer
from tests.conftest import kept_for_backward
from tests.models.test_recurrent import LENGTHS, padded_batch

SETS = {"a": 2, "b": 1, "c": 4}
SMALL = {"dim": 6, "heads": 3, "layers": 2}
STILL = dict.fromkeys(
    [f"{name}_dropout" for name in ("attention", "relu", "residual", "embedding", "output")], 0.0
)
TARGET = "muse.models.multimodal_transformer.MultimodalTransformer"


def positions(frames: int, dim: int) -> Tensor:
    rows = [
        [
            (math.cos if k % 2 else math.sin)(frame / 10000 ** ((k - k % 2) / dim))
            for k in range(dim)
        ]
        for frame in range(frames)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def transformer_by_hand(net: Transformer, x: Tensor, other: Tensor | None, causal: bool) -> Tensor:
    """A transformer on one recording (S, D), its attention that of PyTorch's module: (S, D).

    The recording lasts 1: a row begins at its number over the number of rows.
    """
    dim, rows, keys = x.shape[1], len(x), len(x if other is None else other)
    x = math.sqrt(dim) * x + positions(rows, dim)
    other = None if other is None else math.sqrt(dim) * other + positions(keys, dim)
    ends, begins = torch.arange(1, rows + 1)[:, None] / rows, torch.arange(keys) / keys
    later = begins > ends - 1e-6 if causal else None
    for layer in net.layers:
        attention = nn.MultiheadAttention(dim, layer.heads, batch_first=True).double()
        attention.in_proj_weight = layer.queries_keys_values.weight
        attention.in_proj_bias = layer.queries_keys_values.bias
        attention.out_proj = layer.out
        query = layer.norm(x)[None]
        key = query if other is None else layer.norm(other)[None]
        x = x + attention(query, key, key, attn_mask=later)[0][0]
        norm, wide, _, _, narrow = layer.feedforward
        x = x + narrow(wide(norm(x)).relu())
    return net.norm(x)


def by_hand(model: MultimodalTransformer, x: Tensor, columns: list, causal: bool) -> Tensor:
    """The whole model on one recording (T, F); ``columns`` of the rows of modalities: (T, O)."""
    parts = []
    for project, rows in zip(model.project, columns, strict=True):
        reach = project.kernel_size[0] // 2
        own = torch.stack([frame[row] for frame in x for row in rows])
        padded = nn.functional.pad(own, (0, 0, reach, reach))
        parts.append(
            torch.stack(
                [
                    torch.einsum("kf,ofk->o", padded[t : t + 2 * reach + 1], project.weight)
                    for t in range(len(own))
                ]
            )
        )
    memories = []
    for k, part in enumerate(parts):
        others = [other for number, other in enumerate(parts) if number != k]
        heard = [
            transformer_by_hand(net, part, other, causal)
            for net, other in zip(model.crossmodal[k], others, strict=True)
        ]
        memory = transformer_by_hand(model.memory[k], torch.cat(heard, 1), None, causal)
        memories.append(torch.stack([frame.mean(0) for frame in memory.split(len(columns[k]))]))
    whole = torch.cat(memories, 1)
    first, _, _, second = model.block
    return model.output(whole + second(first(whole).relu()))


@pytest.mark.parametrize(
    ("sets", "modalities", "rows", "columns"),
    [
        (SETS, None, None, [[[0, 1]], [[2]], [[3, 4, 5, 6]]]),
        (SETS, {"x": ["a", "c"], "y": ["b"]}, None, [[[0, 1, 3, 4, 5, 6]], [[2]]]),
        (SETS, {"x": "b", "y": ["c", "a"]}, None, [[[2]], [[3, 4, 5, 6, 0, 1]]]),
        (SETS, {"x": "b", "y": ["c", "a"]}, {"a": 2, "b": 1, "c": 2},
         [[[2]], [[3, 4, 0], [5, 6, 1]]]),
        ({"a": 2, "b": 3, "c": 1}, None, {"a": 2, "b": 3, "c": 1},
         [[[0], [1]], [[2], [3], [4]], [[5]]]),
    ],
    ids=["three", "two", "in another order", "two, unequal steps", "three, unequal steps"],
)  # fmt: skip
@pytest.mark.parametrize(("causal", "kernel"), [(True, 1), (False, 3)])
def test_outputs_and_gradients_are_those_of_pytorchs_modules(
    sets, modalities, rows, columns, causal, kernel, monkeypatch
):
    torch.manual_seed(1)
    monkeypatch.setattr(blockwise, "CELLS_AT_ONCE", 50)  # several blocks of queries
    settings = {"modalities": modalities, "causal": causal, "kernel": kernel, **SMALL, **STILL}
    model = MultimodalTransformer(sets, 2, rows, **settings).double()
    x = padded_batch(sum(sets.values()))
    got = model(x, LENGTHS)
    assert got.shape == (4, 9, 2)
    expected = [
        by_hand(model, row[:n], columns, causal) for row, n in zip(x, LENGTHS.tolist(), strict=True)
    ]
    for row, alone in zip(got, expected, strict=True):
        torch.testing.assert_close(row[: len(alone)], alone, rtol=0, atol=1e-12)
    there = torch.arange(9) < LENGTHS[:, None]
    mine = torch.autograd.grad(got[there].square().sum(), model.parameters())
    theirs = torch.autograd.grad(torch.cat(expected).square().sum(), model.parameters())
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("rows", [None, {"a": 2, "b": 1, "c": 4}], ids=["equal", "unequal"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel", [1, 5])
def test_alone_or_padded_is_the_same(rows, causal, kernel):
    torch.manual_seed(2)
    settings = {"causal": causal, "kernel": kernel, **SMALL}
    model = MultimodalTransformer(SETS, 2, rows, **settings).double().eval()
    x = padded_batch(7)
    together = model(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [None, {"a": 2, "b": 1, "c": 4}], ids=["equal", "unequal"])
def test_a_causal_frame_gets_what_the_recording_up_to_it_gives(rows):
    torch.manual_seed(3)
    model, x = MultimodalTransformer(SETS, 1, rows, **SMALL).double().eval(), padded_batch(7)[:1]
    whole = model(x, torch.tensor([9]))
    for frames in (1, 4, 8):
        part = model(x[:, :frames], torch.tensor([frames]))
        torch.testing.assert_close(whole[:, :frames], part, rtol=0, atol=1e-12)


def test_there_are_as_many_parts_as_published():
    model = MultimodalTransformer(SETS, 1)
    assert [len(others) for others in model.crossmodal] == [2, 2, 2]
    assert {len(net.layers) for nets in model.crossmodal for net in nets} == {5}
    assert {(net.dim, len(net.layers)) for net in model.memory} == {(60, 5)}
    assert model.output.in_features == 180
    shallow = MultimodalTransformer({"a": 2, "b": 1}, 1, layers=1)
    assert [len(net.layers) for net in shallow.memory] == [LEAST_MEMORY] * 2
    assert [net.dim for net in shallow.memory] == [30, 30]


def test_a_modality_that_is_missing_gives_finite_outputs_and_gradients():
    torch.manual_seed(4)
    model, x = MultimodalTransformer(SETS, 1, **SMALL), torch.randn(2, 9, 7)
    x[1, :, 3:] = 0
    output = model(x, torch.tensor([9, 6]))
    output[0].sum().backward()
    assert output.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("cells", [1, 60, 200, 2**20])
def test_blocks_with_dropout_are_attention_with_the_weights_that_were_kept(
    monkeypatch, causal, cells, rows
):
    """Equal to all weights at once, outputs and gradients, if both keep the same weights.

    The keys have ``rows`` for each query.
    """
    torch.manual_seed(5)
    q, k, v = (
        torch.randn(4, 2, 9 * count, 3, dtype=torch.float64, requires_grad=True)
        for count in (1, rows, rows)
    )
    kept = torch.rand(4, 2, 9, 9 * rows) > 0.3
    used: list[int] = []

    def keep(like, dropout, generator):  # blocks come in the order of recordings, then frames
        row, frame = divmod(sum(used) % 36, 9)  # once more in the backward pass
        shape = like.shape
        used.append(shape[0] * shape[2])
        return kept[row : row + shape[0], :, frame : frame + shape[2], : shape[3]].double() / 0.7

    monkeypatch.setattr(blockwise, "_kept", keep)
    monkeypatch.setattr(blockwise, "CELLS_AT_ONCE", cells)
    got = blockwise.attend(q, k, v, rows * LENGTHS, causal, 0.3)
    there = torch.arange(9) < LENGTHS[:, None]
    hidden = ~there.repeat_interleave(rows, 1)[:, None, None]
    if causal:
        hidden = torch.ones(9, 9, dtype=torch.bool).triu(1).repeat_interleave(rows, 1)
    scores = (torch.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(3)).masked_fill(hidden, -math.inf)
    expected = torch.einsum("bhts,bhsd->bhtd", scores.softmax(-1) * kept / 0.7, v)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    mine = torch.autograd.grad(got.square().sum(), (q, k, v))
    theirs = torch.autograd.grad(expected.square().sum(), (q, k, v))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_backward_pass_drops_the_weights_that_the_forward_pass_dropped(monkeypatch):
    """The derivative by differences, with the random numbers of one forward pass."""
    monkeypatch.setattr(blockwise, "CELLS_AT_ONCE", 10)
    torch.manual_seed(6)
    q, k, v = (torch.randn(2, 1, 4, 2, dtype=torch.float64, requires_grad=True) for _ in range(3))
    lengths = torch.tensor([4, 3])

    def attend(*given: Tensor) -> Tensor:
        torch.manual_seed(7)
        return blockwise.attend(*given, lengths, False, 0.4)

    assert torch.autograd.gradcheck(attend, (q, k, v))


def test_weights_are_dropped_as_often_as_said_and_the_mean_stays():
    generator = torch.Generator().manual_seed(8)
    kept = blockwise._kept(torch.zeros(500, 401, dtype=torch.float64), 0.1, generator)
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.9], abs=1e-4)
    assert kept.mean().item() == pytest.approx(1, abs=0.003)  # 4 standard errors
    assert all(kept[:, k::4].mean().item() == pytest.approx(1, abs=0.006) for k in range(4))


def test_random_numbers_are_those_of_the_seed():
    model = MultimodalTransformer(SETS, 1, **SMALL)
    x, lengths = torch.randn(2, 9, 7), torch.tensor([9, 5])
    seen = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        output = model(x, lengths)
        grad = torch.autograd.grad(output.sum(), model.output.weight)
        seen.append((output.detach(), *grad))
    assert all(torch.equal(a, b) for a, b in zip(*seen[:2], strict=True))
    assert not torch.equal(seen[0][0], seen[2][0])
    model.eval()
    assert torch.equal(model(x, lengths), model(x, lengths))


def test_memory_of_training_does_not_grow_with_the_square_of_the_frames():
    """Of 800 frames and three heads the weights of one attention would take 7.7 MB."""
    model = MultimodalTransformer(SETS, 1, **SMALL | {"layers": 1}, causal=False)
    kept = {}
    for frames in (200, 400):
        lengths = torch.tensor([frames, frames - 90])
        kept[frames], _ = kept_for_backward(model, torch.randn(2, frames, 7), lengths)
    assert 1.8 < kept[400] / kept[200] < 2.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 31}, "model.dim (31) must be divisible by model.heads (5)"),
        ({"heads": 0}, "model.heads=0: expected a whole number of 1 or more"),
        ({"kernel": 2}, "model.kernel=2: expected an odd number of frames"),
        ({"causal": "no"}, "model.causal=no: expected true or false"),
        ({"relu_dropout": 1}, "model.relu_dropout=1: expected a probability"),
        ({"output_dropout": -0.1}, "model.output_dropout=-0.1: expected a probability"),
        ({"modalities": ["a"]}, "model.modalities=['a']: expected null"),
        ({"modalities": {"x": ["a"], "y": ["b"]}}, "each of the features (a, b, c) in exactly one"),
        ({"modalities": {"x": ["a", "b"], "y": ["b", "c"]}}, "in exactly one modality"),
        ({"modalities": {"x": ["a", "b", "c"], "y": []}}, "in exactly one modality"),
        ({"modalities": {"x": ["a", "b", "c"]}}, "needs two modalities or more, but this is one"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(MuseError) as caught:
        build_model({"_target_": TARGET, **settings}, SETS, 1)
    assert message in str(caught.value)


def test_a_single_feature_set_is_no_modality_pair():
    with pytest.raises(MuseError, match="features: a: the Multimodal Transformer needs two"):
        build_model({"_target_": TARGET}, {"a": 3}, 1)


def test_feature_sets_of_one_modality_need_equal_steps():
    rows, modalities = {"a": 2, "b": 1, "c": 4}, {"x": ["a", "c"], "y": "b"}
    with pytest.raises(MuseError, match=r"rows in a frame \(a 2, c 4\)"):
        build_model({"_target_": TARGET, "modalities": modalities}, SETS, 1, rows)


def test_a_model_without_input_rows_is_refused_several_rows():
    settings = {"_target_": "muse.models.recurrent.Recurrent"}
    assert build_model(settings, SETS, 1, {"a": 1})
    with pytest.raises(MuseError, match=r"align=own: Recurrent takes one row .* found c 4"):
        build_model(settings, SETS, 1, {"c": 4})
