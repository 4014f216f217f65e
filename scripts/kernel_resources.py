"""What the compiler makes of the Triton kernels: the table in docs/populations.md, without a GPU.

    python scripts/kernel_resources.py --archs 80,90

Each kernel is compiled by the launch of a layer, forward and backward, as on a GPU, and then not
run. `KiB`: shared memory of a program; `registers` of a thread, 255 at most; `spilled`:
bytes per thread that did not fit into them; `weights`: on the chip for all frames, or read by each.
"""

import argparse
import itertools
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from muse.models import stacked_kernels
from muse.models.stacked_layers import GRU, LSTM

SHARED = {80: 163 * 1024, 86: 99 * 1024, 90: 227 * 1024}  # bytes that a program can have
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
TYPES = {"bf16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


class Driver:
    """In place of a GPU: kernels are compiled for it, refused as by it, and never run."""

    def __init__(self, arch: int):
        self.arch = arch
        self.utils = SimpleNamespace(
            get_device_properties=lambda device: {"max_shared_mem": SHARED[arch]},
            load_binary=lambda *_: (None, None, 0, 0, 1024),  # the last: threads of a program
        )

    def launcher_cls(self, source, metadata):
        return lambda *_: None

    def get_current_device(self) -> int:
        return self.arch  # Triton keeps what it has compiled by device

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.arch, 32)


@contextmanager
def in_place_of_a_gpu(arch: int) -> Iterator[None]:
    """Kernels that are launched in this block are compiled for such a GPU, and not run."""
    before = driver._active
    driver.set_active(Driver(arch))
    try:
        yield
    finally:
        driver._active = before


def compiled(
    arch: int, cell: str, hidden: int, kind: torch.dtype, back: bool = False, keep: bool = True
) -> dict:
    """The kernels of a layer, forward and backward, as Triton's CompiledKernel, by their names.

    Args:
        back: from the ends of windows of unequal length.
        keep: with a backward pass; else the forward one is all.

    Raises triton.runtime.errors.OutOfResources if one needs more than the GPU has.
    """
    kernels = [getattr(stacked_kernels, f"{cell}_{way}") for way in ("forward", "backward")]
    for kernel in kernels:
        kernel.device_caches.pop(arch, None)
    layer, gates = {"lstm": (LSTM, 4), "gru": (GRU, 3)}[cell]
    given = torch.zeros(1, 2, 16, gates * hidden, dtype=kind, requires_grad=True)
    weights = [torch.zeros(1, gates * hidden, hidden, dtype=kind)]
    weights += [torch.zeros(1, gates * hidden, dtype=kind)] * (cell == "gru")
    valid = torch.ones(1, 2, 16, 1, dtype=kind) if back else None
    with in_place_of_a_gpu(arch), torch.set_grad_enabled(keep):
        states = layer.apply(given, *weights, valid, back, keep, "triton")
        if keep:
            states.sum().backward()
    made = kernels[: 1 + keep]
    return {k.fn.__name__: next(iter(k.device_caches[arch][0].values())) for k in made}


def registers(binary: bytes) -> tuple[int, int]:
    """Registers of a thread, and bytes of its stack: what has been spilled."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        line = [CUOBJDUMP, "--dump-resource-usage", file.name]
        found = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"REG:(\d+)", found)[1]), int(re.search(r"STACK:(\d+)", found)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archs", default="80,90", help="compute capabilities: 80,86,90")
    parser.add_argument("--hidden", default="32,64,128")
    parser.add_argument("--types", default="bf16,float32", help=f"of {','.join(TYPES)}")
    given = parser.parse_args()
    columns = "sm", "kernel", "type", "hidden", "weights", "KiB", "warps", "registers", "spilled"
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    cases = (map(int, given.archs.split(",")), ("lstm", "gru"), given.types.split(","),
             map(int, given.hidden.split(",")))  # fmt: skip
    for arch, cell, kind, hidden in itertools.product(*cases):
        for name, kernel in compiled(arch, cell, hidden, TYPES[kind]).items():
            plan = next(v for v in kernel.src.constants.values() if hasattr(v, "TILE"))
            row = (arch, name, kind, hidden, "on the chip" if plan.TILE == plan.W else "per frame",
                   kernel.metadata.shared // 1024, kernel.metadata.num_warps,
                   *registers(kernel.asm["cubin"]))  # fmt: skip
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
