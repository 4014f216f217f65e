"""`muse annotate` on recordings: files, refusals, and recordings that fail."""

import json

import pandas as pd
import pytest

import muse.commands.annotate
from tests.inference.conftest import tone, write_wav


@pytest.fixture
def annotate(tmp_path, make_config):
    """annotate(run, "key=value", ...) annotates tmp_path/new into the folder that is returned."""

    def call(run, *words):
        out = tmp_path / "out"
        given = [f"source=[{tmp_path}/new]", f"run={run}", f"out={out}", "workers=1", *words]
        muse.commands.annotate.run(make_config("annotate", *given))
        return out

    return call


def test_the_curves_are_the_predictions_of_the_run(trained, annotate, tmp_path, capsys):
    run = trained()
    write_wav(tmp_path / "new/three.wav", tone(2, 8))
    out = annotate(run, "view=true")
    for target in ("valence", "arousal"):
        made = pd.read_csv(out / f"curves/{target}/three.csv")
        saved = pd.read_csv(run / f"predictions/{target}/test/three.csv")
        assert made.timestamp.tolist() == saved.timestamp.tolist()
        assert made.value.to_numpy() == pytest.approx(saved.value.to_numpy(), abs=1e-6)
    assert "1 recording annotated (valence, arousal)" in capsys.readouterr().out
    made = json.loads((out / "annotation.json").read_text())
    assert sorted(made["files"]) == sorted(
        p.relative_to(out).as_posix() for p in out.rglob("*.*")
        if p.name != "annotation.json" and "features" not in p.parts
    )  # fmt: skip
