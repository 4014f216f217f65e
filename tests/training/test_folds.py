"""Folds and shares: which recordings are on which side, whatever the package looks like."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from muse.config.compose import load_config
from muse.data.recordings import Package, Recording
from muse.errors import MuseError
from muse.training.folds import UNLABELLED, make_folds, read_groups, share_of, take_share


def recording(id_: str, labelled: bool = True) -> Recording:
    gold = np.zeros(3, np.float32) if labelled else None
    samples = np.array([[0, 3]])
    return Recording(
        id_, np.arange(3), np.arange(3.0), np.ones(3), [], {"arousal": gold}, samples, []
    )


def package(partitions: dict[str, list[Recording]]) -> Package:
    digests = dict.fromkeys(partitions, "0")
    return Package(Path(), ["a"], {"a": ["a_0"]}, partitions, digests, False)


def spread(count: int, rng=None, unlabelled: int = 0) -> Package:
    """A package of ``count`` recordings with labels, 1, 2, ..., in any order and partition."""
    rng = rng or np.random.default_rng(0)
    everything = [recording(str(k + 1)) for k in range(count)]
    everything = [everything[k] for k in rng.permutation(count)]
    ends = sorted(rng.integers(1, count - 1, 2))
    parts = [everything[: ends[0]], everything[ends[0] : ends[1]], everything[ends[1] :]]
    parts[2] += [recording(f"x{k}", labelled=False) for k in range(unlabelled)]
    return package(dict(zip(("train", "devel", "test"), parts, strict=True)))


def ids(fold, partition: str) -> set[str]:
    return {r.id for r in fold.package.partitions.get(partition, [])}


@pytest.fixture(scope="module")
def config():
    return load_config("train", ["task=stress", "features=a", "target=arousal"])


@pytest.fixture
def settings(config, tmp_path):
    """settings({"1": "x", ...}, folds=3) -> the config, with this file of groups."""

    def settings(group_of: dict[str, str] | None, **changes):
        path = tmp_path / "groups.csv"
        if group_of:
            rows = "".join(f"{id_},{group}\n" for id_, group in group_of.items())
            path.write_text(f"id,group\n{rows}")
            changes["groups"] = str(path)
        return replace(config, **changes)

    return settings


@pytest.mark.parametrize(
    "how", [{"folds": 2}, {"folds": 3}, {"folds": 4}, {"folds": "loso"}, {"crossfit": 3}]
)
def test_no_group_is_ever_on_two_sides(settings, how):
    config = settings({"1": "a"}, **how)
    rng = np.random.default_rng(7)
    for _ in range(20):
        count = int(rng.integers(12, 30))
        whole = spread(count, rng, unlabelled=int(rng.integers(3)))
        if "crossfit" in how:  # holds out recordings of train alone, and watches devel as it is
            whole = replace(whole, partitions=whole.partitions | {
                "train": [recording(str(k + 1)) for k in range(count)], "devel": [recording("d")]
            })  # fmt: skip
        everything = [r.id for group in whole.partitions.values() for r in group]
        names = rng.permutation(
            [f"g{k}" for k in range(6)] + [f"g{rng.integers(6)}" for _ in range(99)]
        )
        group_of = dict(zip(everything, map(str, names), strict=False)) | {"d": "devel"}
        group_of |= {
            str(k + 1): f"g{k}" for k in range(6)
        }  # each group has a recording with labels
        Path(config.groups).write_text(
            "id,group\n" + "".join(f"{id_},{group}\n" for id_, group in group_of.items())
        )
        seen: list[str] = []
        for fold in make_folds(config, whole):
            sides = [ids(fold, partition) for partition in ("train", "devel", "test")]
            of_sides = [{group_of[id_] for id_ in side} for side in sides]
            assert all(sides) and sum(map(len, sides)) == len(set.union(*sides))
            assert sum(map(len, of_sides)) == len(set.union(*of_sides))
            seen += sides[2]
            if config.folds:
                assert set(fold.groups) == of_sides[2]
                assert set.union(*sides) == {str(k + 1) for k in range(count)}
                assert ids(fold, UNLABELLED) == {id_ for id_ in everything if id_[0] == "x"}
        assert sorted(seen, key=int) == [str(k + 1) for k in range(count)]


def test_loso_leaves_one_group_out_and_all_others_in(settings):
    group_of = {str(k + 1): "abcde"[k % 5] for k in range(10)}
    folds = make_folds(settings(group_of, folds="loso"), spread(10))
    assert [fold.groups for fold in folds] == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert [ids(fold, "test") for fold in folds] == [{str(k), str(k + 5)} for k in range(1, 6)]
    assert all(len(ids(fold, "devel")) == 2 for fold in folds)  # 0.2 of four groups: one
    assert all(len(ids(fold, "train")) == 6 for fold in folds)


def test_without_groups_each_recording_is_one(settings):
    folds = make_folds(settings(None, folds="loso"), spread(12))
    assert [fold.groups for fold in folds] == [[str(k)] for k in range(1, 13)]
    folds = make_folds(settings(None, folds=4, inner_devel=0.5), spread(12))
    assert [len(ids(fold, "test")) for fold in folds] == [3, 3, 3, 3]
    assert [len(ids(fold, "devel")) for fold in folds] == [4, 4, 4, 4]  # half of nine, to even


def test_folds_do_not_depend_on_partitions_and_order(settings):
    config = settings(None, folds=3)
    found = [[[ids(fold, p) for p in ("train", "devel", "test")]
              for fold in make_folds(config, spread(9, np.random.default_rng(seed)))]
             for seed in range(3)]  # fmt: skip
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("how", "count", "least"),
    [
        ({"folds": 5}, 4, 5),
        ({"folds": 2}, 3, 4),
        ({"folds": "loso"}, 2, 3),
        ({"crossfit": 4}, 3, 4),
    ],
)
def test_too_few_groups_are_refused(settings, how, count, least):
    group_of = {str(k + 1): f"g{k % count}" for k in range(12)}
    whole = package({"train": [recording(id_) for id_ in group_of], "devel": [], "test": []})
    with pytest.raises(
        MuseError, match=rf"=(5|2|loso|4): .* {count} groups .*expected {least} or more"
    ):
        make_folds(settings(group_of, **how), whole)


def test_what_is_left_can_be_split_with_the_least_groups(settings):
    for how, count in ((5, 5), (3, 3), (2, 4), ("loso", 3)):
        for share in (0.01, 0.99):
            folds = make_folds(settings(None, folds=how, inner_devel=share), spread(count))
            assert all(ids(fold, p) for fold in folds for p in ("train", "devel", "test"))


@pytest.mark.parametrize("grouped", [False, True])
def test_shares_are_nested_and_of_whole_groups(settings, grouped):
    group_of = {str(k + 1): f"g{k // 3}" for k in range(24)}
    whole = package({"train": [recording(id_) for id_ in group_of], "devel": [], "test": []})
    before: set[str] = set()
    for share, count in ((0.01, 3 if grouped else 1), (0.25, 6), (0.5, 12), (0.75, 18), (1.0, 24)):
        taken = take_share(settings(group_of if grouped else None, train_share=share), whole)
        used = {r.id for r in taken.partitions["train"]}
        assert len(used) == count and before <= used
        if grouped:
            assert {id_ for id_ in group_of if group_of[id_] in {group_of[u] for u in used}} == used
        assert (taken.digest == whole.digest) == (share == 1)
        before = used


def test_with_folds_the_share_is_of_what_the_fold_trains_on(settings):
    whole, half = (make_folds(settings(None, folds=3, train_share=share), spread(12))
                   for share in (1, 0.5))  # fmt: skip
    for one, other in zip(whole, half, strict=True):
        assert ids(other, "train") < ids(one, "train") and len(ids(other, "train")) == 3
        assert all(ids(one, p) == ids(other, p) for p in ("devel", "test"))
    assert take_share(settings(None, folds=3, train_share=0.5), spread(12)).digests["train"] == "0"
    assert share_of(["a"], 0.1) == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the file is missing. Expected a CSV file with the columns id,group"),
        ("id,person\n1,a\n", "row 1 has the columns id, person"),
        ("id,group\n1,a\n2,\n", "row 3 has no group"),
        ("id,group\n1,a\n,b\n", "row 3 has no id"),
        ("id,group\n1,a\n2\n", "row 3 has no group"),
        ("id,group\n1,a\n2,b\n1,b\n", "row 4: recording 1 is in group b, but row 2 has it in a"),
        ("id,group\n1,a\n", r"no row of recording 2 \(nor of 1 others\)"),
    ],
)
def test_faults_of_a_file_of_groups(tmp_path, text, message):
    path = tmp_path / "groups.csv"
    if text:
        path.write_text(text)
    with pytest.raises(MuseError, match=rf"groups\.csv: {message}"):
        read_groups(path, ["1", "2", "3"])


def test_a_file_of_groups_may_have_more(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("group,age,id\nx,20, 2\ny,30,1\nx,20,9\n")
    assert read_groups(path, ["1", "2"]) == {"1": "y", "2": "x"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "folds=1: expected two folds or more, loso, or null"),
        ({"folds": True}, "folds=True: expected two"),
        ({"folds": 0}, "folds=0: expected two"),
        ({"folds": "lopo"}, "folds=lopo: expected two"),
        ({"folds": 2.5}, "folds=2.5: expected two"),
        ({"folds": 3, "crossfit": 3}, "exclude each other"),
        ({"inner_devel": 0}, "inner_devel=0: expected more than 0 and less than 1"),
        ({"train_share": 0}, "train_share=0: expected more than 0 and at most 1"),
        ({"learning_curve": 0.5}, "expected a list of shares"),
        ({"learning_curve": []}, "expected a list of shares"),
        ({"learning_curve": ["a"]}, "expected a list of shares"),
        ({"learning_curve": [0.5, 0]}, "learning_curve=0: expected more than 0 and at most 1"),
        ({"learning_curve": [0.5, 1.5]}, "learning_curve=1.5: expected more than 0 and at most 1"),
        ({"learning_curve": [1, 0.5, 1.0]}, "a share is named twice"),
    ],
)
def test_settings_that_are_refused(config, changes, message):
    with pytest.raises(MuseError, match=message):
        replace(config, **changes)


@pytest.mark.parametrize(
    ("word", "message"),
    [("folds=3", "weights are chosen on devel"), ("learning_curve=[1]", "is for muse train")],
)
def test_settings_that_a_fusion_refuses(make_config, word, message):
    words = ["task=stress", "target=arousal", "runs=[a,b]", "method=weighted", word]
    with pytest.raises(MuseError, match=message):
        make_config("fuse", *words)
