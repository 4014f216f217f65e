"""`muse gold` from files to labels: published data, bad input, and what is left behind."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import muse.commands.gold
from muse.commands.train import run
from muse.config.gold import UNITS
from muse.errors import MuseError
from muse.gold.agreement import agreement_between
from muse.gold.physio import lowest, with_signal
from muse.synthetic.raters import simulated_raters, simulated_signal
from tests.conftest import stress_package
from tests.gold.conftest import write_raters


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


@pytest.mark.parametrize("preset", ["ewe", "raaw"])
def test_the_published_gold_standard(gold, raaw, preset):
    """Weights and signals of an independent computation on the same ratings."""
    out = gold(raaw / "raw/arousal", "offset=-0.5", f"gold={preset}", "figures=0")
    weights = pd.read_csv(out / "gold/arousal/weights.csv", dtype={"recording": str})
    for id_, expected in PUBLISHED.items():
        own = weights[weights["recording"] == id_]
        assert own["weight"].tolist() == pytest.approx(expected, abs=0.001)
        label = pd.read_csv(out / f"label_segments/arousal/{id_}.csv")
        known = pd.read_csv(raaw / f"processed/arousal/{id_}.csv")
        assert label["timestamp"].tolist() == known["Time"].tolist()
        assert np.corrcoef(label["value"], known["value"])[0, 1] > 0.998
    farthest = weights[["shift_lowest_s", "shift_highest_s"]].abs().to_numpy().max()
    assert farthest == 0 if preset == "ewe" else 1 < farthest < 5


@pytest.mark.parametrize("preset", ["raaw", "gctw"])
def test_alignment_makes_raters_agree_on_every_recording(gold, raaw, preset):
    out = gold(raaw / "raw/arousal", "offset=-0.5", f"gold={preset}", "figures=0")
    table = pd.read_csv(out / "gold/arousal/agreement.csv")
    assert len(table) == 3
    assert (table["correlation_after"] > table["correlation_before"] + 0.005).all()
    assert (table["ccc_after"] > table["ccc_before"] + 0.005).all()
    weights = pd.read_csv(out / "gold/arousal/weights.csv")  # of the raw traces all the same
    assert weights["weight"].tolist() == pytest.approx(
        np.concatenate([*PUBLISHED.values()]), abs=0.001
    )
    warping = pd.read_csv(out / "gold/arousal/warping/32.csv")
    assert warping.columns.tolist() == ["timestamp", "1", "2", "3"] and len(warping) == 598
    if preset == "gctw":  # the raters keep their mean time
        assert np.abs(warping[["1", "2", "3"]].mean(axis=1)).max() < 0.2


@pytest.mark.slow
def test_many_raters(gold, ceap, tmp_path):
    """32 raters of real stimuli; some of them never move."""
    (tmp_path / "arousal").mkdir()
    for id_ in ("2", "4", "7"):
        (tmp_path / f"arousal/{id_}.csv").symlink_to(ceap / f"annotations/arousal/{id_}.csv")
    out = gold(tmp_path / "arousal", "figures=1")
    table = pd.read_csv(out / "gold/arousal/agreement.csv")
    assert table["raters"].tolist() == [32] * 3
    assert (table["correlation_after"] > table["correlation_before"]).all()
    weights = pd.read_csv(out / "gold/arousal/weights.csv")
    assert np.allclose(weights.groupby("recording")["weight"].sum(), 1, atol=1e-4)
    assert [path.name for path in (out / "gold/arousal/figures").iterdir()] == ["2.png"]
    notes = json.loads((out / "gold/arousal/report.json").read_text())["notes"]
    assert any("never moves; weight 0" in note for note in notes)


@pytest.fixture
def ratings(tmp_path) -> Path:
    """Three recordings of three raters: late, noisy, and one who rates something else."""
    for id_ in (1, 2, 3):
        signal = simulated_signal(120, id_, width=5)
        values = simulated_raters(signal, [0, 3, 0], [0] * 3, [1, 0.7, 1], [0.1, 0.2, 0.2], id_)
        values[2] = simulated_signal(120, 50 + id_, width=5)
        columns = dict(zip("abc", values.round(4), strict=True))
        write_raters(tmp_path / f"ratings/arousal/{id_}.csv", np.arange(120) / 2, columns)
    return tmp_path / "ratings/arousal"


def test_every_step_by_hand(gold, ratings):
    """Moving average, z-score, correlation with the mean of the others, no alignment."""
    out = gold(
        ratings, "smooth.method=average", "smooth.window=3", "standardise.scale=false",
        "standardise.over=recording", "align.method=none", "fuse.agreement=mean_of_others",
        "fuse.measure=correlation", "post.method=none", "post.clip=false", "figures=0",
    )  # fmt: skip
    raw = pd.read_csv(ratings / "2.csv")[["a", "b", "c"]]
    smoothed = raw.rolling(3, center=True, min_periods=1).mean()
    scaled = ((smoothed - smoothed.mean()) / smoothed.std(ddof=0)).to_numpy().T
    agreement = [np.corrcoef(scaled[k], np.delete(scaled, k, 0).mean(0))[0, 1] for k in range(3)]
    weights = np.maximum(agreement, 0) / np.maximum(agreement, 0).sum()
    label = pd.read_csv(out / "label_segments/arousal/2.csv")
    assert label.columns.tolist() == ["timestamp", "value"]
    assert label["timestamp"].tolist() == list(range(0, 60_000, 500))
    assert label["value"].to_numpy() == pytest.approx(weights @ scaled, abs=1e-6)
    table = pd.read_csv(out / "gold/arousal/agreement.csv").iloc[1]
    mean, deviation = agreement_between(scaled, "ccc")
    assert table["ccc_before"] == pytest.approx(mean, abs=1e-6)
    assert table["ccc_after_deviation"] == pytest.approx(deviation, abs=1e-6)


def test_the_plain_mean(gold, ratings):
    out = gold(ratings, "gold=mean")
    raw = pd.read_csv(ratings / "3.csv")[["a", "b", "c"]]
    label = pd.read_csv(out / "label_segments/arousal/3.csv")
    assert label["value"].to_numpy() == pytest.approx(raw.mean(axis=1).to_numpy(), abs=1e-6)
    assert (out / "gold/arousal/figures/3.png").exists()
    assert pd.read_csv(out / "gold/arousal/weights.csv")["weight"].isna().all()


def test_what_a_package_lacks_is_reported(gold, ratings, tmp_path, capsys):
    gold(ratings, "gold=mean", "figures=0")
    text = capsys.readouterr().out.split(f"To train on them {tmp_path / 'package'} needs\n")[1]
    needed = [line.split(":")[0].strip() for line in text.splitlines()]
    assert needed == ["metadata/partition.csv", "feature_segments/SET/ID.csv"]
    gold(ratings, "gold=mean", "figures=0", f"out={stress_package(tmp_path)}", "target=joy")
    assert "To train on them" not in capsys.readouterr().out


def test_weights_of_the_aligned_traces(gold, ratings, tmp_path):
    by_hand = []
    for words in (["fuse.weights_from=raw"], ["fuse.weights_from=aligned"]):
        out = gold(ratings, *words, "align.method=lag", "figures=0", f"target={words[0][-3:]}")
        table = pd.read_csv(out / f"gold/{words[0][-3:]}/weights.csv")
        by_hand.append(table[table["recording"] == 1]["agreement"].tolist())
    assert by_hand[1][0] > by_hand[0][0] + 0.05  # rater b is three frames late
    table = table[table["recording"] == 1]
    assert table["shift_mean_s"].iloc[1] - table["shift_mean_s"].iloc[0] == pytest.approx(
        1.5, abs=0.3
    )


def test_labels_that_can_be_trained_on(gold, make_config, tmp_path):
    """Raters of a package of four recordings, at the rows of one of its feature sets."""
    package = stress_package(tmp_path, frames=40)
    for k, id_ in enumerate(("1", "2", "3", "4")):
        rows = pd.read_csv(package / f"feature_segments/a/{id_}.csv")["timestamp"] / 1000
        values = simulated_raters(simulated_signal(len(rows), k, 4), [0, 1], [0] * 2, [1] * 2,
                                  [0.2] * 2, k)  # fmt: skip
        columns = dict(zip("ab", values.round(4), strict=True))
        write_raters(tmp_path / f"new/joy/{id_}.csv", rows, columns)
    words = [f"raters={tmp_path / 'new/joy'}", "unit=s", f"out={package}", "figures=0"]
    rows = f"rows={package / 'feature_segments/a'}"
    muse.commands.gold.run(make_config("gold", *words, rows, "target=arousal2"))
    label = pd.read_csv(package / "label_segments/arousal2/3.csv")
    assert label.columns.tolist() == ["timestamp", "segment_id", "value"]
    assert (label["segment_id"] == 1).all()
    muse.commands.gold.run(make_config("gold", *words))  # without rows: no segments
    words = ["task=stress", f"data.root={tmp_path}", "features=a", "+debug=fast", "batch_size=8"]

    config = make_config("train", *words, "task.targets=[arousal2,joy]", "model.layers=1")
    run(config)
    result = json.loads((Path(config.job.folder) / "result.json").read_text())
    assert set(result["targets"]) == {"arousal2", "joy"} and not result["synthetic"]


def test_physio(gold, ratings, tmp_path, caplog):
    """Rater c agrees least with the others; EDA comes at 50 Hz and replaces c."""
    fast = np.arange(0, 60, 0.02)
    for id_ in (1, 2, 3):
        eda = np.interp(fast, np.arange(120) / 2, simulated_signal(120, id_, width=5))
        write_raters(tmp_path / f"eda/{id_}.csv", fast * 1000, {"eda": (7 + 3 * eda).round(4)})
    caplog.set_level(logging.INFO)
    words = [f"physio.signal={tmp_path / 'eda'}", "physio.unit=ms", "figures=1"]
    out = gold(ratings, "gold=physio", *words)
    assert (
        "recording 1: EDA replaces rater c. The same in 2 other recordings, see report.json."
        in caplog.text
    )
    notes = json.loads((out / "gold/anno12_EDA/report.json").read_text())["notes"]
    assert "recording 2: EDA replaces rater c." in notes
    table = pd.read_csv(out / "gold/anno12_EDA/weights.csv")
    assert table["rater"].tolist() == ["a", "b", "EDA"] * 3
    assert (table["weight"] > 0.2).all()
    assert len(pd.read_csv(out / "label_segments/anno12_EDA/1.csv")) == 120
    agreement = pd.read_csv(out / "gold/anno12_EDA/agreement.csv")
    assert (agreement["correlation_before"] > 0.5).all()
    (tmp_path / "eda/SYNTHETIC.txt").touch()
    with pytest.raises(MuseError, match=r"a package of real data; .*eda is synthetic"):
        gold(ratings, "gold=physio", f"physio.signal={tmp_path / 'eda'}", "target=x")


@pytest.mark.parametrize(
    ("times", "words", "message"),
    [
        (np.arange(0, 30, 0.5), [], "EDA covers 0 to 29.5 s, the ratings 0 to 59.5 s"),
        (np.arange(0, 60, 0.5), ["physio.offset=20"], "EDA covers 20 to 79.5 s"),
        (np.arange(0, 61, 12), [], "EDA has a gap of 12 s"),
        (np.arange(0, 60, 0.5), ["physio.column=x"], "the columns are eda. Say with physio.column"),
        (np.arange(0, 60, 0.5), ["physio.name=a"], "physio.name=a: a rater has that name"),
        (np.arange(0, 60, 0.5), ["physio.window=200"], "120 frames are fewer than the smoothing"),
        (None, [], "1.csv: the file is missing"),
    ],
)
def test_a_signal_that_does_not_fit(gold, ratings, tmp_path, times, words, message):
    if message == "EDA has a gap of 12 s":
        words = ["max_gap=5"]
        times = np.setdiff1d(np.arange(0, 60, 0.5), np.arange(20.5, 32, 0.5))
    for id_ in (1, 2, 3) if times is not None else ():
        write_raters(tmp_path / f"eda/{id_}.csv", times, {"eda": np.sin(times).round(4)})
    with pytest.raises(MuseError, match=message.replace("(", r"\(")):
        gold(ratings, "gold=physio", f"physio.signal={tmp_path / 'eda'}", *words)
    assert not (tmp_path / "package/label_segments").exists()


def test_physio_needs_its_signal(gold, ratings):
    with pytest.raises(MuseError, match=r"physio\.signal=None with physio\.replace=global"):
        gold(ratings, "gold=physio")


def test_which_rater_is_replaced():
    names = [["a", "b", "c"], ["a", "b"], ["c"]]
    weights = [np.array([0.5, 0.2, 0.3]), np.array([0.1, 0.9]), np.array([1.0])]
    # means: a 0.3, b 0.55, c 0.3 from the recording where c is not alone
    assert lowest(names[:2], [np.array([0.5, 0.4, 0.1]), weights[1]], "global") == [2, None]
    assert lowest(names, [np.array([0.2, 0.5, 0.3]), *weights[1:]], "global") == [0, 0, None]
    assert lowest(names, weights, "recording") == [1, 0, None]
    assert lowest([["a"]], [np.ones(1)], "global") == [None]
    kept, values = with_signal(["a", "b"], np.array([[1.0], [2]]), 0, "EDA", np.array([9.0]))
    assert kept == ["b", "EDA"] and values.tolist() == [[2], [9]]


def test_one_rater(gold, tmp_path, caplog):
    write_raters(tmp_path / "solo/1.csv", np.arange(30) / 2, {"a": np.arange(30)})
    out = gold(tmp_path / "solo", "post.method=none")
    label = pd.read_csv(out / "label_segments/solo/1.csv")["value"]
    assert label.to_numpy() == pytest.approx(np.linspace(-1, 1, 30), abs=1e-6)
    assert "rater a is the only one; there is no agreement" in caplog.text


def test_nobody_agrees_and_nobody_moves(gold, tmp_path, caplog):
    up = np.linspace(0, 1, 30)
    write_raters(tmp_path / "x/1.csv", np.arange(30), {"a": up, "b": -up, "c": np.ones(30)})
    gold(tmp_path / "x", "gold=ewe")
    assert "recording 1: rater c never moves; weight 0." in caplog.text
    gold(tmp_path / "x", "gold=mean", "target=y", "figures=0")
    assert "recording 1: rater c never moves; it has equal weight." in caplog.text
    assert "recording 1: no rater agrees with the others; the plain mean is taken." in caplog.text


def test_warnings_that_are_alike_are_one_line(caplog):
    notes = ["recording 1: 2 of 4 frames.", "recording 2: 1 of 9 frames.", "recording 1: c moves"]
    muse.commands.gold._warn([*notes, "recording 3: 7 of 8 frames."])
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "recording 1: 2 of 4 frames. The same in 2 other recordings, see report.json."
    assert second == "recording 1: c moves"


def test_values_outside_the_range_are_clipped_with_a_warning(gold, tmp_path, caplog):
    write_raters(tmp_path / "x/1.csv", np.arange(4), {"a": [0, 5, 0, 0], "b": [0, 3, 0, 1]})
    out = gold(tmp_path / "x", "gold=mean")
    assert pd.read_csv(out / "label_segments/x/1.csv")["value"].tolist() == [0, 1, 0, 0.5]
    assert "recording 1: 1 of 4 frames outside [-1, 1], and clipped" in caplog.text


def test_nothing_is_written_over(gold, ratings, tmp_path):
    out = gold(ratings, "gold=mean", "figures=0")
    before = (out / "label_segments/arousal/1.csv").read_bytes()
    with pytest.raises(MuseError, match="label_segments/arousal: the folder is not empty"):
        gold(ratings, "gold=ewe", "figures=0")
    assert (out / "label_segments/arousal/1.csv").read_bytes() == before
    with pytest.raises(MuseError, match="target=a/b: expected the name of a folder"):
        gold(ratings, "target=a/b")


def test_what_a_killed_one_has_left_is_replaced(gold, ratings, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("muse.commands.gold.write_rows", killed)
        gold(ratings, "gold=mean", "figures=0")
    out = gold(ratings, "gold=ewe", "figures=0")
    assert (out / "label_segments/arousal/1.csv").exists()
    assert not list(out.rglob(".unfinished"))


def test_synthetic_raters_make_synthetic_labels(gold, ratings, tmp_path, capsys):
    (ratings.parent / "SYNTHETIC.txt").touch()
    real = stress_package(tmp_path)
    with pytest.raises(MuseError, match="a package of real data"):
        gold(ratings, f"out={real}", "target=joy")
    out = gold(ratings, "figures=1")
    assert (out / "SYNTHETIC.txt").exists() and "SYNTHETIC data" in capsys.readouterr().out
    assert json.loads((out / "gold/arousal/report.json").read_text())["synthetic"]


def test_a_recording_that_is_too_short_is_named(gold, tmp_path):
    write_raters(tmp_path / "x/7.csv", np.arange(4), {"a": [0, 5, 0, 0], "b": [0, 3, 0, 1]})
    with pytest.raises(MuseError, match="recording 7: 4 frames are fewer than the smoothing"):
        gold(tmp_path / "x")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("smooth.order=5", r"smooth.order=5: .* smooth.window=5 frames has an order of at most 4"),
        ("smooth.method=gauss", "smooth.method=gauss: expected one of savgol, average, none"),
        ("standardise.over=all", "expected one of corpus, recording, none"),
        ("align.method=ctw", "expected one of one_step, gctw, lag, none. Did you mean 'gctw'"),
        ("align.regularisation=1", "expected 0 or more and less than 1"),
        ("align.energy=0", "expected more than 0 and at most 1"),
        ("align.max_lag=0", "expected more than 0"),
        ("align.polynomials=0", "expected 1 or more"),
        ("fuse.agreement=all", "expected one of pairwise, mean_of_others"),
        ("fuse.measure=cc", "expected one of ccc, correlation"),
        ("fuse.weights_from=x", "expected one of raw, aligned"),
        ("post.window=0", "post.window=0: expected 1 or more"),
        ("physio.replace=all", "expected one of none, global, recording"),
        ("physio.signal=x", "physio.signal=x with physio.replace=none"),
        ("physio.unit=h", "physio.unit=h: expected one of ms, s, min"),
        ("step=0", "step=0.0: expected more than 0"),
        ("ends=cut", "ends=cut: expected one of trim, hold"),
    ],
)
def test_wrong_settings(make_config, word, message):
    with pytest.raises(MuseError, match=message):
        make_config("gold", "raters=x", "unit=s", "out=y", word)


def test_rows_have_their_segments(make_config):
    with pytest.raises(MuseError, match="the rows of a feature set bring their segments"):
        make_config("gold", "raters=x", "unit=s", "out=y", "rows=a", "segments=b")


def test_presets(make_config):
    def of(preset: str):
        words = ["raters=x", "unit=s", "out=y", f"gold={preset}"]
        return make_config("gold", *words, *["physio.signal=z"] * (preset == "physio"))

    assert of("raaw").align.method == "one_step" and of("raaw").fuse.weights_from == "raw"
    assert of("gctw").align.method == "gctw" and of("gctw").fuse.weights_from == "raw"
    assert of("ewe").align.method == "none" and of("lag").align.method == "lag"
    assert of("mean").fuse.method == "mean" and of("dba").fuse.method == "dba"
    physio = of("physio")
    assert (physio.target, physio.physio.window, physio.physio.replace) == (
        "anno12_EDA", 26, "global",
    )  # fmt: skip
    assert physio.align.method == "one_step"
    published = of("raaw").align
    assert (published.polynomials, published.tangents, published.regularisation) == (5, 5, 0.7)
    assert (published.energy, published.rounds, published.steps) == (0.8, 20, 2)
    assert set(UNITS) == {"ms", "s", "min"}
