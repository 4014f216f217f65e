"""What training would do wrong on a GPU, seen on any machine: see tests/pretended.py."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from muse import cores
from muse.commands.train import run as train
from muse.data.recordings import Recording
from muse.data.windows import Mapped, Scaling, cut_windows
from muse.errors import MuseError
from muse.models import audio_crnn, blockwise
from muse.training import population, population_members
from muse.training.loop import train_epoch
from muse.training.model import new_model, predict
from tests.conftest import stress_package
from tests.pretended import DEVICE, pretended, without
from tests.training.test_population import (
    SETTINGS,
    assert_equal,
    config,  # noqa: F401 a fixture
    data,
    double,  # noqa: F401 a fixture
    member,
    together,
)

END = ["aten._to_copy to the CPU"]  # what an epoch, and a prediction, ends with
MODELS = {
    "recurrent.Recurrent": {"layers": 2, "hidden": 4, "dropout": 0.0},
    "plain.PlainRecurrent": {"cell": "gru", "bidirectional": True, "hidden": 4},
    "projected.ProjectedRecurrent": {"project": 4, "hidden": 4},
    "lstm_attention.LSTMAttention": {"hidden": 4},
    "attention.Attention": {"dim": 4, "heads": 2, "positions": "sinusoidal"},
    "attention.AttentionRecurrent": {"dim": 4, "heads": 2, "hidden": 4},
    "cai_attention.CaiAttentionRecurrent": {"heads": 3, "hidden": 4},
    "gated_cnn.GatedCNNRecurrent": {"channels": 3, "hidden": 4},
    "autoencoder.ReconstructionError": {"hidden": 4, "layers": 1},
    "audio_crnn.AudioCRNN": {"audio": "y", "channels": [2], "kernels": [2], "pools": [1],
                             "dropout": 0.0, "hidden": 4},
    "multimodal_transformer.MultimodalTransformer": {
        "dim": 4, "heads": 2, "layers": 1, "attention_dropout": 0.0, "relu_dropout": 0.0,
        "residual_dropout": 0.0, "embedding_dropout": 0.0, "output_dropout": 0.0,
    },
}  # fmt: skip


@pytest.fixture
def gpu(monkeypatch):
    with pretended() as device:
        patched = SimpleNamespace(**vars(torch) | {"Generator": device.generator})
        monkeypatch.setattr(population_members, "torch", patched)
        monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
        yield device


def on(frames):
    """A partition on the device."""
    features, labels = (x.to(DEVICE) for x in (frames.features, frames.labels))
    return replace(frames, features=features, labels=labels)


def waits(gpu, action):
    """What an action returns, and what the CPU waits for in it."""
    before = len(gpu.waits)
    result = action()
    return result, [text.rpartition(" ")[0] for text in gpu.waits[before:]]


def trained(gpu, config, own):  # noqa: F811
    """Losses of an epoch, predictions, and what was waited for in both."""
    torch.manual_seed(1)
    model = new_model(config, own).to(getattr(own.features, "dtype", torch.float32))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    windows = cut_windows(own.samples, config.window, config.hop)
    losses, first = waits(gpu, partial(train_epoch, model, optimiser, own, windows, config))
    found, second = waits(gpu, partial(predict, model, own))
    return losses, torch.from_numpy(found), first, second


@pytest.mark.parametrize("name", MODELS)
def test_models_are_trained_and_applied_on_the_device_alone(
    config, gpu, monkeypatch, name  # noqa: F811
):  # fmt: skip
    """The same numbers as on the CPU, where other ways are faster, and no waiting inside."""
    monkeypatch.setattr(blockwise, "CELLS_AT_ONCE", 16)  # several blocks of queries
    monkeypatch.setattr(audio_crnn, "STEP_BYTES", 100)  # several parts, computed again
    config = replace(
        config, model={"_target_": f"muse.models.{name}"} | MODELS[name], window=5, hop=5
    )
    own = data(1, (7, 5, 2))
    own = replace(own, inputs={"x": 1, "y": 2}, rows={"y": 2} if "multi" in name else {})
    losses, found, first, second = trained(gpu, config, on(own))
    assert (first, second) == (END, END), gpu.waits
    expected = without(partial(trained, gpu, config, own))
    torch.testing.assert_close((losses, found), expected[:2])


def test_features_are_streamed_without_waiting(config, gpu):  # noqa: F811
    """The same numbers as where they are on the device."""
    config.model["dropout"] = 0.0
    own = on(data(1))
    spans = own.samples.tolist()
    values = own.features.held.float().numpy()
    recordings = [
        Recording(str(k), np.arange(n), None, None, [values[a : a + n]], {}, None, [False])
        for k, (a, n) in enumerate(spans)
    ]
    scaling = Scaling(np.zeros(3, np.float32), np.ones(3, np.float32))
    features = Mapped(recordings, own.samples[:, 0], scaling, values.shape, DEVICE)
    own = replace(own, features=own.features.float())
    results = [trained(gpu, config, of) for of in (own, replace(own, features=features))]
    assert results[0][2:] == results[1][2:] == (END, END), gpu.waits
    torch.testing.assert_close(*(result[:2] for result in results), rtol=0, atol=0)


CLASSES = {
    "task": SimpleNamespace(head="classes", metric=None, classes_of={"arousal": 3}.get),
    "loss": "cross_entropy",
}
WEIGHTS = ["aten._to_copy to the CPU", "aten._to_copy from the CPU"]  # are computed at the start


@pytest.mark.parametrize(
    ("settings", "before"),
    [
        ({"loss": "mse", "noise": 0.1, "clip": 0.5, "warmup": 0.3}, []),
        ({"loss_over": "batch"}, []),
        (CLASSES, []),
        (CLASSES | {"class_weights": "balanced"}, WEIGHTS),
    ],
)
def test_losses_and_other_settings(config, gpu, settings, before):  # noqa: F811
    config.model["dropout"] = 0.2
    config = SimpleNamespace(**vars(config) | settings)
    own = data(1)
    if "task" in settings:
        own = replace(own, labels=torch.arange(len(own.labels))[:, None] % 3 * 1.0)
    losses, _, first, second = trained(gpu, config, on(own))
    assert losses.isfinite().all()
    assert (first, second) == ([*before, *END], END), gpu.waits


def watched(monkeypatch, gpu, name: str, found: list) -> None:
    """Add what the CPU waits for in each call of a function of the population."""
    real = getattr(population, name)

    def of(given):
        result, waited = waits(gpu, partial(real, given))
        found.append(waited)
        return result

    monkeypatch.setattr(population, name, of)


def members(config, cases: list[dict], place) -> list[partial]:  # noqa: F811
    """Members whose data ``place`` has put somewhere: the first has its own, the others share."""
    several = [(data(3, (5, 9, 3)), data(4, (5, 3))), (data(1, (7, 6, 1)), data(2, (6, 4)))]
    placed = [tuple(map(place, pair)) for pair in several]

    def make(folder, k, settings):
        train, devel = several[k > 0]
        made = member(replace(config, **settings), folder, 101 + k, train=train, devel=devel)
        return made._replace(train=placed[k > 0][0], devel=placed[k > 0][1])

    return [partial(make, k=k, settings=settings) for k, settings in enumerate(cases)]


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")  # which it is not
@pytest.mark.parametrize(
    ("cell", "bidirectional", "random"),
    [("lstm", False, 0.0), ("gru", True, 0.0), ("lstm", True, 0.2), ("gru", False, 0.2)],
)
def test_populations(
    config, double, gpu, tmp_path, monkeypatch, cell, bidirectional, random  # noqa: F811
):  # fmt: skip
    """Some with the same and some with other data; without random numbers as on the CPU."""
    model = config.model | {"cell": cell, "bidirectional": bidirectional, "dropout": random}
    config = replace(config, model=model, window=4, hop=4, epochs=2)
    cases = [{"noise": random}, {"clip": 0.1, "batch_size": 2}, {"warmup": 0.3, "epochs": 1}]
    found: list[list[str]] = []
    watched(monkeypatch, gpu, "train_steps", found)
    watched(monkeypatch, gpu, "predict_devel", found)
    results = together(members(config, cases, on), tmp_path / "device")
    assert found and all(waited == END for waited in found), gpu.waits
    if not random:
        cpu = members(config, cases, lambda frames: frames)
        assert_equal(without(partial(together, cpu, tmp_path / "cpu")), results)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_full_gpu_is_no_traceback(make_config, tmp_path, monkeypatch, error, full):
    def fails(*_):
        raise error

    stress_package(tmp_path / "data")
    monkeypatch.setattr("muse.training.loop.train_epoch", fails)
    config = make_config("train", *SETTINGS, "seeds=1", f"data.root={tmp_path}/data")  # noqa: F811
    expected = r"memory of the GPU is full .*smaller batch_size \(4 now\)" if full else "mat1"
    with pytest.raises(MuseError if full else RuntimeError, match=expected):
        train(config)


def test_no_more_processes_than_the_memory_of_a_gpu_is_good_for(monkeypatch):
    """Each takes a GB, and what CUDA takes for itself."""
    monkeypatch.setattr(cores, "free_on_gpu", lambda device: 4 * 2**30)
    monkeypatch.setattr(cores, "find_device", torch.device)
    assert [cores.within_gpu(16, name, 2**30) for name in ("cpu", "cuda")] == [16, 2]
    assert cores.within_gpu(16, "cuda", 2**40) == 1
