"""scripts/gpu_check.py: what becomes of a step that is ended, and of a profile of a GPU."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu_check.py"
STEP = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
draft = pathlib.Path("draft")
draft.write_text(str(child.pid))
draft.rename("child")
time.sleep(60)
"""


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_a_step_is_ended_with_the_processes_that_it_has_started(script, tmp_path):
    words = [sys.executable, "-c", STEP]
    process = subprocess.Popen(words, cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "child").exists():
        time.sleep(0.01)
    script.end(process)
    assert process.returncode
    status = Path("/proc", (tmp_path / "child").read_text(), "status")
    while status.exists() and "zombie" not in status.read_text():  # hangs if it lives on
        time.sleep(0.01)


def test_a_step_that_is_ended_keeps_its_figures(script, monkeypatch, tmp_path):
    given = SimpleNamespace(out=tmp_path, device="cpu", small=True)
    real = script.subprocess.Popen

    def begun(words, **settings):
        (tmp_path / "wilder.json").write_text('{"MiB": 3}')  # as the step itself
        return real([sys.executable, "-c", "import time; time.sleep(60)"], **settings)

    monkeypatch.setattr(script.subprocess, "Popen", begun)
    found = script.in_process("wilder", given, 1)
    assert (found["ok"], found["MiB"], found["output"]) == (False, 3, "\nended after 1 s")


def test_the_time_of_a_kernel_counts_once(script):
    """An operation has the time of its kernels, which have rows of their own."""

    def row(key, device, seconds=0.0, of_user=False, count=1):
        return SimpleNamespace(key=key, device_type=device, self_device_time_total=1e6 * seconds,
                               is_user_annotation=of_user, count=count)  # fmt: skip

    rows = [
        row("aten::mm", DeviceType.CPU, 0.5),
        row("gemm", DeviceType.CUDA, 0.5),
        row("add", DeviceType.CUDA, 0.25),
        row("a range of the user", DeviceType.CUDA, 2.0, of_user=True),
        row("cudaLaunchKernel", DeviceType.CPU, count=2),
        row("cuLaunchKernelEx", DeviceType.CPU, count=3),
        row("cudaStreamSynchronize", DeviceType.CPU, count=4),
    ]
    trace = SimpleNamespace(key_averages=lambda: rows)
    found = script.profiled(trace, torch.device("cuda"), 1.5)
    assert found["busy"] == 0.5 and found["top"] == {"gemm": 0.5, "add": 0.25}
    assert (found["launches"], found["synchronisations"]) == (5, 4)


def test_memory_that_is_full_is_noted(script):
    noted = {}
    for error in (torch.OutOfMemoryError("CUDA out of memory."), None):
        with script.where_it_fits(lambda **more: noted.update(more), str(error)):
            if error:
                raise error
    assert noted == {"CUDA out of memory.": "left out: the memory of the GPU is full"}
    with pytest.raises(RuntimeError, match="wrong"), script.where_it_fits(noted.update, "other"):
        raise RuntimeError("wrong")
