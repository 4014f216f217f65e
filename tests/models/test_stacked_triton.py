"""The Triton kernels: run by Triton's interpreter on the CPU, and compiled for GPUs not there."""

import importlib
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from muse.errors import MuseError
from muse.models import stacked, stacked_layers
from muse.models.stacked_layers import check_kernel
from muse.training.population import members_at_once
from tests.training.test_population import (
    alone,
    assert_equal,
    config,  # noqa: F401 a fixture
    double,  # noqa: F401 a fixture
    several,
    together,
)

triton = pytest.importorskip("triton")
from muse.models import stacked_kernels, stacked_triton  # noqa: E402

ROOT = Path(__file__).parents[2]
MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
CPU = torch.device("cpu")


@pytest.fixture
def interpreted(monkeypatch):
    """Triton chooses between interpreter and compiler where a kernel is defined."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    importlib.reload(stacked_kernels)
    yield
    monkeypatch.undo()
    importlib.reload(stacked_kernels)


def tensors(cell: str, n: int, frames: int, batch: int, hidden: int) -> list[torch.Tensor]:
    """x, the weights of a layer and a gradient of its states, for members whose features are 3."""
    rng = torch.Generator().manual_seed(hidden)
    gates = (4 if cell == "lstm" else 3) * hidden

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    scale = hidden**-0.5
    x, gradient = random(n, frames, batch, 3), random(n, frames, batch, hidden)
    biases = random(n, gates), random(n, gates)
    return [x, random(n, gates, 3), scale * random(n, gates, hidden), *biases, gradient]


def layer(given: list[torch.Tensor], lengths, back: bool, kernel: str, keep: bool = True) -> list:
    """States of all frames and, if they are kept, the gradients of x and of the weights."""
    *values, gradient = given
    values = [value.clone().requires_grad_() for value in values]
    x, frames = values[0], values[0].shape[1:3]
    valid = stacked._valid(x, lengths, frames[0]) if back else None
    with torch.set_grad_enabled(keep):
        states = stacked._layer(x.flatten(1, 2), frames, *values[1:], valid, back, kernel)
    return [states, *torch.autograd.grad(states, values, gradient)] if keep else [states]


def reference(cell: str, given: list[torch.Tensor], lengths, back: bool) -> list:
    """The same by a PyTorch layer for each member and window, cut to its length and turned."""
    *values, gradient = given
    found = [torch.zeros_like(gradient), *(torch.zeros_like(value) for value in values)]
    for k, own in enumerate(lengths.tolist()):
        module = MODULES[cell](3, gradient.shape[3]).double()
        with torch.no_grad():
            for mine, value in zip(module.parameters(), values[1:], strict=True):
                mine.copy_(value[k])
        for b, length in enumerate(own):
            if not length:
                continue
            x = values[0][k, :length, b].clone().requires_grad_()
            states = module(x.flip(0) if back else x)[0]
            states = states.flip(0) if back else states
            states.backward(gradient[k, :length, b])
            found[0][k, :length, b], found[1][k, :length, b] = states.detach(), x.grad
        for whole, mine in zip(found[2:], module.parameters(), strict=True):
            whole[k] = mine.grad
    return found


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("back", [False, True])
def test_a_layer_equals_that_of_pytorch_and_the_products(interpreted, cell, back):
    """Two blocks of windows, unequal lengths, none at all, hidden units that are no power of 2."""
    lengths = torch.tensor([[3, 1, *[2] * 15], [0, 3, *[1] * 15]])
    given = tensors(cell, 2, 3, 17, 5)
    for k, length in enumerate(lengths.T):  # what lies past the lengths counts nothing
        given[-1][:, :, k] *= (torch.arange(3) < length[:, None])[..., None]
    found = layer(given, lengths, back, "triton")
    expected = reference(cell, given, lengths, back)
    inside = (expected[0] != 0).double()
    torch.testing.assert_close(found[0] * inside, expected[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(found[1:], expected[1:], rtol=0, atol=1e-9)
    torch.testing.assert_close(found, layer(given, lengths, back, "products"), rtol=0, atol=1e-9)
    (predicted,) = layer(given, lengths, back, "triton", keep=False)
    torch.testing.assert_close(predicted, found[0], rtol=0, atol=0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("hidden", "held"), [(20, False), (32, True), (64, True), (128, False)])
def test_all_sizes_on_the_chip_and_read_by_each_frame(interpreted, monkeypatch, cell, hidden, held):
    """In float32, whose weights at 128 units do not fit; 20 units are made not to."""
    if hidden == 20:
        monkeypatch.setattr(stacked_triton, "HELD", 0)
    given = [value.float() for value in tensors(cell, 1, 2, 2, hidden)]
    plan, _ = stacked_triton.plan_of(given[2], False, False)
    assert (plan.TILE == plan.W) == held
    lengths = torch.tensor([[2, 1]])
    expected = layer(given, lengths, True, "products")
    torch.testing.assert_close(layer(given, lengths, True, "triton"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_bfloat16_with_sums_and_cells_in_float32(interpreted, cell):
    """Within the rounding of bfloat16, 2^-8, of float64; so are the products of PyTorch."""
    exact = tensors(cell, 1, 3, 2, 32)
    lengths = torch.tensor([[3, 2]])
    expected = layer(exact, lengths, True, "products")
    rounded = [value.bfloat16() for value in exact]
    for kernel in ("triton", "products"):
        for mine, its in zip(layer(rounded, lengths, True, kernel), expected, strict=True):
            assert mine.dtype == torch.bfloat16
            assert (mine.double() - its).norm() < 0.02 * its.norm()


def test_a_population_trains_as_by_products(interpreted, config, double, tmp_path):  # noqa: F811
    config.model.update(layers=1, bidirectional=True)
    members = several(config, 2, batch_size=16, hop=8)
    of_triton = several(config, 2, batch_size=16, hop=8, kernel="triton")
    one, other = together(members, tmp_path / "one"), together(of_triton, tmp_path / "other")
    assert_equal(one, other)


def test_the_kernel_that_was_asked_for_is_used(interpreted, config, double, tmp_path, monkeypatch):  # noqa: F811
    """By the training steps and by the prediction of devel."""
    seen = []

    def loops(kernel):
        seen.append(kernel)
        return importlib.import_module("muse.models.stacked_products")

    monkeypatch.setattr(stacked_layers, "_loops", loops)
    members = several(config, 2, kernel="triton")
    assert_equal(alone(members, tmp_path / "alone"), together(members, tmp_path / "together"))
    assert set(seen) == {"triton"}


def test_what_a_kernel_cannot_have(config, monkeypatch):  # noqa: F811
    gpu, driver = torch.device("cuda"), triton.runtime.driver
    asked = replace(config, kernel="triton", population=8)
    monkeypatch.setattr(driver, "_active", SimpleNamespace(utils=object()))
    with pytest.raises(
        MuseError, match=r"kernel=triton: it needs a GPU, and the device is cpu. Give"
    ):
        members_at_once(asked, CPU, 8)
    assert members_at_once(asked, gpu, 8) == 8
    for other in (replace(asked, population="auto"), replace(asked, population="off")):
        assert members_at_once(other, CPU, 8) == 1  # each alone: there is no kernel
    wide = replace(asked, model=config.model | {"hidden": 129})
    with pytest.raises(MuseError, match="takes at most 128 hidden units, and the model has 129"):
        members_at_once(wide, gpu, 8)
    check_kernel("products", CPU, 1000)

    def without_compiler():
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(sys.modules["triton.runtime.driver"], "_create_driver", without_compiler)
    monkeypatch.setattr(driver, "_active", None)
    monkeypatch.setattr(driver, "_default", None)
    with pytest.raises(MuseError, match=r"Triton cannot start; .* \(Failed to find C compiler\)"):
        members_at_once(asked, gpu, 8)
    monkeypatch.setattr(stacked_layers, "find_spec", lambda name: None)
    with pytest.raises(MuseError, match="the package triton is not installed"):
        members_at_once(asked, gpu, 8)
    with pytest.raises(MuseError, match="kernel=cuda: expected one of products, triton"):
        replace(config, kernel="cuda")


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """Kernels as compiled for a GPU, which refuses what it has not enough shared memory for."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    script = runpy.run_path(str(ROOT / "scripts" / "kernel_resources.py"))

    def check(arch: int, cell: str, hidden: int, kind: str, per_frame: bool, **more) -> None:
        found = script["compiled"](arch, cell, hidden, script["TYPES"][kind], **more)
        for name, kernel in found.items():
            assert 0 < kernel.metadata.shared <= script["SHARED"][arch]
            spilled = script["registers"](kernel.asm["cubin"])[1]
            assert spilled <= (8 if arch == 86 else 0), name
            before, _, frames = kernel.asm["ttgir"].partition("scf.for")
            loads = [part.count(f"tensor<{hidden}x{hidden}x!tt.ptr<") for part in (before, frames)]
            assert (loads[0] == 0) == per_frame and loads[1] == 0  # of whole matrices

    return check


def test_the_kernels_fit_on_a_gpu(compiled):
    compiled(80, "lstm", 64, "bf16", per_frame=False)
    compiled(90, "gru", 128, "float32", per_frame=True, back=True)


@pytest.mark.cuda
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("hidden", [5, 32, 64, 128])
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float64", 1e-9), ("float32", 1e-5), ("bfloat16", 0.02)]
)
def test_a_layer_equals_the_products_on_a_gpu(cell, hidden, kind, tolerance):
    """Several blocks of windows and many frames, beside the products in float64."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    exact = [value.cuda() for value in tensors(cell, 3, 50, 40, hidden)]
    rng = torch.Generator().manual_seed(0)
    lengths = torch.randint(51, (3, 40), generator=rng).cuda()
    given = [value.to(getattr(torch, kind)) for value in exact]
    for back in (False, True):
        expected = layer(exact, lengths, back, "products")
        for mine, its in zip(layer(given, lengths, back, "triton"), expected, strict=True):
            assert (mine.double() - its).norm() < tolerance * its.norm()


@pytest.mark.slow
@pytest.mark.parametrize("arch", [80, 86, 90])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("hidden", [32, 64, 128])
@pytest.mark.parametrize("kind", ["bf16", "float32"])
def test_all_kernels_fit_on_a_gpu(compiled, arch, cell, hidden, kind):
    per_frame = hidden == 128 and (kind == "float32" or arch == 86)
    for more in ({}, {"back": True}, {"keep": False}):
        compiled(arch, cell, hidden, kind, per_frame, **more)
