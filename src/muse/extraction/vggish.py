"""VGGish on the windows of a recording: `muse extract vggish`.

Hershey et al., CNN Architectures for Large-Scale Audio Classification, 2017, as its authors' code
(github.com/tensorflow/models, research/audioset/vggish) has it: vggish_params.py and
mel_features.py for the spectrogram, vggish_slim.py for the network, vggish_postprocess.py for the
released features of AudioSet.

Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 3.2.3, align "the
frame and hop size to the annotation sample rate". The network takes 0.96 s at a time; so here a
frame of the labels has the patch around its middle. In a longer window the patches that lie in it
one after another are averaged. The paper does not say whether the embedding is that before its
activation (`vggish.output=embedding`), behind it (`relu`, the code of before 2020 and its port to
PyTorch), or whitened and quantised as in AudioSet (`pca`).
"""

import warnings
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from muse.config.extract import ExtractConfig
from muse.errors import MuseError
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.media import MEDIA, ffmpeg_version
from muse.extraction.networks.vggish import Vggish, VggishPca
from muse.extraction.sound import RATE, sound_bytes
from muse.extraction.sound_network import extract_sound, power_spectra
from muse.extraction.weights import (
    import_transformers,
    load_network,
    network_on,
    torch_version,
    weight_bytes,
)

WHAT = (
    "Expected weights=vggish.safetensors, converted from "
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth (give "
    "that file as weights= to see how)."
)
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms
BANDS, LOWEST, HIGHEST = 64, 125, 7500  # Hz
OFFSET = 0.01  # before the logarithm
PATCH = 96  # spectra
LEAST = WINDOW + (PATCH - 1) * HOP  # samples of a patch: 0.975 s
PATCH_BYTES = 12 * 2**20  # what a patch takes on its way


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract vggish` does; MuseError for weights that cannot be used."""
    import_transformers("vggish")  # for its filters of mel bands
    if config.window < LEAST / RATE:
        raise MuseError(f"window={config.window}: expected {LEAST / RATE} or more, a patch.")
    _, digest = load_network(*_network(config))
    patches = config.batch_size * max(1, int(config.window * 100 / PATCH))
    memory = weight_bytes(config.weights, WHAT) + patches * PATCH_BYTES
    return Extractor(
        MEDIA,
        torch_version(),
        {"window": config.window, "weights": digest, "ffmpeg": ffmpeg_version(),
         **asdict(config.vggish)},
        lambda path: memory + sound_bytes(path),
        partial(extract_vggish, config=config),
        device=config.device,
    )  # fmt: skip


def extract_vggish(
    path: Path, times_of: Times, config: ExtractConfig
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The 128 columns of a recording, see `extract_sound`."""
    network = network_on(config.device, load_network, *_network(config))
    device = next(network.parameters()).device

    def features(windows: np.ndarray) -> np.ndarray:
        patches = torch.from_numpy(log_mel_patches(windows)).to(device)
        values = network(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
        values = values.relu() if config.vggish.output == "relu" else values
        return values.mean(dim=1).cpu().numpy()

    return extract_sound(path, times_of, "vggish", config.window, LEAST, config.batch_size,
                         features)  # fmt: skip


def log_mel_patches(samples: np.ndarray) -> np.ndarray:
    """The patches that samples have: (..., samples) -> (..., patches, 96, 64) float32."""
    magnitudes = np.sqrt(power_spectra(samples, WINDOW, HOP, FFT))  # (..., spectra, bins)
    values = np.log(magnitudes @ _filters() + np.float32(OFFSET))
    count = values.shape[-2] // PATCH
    return values[..., : count * PATCH, :].reshape(*values.shape[:-2], count, PATCH, BANDS)


def _network(config: ExtractConfig) -> tuple:
    """Arguments of `load_network`."""
    build, unused = (VggishPca, ()) if config.vggish.output == "pca" else (Vggish, ("pca_",))
    return build, config.weights, WHAT, unused


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """The filters of mel bands, triangles in mel: (bins, bands) float32."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings(action="ignore"):
        filters = mel_filter_bank(FFT // 2 + 1, BANDS, LOWEST, HIGHEST, RATE, mel_scale="kaldi",
                                  triangularize_in_mel_space=True)  # fmt: skip
    return filters.astype(np.float32)
