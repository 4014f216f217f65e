"""From `muse synth` to a run folder, as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SMALL = ["seeds=1", "model.layers=1", "target=arousal"]


def muse(folder: Path, *words: str) -> str:
    """Run a command in a folder and return what it prints."""
    command = [sys.executable, "-m", "muse", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def result_of(folder: Path) -> dict:
    (path,) = folder.glob("outputs/train/*/result.json")
    return json.loads(path.read_text())


def test_synth_then_train(tmp_path):
    text = muse(tmp_path, "synth", "stress", "scale=0.05", "features=[egemaps,bio]")
    assert "muse train task=stress features=egemaps data.root=data" in text
    text = muse(tmp_path, "train", "stress", "features=[egemaps,bio]", "epochs=5", *SMALL)
    assert "MuSe-Stress 2021, egemaps + BPM + ECG + resp, SYNTHETIC data" in text
    result = result_of(tmp_path)
    assert result["synthetic"] and result["features"] == ["egemaps", "BPM", "ECG", "resp"]
    assert result["targets"]["arousal"]["standardised"] == ["egemaps"]
    assert f"{result['targets']['arousal']['devel']['ccc']:.4f}" in text


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm", "gru"])
def test_a_model_learns_but_stays_below_the_ceiling(tmp_path, model):
    sets = "features=[egemaps,vggface,bert]"
    muse(tmp_path, "synth", "stress", "scale=0.5", sets)
    muse(tmp_path, "train", "stress", sets, "epochs=15", f"model={model}", *SMALL)
    scores = result_of(tmp_path)["targets"]["arousal"]
    assert 0.4 < scores["devel"]["ccc"] < 0.9 and 0.3 < scores["test"]["ccc"] < 0.9


@pytest.mark.slow
def test_shuffled_features_tell_nothing(tmp_path):
    muse(tmp_path, "synth", "stress", "scale=0.5", "features=egemaps")
    rng = np.random.default_rng(0)
    for path in (tmp_path / "data/c3_muse_stress/feature_segments/egemaps").iterdir():
        frame = pd.read_csv(path)
        frame.iloc[:, 2:] = frame.iloc[:, 2:].to_numpy()[rng.permutation(len(frame))]
        frame.to_csv(path, index=False)
    muse(tmp_path, "train", "stress", "features=egemaps", "epochs=10", *SMALL)
    assert abs(result_of(tmp_path)["targets"]["arousal"]["test"]["ccc"]) < 0.1
