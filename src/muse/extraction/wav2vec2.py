"""wav2vec 2.0 on the windows of a recording: `muse extract wav2vec2`.

Baevski et al., wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations,
2020; the features of MuSe 2023 as Li et al., Exploiting Diverse Feature for Multimodal Sentiment
Analysis, 2023, section 3.1.1, describe them: the average over the outputs of the final layer of a
large model, 1024 columns. That paper leaves open

- which pretrained or fine-tuned model: `weights=`;
- the seconds that are averaged: 6 s here, as for the other acoustic features of MuSe 2021. The
  network hears that window alone;
- whether samples are standardised: as preprocessor_config.json beside the weights says.
"""

import json
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from muse.config.extract import ExtractConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.media import MEDIA, ffmpeg_version
from muse.extraction.sound import sound_bytes
from muse.extraction.sound_network import extract_sound
from muse.extraction.weights import (
    how_to_get,
    import_transformers,
    load_transformer,
    network_on,
    weight_bytes,
)
from muse.files import read_bytes

WHAT = "facebook/wav2vec2-large-960h-lv60-self"
LEAST = 400  # samples of one output of its convolutions
SECOND_BYTES = 20 * 2**20  # what a second takes on its way through a large model


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract wav2vec2` does; MuseError for weights that cannot be used."""
    _, digest = load_wav2vec2(config.weights)
    windows = int(config.batch_size * config.window * SECOND_BYTES)
    memory = weight_bytes(config.weights, WHAT) + windows
    return Extractor(
        MEDIA,
        {"name": "transformers", "version": version("transformers")},
        {"window": config.window, "weights": digest, "ffmpeg": ffmpeg_version(),
         "standardised": is_standardised(config.weights)},
        lambda path: memory + sound_bytes(path),
        partial(extract_wav2vec2, config=config),
        device=config.device,
    )  # fmt: skip


def extract_wav2vec2(
    path: Path, times_of: Times, config: ExtractConfig
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording, see `extract_sound`: 1024 of a large model."""
    network = network_on(config.device, load_wav2vec2, config.weights)
    standardised = is_standardised(config.weights)

    def features(windows: np.ndarray) -> np.ndarray:
        samples = torch.from_numpy(np.array(windows))
        if standardised:  # as transformers' Wav2Vec2FeatureExtractor
            mean, variance = samples.mean(1, keepdim=True), samples.var(1, False, keepdim=True)
            samples = (samples - mean) / (variance + 1e-7).sqrt()
        return network(samples.to(network.device)).last_hidden_state.mean(dim=1).cpu().numpy()

    return extract_sound(path, times_of, "wav2vec2", config.window, LEAST, config.batch_size,
                         features)  # fmt: skip


def load_wav2vec2(weights: str | None) -> tuple[nn.Module, str]:
    """The network and the digest of its files."""
    transformers = import_transformers("wav2vec2")
    optional = ("masked_spec_embed",)  # what training puts at masked places
    return load_transformer(transformers.Wav2Vec2Model, weights, WHAT, optional)


def is_standardised(weights: str) -> bool:
    """Whether the model takes samples of mean 0 and variance 1.

    Raises MuseError without a preprocessor_config.json that says so.
    """
    file = path_of(weights) / "preprocessor_config.json"
    try:
        said = json.loads(read_bytes(file, how_to_get(WHAT)))["do_normalize"]
    except (ValueError, KeyError, TypeError):
        said = None
    if not isinstance(said, bool):
        raise MuseError(f"{file}: expected do_normalize, true or false. {how_to_get(WHAT)}")
    return said
