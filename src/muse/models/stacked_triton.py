"""The loops over frames of `muse.models.stacked_layers` as Triton kernels: one launch per loop.

In a loop of matrix products the device waits between two frames, and each frame reads the
recurrent weights of all members again. Here a program takes one member and a block of its windows,
loads the recurrent weights once, keeps them on the chip, and goes through all frames. Weights that
do not fit there (float32 with 128 units) are read again by each frame, tile by tile, from the L2
cache. What is computed and kept for the backward pass is the same as in
`muse.models.stacked_products`, whose functions have these names.

docs/populations.md says what the compiler makes of the kernels, and why the blocks are of these
sizes.

Shapes: N members, T frames, B windows, H hidden, G values of all gates.
"""

from subprocess import SubprocessError

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.driver import driver

from muse.models import stacked_kernels as kernels

LEAST = 16  # rows and columns that a product can have
HELD = 128 * 1024  # bytes of weights that a program keeps on the chip at most
PREFETCHED = 48 * 1024  # bytes of weights beside which there is room to load the next frame early
TYPES = {torch.bfloat16: tl.bfloat16, torch.float32: tl.float32, torch.float64: tl.float64}


def cannot_start() -> str | None:
    """Why Triton cannot use the GPU, None if it can.

    It compiles the code that starts its kernels with the C compiler of the system.
    """
    try:
        return None if driver.active.utils else "no driver"
    except (RuntimeError, AssertionError, ImportError, OSError, SubprocessError) as error:
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def lstm_forward(
    given: Tensor, weight: Tensor, valid: Tensor | None, back: bool, keep: bool, *written: Tensor
) -> None:
    """As `muse.models.stacked_products.lstm_forward`; ``written``: states, cells and gates."""
    tensors = given.contiguous(), weight.contiguous(), valid, *written
    _launch(kernels.lstm_forward, tensors, back, valid, KEEP=keep)


def lstm_backward(
    gradient: Tensor,
    weight: Tensor,
    valid: Tensor | None,
    back: bool,
    slopes: Tensor,
    through: Tensor,
    forget: Tensor,
    deltas: Tensor,
) -> None:
    """As `muse.models.stacked_products.lstm_backward`."""
    tensors = gradient.contiguous(), weight.contiguous(), valid, slopes, through, forget, deltas
    _launch(kernels.lstm_backward, tensors, back, valid)


def gru_forward(
    given: Tensor,
    weight: Tensor,
    bias: Tensor,
    valid: Tensor | None,
    back: bool,
    keep: bool,
    *written: Tensor,
) -> None:
    """As `muse.models.stacked_products.gru_forward`; ``written``: states and gates."""
    tensors = given.contiguous(), weight.contiguous(), bias.contiguous(), valid, *written
    _launch(kernels.gru_forward, tensors, back, valid, KEEP=keep)


def gru_backward(
    gradient: Tensor,
    weight: Tensor,
    valid: Tensor | None,
    back: bool,
    slopes: Tensor,
    update: Tensor,
    deltas: Tensor,
) -> None:
    """As `muse.models.stacked_products.gru_backward`."""
    tensors = gradient.contiguous(), weight.contiguous(), valid, slopes, update, deltas
    _launch(kernels.gru_backward, tensors, back, valid)


def _launch(
    kernel, tensors: tuple[Tensor | None, ...], back: bool, valid: Tensor | None, **more: bool
) -> None:
    """Run a kernel on its tensors, of which the first is (N, T, B, .) and the second the weight."""
    first, weight = tensors[:2]
    n, frames, batch = first.shape[:3]
    with torch.cuda.device_of(first):
        plan, options = plan_of(weight, back, valid is not None)
        grid = triton.cdiv(batch, plan.BLOCK), n
        kernel[grid](*tensors, n, frames, batch, P=plan, **more, **options)


def plan_of(weight: Tensor, back: bool, ends: bool) -> tuple[kernels.Plan, dict[str, int]]:
    """How a layer is cut into blocks and tiles on the current GPU, and the compiler's options.

    Products of float32 are as PyTorch's own: in full precision unless it was told to use TF32
    (`torch.set_float32_matmul_precision`), whose operands have 10 bits of mantissa in place of 23.
    The tensor cores compute those in TF32 and bfloat16, but not those in full precision.

    Args:
        weight: (N, G, H).
        back, ends: see `muse.models.stacked_kernels.Plan`.
    """
    hidden = weight.shape[2]
    width = max(LEAST, triton.next_power_of_2(hidden))
    row = width * weight.element_size()
    matrices = weight.shape[1] // hidden * width * row
    blocks = 5 * LEAST * row  # operands of the products, and what changes its layout
    held = matrices <= min(HELD, _shared_memory() - blocks)
    kind = TYPES[weight.dtype]
    state = tl.float64 if kind == tl.float64 else tl.float32
    plan = kernels.Plan(
        H=hidden,
        W=width,
        BLOCK=LEAST if held else 2 * LEAST,  # twice the use of what each frame reads
        TILE=width if held else LEAST,
        KIND=kind,
        DOT=state if kernels.INTERPRETED else kind,
        STATE=state,
        PRECISION="tf32" if _tf32() else "ieee",
        BACK=back,
        ENDS=ends,
    )
    options = {"num_warps": 4 if width <= 32 else 8, "num_stages": 1 + (matrices <= PREFETCHED)}
    return plan, options


def _tf32() -> bool:
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):  # PyTorch 2.9 and later
        return matmul.fp32_precision == "tf32"
    return matmul.allow_tf32


def _shared_memory() -> int:
    """Bytes that a program can have on the current device."""
    if kernels.INTERPRETED:
        return 2 * HELD
    active = driver.active
    return active.utils.get_device_properties(active.get_current_device())["max_shared_mem"]
