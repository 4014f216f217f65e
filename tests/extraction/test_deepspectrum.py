"""`muse extract deepspectrum`: the picture is matplotlib's, the networks are the published ones."""

import io
import json
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from muse.commands import extract as command
from muse.config.extract import DeepSpectrumConfig
from muse.errors import MuseError
from muse.extraction.deepspectrum import network_input, spectrogram_picture
from muse.extraction.networks.densenet121 import DenseNet121
from muse.extraction.networks.vgg19 import Vgg19
from tests.extraction.networks import moved, write_click, write_weights
from tests.extraction.test_sound import with_ffmpeg

pytestmark = pytest.mark.skipif(not find_spec("transformers"), reason="needs muse[networks]")


def settings(**own) -> DeepSpectrumConfig:
    return DeepSpectrumConfig(
        **{"network": "vgg19", "mode": "mel", "mels": 128, "pixels": "imagenet"} | own
    )


def chirp(seconds: float) -> np.ndarray:
    time = np.arange(round(16000 * seconds)) / 16000
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * (300 + 200 * time) * time) + 0.01 * noise).astype(np.float32)


def to_mel(hertz: np.ndarray) -> np.ndarray:
    """Slaney's scale: 15 mel up to 1 kHz, then 27 for each factor of 6.4."""
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, hertz * 15 / 1000, above)


def from_mel(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 1000 / 15, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))


def mel_bands(power: np.ndarray, bands: int) -> np.ndarray:
    """Triangles between neighbours, of the same area: (bins, frames) -> (bands, frames)."""
    edges = from_mel(np.linspace(0, to_mel(np.array(8000.0)), bands + 2))
    bins = np.linspace(0, 8000, len(power))
    rows = [2 / (high - low) * np.interp(bins, [low, middle, high], [0, 1, 0])
            for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False)]  # fmt: skip
    return np.array(rows) @ power


def drawn(decibels: np.ndarray, edges: np.ndarray, mel: bool) -> np.ndarray:
    """A figure of 227 pixels without margins."""
    figure = plt.figure(frameon=False, figsize=(1, 1))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_axis_off()
    time = np.arange(decibels.shape[1] + 1) * 256 / 16000
    axes.pcolormesh(time, edges, decibels, cmap="viridis")
    if mel:
        axes.set_yscale("symlog", linthresh=1000, base=2)
    axes.set(xlim=(0, time[-1]), ylim=(0, edges[-1]))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=227)
    plt.close(figure)
    return np.asarray(Image.open(file))[:, :, :3]


@pytest.mark.parametrize(("mode", "seconds"), [("mel", 6.0), ("mel", 5.0), ("spectrogram", 6.0)])
def test_the_picture_is_that_of_matplotlib(mode, seconds):
    samples = chirp(seconds)
    frames = [samples[k : k + 512] * np.hanning(513)[:-1]
              for k in range(0, len(samples) - 511, 256)]  # fmt: skip
    power = np.abs(np.fft.rfft(frames)).T ** 2
    if mode == "mel":
        power = mel_bands(power, 128)
        middles = from_mel(np.linspace(0, to_mel(np.array(8000.0)), 128))
    else:
        middles = np.linspace(0, 8000, 257)
    edges = np.concatenate([[0], (middles[1:] + middles[:-1]) / 2, [8000]])
    expected = drawn(10 * np.log10(np.maximum(power, 1e-10)), edges, mode == "mel")
    found = spectrogram_picture(samples, settings(mode=mode))
    assert found.shape == (227, 227, 3) and found.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected)
    assert (
        difference > 0
    ).mean() < 0.002 and difference.max() <= 2  # float32 here: the next colour


def test_silence_has_the_lowest_colour():
    picture = spectrogram_picture(np.zeros(16000, np.float32), settings())
    assert (picture == [68, 1, 84]).all()


def test_what_the_networks_take():
    picture = np.full((1, 227, 227, 3), [255, 0, 51], np.uint8)
    found = network_input(picture, "imagenet")
    assert found.shape == (1, 3, 224, 224)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    assert found[0, :, 5, 7].tolist() == pytest.approx(expected)
    assert network_input(picture, "bgr")[0, :, 5, 7].tolist() == [51, 0, 255]


@pytest.mark.parametrize(
    ("build", "parameters", "names"),
    [  # parameters: those published with their classifiers, 143,667,240 and 7,978,856, without them
        (Vgg19, 143_667_240 - 4_097_000, ["features.34.bias", "pre_logits.fc2.weight"]),
        (DenseNet121, 7_978_856 - 1_025_000,
         ["features.denseblock4.denselayer16.conv2.weight", "features.transition3.norm.bias"]),
    ],
)  # fmt: skip
def test_architectures(build, parameters, names):
    with torch.device("meta"):
        network = build()
    assert set(names) <= set(network.state_dict())
    assert sum(p.numel() for p in network.parameters()) == parameters


@with_ffmpeg
def test_a_click_moves_only_the_frames_whose_window_has_it(make_config, tmp_path, capsys):
    """Windows of 1 s at 0, 0.25, 0.75, 1.25, 1.75, 2 s; the click is at 1.5 s."""
    write_click(tmp_path / "in/7.wav", 3.0, 1.5)
    more = {"classifier__weight": torch.zeros(2, 2)}
    weights = write_weights(tmp_path / "densenet.safetensors", DenseNet121, **more)
    words = (f"source=[{tmp_path}/in]", f"out={tmp_path}/package", f"weights={weights}",
             "window=1.0", "deepspectrum.network=densenet121", "workers=1")  # fmt: skip
    command.run(make_config("extract", "extractor=deepspectrum", *words))
    home = tmp_path / "package/feature_segments/deepspectrum"
    table = pd.read_csv(home / "7.csv")
    assert table.shape == (6, 1025) and list(table)[1] == "deepspectrum_0"
    assert moved(table.to_numpy()[:, 1:]) == [2, 3]
    about = json.loads((home / "extraction.json").read_text())
    assert about["tool"]["name"] == "torch" and len(about["settings"]["weights"]) == 16
    write_weights(weights, DenseNet121, seed=1, **more)
    with pytest.raises(MuseError, match=r"made in another way \(weights was"):
        command.run(make_config("extract", "extractor=deepspectrum", *words))


def test_how_to_get_weights_is_said(make_config, tmp_path):
    with pytest.raises(MuseError, match=r"hf download timm/vgg19\.tv_in1k"):
        command.run(make_config("extract", "extractor=deepspectrum", f"source={tmp_path}",
                                f"out={tmp_path}/out"))  # fmt: skip


@pytest.mark.slow
@with_ffmpeg
def test_vgg19(make_config, tmp_path):
    """140 million weights, of which a file has 560 MB."""
    write_click(tmp_path / "in/7.wav", 3.0, 1.5)
    weights = write_weights(tmp_path / "vgg.safetensors", Vgg19)
    command.run(make_config("extract", "extractor=deepspectrum", f"source=[{tmp_path}/in]",
                            f"out={tmp_path}/package", f"weights={weights}", "step=1.0",
                            "window=1.0"))  # fmt: skip
    table = pd.read_csv(tmp_path / "package/feature_segments/deepspectrum/7.csv").to_numpy()[:, 1:]
    assert table.shape == (3, 4096) and moved(table) == [1] and (table >= 0).all()
