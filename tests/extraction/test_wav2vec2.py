"""`muse extract wav2vec2`: the mean of the last layer, standardised samples, alignment."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from muse.commands import extract as command
from muse.errors import MuseError
from muse.extraction.sound import read_sound
from tests.extraction.networks import moved, write_click
from tests.extraction.test_sound import sine, with_ffmpeg, write_wav

transformers = pytest.importorskip("transformers")

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4}  # fmt: skip
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def write_wav2vec2(folder: Path, standardised: bool, **architecture):
    """A folder as on the hub, with the weights of a fine-tuned model; the network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.Wav2Vec2Config(**LARGE, **architecture)
        whole = transformers.Wav2Vec2ForCTC(config)
    whole.save_pretrained(folder)
    said = json.dumps({"do_normalize": standardised, "sampling_rate": 16000})
    (folder / "preprocessor_config.json").write_text(said)
    return whole.wav2vec2.eval()


def extract(make_config, tmp_path, *words: str) -> pd.DataFrame:
    places = f"source=[{tmp_path}/in]", f"out={tmp_path}/package", f"weights={tmp_path}/net"
    command.run(make_config("extract", "extractor=wav2vec2", "workers=1", *places, *words))
    return pd.read_csv(tmp_path / "package/feature_segments/wav2vec2/7.csv")


@with_ffmpeg
@pytest.mark.parametrize("standardised", [True, False])
def test_the_mean_of_the_last_layer(make_config, tmp_path, standardised):
    """3 s in windows of 2 s around 0.5, 1.5 and 2.5 s: they begin at 0, 0.5 and 1 s."""
    network = write_wav2vec2(tmp_path / "net", standardised, **TINY)
    (tmp_path / "in").mkdir()
    path = write_wav(tmp_path / "in/7.wav", sine(seconds=3.0) * np.linspace(0.1, 1, 48000) + 0.1)
    sound = read_sound(path).astype(np.float64)
    expected = []
    for start in (0, 8000, 16000):
        samples = sound[start : start + 32000]
        if standardised:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        with torch.inference_mode():
            output = network(torch.tensor(samples[None], dtype=torch.float32)).last_hidden_state
        expected.append(output[0].mean(dim=0).numpy())
    table = extract(make_config, tmp_path, "window=2.0", "step=1.0", "batch_size=2")
    assert list(table) == ["timestamp", *(f"wav2vec2_{k}" for k in range(32))]
    assert np.allclose(table.to_numpy()[:, 1:], expected, atol=1e-4)


@with_ffmpeg
def test_a_click_moves_only_the_frames_whose_window_has_it(make_config, tmp_path):
    """Windows of 1 s at 0, 0.25, 0.75, 1.25, 1.75, 2 s; the click is at 1.5 s."""
    write_wav2vec2(tmp_path / "net", False, **TINY)
    write_click(tmp_path / "in/7.wav", 3.0, 1.5)
    assert moved(extract(make_config, tmp_path, "window=1.0").to_numpy()[:, 1:]) == [2, 3]


@with_ffmpeg
def test_a_recording_shorter_than_what_the_network_needs(make_config, tmp_path, caplog):
    write_wav2vec2(tmp_path / "net", True, **TINY)
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in/7.wav", sine(seconds=0.01))
    assert extract(make_config, tmp_path).shape == (1, 33)
    assert "silence makes it 0.025 s" in caplog.text


@with_ffmpeg
def test_what_lies_behind_the_end_is_zero(make_config, tmp_path, caplog):
    """Labels up to 2 s for a recording of 1 s."""
    write_wav2vec2(tmp_path / "net", True, **TINY)
    write_click(tmp_path / "in/7.wav", 1.0, 0.5)
    rows = "".join(f"{500 * k},1,0\n" for k in range(4))
    labels = tmp_path / "package/label_segments/valence/7.csv"
    labels.parent.mkdir(parents=True)
    labels.write_text(f"timestamp,segment_id,value\n{rows}")
    values = extract(make_config, tmp_path).to_numpy()[:, 2:]
    assert (np.abs(values).sum(axis=1) > 0).tolist() == [True, True, False, False]
    assert "2 of 4 frames lie behind its end: zeros" in caplog.text


@with_ffmpeg
def test_a_folder_that_does_not_say_what_the_model_takes(make_config, tmp_path):
    write_wav2vec2(tmp_path / "net", True, **TINY)
    (tmp_path / "net/preprocessor_config.json").write_text("{}")
    with pytest.raises(MuseError, match=r"preprocessor_config\.json: expected do_normalize"):
        extract(make_config, tmp_path)


@pytest.mark.slow
@with_ffmpeg
def test_a_large_model(make_config, tmp_path):
    """24 layers, 1024 columns."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
             "intermediate_size": 4096}  # fmt: skip
    write_wav2vec2(tmp_path / "net", True, **sizes)
    write_click(tmp_path / "in/7.wav", 2.0, 0.5)
    assert extract(make_config, tmp_path, "step=1.0").shape == (2, 1025)
