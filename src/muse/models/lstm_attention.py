"""LSTM with self-attention: the baseline of MuSe 2020 for signals.

Shapes: B batch, T frames (padded on the right), F features, H hidden, O outputs.
"""

import torch
from torch import Tensor, nn

from muse.models.attention import dot_products
from muse.models.checks import check_sizes, check_switches
from muse.models.products import turn
from muse.models.recurrent import recur, turned_order


class LSTMAttention(nn.Module):
    """Two LSTMs beside each other, of which one queries the other (Stappen et al. 2020, 5.1).

    Both read the features in both directions, whose outputs are added. The first gives the queries,
    the second the keys; a frame attends to all frames of its recording by dot products that are not
    scaled. What it attends to and its query, side by side, go through one linear layer.

    The paper speaks of query and value sequences and of a product of query and key, not of what the
    values are: they are the keys, as in the published code. There the cells have peepholes, which
    PyTorch's do not have, and the frames of the padding are attended to (and pooled), as zeros;
    here they do not count, so that a recording gets the same outputs alone and padded.

    Args:
        inputs: features per frame.
        outputs: values per frame.
        hidden: size of each of the four LSTMs.
        pool: one output for all frames, from their maximum over time, in place of one for each:
            for classes of segments, which are read at the last frame. It is given for every frame.

    Raises:
        MuseError: a size below 1, a switch that is neither true nor false.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int = 40, pool: bool = False):
        super().__init__()
        check_sizes(hidden=hidden)
        check_switches(pool=pool)
        self.pool = pool
        self.queries, self.keys = (
            nn.ModuleDict({way: nn.LSTM(inputs, hidden) for way in ("ahead", "back")})
            for _ in range(2)
        )
        self.output = nn.Linear(2 * hidden, outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F), lengths (B,) -> (B, T, O), undefined past each length."""
        x = features.transpose(0, 1)  # (T, B, F)
        turned = turned_order(x.shape[0], lengths)
        reverse = turn(x, turned)
        queries, keys = (
            (recur(lstm["ahead"], x) + turn(recur(lstm["back"], reverse), turned))
            for lstm in (self.queries, self.keys)
        )  # (T, B, H)
        there = torch.arange(x.shape[0], device=x.device) < lengths[:, None]  # (B, T)
        q, k = (part.transpose(0, 1)[:, None] for part in (queries, keys))  # (B, 1, T, H)
        attended = dot_products(q, k, k, there[:, None, None], scale=1.0)[:, 0]
        both = torch.cat([q[:, 0], attended], dim=2)  # (B, T, 2H)
        if not self.pool:
            return self.output(both)
        most = both.masked_fill(~there[..., None], -torch.inf).amax(1)  # (B, 2H)
        return self.output(most)[:, None].expand(-1, x.shape[0], -1)
