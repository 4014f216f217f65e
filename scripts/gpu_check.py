"""Everything that muse does on a GPU, checked and measured by one command in under eight minutes.

    python scripts/gpu_check.py                       on the first GPU; exit 2 without one
    python scripts/gpu_check.py --device cpu --small  a tiny version of every step, without a GPU
    python scripts/gpu_check.py --steps populations,profile

Each step runs in a process of its own with a time limit, so that one that fails or hangs loses
nothing but its own figures. All of them end in OUT/gpu_check.json, which is written after each
step: `ok`, seconds, the figures of the step until it ended, and the end of what it has printed if
it failed; OUT/STEP.log has all of that. What would take more time or memory than there is is left
out, and named. Exit status 1 if a step has failed.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CEAP = ROOT.parent / "shared" / "data" / "ceap"
DEADLINE = 470  # seconds for everything
LIMITS = {"tests": 110, "ceap": 75, "stress": 60, "wilder": 30, "deepspectrum": 60, "largest": 30,
          "profile": 40, "memory": 40, "kernel": 75, "populations": 150, "search": 90,
          "ways": 90}  # fmt: skip
END = float(os.environ.get("GPU_CHECK_END", "inf"))  # when a step is ended, see `time.time`


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny version of every step")
    parser.add_argument("--steps", default=",".join(LIMITS), help="some of them, a,b,c")
    parser.add_argument("--step", help=argparse.SUPPRESS)  # one, in its own process
    parser.add_argument("--out", type=Path, default="outputs/gpu_check")
    given = parser.parse_args()
    given.out = given.out.resolve()  # the steps run in another folder
    if given.step:
        return run_step(given)
    unknown = set(given.steps.split(",")) - set(LIMITS)
    if unknown:
        parser.error(f"--steps: {', '.join(sorted(unknown))}; there are {', '.join(LIMITS)}")
    import torch

    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU: PyTorch finds none here. A tiny version of every step runs without one:\n"
              "    python scripts/gpu_check.py --device cpu --small")  # fmt: skip
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    found = about(given.device) | {"small": given.small, "steps": {}}
    patience = 1 if given.device.startswith("cuda") else 4  # nobody pays for the minutes of a CPU
    begin = time.monotonic()
    for step in given.steps.split(","):
        left = patience * DEADLINE - (time.monotonic() - begin)
        found["steps"][step] = one = in_process(step, given, min(patience * LIMITS[step], left))
        figures = json.dumps({k: v for k, v in one.items() if k != "output"})
        print(f"{step:14} {figures}", flush=True)
        if not one["ok"]:
            print(one.get("output", ""), flush=True)
        found["seconds"] = round(time.monotonic() - begin, 1)
        (given.out / "gpu_check.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"{given.out / 'gpu_check.json'}")
    return int(not all(one["ok"] for one in found["steps"].values()))


def about(device: str) -> dict:
    import torch

    found = {"device": device, "torch": torch.__version__, "platform": sys.platform}
    if device.startswith("cuda"):
        of = torch.cuda.get_device_properties(device)
        found |= {"device": of.name, "GiB": round(of.total_memory / 2**30, 1),
                  "capability": f"{of.major}.{of.minor}", "cuda": torch.version.cuda,
                  "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    return found


def in_process(step: str, given: argparse.Namespace, limit: float) -> dict:
    """Run a step for at most ``limit`` seconds; what it has found, or how it has ended."""
    if limit < 1:
        return {"ok": False, "output": "not begun: the time was up"}
    file = given.out / f"{step}.json"
    file.unlink(missing_ok=True)
    words = [sys.executable, __file__, "--step", step, "--device", given.device]
    words += ["--out", str(given.out)] + ["--small"] * given.small
    begin, log, ended = time.monotonic(), given.out / f"{step}.log", ""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
            env=environment() | {"GPU_CHECK_END": str(time.time() + limit)},
        )  # fmt: skip
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            ended = f"\nended after {limit:.0f} s"
        finally:
            end(process)
    ok = process.returncode == 0 and not ended
    found = json.loads(file.read_text()) if file.exists() else {}
    seconds = round(time.monotonic() - begin, 1)
    text = log.read_text(errors="replace")[-3000:] + ended
    return {"ok": ok, "seconds": seconds, **found} | ({} if ok else {"output": text})


def end(process: subprocess.Popen) -> None:
    """End a step with the processes that it has started: they would keep the GPU."""
    if sys.platform == "win32":
        words = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(words, capture_output=True, check=False)
    else:
        with suppress(ProcessLookupError, PermissionError):  # none is left
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment() -> dict[str, str]:
    """Of a step: this checkout of muse, and where possible an allocator that fragments less."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    whole = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    return (whole if sys.platform == "linux" else {}) | os.environ | {"PYTHONPATH": path}


def run_step(given: argparse.Namespace) -> int:
    """A step in this process; its figures are written as they come."""
    import torch

    from muse.training.device import prepare

    figures: dict = {}
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"{given.step}.json"

    def note(**more: object) -> None:
        figures.update(more)
        draft = file.with_suffix(".draft")  # the step may be ended at any time
        draft.write_text(json.dumps(figures))
        draft.replace(file)

    device = torch.device(
        given.device if ":" in given.device or given.device == "cpu" else "cuda:0"
    )
    prepare(str(device), 1)
    with tempfile.TemporaryDirectory() as name:
        os.environ["MUSE_CACHE"] = f"{name}/cache"
        STEPS[given.step](device, given.small, Path(name), note)
    return 0


@contextmanager
def measured(device, note: Callable[..., None], name: str):
    """Note seconds, and on a GPU the peak of its memory, of a block."""
    import torch

    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    begin = time.perf_counter()
    yield
    if on_gpu:
        torch.cuda.synchronize(device)
    found = {"seconds": round(time.perf_counter() - begin, 4)}
    if on_gpu:
        found["MiB"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    note(**{name: found})


@contextmanager
def where_it_fits(note: Callable[..., None], name: str):
    """Note that the memory of the GPU is not good for a block, and go on behind it."""
    import torch

    from muse.cores import is_out_of_memory

    try:
        yield
        return
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    note(**{name: "left out: the memory of the GPU is full"})
    torch.cuda.empty_cache()


def tests(device, small: bool, folder: Path, note) -> None:
    """The tests that need a GPU; without one they must skip."""
    words = [sys.executable, "-m", "pytest", "-n", "0", "-m", "cuda", "-rs", "tests/training",
             "tests/models/test_stacked_triton.py"]  # fmt: skip
    done = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
    line = ""
    for line in done.stdout:  # as they come, should the step be ended
        print(line, end="", flush=True)
    note(result=line.strip(), rc=done.wait())
    if done.returncode:
        raise SystemExit(1)


def muse(folder: Path, *words: str) -> dict:
    """`muse train` in a folder; the content of its result.json."""
    line = [sys.executable, "-m", "muse", "train", *words, f"hydra.run.dir={folder}"]
    subprocess.run(line, check=True, cwd=folder.parent)
    return json.loads((folder / "result.json").read_text())


def compared(device, small: bool, folder: Path, note, *words: str) -> None:
    """The command on the CPU and on the device, alone and as a population: devel scores."""
    seeds, epochs = (2, 2) if small else (4, 15)
    words = (*words, f"seeds={seeds}", f"epochs={epochs}", "bootstrap=0", "tensorboard=false",
             "model.layers=2", "lr=0.002", "standardise=true", f"model.hidden={4 if small else 64}",
             *["recordings=2"] * small)  # fmt: skip
    ways = {"alone": (str(device), "off"), "population": (str(device), str(seeds))}
    ways["cpu"] = "cpu", "off"
    for name, (place, population) in ways.items():
        own = f"device={place}", f"population={population}", "workers=-1"
        begin = time.perf_counter()
        result = muse(folder / name, *words, *own)
        scores = {t: [round(row["devel"], 5) for row in part["seeds"]]
                  for t, part in result["targets"].items()}  # fmt: skip
        note(**{name: {"devel": scores, "in_epochs": result["seconds"], "run_id": result["run_id"],
                       "seconds": round(time.perf_counter() - begin, 1)}})  # fmt: skip


def ceap(device, small: bool, folder: Path, note) -> None:
    """`muse train` on real data."""
    if not CEAP.is_dir():
        note(skipped=f"{CEAP} is not there")
        return
    own = "task=stress", f"data.root={CEAP}", "features=[luminance,head,gaze]", "target=arousal"
    compared(device, small, folder, note, *own)


def stress(device, small: bool, folder: Path, note) -> None:
    """`muse train` on a synthetic package of Stress, at its published size."""
    root, scale = folder / "data", 0.05 if small else 1
    line = [sys.executable, "-m", "muse", "synth", "task=stress", "features=egemaps",
            f"out={root}", f"scale={scale}"]  # fmt: skip
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    own = "task=stress", f"data.root={root}", "features=egemaps", "target=arousal"
    compared(device, small, folder, note, *own)


def random_frames(device, frames: int, features: int, length: int, hop: int):
    """Recordings of 3000 frames at most, on the device, and the windows of an epoch."""
    import numpy as np
    import torch

    from muse.data.windows import Frames, cut_windows

    each = min(3000, frames)
    count = frames // each
    spans = np.stack([np.arange(count) * each, np.full(count, each)], axis=1)
    values = torch.randn(count * each + 1, features, device=device)
    labels = torch.randn(count * each + 1, 1, device=device)
    whole = Frames(values, labels, spans, [("1", 0, count * each)], {"x": features}, ["arousal"])
    return whole, cut_windows(spans, length, hop)


def epochs_of(device, note, name: str, frames, windows, *words: str, epochs: int = 2) -> None:
    """Epochs of training steps, the first of which is slow, and a prediction of all frames."""
    import torch

    from muse.config.compose import load_config
    from muse.training.loop import train_epoch
    from muse.training.model import new_model, predict

    config = load_config("train", ["task=stress", "features=x", *words])
    model = new_model(config, frames)
    optimiser = torch.optim.Adam(model.parameters())
    for number in range(epochs):
        with measured(device, note, f"{name}, epoch {number + 1}"):
            losses = train_epoch(model, optimiser, frames, windows, config)
        assert losses.isfinite().all()
    with measured(device, note, f"{name}, prediction"):
        predict(model, frames)


def wilder(device, small: bool, folder: Path, note) -> None:
    """Wilder at its published size, 506,000 frames of 88 features: the model of its baseline."""
    size = (2000, 8, 50, 25) if small else (506_000, 88, 200, 100)
    words = "model.layers=4", "model.hidden=64"
    epochs_of(device, note, "lstm 4 x 64", *random_frames(device, *size), *words)
    both = (*words, "model.bidirectional=true")
    epochs_of(device, note, "both directions", *random_frames(device, *size), *both)


def deepspectrum(device, small: bool, folder: Path, note) -> None:
    """Wilder with 4096 features, 8 GB: resident on the device, and streamed from memory."""
    import numpy as np
    import torch

    from muse.cores import free_on_gpu
    from muse.data.recordings import Recording
    from muse.data.windows import RESIDENT, Mapped, Scaling

    frames, features, length = (2000, 16, 50) if small else (506_000, 4096, 200)
    size = 4 * frames * features
    words = "model.layers=2", "model.hidden=64"
    note(bytes=size)
    if device.type == "cuda" and size > RESIDENT * free_on_gpu(device):
        note(resident=f"left out: more than {RESIDENT:.0%} of the free memory, as muse decides")
    else:
        resident = random_frames(device, frames, features, length, length // 2)
        epochs_of(device, note, "resident", *resident, *words)
        del resident
    narrow, windows = random_frames(device, frames, 1, length, length // 2)
    each = int(narrow.samples[0, 1])
    values = np.random.default_rng(0).random((each, features), np.float32)  # of all recordings
    one = Recording("1", np.arange(each), np.zeros(each), np.zeros(each), [values], {},
                    np.array([[0, each]]), [0])  # fmt: skip
    scaling = Scaling(np.zeros(features, np.float32), np.ones(features, np.float32))
    starts = narrow.samples[:, 0]
    mapped = Mapped([one] * len(starts), starts, scaling, (len(narrow.features), features), device)
    streamed = replace(narrow, features=mapped, inputs={"x": features})
    torch.cuda.empty_cache()
    few = windows[: len(windows) // 4]
    epochs_of(device, note, "streamed, a quarter of the windows", streamed, few, *words, epochs=1)


def largest(device, small: bool, folder: Path, note) -> None:
    """The largest settings of the published grids."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    for name, (inputs, *words) in bench.PUBLISHED.items():
        size = (400, inputs, 50, 25) if small else (16_000, inputs, 300, 50)
        with where_it_fits(note, name):
            epochs_of(device, note, name, *random_frames(device, *size), *words)


def kernel(device, small: bool, folder: Path, note) -> None:
    """A layer of 10 members, forward and backward: Triton, products of matrices, torch.compile.

    Without a GPU Triton's kernels are interpreted, in which there is no speed to be seen.
    """
    from importlib.util import find_spec

    import torch

    if device.type == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    from muse.models.stacked_layers import LSTM

    members, frames, batch = (2, 3, 3) if small else (10, 300, 256)
    ways = {name: partial(_of_kernel, LSTM, name) for name in ("products", "triton")}
    if find_spec("triton") is None:
        del ways["triton"]
        note(triton="left out: the package triton is not installed")
    ways["torch.compile"] = partial(_step_by_step, torch.compile(_lstm_step))
    for hidden, kind in itertools.product(
        (4,) if small else (32, 64, 128), ("float32", "bfloat16")
    ):
        rng = torch.Generator(device).manual_seed(0)
        random = partial(torch.randn, generator=rng, device=device, dtype=getattr(torch, kind))
        given = random(members, frames, batch, 4 * hidden).requires_grad_()
        weight = (random(members, 4 * hidden, hidden) * hidden**-0.5).requires_grad_()
        gradient, expected = random(members, frames, batch, hidden), None
        for name, layer in ways.items():
            if name == "torch.compile" and hidden not in (4, 64):  # it takes long to compile
                continue
            for _ in range(3):  # the first compiles, and touches the memory
                found = layer(given, weight)
                found = found, *torch.autograd.grad(found, (given, weight), gradient)
            with measured(device, note, f"{hidden}, {kind}, {name}"):
                for _ in range(3):
                    torch.autograd.grad(layer(given, weight), (given, weight), gradient)
            expected = expected or found  # of the products
            apart = [float((a.float() - b.float()).norm() / b.float().norm())
                     for a, b in zip(found, expected, strict=True)]  # fmt: skip
            note(**{f"{hidden}, {kind}, {name}, relative difference": apart})
            assert max(apart) < (1e-4 if kind == "float32" else 0.05), (name, apart)
        del given, gradient, expected, found


def _of_kernel(layer, name: str, given, weight):
    return layer.apply(given, weight, None, False, True, name)


def _step_by_step(step: Callable, given, weight):
    """The states (N, T, B, H) of an LSTM whose frames are computed by ``step``."""
    import torch

    h = c = given.new_zeros(*given.shape[:1], given.shape[2], weight.shape[2])
    states = []
    for own in given.unbind(1):
        h, c = step(own, weight, h, c)
        states.append(h)
    return torch.stack(states, 1)


def _lstm_step(given, weight, h, c):
    import torch

    i, f, g, o = torch.baddbmm(given, h, weight.mT).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def populations(device, small: bool, folder: Path, note) -> None:
    """5 to 200 of the published Stress model against one after another, at both precisions and,
    on a GPU, with both kernels."""
    import torch

    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    for precision in ("highest",) if small else ("highest", "high"):  # high: TF32
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision == "high"  # of the members one after another
        before, taken = 0, 0.0
        for count in (2, 3) if small else (5, 10, 50, 200):
            expected = taken * count / before if before else 0.0
            if time.time() + expected > END:
                note(**{f"{count}, {precision}": f"left out: it would take about {expected:.0f} s"})
                continue
            begin, before = time.time(), count
            kernels = ("products", *["triton"] * (device.type == "cuda"))
            bench.population(device, count, 2, folder, small, kernels=kernels)
            taken = time.time() - begin
            for kernel, found in zip(kernels, bench.rows[-len(kernels) :], strict=True):
                row = {k: v for k, v in found.items() if k not in ("part", "case", "unit")}
                note(**{f"{count}, {precision}, {kernel}": row})


def search(device, small: bool, folder: Path, note) -> None:
    """Runs per hour of the published search of Stress; on a GPU with both kernels."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    for kernel in ("products", *["triton"] * (device.type == "cuda")):
        bench.search(device, 1, folder, small, kernel)
        note(**{kernel: bench.rows[-1]})


def ways(device, small: bool, folder: Path, note) -> None:
    """Other ways to train many models on one GPU: graphs, streams, processes."""
    import torch

    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    from muse.training.loop import train_seed
    from muse.training.model import new_model

    count = 2 if small else 10
    config, train, devel = bench.published_stress(device, small)
    config = replace(config, epochs=2)
    bench.population(device, count, 2, folder, small)
    note(members=count, population=bench.rows[-1])
    members = bench.members_of(config, train, devel, count, folder / "processes")
    with measured(device, note, "one after another"):
        for member in members:
            train_seed(*member)
    windows = train.samples[: config.batch_size]
    features = train.features[:-1].unflatten(0, (len(train.samples), -1))[: len(windows)]
    lengths = torch.from_numpy(windows[:, 1]).to(device)
    models = [new_model(config, train) for _ in range(count)]

    def step(model) -> None:
        model(features, lengths).sum().backward()

    for model in models:
        step(model)
    with measured(device, note, "a step each, one after another"):
        for model in models:
            step(model)
    if device.type == "cuda":
        streams = [torch.cuda.Stream(device) for _ in range(8)]
        with measured(device, note, "a step each, on eight streams"):
            for k, model in enumerate(models):
                with torch.cuda.stream(streams[k % len(streams)]):
                    step(model)
        (folder / "graphed").mkdir()
        with where_it_fits(note, "graphs"), graphed():
            bench.population(device, count, 2, folder / "graphed", small)
            note(graphs=bench.rows[-1])
    with where_it_fits(note, "in processes"):
        processes(device, small, folder, note, count)


def processes(device, small: bool, folder: Path, note, count: int) -> None:
    """As many members in several processes that share the GPU; they have been begun before."""
    with ProcessPoolExecutor(2 if small else 4, get_context("spawn")) as pool:
        warm = [pool.submit(_in_a_process, str(device), small, 1, str(folder)) for _ in range(4)]
        [one.result() for one in warm]
        with measured(device, note, "in processes"):
            each = [pool.submit(_in_a_process, str(device), small, 2, str(folder), k)
                    for k in range(count)]  # fmt: skip
            [one.result() for one in each]


def _in_a_process(device: str, small: bool, epochs: int, folder: str, seed: int = 0) -> None:
    import torch

    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    from muse.training.device import prepare
    from muse.training.loop import train_seed

    prepare(device, 1)
    config, *data = bench.published_stress(torch.device(device), small)
    own = Path(folder) / f"process_{os.getpid()}_{seed}_{epochs}"
    train_seed(*bench.members_of(replace(config, epochs=epochs), *data, seed + 1, own)[seed])


@contextmanager
def graphed():
    """The loops over the frames of each layer replayed as CUDA graphs, forward and backward."""
    import torch

    from muse.models.stacked_layers import LSTM
    from muse.training import population_step

    graphs: dict[tuple, Callable] = {}
    place = [0]
    real, forward = LSTM.apply, population_step.forward_rows

    def of_layer(given, weight, valid, back, keep, kernel):
        if not keep or valid is not None:
            return real(given, weight, valid, back, keep, kernel)
        place[0] += 1
        key = place[0], given.shape, weight.shape
        if key not in graphs:
            samples = [torch.randn_like(x).requires_grad_() for x in (given, weight)]
            graphs[key] = torch.cuda.make_graphed_callables(
                lambda x, w: real(x, w, None, back, True, kernel), tuple(samples)
            )
        return graphs[key](given.contiguous(), weight.contiguous())

    def begin(*arguments):
        place[0] = 0
        return forward(*arguments)

    LSTM.apply, population_step.forward_rows = of_layer, begin
    try:
        yield
    finally:
        LSTM.apply, population_step.forward_rows = real, forward


def profile(device, small: bool, folder: Path, note) -> None:
    """Where an epoch goes, alone and in a population of 50: kernels, launches, waiting."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    from muse.training.loop import Member, train_seed
    from muse.training.population import train_population

    config, *data = bench.published_stress(device, small)
    config = replace(config, epochs=1)
    count = 3 if small else min(50, fitting(config, data[0])[0])
    ways = {"alone": (1, lambda members: [train_seed(*one) for one in members]),
            f"population of {count}": (count, lambda members: train_population(
                [partial(Member, *one) for one in members], count))}  # fmt: skip
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    for name, (number, train) in ways.items():
        train(bench.members_of(config, *data, number, folder / f"warm_{name}"))
        members = bench.members_of(config, *data, number, folder / name)
        begin = time.perf_counter()
        with profiler(activities=activities) as trace:
            train(members)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
        note(**{name: {"seconds": round(seconds, 3)} | profiled(trace, device, seconds)})


def profiled(trace, device, seconds: float) -> dict:
    """Of a trace: share of the time that the device is busy, launches, waiting, longest kernels."""
    from torch.autograd import DeviceType

    rows, on_gpu = trace.key_averages(), device.type == "cuda"
    busy = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    # an operation of the CPU has the time of its kernels as well, which have rows of their own
    kernels = [row for row in rows if not on_gpu or row.device_type == DeviceType.CUDA]
    kernels = [row for row in kernels if not getattr(row, "is_user_annotation", False)]
    kernels.sort(key=lambda row: -getattr(row, busy))
    counts = {row.key: row.count for row in rows}
    return {
        "busy": round(sum(getattr(row, busy) for row in kernels) / 1e6 / seconds, 3),
        "launches": sum(v for k, v in counts.items() if "LaunchKernel" in k),
        "synchronisations": sum(v for k, v in counts.items() if "Synchronize" in k),
        "top": {row.key[:60]: round(getattr(row, busy) / 1e6, 4) for row in kernels[:12]},
    }


def fitting(config, train) -> tuple[int, int]:
    """Members of a population that the memory is planned for, and the bytes planned for each."""
    from muse.training import memory as plan
    from muse.training.model import new_model

    model = new_model(config, train)
    frames = min(config.batch_size, len(train.samples)) * config.window
    each = plan.stacked_bytes(model, train.features.shape[1], True) * frames
    return plan.members_within(model, train, frames, [], True), each


def memory(device, small: bool, folder: Path, note) -> None:
    """The plan of the memory beside its peak, and the halving where the plan is far too large."""
    import logging

    import torch

    sys.path.insert(0, str(ROOT / "scripts"))
    import bench

    from muse.training import memory as plan
    from muse.training import population_step
    from muse.training.loop import Member
    from muse.training.population import train_population

    logging.basicConfig(level=logging.INFO)
    config, train, devel = bench.published_stress(device, small)
    config, count = replace(config, epochs=1), 6
    within, each = fitting(config, train)
    note(planned_MiB_each=round(each / 2**20), members_within=within)
    members = bench.members_of(config, train, devel, count, folder / "whole")
    with measured(device, note, "six members"):
        train_population([partial(Member, *one) for one in members], count)
    seen: list[int] = []
    real = population_step.forward_rows

    def forward(model, rows, *more):
        seen.append(len(rows))
        if device.type == "cpu" and len(rows) > 2:
            raise torch.cuda.OutOfMemoryError("injected")
        return real(model, rows, *more)

    population_step.forward_rows, plan.POPULATION_SHARE = forward, 1e9
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        each = (torch.cuda.max_memory_allocated(device) - before) / min(count, within)  # measured
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        room = torch.cuda.memory_reserved(device) + 3.5 * each
        torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), device)
    members = bench.members_of(config, train, devel, count, folder / "halved")
    train_population([partial(Member, *one) for one in members], count)
    finished = len(list((folder / "halved").iterdir()))
    note(tried=sorted(set(seen), reverse=True), finished=finished)
    if min(seen) == count or finished < count:
        raise SystemExit("nothing was halved, or not all members have finished")


STEPS = {name: globals()[name] for name in LIMITS}


if __name__ == "__main__":
    sys.exit(main())
