"""The kernels of `muse.models.stacked_triton`, in Triton's language.

A program has one member, `program_id(1)`, and a block of its windows, `program_id(0)`. The
mathematics and the layout of all arrays are those of `muse.models.stacked_products`; sums, states
and cells between two frames are never rounded below float32.

Shapes: N members, T frames, B windows, H hidden, W hidden padded to a power of two. The padding is
read as zero, gives states and derivatives of zero, and is not written.
"""

import os
from typing import NamedTuple

import triton
import triton.language as tl

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # with NumPy, on the CPU; for tests
SIZES = ["members", "frames", "batch"]  # one compilation is good for all of them


class Plan(NamedTuple):
    """What a kernel is compiled for."""

    H: int
    W: int
    BLOCK: int  # windows of a program
    TILE: int  # rows of a matrix that are on the chip at once; W: all, for all frames
    KIND: tl.dtype  # to which the operands of a product are rounded
    DOT: tl.dtype  # in which they are multiplied: KIND, but the interpreter has no bfloat16
    STATE: tl.dtype  # of sums, states and cells: float32 or float64
    PRECISION: str  # of products of float32, see `stacked_triton.plan_of`
    BACK: bool
    ENDS: bool  # whether there is a `valid`


@triton.jit
def _sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _tanh(x):
    # Triton has none of its own; the error is absolute, in float32 about 1e-7
    return 2 / (1 + tl.exp(-2 * x)) - 1


@triton.jit
def _matrix(weight, part, P: tl.constexpr, TURNED: tl.constexpr):
    """The recurrent weights (H, H) of a gate, on the chip; or where they are, if they do not fit.

    Args:
        part: number of the gate.
        TURNED: for a product with the transpose of the weights, as the forward pass has it.
    """
    weight += part * P.H * P.H
    if P.TILE < P.W:
        return weight
    else:
        return _tile(weight, 0, P, TURNED)


@triton.jit
def _tile(weight, first, P: tl.constexpr, TURNED: tl.constexpr):
    """Rows of a matrix from ``first`` on: (TILE, W)."""
    rows, columns = first + tl.arange(0, P.TILE)[:, None], tl.arange(0, P.W)[None, :]
    where = columns * P.H + rows if TURNED else rows * P.H + columns
    return tl.load(weight + where, mask=(rows < P.H) & (columns < P.H), other=0.0).to(P.DOT)


@triton.jit
def _rows(x, source, first, there, P: tl.constexpr):
    """What is multiplied with a tile: x (BLOCK, W) itself, or some of its columns (BLOCK, TILE).

    Args:
        source: where the rows of x stand in memory, (BLOCK, 1); they are read from there if the
            matrices are not on the chip, since a block cannot be cut into tiles.
        first: column.
        there: of which windows there are rows, (BLOCK, 1).
    """
    if P.TILE == P.W:
        return x.to(P.KIND).to(P.DOT)
    else:
        own = first + tl.arange(0, P.TILE)[None, :]
        x = tl.load(source + own, mask=there & (own < P.H), other=0.0)
        return x.to(P.KIND).to(P.DOT)


@triton.jit
def _product(total, rows, matrix, first, P: tl.constexpr, TURNED: tl.constexpr):
    """total + rows @ matrix, of which the rows from ``first`` on are taken: (BLOCK, W)."""
    if P.TILE < P.W:
        matrix = _tile(matrix, first, P, TURNED)
    return tl.dot(rows, matrix, total, input_precision=P.PRECISION, out_dtype=P.STATE)


@triton.jit
def _ends(valid, frame, b, batch, P: tl.constexpr):
    """1 for windows that have this frame and 0 for others: (BLOCK, 1)."""
    return tl.load(valid + frame * batch + b, mask=b < batch, other=0.0).to(P.STATE)


@triton.jit(do_not_specialize=SIZES)
def lstm_forward(
    given, weight, valid, states, cells, gates, members, frames, batch,
    P: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(1).to(tl.int64)
    b = tl.program_id(0) * P.BLOCK + tl.arange(0, P.BLOCK)[:, None]
    unit = tl.arange(0, P.W)[None, :]
    there = (b < batch) & (unit < P.H)
    weight += n * 4 * P.H * P.H
    of_i, of_f = _matrix(weight, 0, P, True), _matrix(weight, 1, P, True)
    of_g, of_o = _matrix(weight, 2, P, True), _matrix(weight, 3, P, True)
    h = tl.full((P.BLOCK, P.W), 0, P.STATE)
    c = tl.full((P.BLOCK, P.W), 0, P.STATE)
    for step in range(frames):
        t = frames - 1 - step if P.BACK else step
        before, after = t + P.BACK, t + 1 - P.BACK
        own = given + (n * frames + t) * batch * 4 * P.H + b * 4 * P.H + unit
        i = tl.load(own, mask=there, other=0.0).to(P.STATE)
        f = tl.load(own + P.H, mask=there, other=0.0).to(P.STATE)
        g = tl.load(own + 2 * P.H, mask=there, other=0.0).to(P.STATE)
        o = tl.load(own + 3 * P.H, mask=there, other=0.0).to(P.STATE)
        source = states + (n * (frames + 1) + before) * batch * P.H + b * P.H
        for first in range(0, P.W, P.TILE):
            rows = _rows(h, source, first, b < batch, P)
            i = _product(i, rows, of_i, first, P, True)
            f = _product(f, rows, of_f, first, P, True)
            g = _product(g, rows, of_g, first, P, True)
            o = _product(o, rows, of_o, first, P, True)
        i, f, g, o = _sigmoid(i), _sigmoid(f), _tanh(g), _sigmoid(o)
        c = f * c + i * g
        if P.ENDS:
            c *= _ends(valid, n * frames + t, b, batch, P)
        h = o * _tanh(c)
        own = states + (n * (frames + 1) + after) * batch * P.H + b * P.H + unit
        tl.store(own, h, mask=there)
        if KEEP:
            own = cells + (after * members + n) * batch * P.H + b * P.H + unit
            tl.store(own, c, mask=there)
            own = gates + (t * members + n) * batch * 4 * P.H + b * 4 * P.H + unit
            tl.store(own, i, mask=there)
            tl.store(own + P.H, f, mask=there)
            tl.store(own + 2 * P.H, g, mask=there)
            tl.store(own + 3 * P.H, o, mask=there)
        if P.TILE < P.W:
            tl.debug_barrier()  # the next frame reads what all threads have stored


@triton.jit(do_not_specialize=SIZES)
def lstm_backward(
    gradient, weight, valid, slopes, through, forget, deltas, members, frames, batch,
    P: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(1).to(tl.int64)
    b = tl.program_id(0) * P.BLOCK + tl.arange(0, P.BLOCK)[:, None]
    unit = tl.arange(0, P.W)[None, :]
    there = (b < batch) & (unit < P.H)
    weight += n * 4 * P.H * P.H
    of_i, of_f = _matrix(weight, 0, P, False), _matrix(weight, 1, P, False)
    of_g, of_o = _matrix(weight, 2, P, False), _matrix(weight, 3, P, False)
    dh = tl.full((P.BLOCK, P.W), 0, P.STATE)
    dc = tl.full((P.BLOCK, P.W), 0, P.STATE)
    for step in range(frames):
        t = step if P.BACK else frames - 1 - step
        at = n * frames + t
        turned = t * members + n
        own = gradient + at * batch * P.H + b * P.H + unit
        dh += tl.load(own, mask=there, other=0.0).to(P.STATE)
        own = through + turned * batch * P.H + b * P.H + unit
        dc += dh * tl.load(own, mask=there, other=0.0).to(P.STATE)
        if P.ENDS:
            dc *= _ends(valid, at, b, batch, P)
        own = slopes + turned * batch * 4 * P.H + b * 4 * P.H + unit
        di = dc * tl.load(own, mask=there, other=0.0).to(P.STATE)
        df = dc * tl.load(own + P.H, mask=there, other=0.0).to(P.STATE)
        dg = dc * tl.load(own + 2 * P.H, mask=there, other=0.0).to(P.STATE)
        do = dh * tl.load(own + 3 * P.H, mask=there, other=0.0).to(P.STATE)
        source = deltas + at * batch * 4 * P.H + b * 4 * P.H
        tl.store(source + unit, di, mask=there)
        tl.store(source + P.H + unit, df, mask=there)
        tl.store(source + 2 * P.H + unit, dg, mask=there)
        tl.store(source + 3 * P.H + unit, do, mask=there)
        own = forget + turned * batch * 4 * P.H + b * 4 * P.H + unit
        dc *= tl.load(own, mask=there, other=0.0).to(P.STATE)
        if P.TILE < P.W:
            tl.debug_barrier()
        dh = tl.full((P.BLOCK, P.W), 0, P.STATE)
        for first in range(0, P.W, P.TILE):
            rows = _rows(di, source, first, b < batch, P)
            dh = _product(dh, rows, of_i, first, P, False)
            rows = _rows(df, source + P.H, first, b < batch, P)
            dh = _product(dh, rows, of_f, first, P, False)
            rows = _rows(dg, source + 2 * P.H, first, b < batch, P)
            dh = _product(dh, rows, of_g, first, P, False)
            rows = _rows(do, source + 3 * P.H, first, b < batch, P)
            dh = _product(dh, rows, of_o, first, P, False)


@triton.jit(do_not_specialize=SIZES)
def gru_forward(
    given, weight, bias, valid, states, gates, members, frames, batch,
    P: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(1).to(tl.int64)
    b = tl.program_id(0) * P.BLOCK + tl.arange(0, P.BLOCK)[:, None]
    unit = tl.arange(0, P.W)[None, :]
    there = (b < batch) & (unit < P.H)
    weight += n * 3 * P.H * P.H
    of_r, of_z = _matrix(weight, 0, P, True), _matrix(weight, 1, P, True)
    of_q = _matrix(weight, 2, P, True)
    bias += n * 3 * P.H + unit
    to_r = tl.load(bias, mask=unit < P.H, other=0.0).to(P.STATE)  # (1, W)
    to_z = tl.load(bias + P.H, mask=unit < P.H, other=0.0).to(P.STATE)
    to_q = tl.load(bias + 2 * P.H, mask=unit < P.H, other=0.0).to(P.STATE)
    h = tl.full((P.BLOCK, P.W), 0, P.STATE)
    for step in range(frames):
        t = frames - 1 - step if P.BACK else step
        before, after = t + P.BACK, t + 1 - P.BACK
        own = given + (n * frames + t) * batch * 3 * P.H + b * 3 * P.H + unit
        r = tl.load(own, mask=there, other=0.0).to(P.STATE) + to_r
        z = tl.load(own + P.H, mask=there, other=0.0).to(P.STATE) + to_z
        new = tl.load(own + 2 * P.H, mask=there, other=0.0).to(P.STATE)
        source = states + (n * (frames + 1) + before) * batch * P.H + b * P.H
        q = tl.full((P.BLOCK, P.W), 0, P.STATE) + to_q
        for first in range(0, P.W, P.TILE):
            rows = _rows(h, source, first, b < batch, P)
            r = _product(r, rows, of_r, first, P, True)
            z = _product(z, rows, of_z, first, P, True)
            q = _product(q, rows, of_q, first, P, True)
        r, z = _sigmoid(r), _sigmoid(z)
        new = _tanh(new + r * q)
        h = new + z * (h - new)
        if P.ENDS:
            h *= _ends(valid, n * frames + t, b, batch, P)
        own = states + (n * (frames + 1) + after) * batch * P.H + b * P.H + unit
        tl.store(own, h, mask=there)
        if KEEP:
            own = gates + (t * members + n) * batch * 4 * P.H + b * 4 * P.H + unit
            tl.store(own, r, mask=there)
            tl.store(own + P.H, z, mask=there)
            tl.store(own + 2 * P.H, q, mask=there)
            tl.store(own + 3 * P.H, new, mask=there)
        if P.TILE < P.W:
            tl.debug_barrier()


@triton.jit(do_not_specialize=SIZES)
def gru_backward(
    gradient, weight, valid, slopes, keep, deltas, members, frames, batch, P: tl.constexpr
):
    n = tl.program_id(1).to(tl.int64)
    b = tl.program_id(0) * P.BLOCK + tl.arange(0, P.BLOCK)[:, None]
    unit = tl.arange(0, P.W)[None, :]
    there = (b < batch) & (unit < P.H)
    weight += n * 3 * P.H * P.H
    of_r, of_z = _matrix(weight, 0, P, False), _matrix(weight, 1, P, False)
    of_q = _matrix(weight, 2, P, False)
    dh = tl.full((P.BLOCK, P.W), 0, P.STATE)
    for step in range(frames):
        t = step if P.BACK else frames - 1 - step
        at = n * frames + t
        turned = (t * members + n) * batch * 4 * P.H + b * 4 * P.H + unit
        own = gradient + at * batch * P.H + b * P.H + unit
        dh += tl.load(own, mask=there, other=0.0).to(P.STATE)
        if P.ENDS:
            dh *= _ends(valid, at, b, batch, P)
        own = slopes + turned
        dr = dh * tl.load(own, mask=there, other=0.0).to(P.STATE)
        dz = dh * tl.load(own + P.H, mask=there, other=0.0).to(P.STATE)
        dq = dh * tl.load(own + 2 * P.H, mask=there, other=0.0).to(P.STATE)
        dnew = dh * tl.load(own + 3 * P.H, mask=there, other=0.0).to(P.STATE)
        source = deltas + at * batch * 4 * P.H + b * 4 * P.H
        tl.store(source + unit, dr, mask=there)
        tl.store(source + P.H + unit, dz, mask=there)
        tl.store(source + 2 * P.H + unit, dq, mask=there)
        tl.store(source + 3 * P.H + unit, dnew, mask=there)
        if P.TILE < P.W:
            tl.debug_barrier()
        dh *= tl.load(keep + turned, mask=there, other=0.0).to(P.STATE)
        for first in range(0, P.W, P.TILE):
            rows = _rows(dr, source, first, b < batch, P)
            dh = _product(dh, rows, of_r, first, P, False)
            rows = _rows(dz, source + P.H, first, b < batch, P)
            dh = _product(dh, rows, of_z, first, P, False)
            rows = _rows(dq, source + 2 * P.H, first, b < batch, P)
            dh = _product(dh, rows, of_q, first, P, False)
