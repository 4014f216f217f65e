"""Feature sets with steps of their own (`align=own`), from the package to a run that is used."""

import json
import logging

import numpy as np
import pytest

from muse.commands import check, evaluate, predict, train
from muse.errors import MuseError
from muse.runs.tensors import read_tensors
from tests.conftest import PARTITION_OF, write
from tests.data.test_align import package

SMALL = ["task=stress", "target=arousal", "features=[fine,text,slow]", "align=own", "epochs=2",
         "seeds=1", "window=3", "hop=2", "bootstrap=0", "tensorboard=false",
         "plots=false", "standardise=true",
         "model=multimodal_transformer", "model.dim=4", "model.heads=2",
         "model.layers=1"]  # fmt: skip


def test_unequal_steps_and_a_modality_that_is_missing(make_config, tmp_path, caplog, capsys):
    folder = package(tmp_path)
    (folder / "feature_segments/text/3.csv").unlink()
    caplog.set_level(logging.WARNING)
    train.run(make_config("train", *SMALL, f"data.root={tmp_path}"))
    assert "text: no file of recording 3; it is zero there." in caplog.text
    home = tmp_path / "run"
    _, about = read_tensors(home / "weights/arousal.safetensors")
    assert about["features"]["fine"] == ["f_0", "f_1"] * 5 and about["features"]["slow"] == ["s"]
    first = json.loads((home / "result.json").read_text())["targets"]["arousal"]["devel"]
    evaluate.run(make_config("evaluate", f"run={home}", f"out={tmp_path / 'again.json'}"))
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["targets"]["arousal"]["devel"] == first and np.isfinite(first["ccc"])
    # another package: of the recordings one has all files, one lacks the words
    other = package(tmp_path / "other")
    (other / "feature_segments/text/2.csv").unlink()
    words = f"run={home}", f"data.root={tmp_path / 'other'}", f"out={tmp_path / 'predicted'}"
    predict.run(make_config("predict", *words))
    (written,) = (tmp_path / "predicted").rglob("2.csv")
    assert len(written.read_text().splitlines()) == 5  # a header, and a row per frame of the labels
    for id_ in PARTITION_OF:
        rows = [(50 * k, 7, k, -k) for k in range(36)]
        write(other / f"feature_segments/fine/{id_}.csv", "timestamp,segment_id,f_0,f_1\n", rows)
    with pytest.raises(
        MuseError, match=r"fine: 10 rows in a frame \(align=own\), the model was trained on 5"
    ):
        predict.run(make_config("predict", *words[:2], f"out={tmp_path / 'refused'}"))
    capsys.readouterr()
    check.run(make_config("check", "task=stress", "align=own", f"data.root={tmp_path}"))
    report = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fine"))
    assert report.split()[:4] == ["fine", "2", "train", "40"]  # columns, and rows in two recordings


def test_other_models_are_refused(make_config, tmp_path):
    package(tmp_path)
    config = make_config("train", *SMALL[:-4], f"data.root={tmp_path}")
    with pytest.raises(MuseError, match=r"Recurrent takes one row .* found fine 5, text 5\. Use"):
        train.run(config)
