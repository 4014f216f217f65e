"""ALBERT on synthetic transcripts, from the package to the prediction, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from muse.commands import check, evaluate, export, predict, resume, synth, train
from muse.config.compose import load_config
from muse.config.fields import numbers_of
from muse.errors import MuseError
from muse.scoring import class_scores, metric_name
from muse.synthetic.transcript import vocabulary
from muse.training.prepare import id_of, load_inputs
from tests.tiny_albert import write_albert

SMALL = [  # a few segments of half a minute
    "task.size.seconds={train:24900,devel:9300,test:9450}",
    "task.size.segments={train:830,devel:310,test:315}",
]
METRIC = {"micro_f1": 0.66, "uar": 0.34}
QUICK = ["target=valence", "seeds=1", "epochs=2", "lr=0.01", "bootstrap=0", "tensorboard=false",
         "plots=false",
         "batch_size=4"]  # fmt: skip


def all_words() -> list[str]:
    neutral, telling = vocabulary(load_config("synth", ["task=topic"]).task)
    return [*neutral, *(w for classes in telling.values() for words in classes for w in words)]


@pytest.fixture
def package(make_config, tmp_path):
    """A synthetic package with transcripts below tmp_path, and a tiny ALBERT for its words."""
    words = ["task=topic", "scale=0.01", "features=[transcript]", f"out={tmp_path / 'data'}"]
    synth.run(make_config("synth", *words, *SMALL))
    write_albert(tmp_path / "albert", all_words())
    return tmp_path


@pytest.fixture
def settings(make_config, package):
    def make(*words: str):
        return make_config("train", "+experiment=muse2020/albert", "task=topic", *SMALL, *QUICK,
                           f"data.root={package / 'data'}", f"model.weights={package / 'albert'}",
                           *words)  # fmt: skip

    return make


def test_an_experiment_has_the_published_settings(make_config):
    config = make_config("train", "+experiment=muse2020/albert", "task=topic", "model.weights=x")
    got = config.epochs, config.lr, config.window, config.batch_size, config.clip, config.warmup
    assert got == (3, 1e-5, 300, 12, 1.0, 0.06) and config.class_weights == "balanced"
    assert (config.tokenizer, config.features, config.weight_decay) == ("x", ["transcript"], 0)
    assert torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]).defaults["eps"] == 1e-8
    with pytest.raises(MuseError, match=r"no value for model\.weights"):
        make_config("train", "task=topic", "features=transcript", "model=albert")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("task=wild", r"task=wild \(a value per frame\)"),
        ("features=[transcript,egemaps]", r"features=\['transcript', 'egemaps'\] \(with a"),
        ("features=difficulty_transcript", r"features=\['difficulty_transcript'\]"),
        ("align=labels", "align=labels"),
        ("standardise=true", "standardise=True"),
        ("standardise=transcript", r"standardise=\['transcript'\]"),
        ("noise=0.1", r"noise=0\.1"),
    ],
)
def test_what_does_not_go_with_tokens_is_refused(make_config, word, found):
    words = ["task=topic", "features=transcript", "tokenizer=x", "class_weights=null"]
    words = [w for w in words if w.split("=")[0] != word.split("=")[0]]
    with pytest.raises(MuseError, match=f"tokenizer=x does not go with {found}.* are tokens"):
        make_config("train", *words, word)


def test_the_settings_change_the_id_only_where_they_are_given(make_config):
    words = ["task=topic", "features=a"]
    plain = numbers_of(make_config("train", *words))
    assert not plain.keys() & {"warmup", "class_weights", "tokenizer"}
    for word, value in (("warmup=0", 0.0), ("class_weights=balanced", "balanced")):
        name = word.split("=")[0]
        assert numbers_of(make_config("train", *words, word)) == plain | {name: value}


def test_a_run_is_stopped_continued_evaluated_and_applied(
    settings, make_config, package, monkeypatch, capsys
):
    whole = settings()
    train.run(whole)
    done = json.loads((Path(whole.job.folder) / "result.json").read_text())
    stopped = settings()
    with monkeypatch.context() as patch:
        steps, step = iter(range(10)), torch.optim.Adam.step

        def killing(*arguments):
            if next(steps) == 3:  # in the second epoch
                raise KeyboardInterrupt
            return step(*arguments)

        patch.setattr(torch.optim.Adam, "step", killing)
        with pytest.raises(KeyboardInterrupt):
            train.run(stopped)
    home = Path(stopped.job.folder)
    with pytest.raises(MuseError, match=r"epochs=9: with warmup=0\.06 the learning rate of every"):
        resume.run(make_config("resume", f"resume={home}", "epochs=9"))
    resume.run(make_config("resume", f"resume={home}"))
    again = json.loads((home / "result.json").read_text())
    assert again["targets"] == done["targets"] and again["run_id"] == done["run_id"]
    weights = "weights/valence.safetensors"
    assert (home / weights).read_bytes() == (Path(whole.job.folder) / weights).read_bytes()
    shutil.rmtree(package / "albert")  # what a finished run needs of it is in its folder
    capsys.readouterr()
    evaluate.run(make_config("evaluate", f"run={home}"))
    assert capsys.readouterr().out.count(", equal") == 3
    predict.run(make_config("predict", f"run={home}", f"out={package / 'out'}"))
    made = sorted((package / "out/predictions").rglob("*.csv"))
    export.run(make_config("export", f"run={home}", f"out={package / 'model.zip'}"))
    words = [f"model={package / 'model.zip'}", f"data.root={whole.data.root}"]
    predict.run(make_config("predict", *words, f"out={package / 'again'}"))
    for path in made:
        again = package / "again" / path.relative_to(package / "out")
        assert again.read_bytes() == path.read_bytes()
    assert len(made) == 6  # every segment, also those without words
    for path in made:
        mine = home / path.relative_to(package / "out")
        assert path.read_bytes() == mine.read_bytes()
    with pytest.raises(MuseError, match=r"tokenizer\.json: the file is missing\. Expected tokeniz"):
        train.run(settings())
    kept = home / "weights/pretrained/config.json"
    kept.write_text(kept.read_text() + " ")
    with pytest.raises(MuseError, match=r"config\.json: changed since the run was finished"):
        evaluate.run(make_config("evaluate", f"run={home}"))


def test_the_id_of_a_run_has_the_weights_and_not_where_they_are(settings, package):
    def id_here(*words: str) -> str:
        config = settings(*words)
        return id_of(config, load_inputs(config))

    first = id_here()
    shutil.copytree(package / "albert", package / "copy")
    assert id_here(f"model.weights={package / 'copy'}") == first
    write_albert(package / "copy", all_words(), seed=1)
    assert (
        len({first, id_here(f"model.weights={package / 'copy'}"), id_here("window=9", "hop=9")})
        == 3
    )


def test_synthetic_transcripts_are_checked_with_a_tokenizer(package, make_config, capsys):
    words = ["task=topic", *SMALL, f"data.root={package / 'data'}"]
    with pytest.raises(MuseError, match=r"nothing but transcripts.* features=transcript tokenizer"):
        check.run(make_config("check", *words, f"out={package / 'one'}"))
    own = [f"tokenizer={package / 'albert'}", f"out={package / 'two'}"]
    check.run(make_config("check", *words, "features=transcript", *own))
    assert "transcript  1        train" in capsys.readouterr().out
    sets = ["features=[pose]", "scale=0.01", f"out={package / 'data'}"]
    synth.run(make_config("synth", "task=topic", *SMALL, *sets))
    check.run(make_config("check", *words, f"out={package / 'three'}"))
    assert "transcript: a transcript, not checked; features=transcript" in capsys.readouterr().out
    with pytest.raises(MuseError, match="task wild has no classes of segments"):
        synth.run(make_config("synth", "task=wild", "features=transcript", "scale=0.01",
                              f"out={package / 'data'}"))  # fmt: skip


def devel_scores(make_config, root: Path) -> list[float]:
    """Of five seeds of a tiny ALBERT."""
    words = ["target=valence", "lr=0.005", "epochs=5", "patience=null", "bootstrap=0"]
    words += [f"data.root={root}", f"model.weights={root / 'albert'}"]
    config = make_config("train", "+experiment=muse2020/albert", "task=topic", *words)
    train.run(config)
    result = json.loads((Path(config.job.folder) / "result.json").read_text())
    return [seed["devel"] for seed in result["targets"]["valence"]["seeds"]]


def constant_score(package: Path) -> float:
    """Of the one class for all segments that is best on devel."""
    rows = (package / "metadata/partition.csv").read_text().split()[1:]
    files = [f"label_segments/valence/{row.removesuffix(',devel')}.csv"
             for row in rows if row.endswith(",devel")]  # fmt: skip
    gold = [np.loadtxt(package / name, int, delimiter=",", skiprows=1)[:, 1] for name in files]
    scores = [
        class_scores([np.full(len(g), c) for g in gold], gold, 3, metric=METRIC) for c in range(3)
    ]
    return max(score[metric_name(METRIC)] for score in scores)


@pytest.mark.slow
def test_it_learns_from_words_and_not_from_those_of_other_segments(make_config, tmp_path):
    """Five seeds at a tenth of the size, against the best constant class."""
    words = ["task=topic", "scale=0.1", "features=[transcript]", f"out={tmp_path}"]
    synth.run(make_config("synth", *words))
    sizes = {"hidden_size": 32, "embedding_size": 32, "num_hidden_layers": 1}
    write_albert(tmp_path / "albert", all_words(), initializer_range=0.1, **sizes)
    constant = constant_score(tmp_path / "c2_muse_topic")
    learnt = devel_scores(make_config, tmp_path)
    paths = sorted((tmp_path / "c2_muse_topic/feature_segments/transcript").glob("*.csv"))
    tables = [pd.read_csv(path) for path in paths]
    spoken = np.random.default_rng(0).permutation(np.concatenate([t["word"] for t in tables]))
    ends = np.cumsum([len(table) for table in tables])[:-1]
    for path, table, others in zip(paths, tables, np.split(spoken, ends), strict=True):
        table.assign(word=others).to_csv(path, index=False)
    by_others = devel_scores(make_config, tmp_path)
    print(learnt, by_others, constant)
    assert min(learnt) > constant + 0.1
    assert np.mean(by_others) < constant + 0.1  # of 5 epochs; the number of words stays
