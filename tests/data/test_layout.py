"""Partitions, feature sets and their aliases, and which of them are standardised."""

import os

import pytest

from muse.config.shared import FeatureSet
from muse.data.layout import (
    check_not_empty,
    expand_features,
    find_package,
    is_standardised,
    read_partitions,
)
from muse.errors import MuseError
from tests.conftest import stress_package


@pytest.fixture
def package(tmp_path):
    return stress_package(tmp_path)


def test_partitions_keep_the_order_of_the_file(package):
    assert read_partitions(package) == {"train": ["3", "1"], "devel": ["4"], "test": ["2"]}


def test_only_the_first_and_last_column_count(package):
    (package / "metadata/partition.csv").write_text(
        "Id,Sex,Part\n07,f,train\n7,m,devel\n8,f,Test\n"
    )
    assert read_partitions(package) == {"train": ["07"], "devel": ["7"], "test": ["8"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the file is missing"),
        ("", "the file is empty"),
        ("Id,P\n1,train\n2,devel\n", "no recording is in test"),
        ("Id,P\n1,train\n2,dev\n3,test\n", "row 3: 'dev' is no partition"),
        ("Id,P\n1,train\n2,Validation\n3,test\n", "The development partition is called devel"),
        (
            "Id,P\n1,train\n2,devel\n1,test\n",
            "row 4: recording 1 is in test, but row 2 has it in tra",
        ),
        ("Id,P\n../1,train\n", "row 2: '../1' is no recording id"),
        ("Id,P\n1,train\na\\b,train\n", r"row 3: 'a\\b' is no recording id"),
        ("Id,P\n..,train\n", "row 2: '..' is no recording id"),
        ("Id,P\n,train\n", "row 2: '' is no recording id"),
        ("Id\nx\n", "row 2: 'x' is no partition"),
        ("1,train\n2,devel\n3,test\n", "row 1 is a recording (1,train), expected the names of the"),
        ("\n7,f,Devel\n", "row 2 is a recording (7,f,Devel), expected the names"),
    ],
)
def test_faults_of_the_partition_file(package, text, message):
    path = package / "metadata/partition.csv"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(MuseError) as caught:
        check_not_empty(path, read_partitions(package))
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_a_partition_file_that_is_a_pipe_is_not_waited_for(package):
    path = package / "metadata/partition.csv"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MuseError, match=r"partition.csv: not a regular file, but a folder, pipe"):
        read_partitions(package)


def test_a_missing_package_says_how_to_get_one(make_config, tmp_path):
    task = make_config("train", "task=physio", "features=a").task
    with pytest.raises(MuseError) as caught:
        find_package(task, str(tmp_path))
    text = str(caught.value)
    assert str(tmp_path / "c4_muse_physio") in text
    assert "muse-challenge.org" in text
    assert f"muse synth task=physio out={tmp_path}" in text


def test_a_root_that_is_the_package_itself_gets_a_hint(make_config, package):
    task = make_config("train", "task=stress", "features=a").task
    with pytest.raises(MuseError, match=f"data.root={package.parent}"):
        find_package(task, str(package))


def test_an_alias_stands_for_its_folders_unless_a_folder_has_its_name(package):
    known = {"both": FeatureSet("bio", members=["a", "b"])}
    assert expand_features(["both"], known, package) == ["a", "b"]
    assert expand_features(["b", "both"], known, package) == ["b", "a"]
    (package / "feature_segments/both").mkdir()
    assert expand_features(["both"], known, package) == ["both"]


@pytest.mark.parametrize("name", ["aa", "../metadata", "..", "."])
def test_an_unknown_feature_set_is_answered_with_the_known_ones(package, name):
    with pytest.raises(MuseError, match=r"there is no feature set .*; it has a, b\."):
        expand_features([name], {}, package)


def test_published_standardisation(make_config):
    known = make_config("train", "task=stress", "features=a").feature_sets

    def rule(name, task, target, override=None):
        return is_standardised(name, task, [target], known, override)

    assert rule("egemaps", "wilder", "valence") and rule("egemaps", "stress", "arousal")
    assert rule("vggish", "stress", "arousal")
    assert not rule("vggish", "stress", "valence") and not rule("vggish", "wilder", "arousal")
    assert not rule("bert", "stress", "arousal") and not rule("mine", "stress", "arousal")
    assert rule("mine", "stress", "arousal", True) and not rule("egemaps", "sent", "valence", False)
    assert rule("bert", "sent", "valence", ["bert"])
    assert not rule("egemaps", "sent", "valence", ["bert"])
