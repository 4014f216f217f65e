"""`muse annotate` on recordings: what is written, what is refused, recordings that fail."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import muse.commands.annotate
from muse.cli.arguments import for_hydra
from muse.config.compose import load_config
from muse.data.layout import feature_folder
from muse.errors import MuseError
from muse.extraction.feature_files import find_files
from muse.extraction.provenance import read_provenance, settings_again
from muse.files import digest_of
from muse.inference import annotate as annotate_module
from muse.inference import reuse
from muse.runs.read import read_result, read_run
from tests.inference import loudness
from tests.inference.conftest import tone, write_wav


@pytest.fixture
def annotate(tmp_path, monkeypatch, usual):
    """annotate(run, key=value, ...) annotates tmp_path/new into the folder that is returned."""
    monkeypatch.setattr(annotate_module, "draw_annotation", lambda *_: Figure((1, 1)))

    def call(run: Path, **settings: object) -> Path:
        here = {"source": [f"{tmp_path}/new"], "out": f"{tmp_path}/out"}
        muse.commands.annotate.run(replace(usual, run=str(run), **here, **settings))
        return tmp_path / "out"

    return call


@pytest.fixture
def new(tmp_path) -> Path:
    """A folder with the recording of test under another name, and a short one."""
    write_wav(tmp_path / "new/known.wav", tone(2, 8))
    write_wav(tmp_path / "new/short.wav", tone(3, 1.2))
    return tmp_path / "new"


@pytest.fixture
def changed(trained, tmp_path):
    """changed(key=value) -> a copy of the run with another result.json; None removes a key."""

    def change(**content: object) -> Path:
        run = tmp_path / "changed"
        shutil.copytree(trained, run, dirs_exist_ok=True)
        result = json.loads((run / "result.json").read_text()) | content
        result = {k: v for k, v in result.items() if v is not None and k != "digest"}
        (run / "result.json").write_text(json.dumps(result | {"digest": digest_of(result)}))
        return run

    return change


def test_a_run_knows_how_its_features_were_made(trained):
    result = read_result(trained)
    package = Path(result["data"]["folder"])
    about = json.loads((package / "feature_segments/loud/extraction.json").read_text())
    assert result["extracted"] == {"loud": {key: about[key] for key in ("tool", "settings")}}
    assert result["extracted"]["loud"]["settings"]["window"] == 1
    assert result["frame_step"] == 0.5


def test_features_of_elsewhere_have_no_provenance(tmp_path, caplog):
    for name in ("mine", "damaged"):
        (tmp_path / "feature_segments" / name).mkdir(parents=True)
    (feature_folder(tmp_path, "damaged") / "extraction.json").write_text('{"tool": 3}')
    assert read_provenance(tmp_path, ["mine", "damaged"]) == {}
    assert "the run will not know how damaged was made" in caplog.text


def test_curves_are_the_predictions_of_the_run_and_one_broken_file_stops_no_other(
    trained, annotate, new, capsys
):
    (new / "broken.wav").write_bytes(b"RIFF")
    (new / "notes.txt").write_text("no recording")
    with pytest.raises(MuseError, match="1 of 3 files failed; the others are done") as error:
        annotate(trained)
    assert error.value.faults == [f"{new / 'broken.wav'}: no WAV file."]
    assert "2 recordings annotated (valence, arousal)" in capsys.readouterr().out
    out = new.parent / "out"
    for target in ("valence", "arousal"):
        made = pd.read_csv(out / f"curves/{target}/known.csv")
        saved = pd.read_csv(trained / f"predictions/{target}/test/three.csv")
        assert made.columns.tolist() == ["timestamp", "value"]
        assert made.timestamp.tolist() == saved.timestamp.tolist()
        assert made.value.to_numpy() == pytest.approx(saved.value.to_numpy(), abs=1e-6)
        assert len(pd.read_csv(out / f"curves/{target}/short.csv")) == 2
    about = json.loads((out / "annotation.json").read_text())
    assert about["run_id"] == read_result(trained)["run_id"]
    there = {p.relative_to(out).as_posix() for p in out.rglob("*.*")}
    there = {name for name in there if not name.startswith("features/")}
    assert there == {"annotation.json", *about["files"]}
    assert {"known.png", "known.vtt", "known.eaf"} < there and "known.html" not in there


def test_annotations_are_replaced_only_when_asked_to(trained, annotate, new, monkeypatch):
    out = annotate(trained)
    (out / "known.eaf").write_text("corrected by hand")
    with pytest.raises(MuseError, match=r"annotations are there already.*overwrite=true"):
        annotate(trained)
    assert (out / "known.eaf").read_text() == "corrected by hand"
    (new / "short.wav").unlink()
    monkeypatch.setattr(loudness, "read", None)  # features that are there are not made again
    annotate(trained, overwrite=True, view=True)
    assert (out / "known.eaf").read_text().startswith("<?xml")
    assert (out / "known.html").exists() and not list(out.glob("short.*"))
    (out / "mine.txt").write_text("mine")
    with pytest.raises(MuseError, match=r"has files that .* has not written, such as mine\.txt"):
        annotate(trained, overwrite=True)


def test_annotations_stay_if_nothing_can_be_put_in_their_place(trained, annotate, new, capsys):
    out = annotate(trained)
    there = sorted(out.rglob("*"))
    for path in new.iterdir():
        path.rename(path.with_name("broken.wav"))
    (new / "broken.wav").write_bytes(b"x")
    capsys.readouterr()
    with pytest.raises(MuseError, match=r"^1 of 1 file failed\n"):
        annotate(trained, overwrite=True)
    assert sorted(out.rglob("*")) == there and capsys.readouterr().out == ""


def test_features_that_would_be_made_in_another_way_are_refused(
    trained, annotate, new, monkeypatch
):
    monkeypatch.setitem(loudness.VERSION, "version", "2")
    monkeypatch.setitem(loudness.SETTINGS, "weights", "34cd")
    with pytest.raises(MuseError) as error:
        annotate(trained)
    assert 'tool: version was "1", is "2"' in str(error.value)
    assert 'settings: weights was "12ab", is "34cd"' in str(error.value)
    assert "loud" in str(error.value) and "weights.loud=PATH" in str(error.value)


def test_the_window_is_that_of_the_training(trained, changed, annotate, new):
    """It is set, not only compared: that of the extractor's own config is 4 s."""
    made = read_result(trained)["extracted"]["loud"]
    other = {"loud": made | {"settings": made["settings"] | {"window": 2.0}}}
    out = annotate(changed(extracted=other))
    about = json.loads((out / "features/feature_segments/loud/extraction.json").read_text())
    assert about["settings"]["window"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extractor": "smell"}, "made by the extractor 'smell'; this muse has"),
        ({"window": "${oc.env:HOME}"}, "expected plain values"),
        ({"window": -1}, r"window=-1.*expected more than 0"),
    ],
)
def test_settings_of_a_strange_run(settings, message):
    made = {"tool": {}, "settings": {"extractor": "hrv", **settings}}
    with pytest.raises(MuseError, match=f"result.json: .*{message}"):
        settings_again("loud", made, Path("result.json"), {})


def test_a_run_without_provenance(changed, annotate, new):
    with pytest.raises(MuseError, match=r"how the feature set loud was made.*muse extract"):
        annotate(changed(extracted=None, frame_step=None))
    with pytest.raises(MuseError, match="no result of `muse train`"):
        annotate(changed(extracted={"loud": {"tool": "x"}}))


def test_runs_that_a_recording_alone_has_nothing_for(trained, annotate, new, monkeypatch):
    load = reuse.load_run

    def but(**settings: object) -> None:
        def changed_run(use, folder):
            used = load(use, folder)
            return replace(used, config=replace(used.config, **settings))

        monkeypatch.setattr(reuse, "load_run", changed_run)

    but(align="labels")
    with pytest.raises(MuseError, match="trained with align=labels"):
        annotate(trained)
    task = replace(read_run(str(trained)).config.task, classes=5, metric="f1")
    but(task=task, loss="cross_entropy", ccc="sample")
    with pytest.raises(MuseError, match="a class for each segment"):
        annotate(trained)


def test_weights_are_given_by_the_name_of_the_feature_set(trained, annotate, new):
    words = for_hydra("annotate", ["a b.wav", "c.wav", "run=x", "weights.deep=/my weights=1"])
    assert words == ["run='x'", "++weights.deep='/my weights=1'", "source=['a b.wav','c.wav']"]
    config = load_config("annotate", ["source=[a]", "run=x", "weights.deep=/w"])
    assert config.weights == {"deep": "/w"}
    with pytest.raises(MuseError, match=r"weights\.lout: .*reads loud\. Did you mean 'loud'\?"):
        annotate(trained, weights={"lout": "/w"})


def test_without_recordings(trained, annotate, usual):
    with pytest.raises(MuseError, match="no recordings"):
        replace(usual, source=None)
    with pytest.raises(MuseError, match="leave x out"):
        replace(usual, stream=True)
    with pytest.raises(MuseError, match="there is no such file or folder"):
        annotate(trained)


def test_files_of_several_feature_sets(tmp_path):
    """A film and its transcript, together and apart; a file of unknown ending is not lost."""
    films, words = tmp_path / "films", tmp_path / "words"
    for path in (films / "1.mp4", films / "2.mp4", words / "1.csv", tmp_path / "3.bin"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    endings = {"face": (".mp4",), "bert": (".csv", ".TextGrid")}
    source = [str(films), str(words), str(tmp_path / "3.bin")]
    places = annotate_module._places(source, endings)
    assert places == {"face": [source[0], source[2]], "bert": [source[1], source[2]]}
    assert annotate_module._places(source[:1], endings) == {"face": source[:1], "bert": source[:1]}
    found = {name: find_files(places[name], endings[name]) for name in endings}
    ids, failed = annotate_module._complete(found, endings)
    assert ids == ["1", "3"]
    assert failed == ["2: no file for the feature set bert (.csv or .TextGrid)."]
    paths = [found[name]["1"] for name in ("bert", "face")]
    assert annotate_module._media_of(paths) == films / "1.mp4"
    assert annotate_module._media_of(paths[:1]) is None


def test_a_name_that_is_no_text(trained, annotate, new):
    """A file of a system whose names are bytes, such as one copied from an old disk."""
    path = new / "caf\udce9.wav"
    try:
        (new / "known.wav").rename(path)
    except OSError:
        pytest.skip("this file system has no such names")
    out = annotate(trained, view=True)
    assert "caf?" in (out / "caf\udce9.html").read_text()
    assert "caf%E9.wav" in (out / "caf\udce9.eaf").read_text()
    values = pd.read_csv(out / "curves/valence/caf\udce9.csv").value
    assert np.isfinite(values).all()
