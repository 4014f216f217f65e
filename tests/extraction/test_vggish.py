"""`muse extract vggish`: the spectrogram against NumPy, the network, alignment."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch

from muse.commands import extract as command
from muse.errors import MuseError
from muse.extraction.networks.vggish import Vggish, VggishPca
from muse.extraction.vggish import log_mel_patches
from tests.extraction.networks import moved, write_click, write_weights
from tests.extraction.test_sound import with_ffmpeg

pytestmark = pytest.mark.skipif(not find_spec("transformers"), reason="needs muse[networks]")


def test_patches():
    """The recipe step by step, in double precision; 2 s have 198 spectra, two patches."""
    sound = np.random.default_rng(0).uniform(-0.7, 0.7, 32000).astype(np.float32)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    spectra = [np.abs(np.fft.rfft(sound[k : k + 400] * hann, 512)) for k in range(0, 31601, 160)]
    mel = 1127 * np.log(1 + np.linspace(0, 8000, 257) / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    bands = [np.interp(mel, [low, middle, high], [0, 1, 0])
             for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False)]  # fmt: skip
    expected = np.log(np.array(spectra) @ np.array(bands).T + 0.01)
    found = log_mel_patches(np.stack([sound, sound]))
    assert found.shape == (2, 2, 96, 64) and found.dtype == np.float32 and len(spectra) == 198
    assert np.allclose(found[1].reshape(192, 64), expected[:192], atol=1e-4)


def test_the_whitened_output(monkeypatch):
    """Of embeddings 1, 3 and 0: less the mean 2, times 0.5, from -2 to 2 in 256 steps."""
    embedding = torch.zeros(1, 128)
    embedding[0, :2] = torch.tensor([1.0, 3.0])
    monkeypatch.setattr(Vggish, "forward", lambda self, patches: embedding)
    with torch.device("meta"):
        network = VggishPca()
    network.pca_means, network.pca_eigen_vectors = torch.full((128, 1), 2.0), torch.eye(128) / 2
    found = network(torch.zeros(1, 96, 64))[0]
    assert found[:3].tolist() == [95, 159, 63]  # -0.5, 0.5, -1: 95.6, 159.4, 63.75


@pytest.mark.slow
@with_ffmpeg
def test_a_click_moves_only_the_frames_whose_window_has_it(make_config, tmp_path):
    """Windows of 0.975 s around 0.25 s, 0.75 s ...; the click at 1.5 s is in two of them."""
    write_click(tmp_path / "in/7.wav", 3.0, 1.5)
    weights = write_weights(tmp_path / "vggish.safetensors", Vggish)
    places = f"source=[{tmp_path}/in]", f"out={tmp_path}/package", f"weights={weights}"
    command.run(make_config("extract", "extractor=vggish", "workers=1", *places))
    table = pd.read_csv(tmp_path / "package/feature_segments/vggish/7.csv")
    assert table.shape == (6, 129) and list(table)[1] == "vggish_0"
    values = table.to_numpy()[:, 1:]
    assert moved(values) == [2, 3] and (values < 0).any()
    with pytest.raises(MuseError, match=r"window=0\.5: expected 0\.975 or more"):
        command.run(make_config("extract", "extractor=vggish", "window=0.5", *places))
    with pytest.raises(MuseError, match=r"2 missing \(pca_eigen_vectors, pca_means\).*from https:"):
        command.run(make_config("extract", "extractor=vggish", "vggish.output=pca", *places))


def test_architecture():
    """72,141,184 parameters: convolutions, and layers of 12288, 4096, 4096 and 128 units."""
    with torch.device("meta"):
        network = Vggish()
    channels = [(1, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    units = [(12288, 4096), (4096, 4096), (4096, 128)]
    count = sum(9 * a * b + b for a, b in channels) + sum(a * b + b for a, b in units)
    assert sum(p.numel() for p in network.parameters()) == count == 72_141_184
