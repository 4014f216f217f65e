"""The Multimodal Transformer of Tsai et al. (2019), as MuSe 2020 has it.

Shapes: B batch, T frames (padded on the right), F features, M modalities, R rows of a modality in a
frame, D dimension, O outputs; S rows of a sequence.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from muse.errors import MuseError
from muse.models.attention import sinusoids
from muse.models.blockwise import attend
from muse.models.checks import check_dropouts, check_sizes, check_switches

LEAST_MEMORY = 3  # layers of the self-attention behind the crossmodal one, as in the original code


class MultimodalTransformer(nn.Module):
    """Crossmodal attention of each modality to each other (Tsai et al. 2019; Stappen et al. 5.3).

    Each modality is projected by a temporal convolution. For each ordered pair a transformer lets
    the frames of one modality attend to those of the other, in every layer to what was projected.
    What a modality got from the others, side by side, goes through a transformer of its own (the
    memory). The memories of all, side by side, go through a residual block and a linear layer.

    The original gives one output, from the memories at the last frame. Here the block and the layer
    are those of each frame: with ``causal`` (as in the original code; the paper is silent) a frame
    gets what the original would give for the recording up to it, so a class read at the last frame
    of a segment is that of the original. Unlike there, the frames of the padding do not count.

    Silent is the paper, and from the code: embeddings are multiplied by the root of their size,
    layers are normalised first with one normalisation for queries, keys and values, the feedforward
    network has four times the size and a dropout of its own, weights begin as of Glorot and Bengio.
    Unlike the code: the text's features have no dropout of their own, keys and values share one,
    positions are those of the paper's formula, and a feature set as wide as ``dim`` is projected
    like the others.

    Modalities may have steps of their own (`align=own`): each is a sequence of its own rows, whose
    positions are counted in them, and crossmodal attention lets each row attend to the rows of the
    other modality, with ``causal`` to those that begin before its own step ends. (The code shifts
    its mask by the difference of the lengths, so that it depends on the padding.) The output needs
    the memories of all modalities at a frame: each is the mean over its rows there, where the
    original reads its last row alone.

    Args:
        input_sets: feature set -> features per frame, in the order of the columns.
        outputs: values per frame.
        input_rows: feature set -> R, its rows side by side in a frame, which share out the features
            of the frame; None: 1 of each.
        modalities: modality -> its feature sets; None: each feature set is one. Two or more. The
            feature sets of one must have the same number of rows in a frame.
        dim: dimension that each modality is projected to; ``heads`` must divide it.
        kernel: rows of the projecting convolution, odd.
        heads: per attention.
        layers: of each crossmodal transformer; those of the memories have three at least.
        causal: rows attend to no later ones.
        attention_dropout: probability, of attention weights. (In the code 0 where audio or video is
            attended to.)
        relu_dropout, residual_dropout: inside the feedforward networks; before each is added.
        embedding_dropout: of the projected features with their positions.
        output_dropout: inside the last residual block.

    Raises:
        MuseError: fewer than two modalities, modalities that do not share out the feature sets or
            that join unequal steps, a size below 1 or that does not fit, a dropout outside 0 to 1.
    """

    def __init__(
        self,
        input_sets: dict[str, int],
        outputs: int,
        input_rows: dict[str, int] | None = None,
        modalities: dict[str, list[str]] | None = None,
        dim: int = 30,
        kernel: int = 1,
        heads: int = 5,
        layers: int = 5,
        causal: bool = True,
        attention_dropout: float = 0.1,
        relu_dropout: float = 0.1,
        residual_dropout: float = 0.1,
        embedding_dropout: float = 0.25,
        output_dropout: float = 0.1,
    ):
        super().__init__()
        dropouts = {"attention_dropout": attention_dropout, "relu_dropout": relu_dropout,
                    "residual_dropout": residual_dropout,
                    "embedding_dropout": embedding_dropout}  # fmt: skip
        check_sizes(dim=dim, kernel=kernel, heads=heads, layers=layers)
        check_dropouts(**dropouts, output_dropout=output_dropout)
        check_switches(causal=causal)
        if dim % heads:
            raise MuseError(f"model.dim ({dim}) must be divisible by model.heads ({heads}).")
        if kernel % 2 == 0:
            raise MuseError(f"model.kernel={kernel}: expected an odd number of frames.")
        groups = _groups(modalities, input_sets)
        borders = dict(zip(input_sets, pairwise(_starts(input_sets)), strict=True))
        self.columns = [[borders[name] for name in group] for group in groups]
        self.rows = _rows(groups, input_rows or dict.fromkeys(input_sets, 1))
        self.project = nn.ModuleList(
            nn.Conv1d(sum(input_sets[name] for name in group) // rows, dim, kernel,
                      padding=kernel // 2, bias=False)
            for group, rows in zip(groups, self.rows, strict=True)
        )  # fmt: skip
        others = len(groups) - 1
        settings = {"heads": heads, "causal": causal, **dropouts}
        self.crossmodal = nn.ModuleList(
            nn.ModuleList(Transformer(dim, layers=layers, **settings) for _ in range(others))
            for _ in groups
        )
        self.memory = nn.ModuleList(
            Transformer(others * dim, layers=max(layers, LEAST_MEMORY), **settings) for _ in groups
        )
        width = len(groups) * others * dim
        self.block = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(output_dropout), nn.Linear(width, width)
        )
        self.output = nn.Linear(width, outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        if self.project[0].kernel_size[0] > 1:  # it would see the padding
            steps = torch.arange(features.shape[1], device=features.device)
            features = features * (steps < lengths[:, None])[..., None]
        parts = [
            project(_sequence(features, columns, rows).transpose(1, 2)).transpose(1, 2)
            for project, columns, rows in zip(self.project, self.columns, self.rows, strict=True)
        ]  # (B, T * R, D) each
        ends = [rows * lengths for rows in self.rows]
        memories = []
        for k, (crossmodal, memory) in enumerate(zip(self.crossmodal, self.memory, strict=True)):
            others = [number for number in range(len(parts)) if number != k]
            heard = [
                transformer(parts[k], parts[other], ends[other])
                for transformer, other in zip(crossmodal, others, strict=True)
            ]
            joined = torch.cat(heard, dim=2)  # (B, T * R, (M - 1) * D)
            remembered = memory(joined, None, ends[k])
            memories.append(remembered.unflatten(1, (-1, self.rows[k])).mean(2))
        whole = torch.cat(memories, dim=2)  # (B, T, M * (M - 1) * D)
        return self.output(whole + self.block(whole))


class Transformer(nn.Module):
    """Layers of attention to another modality, or to itself: (B, S, D) -> (B, S, D)."""

    def __init__(self, dim: int, layers: int, embedding_dropout: float, **settings):
        super().__init__()
        self.dim = dim
        self.dropout = nn.Dropout(embedding_dropout)
        self.layers = nn.ModuleList(Layer(dim, **settings) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, other: Tensor | None, lengths: Tensor) -> Tensor:
        """x (B, S, D), other (B, rows, D), its lengths (B,) -> (B, S, D); None: x itself."""
        x = self._embed(x)
        other = None if other is None else self._embed(other)
        for layer in self.layers:
            x = layer(x, other, lengths)
        return self.norm(x)

    def _embed(self, x: Tensor) -> Tensor:
        return self.dropout(math.sqrt(self.dim) * x + sinusoids(x.shape[1], self.dim, x))


class Layer(nn.Module):
    """x + attention(norm(x), norm(other)), then x + feedforward(norm(x))."""

    def __init__(
        self,
        dim: int,
        heads: int,
        causal: bool,
        attention_dropout: float,
        relu_dropout: float,
        residual_dropout: float,
    ):
        super().__init__()
        self.heads, self.causal, self.attention_dropout = heads, causal, attention_dropout
        self.norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(residual_dropout)
        wide, narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        for layer in (self.queries_keys_values, self.out, wide, narrow):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(dim), wide, nn.ReLU(), nn.Dropout(relu_dropout), narrow
        )

    def forward(self, x: Tensor, other: Tensor | None, lengths: Tensor) -> Tensor:
        """x (B, S, D), other (B, rows, D), its lengths (B,) -> (B, S, D); None: x itself."""
        dim = x.shape[2]
        weight, bias = self.queries_keys_values.weight, self.queries_keys_values.bias
        if other is None:
            q, k, v = linear(self.norm(x), weight, bias).split(dim, 2)
        else:
            q = linear(self.norm(x), weight[:dim], bias[:dim])
            k, v = linear(self.norm(other), weight[dim:], bias[dim:]).split(dim, 2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        dropout = self.attention_dropout if self.training else 0.0
        attended = attend(q, k, v, lengths, self.causal, dropout)  # (B, heads, T, D / heads)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feedforward(x))


def _sequence(features: Tensor, columns: list[tuple[int, int]], rows: int) -> Tensor:
    """The rows of a modality one after another: (B, T, F) -> (B, T * rows, its features)."""
    sets = [features[..., begin:end].unflatten(2, (rows, -1)) for begin, end in columns]
    return torch.cat(sets, 3).flatten(1, 2)


def _rows(groups: list[list[str]], input_rows: dict[str, int]) -> list[int]:
    """Rows in a frame of each modality. Raises MuseError if its feature sets have unequal ones."""
    for group in groups:
        if len({input_rows[name] for name in group}) > 1:
            found = ", ".join(f"{name} {input_rows[name]}" for name in group)
            raise MuseError(
                f"model.modalities: a modality has feature sets with unequal numbers of rows in a "
                f"frame ({found}). Make them modalities of their own, or use align=labels."
            )
    return [input_rows[group[0]] for group in groups]


def _starts(input_sets: dict[str, int]) -> list[int]:
    """The first column of each feature set, and the number of all."""
    starts = [0]
    for width in input_sets.values():
        starts.append(starts[-1] + width)
    return starts


def _groups(modalities: dict | None, input_sets: dict[str, int]) -> list[list[str]]:
    """The feature sets of each modality. Raises MuseError if they are not all, or not once."""
    known = ", ".join(input_sets)
    if modalities is None:
        groups = [[name] for name in input_sets]
    elif not isinstance(modalities, dict):
        raise MuseError(
            f"model.modalities={modalities}: expected null (each feature set is one), or a name and"
            " a list of feature sets for each: {audio: [egemaps], video: [vggface, au]}."
        )
    else:
        groups = [names if isinstance(names, list) else [names] for names in modalities.values()]
        named = [name for group in groups for name in group]
        if sorted(map(str, named)) != sorted(input_sets) or not all(groups):
            raise MuseError(
                f"model.modalities={modalities}: expected each of the features ({known}) in exactly"
                " one modality."
            )
    if len(groups) < 2:
        raise MuseError(
            f"features: {known}: the Multimodal Transformer needs two modalities or more, but this "
            "is one. Name more feature sets, or share them out with model.modalities."
        )
    return groups
