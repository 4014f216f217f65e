"""Pictures of spectrograms through a network for images: `muse extract deepspectrum`.

Amiriparian et al., Snore Sound Classification Using Image-Based Deep Spectrum Features, 2017, as
the toolkit of its authors (github.com/DeepSpectrum/DeepSpectrum) makes them. Where each value
stands there:

- plotting.py: spectra without padding, next power of two above 25 ms (512 samples at 16 kHz), hop
  half of it; decibels without a floor but librosa's 1e-10; colours from the least to the greatest
  value of the window; viridis; a picture of 1 inch without margins; cells that are not smoothed.
- configuration.py: 128 mel bands (librosa's: Slaney's scale and norm, up to half of the rate).
- deep.conf: 227 pixels; extractor.py: resized by Pillow to the 224 that the networks take, layers
  fc2 and avg_pool, RGB standardised by the moments of ImageNet for DenseNet-121.
- librosa's `specshow` (0.7): mel bands are drawn along an axis that is linear up to 1 kHz and
  logarithmic to base 2 above, so they are not equally high.

The weights are not those of the toolkit, which takes Keras's: for VGG-19 these have been trained on
BGR without scaling, and the toolkit gives them BGR from 0 to 255 without subtracting the mean
(`deepspectrum.pixels=bgr`). The published safetensors of VGG-19 are PyTorch's, which take RGB
standardised by the moments of ImageNet.
"""

import warnings
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.scale import SymmetricalLogTransform
from PIL import Image

from muse.config.extract import DeepSpectrumConfig, ExtractConfig
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.media import MEDIA, ffmpeg_version
from muse.extraction.networks.densenet121 import DenseNet121
from muse.extraction.networks.vgg19 import Vgg19
from muse.extraction.sound import RATE, sound_bytes
from muse.extraction.sound_network import extract_sound, power_spectra
from muse.extraction.weights import (
    import_transformers,
    load_network,
    network_on,
    torch_version,
    weight_bytes,
)

NETWORKS = {  # build, name on the hub, what of its weights is not used
    "vgg19": (Vgg19, "timm/vgg19.tv_in1k", ("head.",)),
    "densenet121": (DenseNet121, "timm/densenet121.tv_in1k", ("classifier.",)),
}
FFT = 512  # samples
FLOOR = 1e-10  # of the power
PICTURE, INPUT = 227, 224  # pixels
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
IMAGE_BYTES = 40 * 2**20  # what a picture takes on its way through VGG-19


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract deepspectrum` does; MuseError for weights that cannot be used."""
    import_transformers("deepspectrum")  # for its filters of mel bands
    build, what, unused = NETWORKS[config.deepspectrum.network]
    _, digest = load_network(build, config.weights, what, unused)
    memory = weight_bytes(config.weights, what) + config.batch_size * IMAGE_BYTES
    return Extractor(
        MEDIA,
        torch_version(),
        {
            "window": config.window,
            "weights": digest,
            "ffmpeg": ffmpeg_version(),
            **asdict(config.deepspectrum),
        },
        lambda path: memory + sound_bytes(path),
        partial(extract_deepspectrum, config=config),
        device=config.device,
    )


def extract_deepspectrum(
    path: Path, times_of: Times, config: ExtractConfig
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording, see `extract_sound`: 4096 of VGG-19, 1024 of DenseNet-121."""
    own = config.deepspectrum
    build, what, unused = NETWORKS[own.network]
    network = network_on(config.device, load_network, build, config.weights, what, unused)
    device = next(network.parameters()).device

    def features(windows: np.ndarray) -> np.ndarray:
        pictures = np.stack([spectrogram_picture(samples, own) for samples in windows])
        return network(network_input(pictures, own.pixels).to(device)).cpu().numpy()

    return extract_sound(path, times_of, "deepspectrum", config.window, FFT, config.batch_size,
                         features)  # fmt: skip


def spectrogram_picture(samples: np.ndarray, config: DeepSpectrumConfig) -> np.ndarray:
    """The spectrogram of a window as it is drawn, time to the right: (227, 227, 3) uint8, RGB.

    Every pixel has the colour of the cell that its middle lies in, as matplotlib's `pcolormesh`
    draws cells on whole pixels. With an even number of cells two of them meet in the middle of
    column 113; it gets the first, which is what matplotlib makes of windows of 6 s; for other
    windows it is left to rounding there.

    Args:
        samples: (samples,) float32, 512 or more.
    """
    power = power_spectra(samples, FFT, FFT // 2, FFT).T  # (bins, frames)
    filters, rows = _bands(config.mode, config.mels)
    power = power if filters is None else filters @ power
    decibels = 10 * np.log10(np.maximum(power, FLOOR))
    low, high = decibels.min(), decibels.max()
    scaled = (decibels - low) / (high - low) if high > low else np.zeros_like(decibels)
    middles = (np.arange(PICTURE) + 0.5) * (power.shape[1] / PICTURE)
    columns = np.ceil(middles).astype(int) - 1
    return _colours()[np.minimum((scaled * 256).astype(int), 255)][rows[:, None], columns]


def network_input(pictures: np.ndarray, pixels: str) -> torch.Tensor:
    """Pictures (B, 227, 227, 3) uint8 as the network takes them: (B, 3, 224, 224) float32.

    Args:
        pixels: "imagenet", RGB standardised; "bgr", BGR from 0 to 255.
    """
    resized = [np.asarray(Image.fromarray(picture).resize((INPUT, INPUT))) for picture in pictures]
    values = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float()
    if pixels == "bgr":
        return values.flip(1)
    mean, std = (torch.tensor(moments)[:, None, None] for moments in (MEAN, STD))
    return (values / 255 - mean) / std


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """Viridis: (256, 3) uint8."""
    return np.rint(colormaps["viridis"](np.arange(256))[:, :3] * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _bands(mode: str, mels: int) -> tuple[np.ndarray | None, np.ndarray]:
    """The filters of mel bands (bands, bins), None without, and the band of each row of pixels.

    Rows are from the top, where the highest band is.
    """
    highest, bins = RATE / 2, FFT // 2 + 1
    if mode == "spectrogram":
        filters, middles, axis = None, np.linspace(0, highest, bins), lambda hertz: hertz
    else:
        from transformers.audio_utils import hertz_to_mel, mel_filter_bank, mel_to_hertz

        scale = {"mel_scale": "slaney"}
        with warnings.catch_warnings(
            action="ignore"
        ):  # low bands that no bin lies in are black, as in the toolkit
            filters = mel_filter_bank(bins, mels, 0, highest, RATE, norm="slaney", **scale)
        filters = filters.T.astype(np.float32)
        top = hertz_to_mel(highest, **scale)
        middles = mel_to_hertz(np.linspace(0, top, mels), **scale)
        axis = SymmetricalLogTransform(base=2, linthresh=1000, linscale=1).transform_non_affine
    edges = np.concatenate([[0], (middles[1:] + middles[:-1]) / 2, [highest]])
    edges = axis(edges) / axis(np.array([highest]))
    middles = 1 - (np.arange(PICTURE) + 0.5) / PICTURE
    return filters, np.searchsorted(edges, middles, side="right") - 1
