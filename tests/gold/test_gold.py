"""`muse gold` from files to labels: published data, bad input, and what is left behind."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import muse.commands.gold


@pytest.fixture
def gold(make_config, tmp_path):
    """gold(folder, "key=value", ...) -> the folder that it has written."""

    def make(raters: Path, *words: str) -> Path:
        out = tmp_path / "package"
        words = [f"raters={raters}", f"out={out}", *words]
        if not any(word.startswith("unit=") for word in words):
            words.append("unit=s")
        muse.commands.gold.run(make_config("gold", *words))
        return out

    return make


PUBLISHED = {"11": [0.327, 0.333, 0.340], "32": [0.385, 0.241, 0.375], "47": [0.468, 0.451, 0.081]}


def test_the_published_gold_standard(gold, raaw):
    """Weights and signals of an independent computation on the same ratings."""
    out = gold(raaw / "raw/arousal", "offset=-0.5", "gold=ewe", "figures=0")
    weights = pd.read_csv(out / "gold/arousal/weights.csv", dtype={"recording": str})
    for id_, expected in PUBLISHED.items():
        own = weights[weights["recording"] == id_]
        assert own["weight"].tolist() == pytest.approx(expected, abs=0.001)
        label = pd.read_csv(out / f"label_segments/arousal/{id_}.csv")
        known = pd.read_csv(raaw / f"processed/arousal/{id_}.csv")
        assert label["timestamp"].tolist() == known["Time"].tolist()
        assert np.corrcoef(label["value"], known["value"])[0, 1] > 0.998
