"""A hand-made package, small enough to know every number of it, and configs as Hydra makes them."""

import gc
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from muse.commands import table
from muse.config.compose import load_config

torch.set_num_threads(1)

CEAP = Path(__file__).parents[2] / "shared" / "data" / "ceap"
PARTITION_OF = {"3": "train", "1": "train", "4": "devel", "2": "test"}


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look at it again and again."""
    gc.freeze()


@pytest.fixture
def ceap() -> Path:
    """The root of a real package in the layout of MuSe-Stress."""
    if not CEAP.is_dir():
        pytest.skip("needs the real data in ../shared/data/ceap")
    return CEAP


@pytest.fixture(autouse=True)
def own_logging():
    """Hydra sets up logging for a program; a test gives it back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
        handler.close()
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test touches the user's cache or packages."""
    monkeypatch.setenv("MUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("MUSE_DATA", raising=False)


@pytest.fixture
def make_config(tmp_path):
    """make_config("train", "task=stress", ...) -> the dataclass that the command gets."""

    def make(command: str, *overrides: str):
        folders = (tmp_path / f"run{number}" for number in ["", *range(2, 99)])
        folder = next(folder for folder in folders if not folder.exists())
        # what a test patches counts in this process; pictures take longer than the small trainings
        alone = ["workers=1", "plots=false"] if command in ("train", "fuse") else []
        return load_config(command, [*alone, *overrides], str(folder))

    return make


@pytest.fixture
def print_table(make_config, capsys, monkeypatch):
    """print_table("table=muse2021", ...) -> what `muse table` prints."""

    monkeypatch.setattr("muse.sweep.jobs.cores", lambda count: 1)  # processes start slowly

    def call(*words: str) -> str:
        capsys.readouterr()
        table.run(make_config("table", *words))
        return capsys.readouterr().out

    return call


def kept_for_backward(model, *inputs: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Bytes that autograd keeps of one forward pass, each memory counted once, and its output."""
    kept: dict[int, torch.Tensor] = {}  # held, so that no memory is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(*inputs)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()), output


def stress_package(root: Path, frames: int = 12) -> Path:
    """Four recordings with feature sets a (2 columns) and b (1 column), both targets."""
    folder = root / "c3_muse_stress"
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITION_OF.items())
    for id_ in PARTITION_OF:
        n = frames + int(id_)  # recordings of unequal length
        time, segment = np.arange(n) * 500, np.ones(n, int)
        x = np.arange(n) + 10 * int(id_)
        rows = zip(time, segment, x, -2 * x, strict=True)
        write(folder / f"feature_segments/a/{id_}.csv", "timestamp,segment_id,a_0,a_1\n", rows)
        rows = zip(time, segment, x / 8, strict=True)
        write(folder / f"feature_segments/b/{id_}.csv", "timestamp,segment_id,b_0\n", rows)
        for target, wave in (("valence", np.sin(x / 4)), ("arousal", np.cos(x / 4))):
            rows = zip(time, segment, wave.round(4), strict=True)
            write(
                folder / f"label_segments/{target}/{id_}.csv", "timestamp,segment_id,value\n", rows
            )
    return folder


def sent_package(root: Path) -> Path:
    """Four recordings of 16 frames: segments of 6 and 5, frames outside before, between, after."""
    folder = root / "c2_muse_sent"
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITION_OF.items())
    segments = ["", *[1] * 6, "", "", *[2] * 5, "", ""]
    for id_ in PARTITION_OF:
        time = np.arange(16) * 250
        rows = zip(time, segments, np.arange(16) * int(id_), strict=True)
        write(folder / f"feature_segments/a/{id_}.csv", "timestamp,segment_id,a_0\n", rows)
        for target in ("valence", "arousal"):
            rows = [(1, int(id_) % 5), (2, (int(id_) + 2) % 5)]
            write(folder / f"label_segments/{target}/{id_}.csv", "segment_id,class_id\n", rows)
    return folder


def write(path: Path, header: str, rows) -> None:
    """Write a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(",".join(map(str, row)) + "\n" for row in rows))


def edit(path: Path, row: int, text: str | None) -> None:
    """Replace a row (the header is row 1) of a CSV file; None removes it."""
    lines = path.read_text().splitlines()
    lines[row - 1 : row] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")
