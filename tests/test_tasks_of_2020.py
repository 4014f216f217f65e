"""MuSe 2020: targets with unlike numbers of classes, and targets that are not scored."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from muse.commands import classes, evaluate, synth, train
from muse.config.fields import numbers_of
from muse.data.heads import head_of
from muse.data.recordings import load_package
from muse.data.windows import Frames
from muse.errors import MuseError
from muse.runs.identity import run_id
from muse.synthetic.plan import plan_recordings
from muse.training.losses import loss_function
from muse.training.scores import mean_score, score_target
from tests.conftest import PARTITION_OF, write

SMALL = [
    "task.size.seconds={train:9960,devel:3720,test:3780}",  # a minute each
    "feature_sets.lld.dimension={muse-car:4}",
    "feature_sets.fasttext.dimension={muse-car:5}",
]


def topic_package(root):
    """Four recordings of six segments of four frames."""
    folder = root / "c2_muse_topic"
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITION_OF.items())
    for id_ in PARTITION_OF:
        rows = [(250 * k, 1 + k // 4, (k * int(id_)) % 7) for k in range(24)]
        write(folder / f"feature_segments/a/{id_}.csv", "timestamp,segment_id,a_0\n", rows)
        for target, count in (("topic", 10), ("valence", 3), ("arousal", 3)):
            rows = [(s, (s * int(id_) + 3) % count) for s in range(1, 7)]
            write(folder / f"label_segments/{target}/{id_}.csv", "segment_id,class_id\n", rows)


@pytest.mark.parametrize("joint", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_model_has_as_many_outputs_as_its_targets_have_classes(make_config, tmp_path, joint):
    topic_package(tmp_path)
    words = ["task=topic", "features=a", "epochs=2", "seeds=1", "bootstrap=0", "model.hidden=4",
             "tensorboard=false",
             "plots=false", "lr=0.01", f"joint={joint}", f"data.root={tmp_path}"]  # fmt: skip
    config = make_config("train", *words)
    train.run(config)
    home = tmp_path / "run"
    result = json.loads((home / "result.json").read_text())
    metric = "0.66*micro_f1+0.34*uar"
    scores = {target: part["devel"] for target, part in result["targets"].items()}
    assert result["metric"] == metric and list(scores) == ["topic", "valence", "arousal"]
    for target, count in (("topic", 10), ("valence", 3), ("arousal", 3)):
        assert np.shape(scores[target]["confusion"]) == (count, count)
        weighted = 0.66 * scores[target]["micro_f1"] + 0.34 * scores[target]["uar"]
        assert scores[target][metric] == pytest.approx(weighted)
        header = (home / f"logits/{target}/devel/4.csv").read_text().splitlines()[0]
        assert header.split(",")[2:] == [f"c_{c}" for c in range(count)]
    mean = (scores["valence"][metric] + scores["arousal"][metric]) / 2
    assert result["combined"]["devel"] == pytest.approx(mean)  # topic is not in it
    evaluate.run(make_config("evaluate", f"run={home}", f"out={tmp_path / 'again.json'}"))
    again = json.loads((tmp_path / "again.json").read_text())["targets"]
    assert all(again[target]["devel"] == part for target, part in scores.items())


def test_the_loss_of_unlike_targets_is_the_mean_of_their_cross_entropies():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)  # 2 and 3 classes
    gold = torch.tensor([[0, 2], [1, 0], [1, 1]])
    lengths = [4, 2, 3]
    losses = []
    for b, n in enumerate(lengths):
        for k, part in enumerate((logits[b, n - 1, :2].numpy(), logits[b, n - 1, 2:].numpy())):
            losses.append(np.log(np.exp(part).sum()) - part[gold[b, k]])
    frames = gold[:, None].expand(3, 4, 2).double()
    got = loss_function("cross_entropy", [2, 3])(logits, frames, torch.tensor(lengths))
    assert float(got) == pytest.approx(np.mean(losses), rel=1e-12)


def test_the_head_of_a_model_has_the_logits_of_its_targets(make_config):
    task = make_config("train", "task=topic", "features=a").task
    whole = head_of(task)
    assert whole.outputs == [10, 3, 3]
    output = np.arange(32.0).reshape(2, 16)
    assert [whole.values(output, k)[0].tolist() for k in (1, 2)] == [[10, 11, 12], [13, 14, 15]]
    assert head_of(task, targets=["arousal"]).outputs == [3]


def test_a_joint_model_of_trust_is_picked_by_trustworthiness_alone(make_config):
    targets = ["trustworthiness", "valence", "arousal"]
    words = ["task=trust", "features=a", "joint=true", f"task.targets=[{','.join(targets)}]"]
    config = make_config("train", *words)
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.normal(size=(31, 3)))
    bounds, samples = [("1", 0, 30)], np.array([[0, 30]])
    output = rng.normal(size=(30, 3)) + labels[:-1].numpy()
    frames = Frames(torch.zeros(31, 1), labels, samples, bounds, {"a": 1}, targets)
    scores = [score_target(config, frames, output, k)["ccc"] for k in range(3)]
    assert len({*scores}) == 3
    assert mean_score(config, frames, output) == scores[0]
    assert config.task.among("combined", targets) == ["trustworthiness"]
    alone = Frames(torch.zeros(31, 1), labels[:, 1:2], samples, bounds, {"a": 1}, ["valence"])
    assert mean_score(config, alone, output[:, 1:2]) == scores[1]
    every = make_config("train", *words, "task.scored=null")
    assert mean_score(every, frames, output) == pytest.approx(np.mean(scores))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("task.targets=[topic,valence,joy]", "expected a number for joy as well"),
        ("task.classes={topic:10,valence:3,arousal:1}", "classes.arousal=1: expected 2 or more"),
        ("task.classes={topic:10,valence:3,arousal:0}", "classes.arousal=0: expected 2 or more"),
        ("task.classes=ten", r"task.classes=ten: expected 0 \(regression\), or 2 or more"),
        ("task.classes=true", r"task.classes=True: expected 0 \(regression\), or 2 or more"),
        ("task.combined=[joy]", "task.combined=joy: expected one of topic, valence, arousal"),
        ("task.scored=topics", "task.scored=topics: expected one of topic, .* 'topic'"),
        ("align=word", "align=word: expected one of labels, words, own"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make_config, word, message):
    with pytest.raises(MuseError, match=message):
        make_config("train", "task=topic", "features=a", word)


def test_settings_of_their_own_are_in_the_run_id_and_their_absence_is_not(make_config):
    def id_of(*words: str) -> str:
        config = make_config("train", "task=sent", "features=a", *words)
        return run_id(config, ["a"], {"valence": [], "arousal": []}, "digest", None)

    assert not {"align", "scored"} & set(
        numbers_of(make_config("train", "task=sent", "features=a"))
    )
    changes = ["align=labels", "align=words", "align=own", "+task.scored=arousal",
               "+task.combined=arousal", "task.classes={valence:5,arousal:4}"]  # fmt: skip
    assert len({id_of(), *map(id_of, changes)}) == len(changes) + 1


@pytest.mark.parametrize("task", ["wild", "topic", "trust"])
def test_the_whole_has_the_published_size(make_config, task):
    task = make_config("synth", f"task={task}").task
    recordings = plan_recordings(task, 1, 0)
    assert len(recordings) == 291
    seconds = sum(recording.frames for recording in recordings) * task.step
    assert round(seconds) == 36 * 3600 + 52 * 60 + 8
    assert len(task.size.features) == 14


def test_synthetic_rows_of_their_own_lead_back_to_the_frames(make_config, tmp_path, capsys):
    sets = ["lld", "fasttext", "pose"]
    common = ["task=trust", "scale=0.001", f"features=[{','.join(sets)}]"]
    for name in ("frames", "rows"):
        own = [f"own_steps={name == 'rows'}", f"out={tmp_path / name}"]
        synth.run(make_config("synth", *common, *own, *SMALL))
    assert "align=labels" in capsys.readouterr().out.splitlines()[-1]
    config = make_config("train", *common[:1], "features=x")
    assert sorted(p.name for p in (tmp_path / "rows/c3_muse_trust/label_segments").iterdir()) == [
        "arousal", "trustworthiness", "valence"
    ]  # fmt: skip

    def load(name: str, align: str | None):
        config.data.root = str(tmp_path / name)
        return load_package(config.task, config.targets, sets, {}, config.data, align=align)

    plain, aligned = load("frames", None), load("rows", "labels")
    for one, two in zip(plain.partitions["devel"], aligned.partitions["devel"], strict=True):
        lld, fasttext, pose = zip(one.features, two.features, strict=True)
        np.testing.assert_array_equal(*fasttext)
        np.testing.assert_array_equal(*pose)
        within = [np.corrcoef(a, b)[0, 1] for a, b in zip(lld[0].T, lld[1].T, strict=True)]
        assert min(within) > 0.95  # noise of its own in each of 25 rows
    words = load_package(config.task, config.targets, ["fasttext", "lld"], {}, config.data,
                         align="words")  # fmt: skip
    for recording in words.partitions["train"]:
        assert len(recording.rows) < len(plain.partitions["train"][0].rows)
        assert np.asarray(recording.features[0]).any(axis=1).all()  # no pauses


@pytest.mark.parametrize(
    ("features", "align"),
    [("pose", None), ("fasttext", "labels"), pytest.param("lld", "labels", marks=pytest.mark.slow)],
)
def test_thirds_of_the_mean_become_the_classes_of_topic(
    make_config, tmp_path, capsys, features, align
):
    own = [f"features={features}", f"own_steps={bool(align)}", f"out={tmp_path}", *SMALL[1:]]
    synth.run(make_config("synth", "task=wild", "scale=0.01", *own))
    words = ["task=wild", "task@to=topic", "algorithm=quantiles", f"data.root={tmp_path}",
             f"out={tmp_path / 'thirds'}"]  # fmt: skip
    words += [f"align={align}"] * bool(align)
    config = make_config("classes", *words)
    classes.run(config)
    shown = capsys.readouterr().out.splitlines()[-1]
    assert "'task.targets=[valence,arousal]'" in shown and "classes=" not in shown
    assert f"features={features}" in shown and ("align=labels" in shown) == bool(align)
    config = make_config("train", "task=topic", f"data.root={tmp_path / 'thirds'}",
                         f"features={features}")  # fmt: skip
    read = load_package(
        config.task, ["valence", "arousal"], [features], {}, config.data, align=align
    )
    for target in ("valence", "arousal"):
        found = [r.labels[target][r.samples[:, 0]] for r in read.partitions["train"]]
        sizes = np.bincount(np.concatenate(found).astype(int), minlength=3)
        assert sizes.max() - sizes.min() <= 1
        means, made = [], []
        for recording in read.partitions["train"]:
            name = f"label_segments/{target}/{recording.id}.csv"
            rows = pd.read_csv(tmp_path / "c1_muse_wild" / name)
            means.append(rows.groupby("segment_id")["value"].mean())
            of_segments = pd.read_csv(tmp_path / "thirds/c2_muse_topic" / name)
            made.append(of_segments.set_index("segment_id")["class_id"][means[-1].index])
        order = np.argsort(np.concatenate(means), kind="stable")
        assert (np.diff(np.concatenate(made)[order]) >= 0).all()  # low, medium, high
