"""End2You of MuSe 2020, from `muse synth` with sound to scores."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import wavfile

from muse.commands import check, evaluate, predict, synth, train
from muse.errors import MuseError

SHORT = "task.size.seconds={train:3320,devel:1240,test:1260}"  # 20 s a recording
MINUTE = "task.size.seconds={train:9960,devel:3720,test:3780}"
TINY = ["model.channels=[4,4,4]", "model.hidden=4", "tensorboard=false", "plots=false",
        "bootstrap=0"]  # fmt: skip


@pytest.fixture
def packages(tmp_path, make_config):
    """A small synthetic package of MuSe-Trust, with sound."""
    words = ["task=trust", "scale=0.01", "features=[audio,vggface,fasttext]", f"out={tmp_path}"]
    synth.run(make_config("synth", *words, SHORT, "feature_sets.vggface.dimension={muse-car:3}",
                          "feature_sets.fasttext.dimension={muse-car:3}"))  # fmt: skip
    return tmp_path


def test_trust_with_three_outputs(packages, make_config, tmp_path, capsys):
    folder = packages / "c3_muse_trust"
    rate, sound = wavfile.read(folder / "audio/1.wav")
    rows = (folder / "label_segments/valence/1.csv").read_text().count("\n") - 1
    assert (rate, sound.dtype, len(sound)) == (8000, np.int16, 2000 * rows)
    root = f"data.root={packages}"
    words = ["+experiment=muse2020/end2you", "task=trust", "joint=true", *TINY, root,
             "task.targets=[trustworthiness,valence,arousal]", "epochs=1", "seeds=2"]  # fmt: skip
    config = make_config("train", *words, "workers=2")
    train.run(config)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert list(result["targets"]) == ["trustworthiness", "valence", "arousal"]
    assert result["features"] == ["audio", "vggface", "fasttext"]
    scores = {target: part["devel"]["ccc"] for target, part in result["targets"].items()}
    out = tmp_path / "again.json"
    evaluate.run(make_config("evaluate", f"run={tmp_path / 'run'}", f"out={out}"))
    again = json.loads(out.read_text())["targets"]
    assert {target: part["devel"]["ccc"] for target, part in again.items()} == scores

    (folder / "metadata/partition.csv").unlink()  # recordings without labels and partitions
    shutil.rmtree(folder / "label_segments")
    out = tmp_path / "predicted"
    predict.run(make_config("predict", f"run={tmp_path / 'run'}", f"out={out}"))
    before = tmp_path / "run/predictions/valence/devel"
    for path in before.glob("*.csv"):
        table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 2))
        (found,) = out.rglob(f"valence/**/{path.name}")
        got = np.loadtxt(found, delimiter=",", skiprows=1, usecols=(0, 2))
        np.testing.assert_allclose(got, table, atol=1e-6)
    wavfile.write(folder / "audio/1.wav", 16000, np.resize(sound, 2 * len(sound)))
    with pytest.raises(MuseError, match=r"audio/1\.wav: 16000 samples per second; expected 8000"):
        predict.run(make_config("predict", f"run={tmp_path / 'run'}", f"out={tmp_path / 'no'}"))


def test_a_model_of_another_rate_is_told(packages, make_config, tmp_path):
    words = ["+experiment=muse2020/end2you", "task=trust", "features=audio", *TINY, "epochs=1",
             "seeds=1", f"data.root={packages}"]  # fmt: skip
    train.run(make_config("train", *words))
    for path in (packages / "c3_muse_trust/audio").iterdir():
        wavfile.write(path, 16000, np.repeat(wavfile.read(path)[1], 2))
    with pytest.raises(MuseError, match="audio: 4000 columns, the model was trained on 2000"):
        evaluate.run(make_config("evaluate", f"run={tmp_path / 'run'}"))


def test_check_reads_sound_and_sets_are_added_to_it(packages, make_config, tmp_path, capsys):
    words = ["task=trust", "scale=0.01", f"out={packages}", SHORT]
    audio = packages / "c3_muse_trust/audio"
    before = {path.name: path.read_bytes() for path in audio.iterdir()}
    synth.run(make_config("synth", *words, "features=[audio,pose]"))
    assert {path.name: path.read_bytes() for path in audio.iterdir()} == before
    capsys.readouterr()
    check.run(make_config("check", "task=trust", f"data.root={packages}", f"out={tmp_path / 'r'}"))
    report = json.loads((tmp_path / "r/report.json").read_text())
    assert list(report["features"]) == ["fasttext", "pose", "vggface", "audio"]
    found = report["features"]["audio"]["train"]
    assert found["columns"] == 2000 and -1 <= found["low"] < -0.3 and 0.3 < found["high"] <= 1
    narrow = report["notes"]  # the sets that are narrower than published
    assert len(narrow) == 2
    rate, sound = wavfile.read(audio / "1.wav")
    wavfile.write(audio / "1.wav", rate, np.append(sound, sound))
    wavfile.write(audio / "99.wav", rate, sound)
    check.run(make_config("check", "task=trust", f"data.root={packages}", f"out={tmp_path / 's'}"))
    notes = json.loads((tmp_path / "s/report.json").read_text())["notes"]
    assert notes == [
        f"{audio}: not in partition.csv and never read: 99.wav",
        *narrow,
        "audio goes on for more than 20 frames after the last of 1",
    ]
    wavfile.write(audio / "1.wav", rate, sound[:-5000])
    with pytest.raises(MuseError, match=": 1 fault; the list"):
        words = f"data.root={packages}", f"out={tmp_path / 't'}"
        check.run(make_config("check", "task=trust", *words))


@pytest.mark.slow
def test_it_learns_of_the_sound_and_not_of_that_of_others(tmp_path, make_config):
    words = ["task=wild", "scale=0.1", "features=audio", MINUTE, f"out={tmp_path}"]
    synth.run(make_config("synth", *words))
    words = ["+experiment=muse2020/end2you", "task=wild", "features=audio", "target=arousal",
             f"data.root={tmp_path}", "epochs=6", "lr=0.005", "loss=mse", "batch_size=4",
             "seeds=5", "workers=-1", "model.channels=[6,12,12]", "model.hidden=24",
             "model.dropout=0", *TINY[2:]]  # fmt: skip

    def devel() -> list[float]:
        config = make_config("train", *words)
        train.run(config)
        rows = json.loads((tmp_path / config.job.folder / "result.json").read_text())
        return [row["devel"] for row in rows["targets"]["arousal"]["seeds"]]

    own = devel()
    audio = tmp_path / "c1_muse_wild/audio"
    paths = sorted(audio.iterdir())
    sounds = [wavfile.read(path)[1] for path in paths]
    for path, sound, other in zip(paths, sounds, sounds[1:] + sounds[:1], strict=True):
        wavfile.write(path, 8000, np.resize(other, len(sound)))
    others = devel()
    print(own, others)
    assert min(own) > 0.2 and max(others) < 0.2
