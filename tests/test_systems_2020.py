"""The systems of MuSe 2020 learn from synthetic packages, and nothing from shuffled features."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.commands import synth, train

FEATURES = "features=[pose,au]"
FAST = [FEATURES, "lr=0.005", "epochs=4", "seeds=5", "bootstrap=0", "tensorboard=false",
        "plots=false"]  # fmt: skip
SMALL = ["model.dim=10", "model.heads=2", "model.layers=1"]
LSTM, TRANSFORMER = "muse2020/lstm_attention", "muse2020/multimodal_transformer"


def shuffle(folder: Path, seed: int = 0) -> None:
    """Give each row of the features the values of another row, of any recording of the package."""
    rng = np.random.default_rng(seed)
    for feature_set in sorted((folder / "feature_segments").iterdir()):
        tables = {path: pd.read_csv(path) for path in sorted(feature_set.glob("*.csv"))}
        rows = np.concatenate([table.iloc[:, 2:].to_numpy() for table in tables.values()])
        rng.shuffle(rows)
        for path, table in tables.items():
            table.iloc[:, 2:], rows = rows[: len(table)], rows[len(table) :]
            table.to_csv(path, index=False)


def score_of_chance(devel: dict) -> float:
    """A CCC that is well above a constant's 0, or what the most frequent class gives on devel."""
    if "confusion" not in devel:
        return 0.1
    counts = np.sum(devel["confusion"], axis=1)  # segments of each class
    return 0.66 * counts.max() / counts.sum() + 0.34 / len(counts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "target", "experiment", "words"),
    [
        ("wild", "arousal", LSTM, FAST),
        ("trust", "trustworthiness", LSTM, FAST),
        ("topic", "topic", LSTM, FAST),
        ("topic", "topic", TRANSFORMER, [*FAST, *SMALL]),
    ],
)
def test_a_system_learns_from_features_and_not_from_shuffled_ones(
    make_config, tmp_path, task, target, experiment, words
):
    synth.run(make_config("synth", f"task={task}", "scale=0.1", FEATURES, f"out={tmp_path}"))
    words = [f"task={task}", f"target={target}", f"+experiment={experiment}", *words]
    found = {}
    for kind in ("features", "shuffled"):
        config = make_config("train", *words, f"data.root={tmp_path}")
        if kind == "shuffled":
            shuffle(tmp_path / config.task.folder)
        train.run(config)
        result = json.loads((Path(config.job.folder) / "result.json").read_text())
        found[kind] = result["targets"][target]
    chance = score_of_chance(found["features"]["devel"])
    over = {kind: part["over_seeds"]["devel"] for kind, part in found.items()}
    beaten = {kind: scores["mean"] - scores["deviation"] > chance for kind, scores in over.items()}
    assert beaten == {"features": True, "shuffled": False}, (over, chance)
