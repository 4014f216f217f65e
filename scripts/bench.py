"""How fast is muse on this machine? Prints ratios; absolute times mean little on a busy machine.

    python scripts/bench.py                 everything, about ten minutes
    python scripts/bench.py --quick         less of everything, under a minute
    python scripts/bench.py --populations 5,10,50,200   these alone; --device cuda on a GPU
    python scripts/bench.py --root ../shared/data/ceap --features luminance,head,gaze

Without --root it measures on a synthetic package that it makes. One thread; every ratio is taken
within one run, its two sides in turns, medians. Writes bench.json and bench.md into --out.

What muse is measured against:
- bare: torch.nn.LSTM (GRU) alone, with the same inputs, layers and hidden size, forward and
  backward over the same padded batches, with the memory setting that muse makes; `with head`: the
  same with the two linear layers of the model behind it;
- published: the models of Cai et al. and Hamieh et al. (2021) at their largest settings, forward
  and backward, against the same parts by PyTorch's own modules;
- one after another: the members of a population, each trained alone by `train_seed`; on a GPU also
  in several processes at once;
- roofline: the floating-point operations of the step over the fastest matrix product found here;
- reference: the way the published scripts work, `reference` below: a DataLoader with workers,
  packed sequences, devel in batches of one, every CSV file parsed at each start.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader

from muse.commands.synth import run as synth
from muse.config.compose import load_config
from muse.config.train import TrainConfig
from muse.cores import cores
from muse.data.windows import Frames, collate, cut_windows
from muse.models import build_model
from muse.training.checkpoint import Checkpoint
from muse.training.device import prepare
from muse.training.loop import Member, train_epoch, train_seed
from muse.training.losses import ccc_loss
from muse.training.model import new_model, predict
from muse.training.parallel import Run, Unit, trainer
from muse.training.population import train_population
from muse.training.prepare import ModelPlan, load_inputs, plan_models
from muse.training.scores import mean_score

rows: list[dict] = []


def report(part: str, case: str, value: float, unit: str = "x", **more: float) -> None:
    """Note a figure and print it."""
    rows.append({"part": part, "case": case, "value": value, "unit": unit, **more})
    extra = ", ".join(f"{key.replace('_', ' ')} {number:.3g}" for key, number in more.items())
    print(f"{part:10} {case:52} {value:8.3g} {unit:5} {extra}", flush=True)


def in_turns(rounds: int, *functions: Callable, pick: Callable = statistics.median) -> list[float]:
    """Median seconds of each function, called in turns after one call each to warm up."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(rounds + 1):
        for function, kept in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if number:
                kept.append(time.perf_counter() - start)
    return [pick(kept) for kept in times]


def matrix_rate(device: torch.device = torch.device("cpu")) -> float:  # noqa: B008
    """The fastest float32 matrix product found here, operations per second."""
    if device.type == "cuda":
        n = 8192
        a = torch.randn(n, n, device=device)

        def product() -> None:
            torch.mm(a, a)
            torch.cuda.synchronize(device)

        return 2 * n**3 / in_turns(5, product, pick=min)[0]
    n = 1024
    a, b = torch.randn(n, n), torch.randn(n, n)
    images, kernel = torch.randn(64, n, 32, 1), torch.randn(n, n, 1, 1)
    images = images.contiguous(memory_format=torch.channels_last)
    product, convolution = in_turns(
        30, partial(torch.mm, a, b), partial(nn.functional.conv2d, images, kernel), pick=min
    )
    return max(2 * n**3 / product, 2 * n * n * 64 * 32 / convolution)


def operations(model: dict, inputs: int, frames: int) -> float:
    """Floating-point operations of a step as published: each product once, twice in backward."""
    hidden, both = model["hidden"], 1 + model["bidirectional"]
    gates = 3 if model["cell"] == "gru" else 4
    each = inputs * hidden * 2 / 3  # the features need no gradient
    for layer in range(model["layers"]):
        each += both * gates * hidden * ((hidden if layer == 0 else both * hidden) + hidden)
    each += both * hidden * model["head"] + model["head"]
    return 3 * 2 * each * frames


def traffic(model: dict, frames: int) -> float:
    """Bytes that an epoch of steps moves at least, with the recurrent weights on the chip.

    For each frame, layer and direction with G gates, as multiples of the hidden size: products of
    the inputs written and read (2 G); gates, cell and output written, read again in the backward
    pass with the gradient of the output (2 G + 4); gradients of the gates written, and read for
    those of the weights and of the layer below (3 G); for these its input and output before (2),
    and the gradient of the input (1).
    """
    gates = 3 if model["cell"] == "gru" else 4
    layers = model["layers"] * (1 + model["bidirectional"])
    return 4.0 * (7 * gates + 7) * model["hidden"] * layers * frames


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a copy in the memory of a device reads and writes."""
    size = 2**28 if device.type == "cuda" else 2**26
    source = torch.ones(size, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return 2 * 4 * size / in_turns(5, copy, pick=min)[0]


def step(job: ModelPlan, config, windows: np.ndarray, rate: float, rounds: int, case: str):
    """An epoch of training steps against bare recurrent layers and the roofline."""
    train, model = job.frames["train"], config.model
    network = new_model(config, train)
    optimiser = torch.optim.Adam(network.parameters())
    inputs, size = train.features.shape[1], config.batch_size
    bare = {"lstm": nn.LSTM, "gru": nn.GRU}[model["cell"]](
        inputs, model["hidden"], model["layers"], bidirectional=model["bidirectional"]
    )
    batches = [
        collate(train, windows[k : k + size])[0].transpose(0, 1)
        for k in range(0, len(windows), size)
    ]

    head = nn.Sequential(
        nn.Linear((1 + model["bidirectional"]) * model["hidden"], model["head"]),
        nn.ReLU(),
        nn.Linear(model["head"], 1),
    )

    def bare_pass(*after: nn.Module) -> None:
        for batch in batches:
            bare.zero_grad()
            nn.Sequential(*after)(bare(batch)[0]).sum().backward()

    own, other, with_head = in_turns(
        rounds,
        partial(train_epoch, network, optimiser, train, windows, config),
        bare_pass,
        partial(bare_pass, head),
    )
    ideal = operations(model, inputs, int(windows[:, 1].sum())) / rate
    devel = in_turns(3, lambda: predict(network, job.frames["devel"]))[0]
    whole = cut_windows(train.samples, config.window, config.hop)[:, 1].sum()
    epoch = own * whole / windows[:, 1].sum()  # of all windows
    report("step", case, own / other, with_head=own / with_head, roofline=ideal / own,
           devel_per_epoch=devel / epoch, seconds=own)  # fmt: skip


def steps(make, job: ModelPlan, windows: np.ndarray, rate: float, quick: bool) -> None:
    """The training step for several models; windows that are all full, and with short last ones."""
    every = [(layers, hidden) for layers in (1, 2, 4) for hidden in (32, 64, 128)]
    rounds = 2 if quick else 6
    for layers, hidden in [(1, 32), (2, 64), (4, 128)] if quick else every:
        size = f"model.layers={layers}", f"model.hidden={hidden}"
        step(job, make(*size), windows, rate, rounds, f"lstm, {layers} x {hidden}")
    for name, words in {
        "both directions, 2 x 64": ("model.layers=2", "model.bidirectional=true"),
        "gru, 2 x 64": ("model.layers=2", "model=gru"),
        "lstm, 2 x 64, bf16": ("model.layers=2", "precision=bf16"),
    }.items():
        step(job, make(*words, "model.hidden=64"), windows, rate, rounds, name)
    full = windows[windows[:, 1] == windows[:, 1].max()]
    config = make("model.layers=2", "model.hidden=64")
    step(job, config, full, rate, rounds, "lstm, 2 x 64, full windows only")
    short = windows.copy()
    short[::4, 1] //= 3
    step(job, config, short, rate, rounds, "lstm, 2 x 64, a quarter short windows")


class Parts(nn.Module):
    """The parts of a model of Cai et al. or Hamieh et al. (2021) by PyTorch's own modules."""

    def __init__(self, inputs: int, model: dict):
        super().__init__()
        self.heads, width = model.get("heads"), inputs
        self.maps = nn.ModuleList(
            nn.Linear(inputs, 3 * inputs) for _ in range(model.get("attention_layers", 0))
        )
        self.blocks = nn.ModuleList()
        for _ in range(model.get("blocks", 0)):
            channels = model["channels"]
            self.blocks.append(nn.Conv1d(width, 2 * channels, model["width"], padding="same"))
            width = channels
        self.cell = None
        if "cell" in model:
            both = model["bidirectional"]
            cell = {"lstm": nn.LSTM, "gru": nn.GRU}[model["cell"]]
            self.cell = cell(width, model["hidden"], model["layers"], bidirectional=both)
            width = (1 + both) * model["hidden"]
        self.output = nn.Linear(width, 1)

    def forward(self, x):
        """x (B, T, F) of windows that are all full, in the memory order that the parts want."""
        for layer in self.maps:
            q, k, v = layer(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            x = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        for block in self.blocks:
            x = nn.functional.glu(block(x.transpose(1, 2)), 1).transpose(1, 2)
        if self.cell is not None:
            x = self.cell(x.transpose(0, 1))[0]
        return self.output(x)


PUBLISHED = {
    "gru, both directions, 4 x 64": (88, "model=plain", "model.cell=gru",
                                     "model.bidirectional=true"),
    "attention, 8 heads, 4 layers": (88, "model=cai_attention", "model.heads=8",
                                     "model.attention_layers=4"),
    "attention + lstm 4 x 256": (88, "model=cai_attention_lstm", "model.heads=8",
                                 "model.attention_layers=4", "model.hidden=256", "model.layers=4"),
    "attention + lstm 4 x 256, 512 features": (
        512, "model=cai_attention_lstm", "model.heads=8", "model.attention_layers=4",
        "model.hidden=256", "model.layers=4"),
    "gated cnn, 128 channels, 512 features": (512, "model=gated_cnn", "model.channels=128"),
    "gated cnn + lstm 1024, 512 features": (512, "model=gated_cnn_lstm", "model.channels=128",
                                            "model.hidden=1024"),
}  # fmt: skip


def published(make, quick: bool) -> None:
    """Forward and backward of the largest published models against their bare parts."""
    for case, (inputs, *words) in PUBLISHED.items():
        count, length = (4, 100) if quick else (16, 300)
        batch = torch.randn(length, count, inputs).transpose(0, 1)  # as `collate` has it
        lengths = torch.full((count,), length)
        model = make(*words).model
        own, bare = build_model(model, {"x": inputs}, 1), Parts(inputs, model)
        sizes = {sum(weight.numel() for weight in net.parameters()) for net in (own, bare)}
        assert len(sizes) == 1  # the same parts

        def run(net: nn.Module, *given: torch.Tensor) -> None:
            net.zero_grad()
            net(*given).sum().backward()

        straight = batch.contiguous()
        mine, other = in_turns(
            2 if quick else 5, partial(run, own, batch, lengths), partial(run, bare, straight)
        )
        report("published", case, mine / other, seconds=mine)


class Reference(nn.Module):
    """The published model on packed sequences."""

    def __init__(self, inputs: int, model: dict):
        super().__init__()
        self.project = nn.Linear(inputs, model["hidden"], bias=False)
        self.lstm = nn.LSTM(model["hidden"], model["hidden"], model["layers"], batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(model["hidden"], model["head"]), nn.ReLU(), nn.Linear(model["head"], 1)
        )

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.project(x), lengths, True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


def reference(job: ModelPlan, config, windows: np.ndarray) -> tuple[Callable, Callable]:
    """An epoch of training, and devel, in the way of the published scripts."""
    model = Reference(job.frames["train"].features.shape[1], config.model)
    optimiser = torch.optim.Adam(model.parameters())

    def cut(frames: Frames, spans: np.ndarray) -> list[tuple]:
        parts = [(slice(start, start + length), length) for start, length in spans.tolist()]
        return [(frames.features[part], frames.labels[part], n) for part, n in parts]

    def collate(batch: list[tuple]) -> tuple:
        features, labels, lengths = zip(*batch, strict=True)
        padded = [nn.utils.rnn.pad_sequence(list(x), batch_first=True) for x in (features, labels)]
        return *padded, torch.tensor(lengths)

    train = DataLoader(
        cut(job.frames["train"], windows), config.batch_size, True, num_workers=2,
        collate_fn=collate,
    )  # fmt: skip
    devel = DataLoader(cut(job.frames["devel"], job.frames["devel"].samples), 1, num_workers=2)

    def epoch() -> None:
        for features, labels, lengths in train:
            optimiser.zero_grad()
            ccc_loss(model(features, lengths), labels, lengths).backward()
            optimiser.step()

    def evaluate() -> None:
        with torch.no_grad():
            for features, _, lengths in devel:
                model(features, lengths)

    return epoch, evaluate


def against_reference(make, job: ModelPlan, windows: np.ndarray, quick: bool) -> None:
    """Epoch, devel and start against the published way."""
    config = make("model.layers=2", "model.hidden=64")
    network = new_model(config, job.frames["train"])
    optimiser = torch.optim.Adam(network.parameters())
    few = windows[: 16 if quick else len(windows)]  # what is packed costs the square of a window
    full = windows[windows[:, 1] == windows[:, 1].max()]
    for name, some in {"windows of unequal length": few, "full windows": full}.items():
        if name.startswith("windows"):
            some = some.copy()
            some[0, 1] = max(2, some[0, 1] // 2)
        epoch, evaluate = reference(job, config, some)
        own, other = in_turns(
            1, partial(train_epoch, network, optimiser, job.frames["train"], some, config), epoch
        )
        report("reference", f"epoch, {name}", other / own, windows=len(some), seconds=other)
    own, other = in_turns(3, lambda: predict(network, job.frames["devel"]), evaluate)
    report("reference", "devel", other / own, seconds=other)


def start(make, folder: Path, features: list[str]) -> None:
    """Reading a package that is in the cache against parsing its CSV files."""
    files = [path for name in features for path in (folder / "feature_segments" / name).iterdir()]
    config = make()
    own, other = in_turns(
        3, lambda: load_inputs(config), lambda: [pd.read_csv(path) for path in files]
    )
    report("reference", "read the package: cache against CSV", other / own, seconds=other)


def side_by_side(make, job: ModelPlan, quick: bool, out: Path) -> None:
    """Seeds of a run on one core and on all."""
    count, epochs = cores(-1), 6 if quick else 30
    seeds = 2 * count
    words = (f"epochs={epochs}", f"patience={epochs}", f"seeds={seeds}", "model.layers=2")
    config = make(*words, "model.hidden=64")

    def wall(name: str, used: int, trained: list[int]) -> float:
        begin = time.perf_counter()
        with trainer(Run(config, [job], (out / name, "bench")), used, lambda record: None) as train:
            list(train([Unit(0, seed) for seed in trained]))
        return time.perf_counter() - begin

    wall("warm", 1, config.seeds[:1])
    ratio = wall("one", 1, config.seeds) / wall("all", count, config.seeds)
    report("cores", f"{seeds} seeds on {count} cores against one", ratio)


def loading(quick: bool, out: Path) -> None:
    """Wide CSV files into the cache, in one process and in all; peak memory of the readers."""
    count, frames = (2, 300) if quick else (8, 1733)
    rng = np.random.default_rng(0)
    folder = out / "wide"
    folder.mkdir()
    columns = [f"deep_{k}" for k in range(4096)]
    for number in range(count):
        table = pd.DataFrame(rng.random((frames, 4096), np.float32), columns=columns)
        table.insert(0, "timestamp", np.arange(frames) * 250)
        table.to_csv(folder / f"{number}.csv", index=False, float_format="%.6g")
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    (one, _), (all_, peak), (again, _) = (
        _read(folder, out / name, readers)
        for name, readers in (("one", 1), ("all", cores(-1)), ("all", 1))
    )
    case = f"{count} files of {frames} x 4096"
    report("loading", f"{case}: all cores against one", one / all_, MB_per_s=megabytes / all_)
    report("loading", f"{case}: second start", all_ / again, seconds=again)
    report("loading", f"{case}: peak memory of all readers", peak, "MiB")


def _read(folder: Path, cache: Path, readers: int) -> tuple[float, float]:
    """Seconds to read a folder into the cache, and MiB at most, in a process of its own."""
    script = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from muse.data.cache import load_tables\n"
        "paths, readers = sorted(Path(sys.argv[1]).iterdir()), int(sys.argv[3])\n"
        "begin = time.perf_counter()\n"
        "load_tables(paths, Path(sys.argv[2]), readers, 'files')\n"
        "seconds = time.perf_counter() - begin\n"
        "status = Path('/proc/self/status').read_text()\n"
        "own = int(status.split('VmHWM:')[1].split()[0]) / 1024\n"
        "child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024\n"
        "print(seconds, own + readers * child)\n"
    )
    words = [sys.executable, "-c", script, str(folder), str(cache), str(readers)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


MEMORY = {
    "lstm, 2 x 64": (88, "model.layers=2", "model.hidden=64"),
    "lstm, both directions, 4 x 64": (88, "model.layers=4", "model.hidden=64",
                                      "model.bidirectional=true"),
    "gru, both directions, 4 x 128": (88, "model=gru", "model.layers=4", "model.hidden=128",
                                      "model.bidirectional=true"),
    "lstm, both directions, 4 x 128": (88, "model.layers=4", "model.hidden=128",
                                       "model.bidirectional=true"),
    "attention, 4 x 64": (88, "model=attention", "model.layers=4"),
    **PUBLISHED,
}  # fmt: skip


def peak_memory(quick: bool) -> None:
    """Peak resident memory of a process that trains on 256 windows of 300 frames."""
    script = (
        "import resource, sys\n"
        "import numpy as np, torch\n"
        "from muse.config.compose import load_config\n"
        "from muse.data.windows import Frames\n"
        "from muse.training.device import prepare\n"
        "from muse.training.loop import train_epoch\n"
        "from muse.training.model import new_model\n"
        "from muse.training.memory import expected_memory\n"
        "inputs = int(sys.argv[1])\n"
        "config = load_config('train', ['task=stress', 'features=x', *sys.argv[2:]])\n"
        "prepare('cpu', 1)\n"
        "spans = np.stack([np.arange(256) * 300, np.full(256, 300)], axis=1)\n"
        "features, labels = torch.randn(76801, inputs), torch.randn(76801, 1)\n"
        "frames = Frames(features, labels, spans, [], {'x': inputs}, ['arousal'])\n"
        "model = new_model(config, frames)\n"
        "optimiser = torch.optim.Adam(model.parameters())\n"
        "for _ in range(2):\n"
        "    train_epoch(model, optimiser, frames, spans, config)\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "expected = expected_memory(model, {'train': frames}, 300, 256, True) / 2**20\n"
        "print(peak, expected)\n"
    )
    for case, (inputs, *words) in list(MEMORY.items())[: 1 if quick else None]:
        line = [sys.executable, "-c", script, str(inputs), "batch_size=256", *words]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        peak, expected = map(float, done.stdout.split())
        report("memory", case, peak, "MiB", expected=expected)


SETS = {"a": 88, "b": 300, "c": 35}


class BareLSTMAttention(nn.Module):
    """The parts of `muse.models.lstm_attention` as PyTorch has them, without masks."""

    def __init__(self):
        super().__init__()
        width = sum(SETS.values())
        self.lstms = nn.ModuleList(nn.LSTM(width, 40, bidirectional=True) for _ in range(2))
        self.output = nn.Linear(80, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k = (lstm(x)[0].unflatten(2, (2, 40)).sum(2).transpose(0, 1) for lstm in self.lstms)
        return self.output(torch.cat([q, (q @ k.mT).softmax(2) @ k], 2))


class BareLayers(nn.Module):
    """Layers of attention to another sequence, or to the own one."""

    def __init__(self, size: int):
        super().__init__()
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(size, 5, 0.1, batch_first=True) for _ in range(5)
        )
        self.norm = nn.LayerNorm(size)
        self.feedforward = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.ReLU(),
                          nn.Dropout(0.1), nn.Linear(4 * size, size)) for _ in range(5)
        )  # fmt: skip

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        rows, keys = x.shape[1], other.shape[1]
        later = torch.arange(keys) * rows >= (torch.arange(rows)[:, None] + 1) * keys
        for attention, feedforward in zip(self.attention, self.feedforward, strict=True):
            key = self.norm(other)
            x = x + attention(self.norm(x), key, key, attn_mask=later, need_weights=False)[0]
            x = x + feedforward(x)
        return x


class BareTransformer(nn.Module):
    """The parts of `muse.models.multimodal_transformer` as PyTorch has them, without positions."""

    def __init__(self, rows: tuple[int, ...] = (1, 1, 1)):
        super().__init__()
        self.rows = rows  # of each modality in a frame
        self.project = nn.ModuleList(nn.Conv1d(n, 30, 1, bias=False) for n in SETS.values())
        self.crossmodal = nn.ModuleList(BareLayers(30) for _ in range(6))
        self.memory = nn.ModuleList(BareLayers(60) for _ in range(3))
        self.block = nn.Sequential(nn.Linear(180, 180), nn.ReLU(), nn.Linear(180, 180))
        self.output = nn.Linear(180, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, widths = (
            x.transpose(0, 1),
            [n * r for n, r in zip(SETS.values(), self.rows, strict=True)],
        )
        parts = [net(part.reshape(len(x), -1, net.in_channels).mT).mT for net, part in
                 zip(self.project, x.split(widths, 2), strict=True)]  # fmt: skip
        whole = []
        for k, memory in enumerate(self.memory):
            pairs = zip(self.crossmodal[2 * k : 2 * k + 2], parts[:k] + parts[k + 1 :], strict=True)
            heard = torch.cat([net(parts[k], other) for net, other in pairs], 2)
            whole.append(memory(heard, heard).unflatten(1, (-1, self.rows[k])).mean(2))
        whole = torch.cat(whole, 2)
        return self.output(whole + self.block(whole))


class BareAudioCRNN(nn.Module):
    """The parts of `muse.models.audio_crnn` as PyTorch has them, all frames at once."""

    def __init__(self):
        super().__init__()
        layers, before = [], 1
        for count, kernel, pool in ((50, 8, 10), (125, 8, 8), (250, 6, 6)):
            layers += [nn.Conv1d(before, count, kernel), nn.ReLU(), nn.MaxPool1d(pool)]
            layers, before = [*layers, nn.Dropout(0.5)], count
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.lstm = nn.LSTM(750 + 512 + 300, 256)
        self.output = nn.Linear(256, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sound, others = x.split([2000, 812], 2)
        sound = self.layers(sound.reshape(-1, 1, 2000)).view(*x.shape[:2], 750)
        return self.output(self.lstm(torch.cat([sound, others], 2))[0]).tanh()


SOUND = {"audio": 2000, "vggface": 512, "fasttext": 300}


def models_of_2020(quick: bool) -> None:
    """Training steps of the models of MuSe 2020 against a bare pass of their parts."""
    cases = [
        ("lstm_attention", BareLSTMAttention(), SETS, 50, (1, 1, 1)),
        ("audio_crnn", BareAudioCRNN(), SOUND, 10, (1, 1, 1)),
        ("multimodal_transformer", BareTransformer(), SETS, 16, (1, 1, 1)),
        ("multimodal_transformer", BareTransformer((1, 5, 1)), SETS, 16, (1, 5, 1)),
    ]
    length = 50
    for name, bare, sets, count, each in cases:
        spans = np.stack([np.arange(count) * length, np.full(count, length)], axis=1)
        frames = frames_of_2020(count * length, spans, each, sets)
        words = "task=stress", f"features=[{','.join(sets)}]", f"model={name}"
        config = load_config("train", [*words, f"batch_size={count}"])
        network = new_model(config, frames)
        optimiser = torch.optim.Adam(network.parameters())
        batch = collate(frames, spans)[0].transpose(0, 1)

        def bare_pass(bare=bare, batch=batch) -> None:
            bare.zero_grad()
            bare(batch).sum().backward()

        step = partial(train_epoch, network, optimiser, frames, spans, config)
        own, other = in_turns(2 if quick else 6, step, bare_pass)
        unaligned = f", {max(each)} rows a frame" * (max(each) > 1)
        case = f"{name}, {count} windows of {length}{unaligned}"
        report("step", case, own / other, seconds=own)


def frames_of_2020(
    total: int, samples: np.ndarray, each: tuple[int, ...], sets: dict[str, int]
) -> Frames:
    """Random features, of which each set has so many rows in a frame, and labels."""
    rows = dict(zip(sets, each, strict=True))
    widths = {name: width * rows[name] for name, width in sets.items()}
    features, labels = torch.randn(total + 1, sum(widths.values())), torch.randn(total + 1, 1)
    bounds = [("1", 0, total)]
    return Frames(features, labels, samples, bounds, widths, ["arousal"], rows)


def memory_of_prediction() -> None:
    """Peak resident memory of a process that predicts 20 minutes at 4 Hz."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import resource\n"
        "import bench, numpy as np\n"
        "bench.prepare('cpu', 1)\n"
        "each = tuple(map(int, sys.argv[2:]))\n"
        "frames = bench.frames_of_2020(4800, np.array([[0, 4800]]), each, bench.SETS)\n"
        "words = 'task=wild', 'features=[a,b,c]', 'model=multimodal_transformer'\n"
        "bench.predict(bench.new_model(bench.load_config('train', [*words]), frames), frames)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    for each in ("1", "1", "1"), ("1", "5", "1"), ("5", "5", "5"):
        line = [sys.executable, "-c", script, str(Path(__file__).parent), *each]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        case = f"multimodal_transformer, 20 minutes, {'+'.join(each)} rows a frame"
        report("memory", case, float(done.stdout), "MiB")


def sound_memory(quick: bool) -> None:
    """Peak resident memory of a process that predicts 20 minutes of sound, and that trains on them.

    One step of End2You: a single window, or the batches of its experiment.
    """
    script = (
        "import resource, sys\n"
        "import numpy as np, torch\n"
        "from muse.config.compose import load_config\n"
        "from muse.data.windows import Frames, cut_windows\n"
        "from muse.training.device import prepare\n"
        "from muse.training.loop import train_epoch\n"
        "from muse.training.model import new_model, predict\n"
        "case, sets = sys.argv[1], {'audio': int(sys.argv[2]), 'vggface': 512, 'fasttext': 300}\n"
        "config = load_config('train', ['+experiment=muse2020/end2you', 'task=wild'])\n"
        "prepare('cpu', 1)\n"
        "whole = np.array([[0, 4800]])\n"
        "features, labels = torch.randn(4801, sum(sets.values())), torch.randn(4801, 1)\n"
        "frames = Frames(features, labels, whole, [], sets, ['arousal'])\n"
        "model = new_model(config, frames)\n"
        "optimiser = torch.optim.Adam(model.parameters())\n"
        "if case == 'predicting':\n"
        "    predict(model, frames)\n"
        "else:\n"
        "    spans = cut_windows(whole, 50 if case == 'windows of 50' else 4800, 50)\n"
        "    train_epoch(model, optimiser, frames, spans, config)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    cases = ["predicting", "windows of 50", "one window"]
    for rate, case in [(rate, case) for rate in (8000, 16000) for case in cases][: quick or None]:
        line = [sys.executable, "-c", script, case, str(rate // 4)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        report("memory", f"audio_crnn, 20 minutes at {rate} Hz, {case}", float(done.stdout), "MiB")


def startup(make_words: list[str], quick: bool, out: Path) -> None:
    """From the command to the first batch of a cached package, against `import torch`."""
    script = (
        "import os, muse.cli.main, muse.training.loop\n"
        "muse.training.loop.train_epoch = lambda *_: os._exit(0)\n"
        "muse.cli.main.main()\n"
    )
    words = [*make_words, "workers=1", f"hydra.run.dir={out}/start"]

    def call(*arguments: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *arguments], check=True, env=environment,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    def muse() -> None:
        for path in sorted((out / "start").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        call("-c", script, "train", *words)

    torch_alone, whole = in_turns(2 if quick else 5, lambda: call("-c", "import torch"), muse)
    report("start", "first batch of a cached package / import torch", whole / torch_alone,
           import_torch=torch_alone, seconds=whole)  # fmt: skip


def growth(make, rate: float, quick: bool) -> None:
    """How the cost of a step grows: each size doubled, against the one before."""
    rng = torch.Generator().manual_seed(0)
    plain = {"frames": 150, "features": 88, "hidden": 64, "layers": 1}
    sizes = {"frames": [75, 150, 300, 600], "features": [44, 88, 176, 352, 704, 1408],
             "hidden": [32, 64, 128, 256], "layers": [1, 2, 4]}  # fmt: skip
    for axis, values in sizes.items():
        before = None
        for value in values[:3] if quick else values:
            case = plain | {axis: value}
            count = 64
            total = count * case["frames"]
            features = torch.randn(total + 1, case["features"], generator=rng)
            labels = torch.randn(total + 1, 1, generator=rng)
            spans = np.stack(
                [np.arange(count) * case["frames"], np.full(count, case["frames"])], axis=1
            )
            frames = Frames(features, labels, spans, [], {"x": case["features"]}, ["arousal"])
            config = make(f"model.hidden={case['hidden']}", f"model.layers={case['layers']}")
            network = new_model(config, frames)
            optimiser = torch.optim.Adam(network.parameters())
            (own,) = in_turns(
                2 if quick else 5, partial(train_epoch, network, optimiser, frames, spans, config)
            )
            ideal = operations(config.model, case["features"], total) / rate
            report("growth", f"{axis} {value}", own / (before or own), roofline=ideal / own,
                   seconds=own)  # fmt: skip
            before = own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--root", help="folder of a Stress package; none: a synthetic one is made")
    parser.add_argument("--features", default="egemaps", help="feature sets, a,b,c")
    parser.add_argument("--populations", help="only these: numbers of members, such as 5,10,50,200")
    parser.add_argument("--search", action="store_true", help="with --populations: the published "
                        "search of Stress as well")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=2, help="of the populations")
    parser.add_argument("--words", default="", help="other settings of the populations: a=1,b=2")
    parser.add_argument("--windows", type=int, default=290, help="of the populations")
    parser.add_argument("--device", default="cpu", help="of the populations")
    parser.add_argument("--kernel", default="products", help="of the populations; several: "
                        "products,triton")  # fmt: skip
    parser.add_argument("--out", default="outputs/bench", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.populations:
        device = prepare(given.device, 1)
        with tempfile.TemporaryDirectory() as name:
            for count in map(int, given.populations.split(",")):
                population(device, count, given.epochs, Path(name), given.quick, given.windows,
                           given.words.split(",") if given.words else [],
                           given.kernel.split(","))  # fmt: skip
            if given.search:
                for kernel in given.kernel.split(","):
                    search(device, given.epochs, Path(name), given.quick, kernel)
        write(given.out, "random numbers")
        return
    prepare("cpu", 1)
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        root = given.root
        if root is None:
            root, scale = str(temporary / "data"), 0.1 if given.quick else 0.5
            words = [f"features={given.features}", f"out={root}", f"scale={scale}"]
            synth(load_config("synth", ["task=stress", *words]))
        words = ["task=stress", f"features=[{given.features}]", f"data.root={root}",
                 f"data.cache={temporary / 'cache'}", "standardise=true", "target=arousal",
                 "window=300", "hop=50", "tensorboard=false"]  # fmt: skip

        def make(*more: str):
            return load_config("train", [*words, *more])

        config = make()
        package = load_inputs(config)
        job = plan_models(config, package, torch.device("cpu"))[0]
        windows = cut_windows(job.frames["train"].samples, config.window, config.hop)
        order = np.random.default_rng(0).permutation(len(windows))
        windows = windows[order][: 40 if given.quick else 300]
        rate = matrix_rate()
        report("machine", platform.processor() or platform.machine(), rate / 1e9, "GFLOP/s",
               cores=cores(-1))  # fmt: skip
        side_by_side(make, job, given.quick, temporary)  # first: a fork shares little memory yet
        steps(make, job, windows, rate, given.quick)
        published(make, given.quick)
        against_reference(make, job, windows, given.quick)
        start(make, package.folder, package.features)
        loading(given.quick, temporary)
        models_of_2020(given.quick)
        peak_memory(given.quick)
        if not given.quick:
            memory_of_prediction()
        sound_memory(given.quick)
        startup(words, given.quick, temporary)
        growth(make, rate, given.quick)
    write(given.out, "synthetic data" if given.root is None else given.root)


def published_stress(
    device: torch.device, small: bool = False, windows: int = 290, more: Sequence[str] = ()
) -> tuple[TrainConfig, Frames, Frames]:
    """The published model of Stress on data of its size: settings, train and devel.

    Random numbers: 290 windows of 300 frames and 14 recordings of 600, with 88 features.

    Args:
        small: a tenth of the windows, of 30 frames; 8 features.
        windows: of train.
        more: settings.
    """
    length, inputs = (30, 8) if small else (300, 88)
    windows = windows // 10 if small else windows
    words = ["task=stress", "features=x", "model.layers=4", "model.hidden=64", "model.dropout=0.2",
             f"window={length}", f"hop={length}", "patience=null", *more]  # fmt: skip
    config = load_config("train", words)
    rng = torch.Generator().manual_seed(0)

    def random(count: int, frames: int) -> Frames:
        total = count * frames
        spans = np.stack([np.arange(count) * frames, np.full(count, frames)], axis=1)
        features = torch.randn(total + 1, inputs, generator=rng)
        labels = torch.randn(total + 1, 1, generator=rng)
        bounds = [(str(k), int(s), int(s) + frames) for k, s in enumerate(spans[:, 0])]
        return Frames(features.to(device), labels.to(device), spans, bounds, {"x": inputs},
                      ["arousal"])  # fmt: skip

    return config, random(windows, length), random(14, 2 * length)


def members_of(
    config: TrainConfig, train: Frames, devel: Frames, count: int, folder: Path
) -> list[Member]:
    """As many models to train, which differ in seed and learning rate."""

    def score(output: np.ndarray) -> float:
        return mean_score(config, devel, output)

    return [
        Member(replace(config, lr=0.0005 * (1 + k % 10)), train, devel, score, k,
               lambda record: None, Checkpoint(folder / f"{k}", ("bench",), "arousal", f"{k}"))
        for k in range(count)
    ]  # fmt: skip


def population(
    device: torch.device,
    count: int,
    epochs: int,
    out: Path,
    small: bool = False,
    windows: int = 290,
    words: Sequence[str] = (),
    kernels: Sequence[str] = ("products",),
) -> None:
    """Train so many members together and one after another; whole epochs, checkpoints included.

    Args:
        kernels: with each of which they are trained together; a row each.
    """
    config, *data = published_stress(device, small, windows, words)
    config = replace(config, epochs=epochs)
    seconds = partial(training_time, config, data, out)
    seconds(1)  # memory that is touched for the first time is slow
    alone, _ = seconds(count)
    frames = int(data[0].samples[:, 1].sum())
    done = operations(config.model, data[0].features.shape[1], frames) * count * epochs
    moved = traffic(config.model, frames) * count * epochs
    rates = matrix_rate(device), copy_rate(device)
    name = f"{config.model['cell']} {config.model['layers']} x {config.model['hidden']}"
    case = f"{count} x {name}, {len(data[0].samples)} windows, {epochs} epochs"
    for kernel in kernels:
        seconds(1, kernel)  # the same; Triton compiles its kernels
        taken, peak = seconds(count, kernel)
        shares = {
            "matrix_share": done / taken / rates[0],
            "bandwidth_share": moved / taken / rates[1],
        }
        report("population", f"{case}, {kernel}", alone / taken, seconds=taken, alone=alone,
               MiB=peak, trained_epochs_per_hour=3600 * count * epochs / taken,
               **shares)  # fmt: skip


def search(device: torch.device, epochs: int, out: Path, small: bool, kernel: str) -> None:
    """The published search of Stress for one feature set: runs per hour, together and apart.

    A run has five seeds of two targets, trained for 100 epochs; early stopping is off. All runs of
    a shape differ in learning rate only, and are one population. One after another, a model of each
    shape is trained, which stands for the others.
    """
    file = Path(__file__).parents[1] / "configs" / "experiment" / "muse2021" / "stress.yaml"
    axes = OmegaConf.load(file).hydra.sweeper.params
    names = [f"model.{name}" for name in ("hidden", "layers", "bidirectional")]
    of_run, runs = 5 * 2, len(axes.lr.split(","))
    together = alone = peak = 0.0
    shapes = list(itertools.product(*(axes[name].split(",") for name in names)))[
        :: 9 if small else 1
    ]
    for shape in shapes:
        words = [f"{name}={value}" for name, value in zip(names, shape, strict=True)]
        config, *data = published_stress(device, small, more=words)
        seconds = partial(training_time, replace(config, epochs=epochs), data, out)
        seconds(1)
        alone += seconds(1)[0] * of_run * runs
        seconds(1, kernel)
        taken, most = seconds(of_run * runs, kernel)
        together, peak = together + taken, max(peak, most)
    case = f"{len(shapes)} shapes x {runs} rates, {of_run} models each, {epochs} epochs, {kernel}"
    per_hour = 3600 * len(shapes) * runs * epochs / 100
    report("search", case, alone / together, MiB=peak, runs_per_hour=per_hour / together,
           runs_per_hour_alone=per_hour / alone)  # fmt: skip


def training_time(
    config: TrainConfig, data: Sequence[Frames], out: Path, count: int, kernel: str | None = None
) -> tuple[float, float]:
    """Seconds and peak MiB of the training of so many members.

    Args:
        data: train and devel.
        kernel: with which they are trained together; None: one after another.
    """
    device = data[0].features.device
    own = replace(config, kernel=kernel or config.kernel)
    members = members_of(own, *data, count, Path(tempfile.mkdtemp(dir=out)))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    # on a busy machine the time of the processor counts
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    begin = clock()
    if kernel:
        train_population([partial(Member, *member) for member in members], len(members))
    else:
        for member in members:
            train_seed(*member)
    taken = clock() - begin
    if device.type == "cuda":
        return taken, torch.cuda.max_memory_allocated(device) / 2**20
    return taken, peak_of_process()


def peak_of_process() -> float:
    """The largest resident memory of this process until now, MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(out: Path, data: str) -> None:
    """bench.json and bench.md."""
    about = {"torch": torch.__version__, "python": platform.python_version(), "data": data}
    (out / "bench.json").write_text(json.dumps({**about, "rows": rows}, indent=1))
    lines = ["| part | case | figure | unit | more |", "|---|---|---|---|---|"]
    for row in rows:
        more = ", ".join(f"{k} {v:.3g}" for k, v in row.items() if k not in
                         ("part", "case", "value", "unit"))  # fmt: skip
        cells = row["part"], row["case"], f"{row['value']:.3g}", row["unit"], more
        lines.append(f"| {' | '.join(cells)} |")
    (out / "bench.md").write_text("\n".join(lines) + "\n")
    print(f"{out / 'bench.json'}, {out / 'bench.md'}")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
