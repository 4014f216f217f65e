"""ONNX files of exported models, computed by onnxruntime: their outputs are ours."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import muse.commands.export
import muse.commands.train
import muse.inference.onnx_model
from muse.data.windows import Scaling
from muse.errors import MuseError
from muse.inference.onnx_model import onnx_bytes
from muse.models import build_model
from muse.runs.read import read_result
from muse.runs.weights import LoadedModel
from tests.conftest import PARTITION_OF, sent_package, stress_package

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SMALL = ["epochs=1", "seeds=1", "bootstrap=0", "tensorboard=false", "standardise=true"]


@pytest.fixture
def exported(make_config, tmp_path):
    """exported(make_package, ...) -> the run folder, and entry -> bytes of its archive."""

    def call(make_package, *words: str) -> tuple[Path, dict[str, bytes]]:
        make_package(tmp_path / "data")
        config = make_config("train", *SMALL, f"data.root={tmp_path / 'data'}", *words)
        muse.commands.train.run(config)
        folder, out = Path(config.job.folder), tmp_path / "model.zip"
        words = [f"run={folder}", f"out={out}", "onnx=true"]
        muse.commands.export.run(make_config("export", *words))
        with zipfile.ZipFile(out) as archive:
            return folder, {name: archive.read(name) for name in archive.namelist()}

    return call


def outputs(file: bytes, sequences: list[np.ndarray]) -> list[np.ndarray]:
    """What an ONNX file gives for sequences (frames, columns) of unequal length, as one batch."""
    lengths = np.array([len(sequence) for sequence in sequences])
    # what lies past a length must not count, whatever it is
    batch = np.full((len(sequences), lengths.max(), sequences[0].shape[1]), 77, np.float32)
    for row, sequence in zip(batch, sequences, strict=True):
        row[: len(sequence)] = sequence
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["features", "lengths"]
    (found,) = session.run(["outputs"], {"features": batch, "lengths": lengths})
    for row, length in zip(found, lengths, strict=True):
        assert not row[length:].any()
    return [row[:length] for row, length in zip(found, lengths, strict=True)]


def columns(data: Path, feature: str, id_: str) -> np.ndarray:
    table = pd.read_csv(data / f"feature_segments/{feature}/{id_}.csv")
    return table.iloc[:, 2:].to_numpy(np.float32)


def test_the_raw_features_of_a_package_give_the_predictions_of_the_run(exported, tmp_path):
    words = ["task=stress", "features=[b,a]", "joint=true", "model.bidirectional=true",
             "model.hidden=4"]  # fmt: skip
    folder, entries = exported(stress_package, *words)
    data = tmp_path / "data/c3_muse_stress"
    features = [np.hstack([columns(data, "b", i), columns(data, "a", i)]) for i in PARTITION_OF]
    (file,) = [data for name, data in entries.items() if name.endswith(".onnx")]
    for (id_, partition), found in zip(PARTITION_OF.items(), outputs(file, features), strict=True):
        for k, target in enumerate(("valence", "arousal")):
            path = folder / f"predictions/{target}/{partition}/{id_}.csv"
            expected = pd.read_csv(path)["value"].to_numpy()
            np.testing.assert_allclose(found[:, k], expected, rtol=0, atol=1e-5)
    assert "(batch, frames, 3) float32, the columns of b, a side by side" in (
        entries["MODEL_CARD.md"].decode()
    )


@pytest.mark.slow
def test_the_logits_of_segments_and_the_models_of_folds(exported, tmp_path):
    words = ["task=sent", "target=valence", "features=a", "folds=2", "model.hidden=4"]
    folder, entries = exported(sent_package, *words)
    data, segments = tmp_path / "data/c2_muse_sent", [slice(1, 7), slice(9, 14)]
    rows = read_result(folder)["targets"]["valence"]["folds"]
    for row in rows:
        file = entries[row["weights"].replace("weights/", "onnx/").replace("safetensors", "onnx")]
        for id_ in row["recordings"]:
            whole = columns(data, "a", id_)
            found = outputs(file, [whole[segment] for segment in segments])
            path = folder / f"logits/valence/{PARTITION_OF[id_]}/{id_}.csv"
            logits = pd.read_csv(path)[[f"c_{c}" for c in range(5)]].to_numpy()
            assert len(logits) == 11  # the frames of both segments
            for own, expected in zip(found, np.split(logits, [6]), strict=True):
                np.testing.assert_allclose(own, expected, rtol=0, atol=1e-5)


def loaded(settings: dict, sets: dict[str, int]) -> LoadedModel:
    """A model with random weights, on features of unlike sizes."""
    torch.manual_seed(3)
    random, width = np.random.default_rng(3), sum(sets.values())
    mean, scale = 5 * random.normal(size=width), 1 + 9 * random.random(width)
    scaling = Scaling(mean.astype(np.float32), scale.astype(np.float32))
    names = {name: [f"{name}_{k}" for k in range(count)] for name, count in sets.items()}
    return LoadedModel(build_model(settings, sets, 3).eval(), ["x"], names, scaling, {})


MODELS = [
    "recurrent.Recurrent cell=gru layers=2",
    "recurrent.Recurrent layers=2 bidirectional=true",
    "plain.PlainRecurrent layers=2",
    "plain.PlainRecurrent cell=gru bidirectional=true",
    "projected.ProjectedRecurrent hidden=8 bidirectional=true",
    "attention.Attention positions=sinusoidal",
    "attention.AttentionRecurrent bidirectional=true",
    "cai_attention.CaiAttention",
    "cai_attention.CaiAttentionRecurrent bidirectional=true",
    "gated_cnn.GatedCNN blocks=2",
    "gated_cnn.GatedCNNRecurrent bidirectional=true",
    "lstm_attention.LSTMAttention",
    "lstm_attention.LSTMAttention pool=true",
    "svm.LinearSVM",
]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_that_has_an_onnx_file(model):
    """Each sequence alone, in our model, against a batch in onnxruntime."""
    name, *words = model.split()
    settings = {"_target_": f"muse.models.{name}"}
    for key, value in (word.split("=") for word in words):
        settings[key] = {"true": True}.get(value, int(value) if value.isdigit() else value)
    own = loaded(settings, {"a": 8, "b": 4})
    file = onnx_bytes("model", own)
    assert file == onnx_bytes("model", own)
    random = np.random.default_rng(1)
    sequences = [
        (own.scaling.mean + own.scaling.scale * random.normal(size=(n, 12))).astype(np.float32)
        for n in (40, 1, 401, 2)
    ]
    sequences[0][3:9, 2] = np.nan
    for sequence, found in zip(sequences, outputs(file, sequences), strict=True):
        x = torch.from_numpy(np.nan_to_num((sequence - own.scaling.mean) / own.scaling.scale))
        with torch.inference_mode():
            expected = own.model(x[None], torch.tensor([len(sequence)]))[0].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_sound_beside_other_features():
    settings = {"_target_": "muse.models.audio_crnn.AudioCRNN", "channels": [4, 4, 4], "hidden": 4}
    own = loaded(settings, {"audio": 2000, "y": 4})
    random = np.random.default_rng(2)
    sequences = [
        (own.scaling.mean + own.scaling.scale * random.normal(size=(n, 2004))).astype(np.float32)
        for n in (9, 1)
    ]
    for sequence, found in zip(sequences, outputs(onnx_bytes("m", own), sequences), strict=True):
        x = torch.from_numpy((sequence - own.scaling.mean) / own.scaling.scale)
        with torch.inference_mode():
            expected = own.model(x[None], torch.tensor([len(sequence)]))[0].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_file_that_gives_other_outputs_is_not_written(monkeypatch):
    own = loaded({"_target_": "muse.models.gated_cnn.GatedCNN", "channels": 4}, {"a": 2})
    monkeypatch.setattr(muse.inference.onnx_model, "TOLERANCE", -1.0)
    with pytest.raises(MuseError, match=r"weights, a model GatedCNN, has no equal ONNX file \(its"):
        onnx_bytes("weights", own)


def test_nor_one_that_fixes_what_a_batch_happens_to_be():
    class Fixed(torch.nn.Module):
        def forward(self, features, lengths):
            return features[:, :, :1] * len(features.tolist())

    own = loaded({"_target_": "muse.models.gated_cnn.GatedCNN", "channels": 4}, {"a": 2})
    own = LoadedModel(Fixed(), own.targets, own.features, own.scaling, {})
    with pytest.raises(MuseError, match=r"a model Fixed, has no equal ONNX file"):
        onnx_bytes("weights", own)


def test_without_the_extra(monkeypatch, exported):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MuseError, match=r"the package onnxruntime; install it with: pip install"):
        exported(stress_package, "task=stress", "target=valence", "features=a", "model.hidden=4")
