"""`muse classes`: a package of signals becomes one of classes, on which Sent can be trained."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

import muse.commands.classes
import muse.commands.train
from muse.data.recordings import load_package
from muse.errors import MuseError
from muse.plots import save_figure
from tests.conftest import edit, write

LEVELS = (-0.8, -0.4, 0.1, 0.5, 0.9)  # of the segments: what their classes must be ordered by
PARTITION_OF = {"1": "train", "2": "train", "3": "train", "4": "train", "5": "devel", "6": "test"}
WAVE = (0, 3, 1, 4, -2, -3, -1, 2)
FRAMES = len(WAVE)  # of each segment
RAAW = Path(__file__).parents[2] / "shared" / "data" / "raaw"


def classes_of(id_: str) -> list[int]:
    """The class of each segment of a recording, by its level."""
    return [(int(id_) + 2 * k) % 5 for k in range(5)]


def signals_package(root: Path) -> Path:
    """Six recordings of five segments and gaps: each on a level, with a wave that grows with it.

    Arousal is valence upside down.
    """
    folder = root / "c3_muse_stress"
    write(folder / "metadata/partition.csv", "Id,Partition\n", PARTITION_OF.items())
    random = np.random.default_rng(0)
    for id_ in PARTITION_OF:
        ids = [id_ for k in range(1, 6) for id_ in ["", *[k] * FRAMES]]
        value = np.concatenate(
            [
                LEVELS[c] + random.normal(0, 0.01) + 0.005 * (c + 1) * np.r_[0, WAVE]
                for c in classes_of(id_)
            ]
        ).round(4)
        time = np.arange(len(value)) * 500
        x = np.arange(len(value)) + 10 * int(id_)
        sets = {"a": np.stack([x, -x], 1), "wide": np.stack([x] * 9, 1)}
        for name, values in sets.items():
            rows = [(t, s, *v) for t, s, v in zip(time, ids, values, strict=True)]
            header = (
                f"timestamp,segment_id,{','.join(f'{name}_{k}' for k in range(len(values[0])))}"
            )
            write(folder / f"feature_segments/{name}/{id_}.csv", header + "\n", rows)
        for target, sign in (("valence", 1), ("arousal", -1)):
            rows = zip(time, ids, sign * value, strict=True)
            path = folder / f"label_segments/{target}/{id_}.csv"
            write(path, "timestamp,segment_id,value\n", rows)
    return folder


@pytest.fixture
def figures(monkeypatch):
    """Name of each file -> the figure that was saved in it."""
    saved = {}

    def keep(figure, path):
        saved[path.name] = figure
        save_figure(figure, path)

    monkeypatch.setattr("muse.classes.report.save_figure", keep)
    return saved


@pytest.fixture
def classes(make_config, tmp_path, capsys):
    """classes("target=valence", ...) -> the new package, and what was printed."""

    def call(*words: str) -> tuple[Path, str]:
        small = [
            "task=stress",
            f"data.root={tmp_path}",
            "starts=3",
            "components=2",
            "peak_support=3",
        ]
        given = {word.split("=")[0] for word in words}
        words = [word for word in small if word.split("=")[0] not in given] + list(words)
        if "out" not in given:
            words.append(f"out={tmp_path / 'new'}")
        config = make_config("classes", *words)
        muse.commands.classes.run(config)
        return Path(config.out) / config.to.folder, capsys.readouterr().out

    return call


def labels(package: Path, target: str) -> dict[str, list[tuple[str, int]]]:
    found = {}
    for path in (package / "label_segments" / target).iterdir():
        with path.open() as file:
            found[path.stem] = [(r["segment_id"], int(r["class_id"])) for r in csv.DictReader(file)]
    return found


def test_levels_become_classes_in_their_order(classes, tmp_path):
    signals_package(tmp_path)
    package, text = classes("target=valence")
    found = labels(package, "valence")
    assert set(found) == set(PARTITION_OF)
    for id_ in PARTITION_OF:
        numbers = [str(k) for k in range(1, 6)]
        assert found[id_] == list(zip(numbers, classes_of(id_), strict=True))
    report = json.loads((package / "classes/report.json").read_text())["targets"]["valence"]
    assert report["algorithm"] == "kmeans" and report["stability"] == 1
    assert report["sizes"] == {"train": [4] * 5, "devel": [1] * 5, "test": [1] * 5}
    assert report["class_signal"] == pytest.approx(LEVELS, abs=0.02)
    row = f"0      4 (20.0 %)  1 (20.0 %)  1 (20.0 %)  {report['class_signal'][0]:.4f}"
    assert row in text and "sum    20          5           5" in text
    assert "SYNTHETIC" not in text
    with (package / "classes/valence_segments.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 and rows[0]["recording"] == "1" and rows[0]["first_timestamp"] == "500"
    assert {row["frames"] for row in rows} == {str(FRAMES)}


def test_figures(classes, figures, tmp_path):
    source = signals_package(tmp_path)
    (source / "SYNTHETIC.txt").write_text("SYNTHETIC: simulated\n")
    package, _ = classes(
        "target=valence", "components=1", "segment_features=[mean,relative_number_of_peaks,median]"
    )
    own = json.loads((package / "classes/report.json").read_text())["targets"]["valence"]
    assert set(figures) == {"valence.png", "labels.png"}
    figure = figures["valence.png"]
    assert figure.get_suptitle() == "valence, kmeans, most distinctive features, SYNTHETIC data"
    assert figure.get_supxlabel() == "class mean, in standard deviations of the training segments"
    assert [panel.get_title() for panel in figure.axes] == [f"class {c} (n = 4)" for c in range(5)]
    # of mean and median, which correlate, one is drawn; all segments have as many peaks
    best = int(np.argmax(own["distinctive"]))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [own["features"][best]] and best in (0, 2)
    for panel, means in zip(figure.axes, own["class_features"], strict=True):
        assert [bar.get_width() for bar in panel.patches] == [means[best]]
    (panel,) = figures["labels.png"].axes
    assert panel.get_title() == "valence" and panel.get_xlabel() == "class"
    assert panel.get_ylabel() == "share of the segments"
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == ["train (20)", "devel (5)", "test (5)"]
    assert [[bar.get_height() for bar in bars] for bars in panel.containers] == [[0.2] * 5] * 3


def test_sent_is_trained_on_them(classes, make_config, tmp_path):
    signals_package(tmp_path)
    package, text = classes()
    command = text.splitlines()[-1].split()
    assert command[:4] == ["muse", "train", "task=sent", "task.step=0.5"]
    assert command[4:] == ["features=a", f"data.root={tmp_path / 'new'}"]
    small = ["+debug=fast", "model.hidden=4", "model.layers=1", "device=cpu"]
    config = make_config("train", *command[2:], *small)
    muse.commands.train.run(config)
    result = json.loads((Path(config.job.folder) / "result.json").read_text())
    assert result["metric"] == "f1" and result["targets"]["arousal"]["test"]["segments"] == 5
    assert (package / "feature_segments/a").is_symlink()
    assert (package / "feature_segments/wide").is_symlink()


def test_everything_is_fitted_on_training_segments(classes, tmp_path):
    """Other signals of devel and test change nothing but their own classes."""
    source = signals_package(tmp_path)
    before, _ = classes("target=arousal", f"out={tmp_path / 'before'}")
    for id_ in ("5", "6"):
        path = source / f"label_segments/arousal/{id_}.csv"
        first, *rows = path.read_text().splitlines()
        changed = [f"{row.rsplit(',', 1)[0]},{k / 50}" for k, row in enumerate(rows)]
        path.write_text("\n".join([first, *changed]) + "\n")
    after, _ = classes("target=arousal", f"out={tmp_path / 'after'}")
    one, two = labels(before, "arousal"), labels(after, "arousal")
    for id_, partition in PARTITION_OF.items():
        assert (one[id_] == two[id_]) == (partition == "train")
    reports = [json.loads((p / "classes/report.json").read_text()) for p in (before, after)]
    first, second = (report["targets"]["arousal"] for report in reports)
    assert first["algorithm"] == "gmm" and first["centres"] == second["centres"]
    assert first["components"] == second["components"]


def test_the_same_seed_writes_the_same_bytes(classes, tmp_path):
    signals_package(tmp_path)
    one, _ = classes(f"out={tmp_path / 'one'}", "link=false", "seed=5")
    two, _ = classes(f"out={tmp_path / 'two'}", "link=false", "seed=5")
    files = [path.relative_to(one) for path in sorted(one.rglob("*")) if path.is_file()]
    assert len(files) == 1 + 2 * 6 + 2 * 6 + 6  # partitions, labels, features, classes/
    for name in files:
        if name.name != "report.json":  # has the command
            assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert not (one / "feature_segments/a").is_symlink()


def test_three_equal_parts_of_the_mean(classes, make_config, tmp_path):
    signals_package(tmp_path)
    package, text = classes("algorithm=quantiles", "classes=3", "target=valence")
    assert text.splitlines()[-1].startswith("muse train task=sent task.classes=3 task.step=0.5 t")
    # 20 training segments, four per level: cuts within the levels -0.4 and 0.5
    report = json.loads((package / "classes/report.json").read_text())["targets"]["valence"]
    assert report["sizes"]["train"] == [7, 6, 7]
    for id_ in ("5", "6"):
        for (_, found), level in zip(labels(package, "valence")[id_], classes_of(id_), strict=True):
            if level in (0, 2, 4):
                assert found == level // 2
    config = make_config("train", "task=sent", "task.classes=3", "features=a",
                         f"data.root={tmp_path / 'new'}")  # fmt: skip
    read = load_package(config.task, ["valence"], ["a"], {}, config.data)
    assert {len(r.samples) for part in read.partitions.values() for r in part} == {5}


def test_limits_in_ms_and_features_cut_by_them(classes, make_config, tmp_path):
    """Three segments per recording; a feature file has no segment_id at all."""
    source = signals_package(tmp_path)
    for id_ in PARTITION_OF:
        rows = [(0, 4500, 8, "a"), (4500, 9000, 3, "b"), (13500, 22500, 4, "c")]
        write(tmp_path / f"limits/{id_}.csv", "start,end,segment_id,topic\n", rows)
    path = source / "feature_segments/a/3.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(",32,-32", ",3.20000e1,-32.0")
    bare = [",".join([line.split(",")[0], *line.split(",")[2:]]) for line in lines]
    path.write_text("\n".join(bare) + "\n")
    package, _ = classes(
        f"segments={tmp_path / 'limits'}", "features=a", "classes=2", "target=valence"
    )
    assert [s for s, _ in labels(package, "valence")["3"]] == ["8", "3", "4"]
    cut = (package / "feature_segments/a/3.csv").read_text().splitlines()
    assert cut[0] == "timestamp,segment_id,a_0,a_1"
    assert cut[3] == "1000,8,3.20000e1,-32.0"  # the values keep their text
    ids = [line.split(",")[1] for line in cut[1:]]
    assert ids == ["8"] * 9 + ["3"] * 9 + [""] * 9 + ["4"] * 18
    assert not (package / "feature_segments/wide").exists()
    config = make_config("train", "task=sent", "task.classes=2", "features=a",
                         f"data.root={tmp_path / 'new'}")  # fmt: skip
    read = load_package(config.task, ["valence"], ["a"], {}, config.data)
    assert [len(r.samples) for r in read.partitions["train"]] == [3] * 4


def test_test_without_labels_and_a_synthetic_source(classes, make_config, tmp_path):
    source = signals_package(tmp_path)
    (source / "SYNTHETIC.txt").write_text("SYNTHETIC: simulated\n")
    (source / "label_segments/valence/6.csv").unlink()
    package, text = classes("target=valence")
    assert "classes per segment, SYNTHETIC data" in text and "no labels" in text
    assert "valence: no labels, so no classes, of 1 recordings of test" in text
    assert set(labels(package, "valence")) == set("12345")
    assert (package / "SYNTHETIC.txt").read_text().startswith("SYNTHETIC: classes of simulated")
    config = make_config("train", "task=sent", "features=a", f"data.root={tmp_path / 'new'}")
    read = load_package(config.task, ["valence"], ["a"], {}, config.data)
    assert read.synthetic and not read.labelled("test", "valence")


def test_a_package_without_features(classes, tmp_path):
    """What a fusion of raters leaves behind: labels and partitions."""
    source = signals_package(tmp_path)
    shutil.rmtree(source / "feature_segments")
    (source / "label_segments/valence/6.csv").unlink()
    package, text = classes("target=valence")
    assert set(labels(package, "valence")) == set("12345")
    assert "put feature_segments with the column segment_id into" in text
    assert not (package / "feature_segments").exists()
    edit(source / "label_segments/valence/2.csv", 1, "time,segment_id,value")
    with pytest.raises(MuseError, match=r"valence/2.csv: no column timestamp"):
        classes("target=valence", f"out={tmp_path / 'other'}")


def test_the_search_ranks_and_writes_no_package(classes, tmp_path):
    signals_package(tmp_path)
    package, text = classes(
        "target=valence", "algorithm=[kmeans,gmm]", "classes=[2,5,30]", "components=[1,2]"
    )
    assert not package.exists()
    with (tmp_path / "new/search.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and [row["rank"] for row in rows] == [str(k) for k in range(1, 13)]
    possible = [float(row["silhouette"]) for row in rows if not row["remark"]]
    assert possible == sorted(possible, reverse=True) and len(possible) >= 4
    impossible = [row for row in rows if row["classes"] == "30"]
    assert impossible == rows[-4:] and "20 training segments" in impossible[0]["remark"]
    best = rows[0]
    line = f"target=valence algorithm={best['algorithm']} classes={best['classes']} "
    assert line + f"components={best['components']}" in text
    package, _ = classes(*line.split(), f"components={best['components']}")
    found = json.loads((package / "classes/report.json").read_text())["targets"]["valence"]
    assert f"{found['silhouette']:.3f}" == best["silhouette"]
    with pytest.raises(MuseError, match=r"search.csv is there already"):
        classes("target=valence", "classes=[2,5]")


def test_the_rule_of_the_smallest_class(classes, tmp_path):
    signals_package(tmp_path)
    words = ["target=valence", "smallest=1"]
    _, text = classes(*words, "classes=2", f"out={tmp_path / 'warned'}")
    assert "valence: the smallest class has 20.0 % of the training segments, less than 1" in text
    with pytest.raises(
        MuseError, match="valence: a class is smaller than smallest=1 of the chance"
    ):
        classes(*words, "classes=2", "too_small=refuse")
    assert not (tmp_path / "new").exists()
    package, _ = classes(*words, "too_small=refuse")  # five classes of equal size
    assert package.exists()
    _, text = classes(*words, "classes=[2,3]", f"out={tmp_path / 'search'}")
    assert "valence: no recipe meets smallest=1" in text


def test_constant_and_short_segments(classes, tmp_path, caplog):
    source = signals_package(tmp_path)
    for id_ in PARTITION_OF:
        path = source / f"label_segments/valence/{id_}.csv"
        first, *rows = path.read_text().splitlines()
        level = [LEVELS[c] for c in np.repeat(classes_of(id_), FRAMES + 1)]
        flat = [f"{row.rsplit(',', 1)[0]},{v}" for row, v in zip(rows, level, strict=True)]
        path.write_text("\n".join([first, *flat]) + "\n")
    _, text = classes("target=valence", "peak_support=4")
    assert "valence: the same in all training segments, and not used: standard_deviation" in text
    assert "30 of 30 segments are shorter than the 9 frames that a peak needs" in caplog.text


def test_nothing_is_replaced_and_nothing_half_is_left(classes, tmp_path):
    source = signals_package(tmp_path)
    (tmp_path / "new/c2_muse_sent").mkdir(parents=True)
    with pytest.raises(MuseError, match=r"new/c2_muse_sent is there already, and nothing is repl"):
        classes()
    edit(source / "feature_segments/wide/4.csv", 5, None)
    rows = [(0, 9000, 1), (9000, 22500, 2)]
    for id_ in PARTITION_OF:
        write(tmp_path / f"limits/{id_}.csv", "start,end,segment_id\n", rows)
    with pytest.raises(MuseError, match=r"wide/4.csv: expected 45 rows of 11 fields"):
        classes(f"segments={tmp_path / 'limits'}", f"out={tmp_path / 'half'}", "classes=2")
    (source / "feature_segments/wide/4.csv").unlink()
    with pytest.raises(MuseError, match=r"wide/4.csv: cannot be read \(No such file"):
        classes(f"segments={tmp_path / 'limits'}", f"out={tmp_path / 'half'}", "classes=2")
    assert list((tmp_path / "half").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=sent"], "expected a task with continuous signals"),
        (["task@to=wilder"], "for the new package one with classes"),
        (["task=physio"], "target=anno12_EDA: MuSe-Sent 2021 has the targets valence, arousal"),
        (["target=joy"], "target=joy: expected one of valence, arousal"),
        (["algorithm=kmean"], "algorithm=kmean: expected one of kmeans, gmm, quantiles. Did you"),
        (["classes=1"], "classes=1: expected 2 or more"),
        (["classes=five"], "classes=five: expected a whole number, or a list"),
        (["classes=[3,3]"], "a number is named twice"),
        (["components=0"], "components=0: expected 1 or more"),
        (["components=11"], "components=11: there are 10 segment features"),
        (["segment_features=[mean,medain]", "components=2"], "segment_features=medain: expected"),
        (["rescale=maxabs"], "rescale=maxabs: expected one of minmax, none"),
        (["assign=best"], "assign=best: expected one of centre, probability"),
        (["too_small=stop"], "too_small=stop: expected one of warn, refuse"),
        (["smallest=2"], "smallest=2.0: expected 0 or more and at most 1"),
        (["peak_support=0"], "peak_support=0: expected 1 or more"),
        (["seed=4294967295"], "seed=4294967295: expected 0 or more and at most 4294967294"),
        (["seed=-1"], "seed=-1: expected 0 or more"),
        (["starts=0"], "starts=0: expected 1 or more"),
        (["~recipes.other"], "expected one for each target, or `other`"),
        (["features=b"], "there is no feature set 'b'"),
        (["segments=nowhere"], "nowhere/1.csv: the file is missing"),
        (["classes=20"], "valence: classes=20: 20 training segments"),
    ],
)
def test_mistakes(classes, tmp_path, words, message):
    signals_package(tmp_path)
    with pytest.raises(MuseError) as caught:
        classes(*words)
    assert message in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_mistakes_in_the_package(classes, tmp_path):
    source = signals_package(tmp_path)
    edit(source / "label_segments/valence/5.csv", 4, "1000,1,")
    with pytest.raises(MuseError, match=r"valence/5.csv: row 4: the label is missing"):
        classes("target=valence")
    shutil.rmtree(source)
    signals_package(tmp_path)
    for path in (source / "feature_segments/a").iterdir():
        path.write_text(path.read_text().replace(",5,", ",1,"))
    with pytest.raises(MuseError, match="recording 1, row 39: segment 1 begins again"):
        classes("target=valence")


def test_a_target_of_its_own_and_its_recipe(classes, tmp_path):
    """Dominance, by `other` unless a recipe has its name."""
    source = signals_package(tmp_path)
    (source / "label_segments/arousal").rename(source / "label_segments/dominance")
    words = ["task.targets=[dominance]", "to.targets=[dominance]"]
    package, _ = classes(*words, f"out={tmp_path / 'one'}")
    report = json.loads((package / "classes/report.json").read_text())["targets"]
    assert report["dominance"]["algorithm"] == "kmeans"
    recipe = "+recipes.dominance={algorithm:gmm,components:1,features:[mean,percentile_50]}"
    package, _ = classes(*words, recipe, "components=null", f"out={tmp_path / 'two'}")
    report = json.loads((package / "classes/report.json").read_text())["targets"]
    assert report["dominance"]["algorithm"] == "gmm"
    assert report["dominance"]["features"] == ["mean", "percentile_50"]
    for id_ in PARTITION_OF:  # arousal is valence upside down
        assert [c for _, c in labels(package, "dominance")[id_]] == [4 - c for c in classes_of(id_)]


def test_recipes_are_those_of_the_paper(make_config):
    """Footnote 3 of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge."""
    config = make_config("classes", "task=stress", "out=new")
    (arousal,), (valence,) = config.candidates("arousal"), config.candidates("valence")
    assert (arousal.algorithm, valence.algorithm) == ("gmm", "kmeans")
    assert {r.classes for r in (arousal, valence)} == {r.components for r in (arousal, valence)}
    assert arousal.components == 5 and len(arousal.features) == 10
    more = {"mean", "reoccurring_share", *(f"percentile_{p}" for p in (5, 25, 33, 66, 75, 95))}
    assert set(valence.features) - set(arousal.features) == more
    assert set(arousal.features) < set(valence.features) and len(valence.features) == 18
    assert (config.smallest, config.assign) == (0.25, "centre")
    # not in the paper; as in the public MuSe-Toolbox
    assert (config.peak_support, config.rescale) == (10, "minmax")


def log_density(points: np.ndarray, weight: float, mean: list, covariance: list) -> np.ndarray:
    """Of a part of a mixture, up to what all parts share: (segments,)."""
    away = points - np.array(mean)
    distance = (away @ np.linalg.inv(covariance) * away).sum(1)
    return np.log(weight) - 0.5 * (distance + np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("assign", ["centre", pytest.param("probability", marks=pytest.mark.slow)])
def test_real_data(classes, make_config, ceap, tmp_path, assign):
    """Classes of devel and test follow from the report by a few lines of numpy."""
    words = ["components=5", "starts=20", "peak_support=10", f"assign={assign}"]
    package, text = classes(f"data.root={ceap}", *words)
    assert "sum    160          48           48" in text
    report = json.loads((package / "classes/report.json").read_text())["targets"]
    for target, own in report.items():
        with (package / f"classes/{target}_segments.csv").open() as file:
            rows = list(csv.DictReader(file))
        train = np.array([row["partition"] == "train" for row in rows])
        found = np.array([int(row["class_id"]) for row in rows])
        features = np.array([[float(row[name]) for name in own["features"]] for row in rows])
        components = (features - features[train].mean(0)) / features[train].std(0)
        components = components @ np.array(own["components"]).T
        low, high = components[train].min(0), components[train].max(0)
        points = 2 * (components - low) / (high - low) - 1
        if assign == "probability" and own["mixture"]:
            parts = zip(*own["mixture"].values(), own["centres"], strict=True)
            likely = [log_density(points, weight, mean, cov) for weight, cov, mean in parts]
            assert np.argmax(likely, axis=0).tolist() == found.tolist()
        else:
            apart = np.linalg.norm(points[:, None] - np.array(own["centres"]), axis=2)
            assert apart.argmin(1)[~train].tolist() == found[~train].tolist()
        for rows_, key in ((train, "silhouette"), (train | True, "silhouette_all_partitions")):
            assert silhouette_score(points[rows_], found[rows_]) == pytest.approx(own[key], 1e-4)
        assert own["class_signal"] == sorted(own["class_signal"])
        assert own["smallest_over_chance"] == min(own["sizes"]["train"]) / 32
    assert ("nearest centre (assign=probability" in text) == (assign == "centre")
    config = make_config("train", "task=sent", "features=head", f"data.root={tmp_path / 'new'}")
    read = load_package(config.task, config.task.targets, ["head"], {}, config.data)
    assert {len(r.samples) for part in read.partitions.values() for r in part} == {8}


def test_segments_of_a_published_recording(classes, tmp_path):
    """The example data of the MuSe-Toolbox, its limits in ms and its fused signal."""
    if not RAAW.is_dir():
        pytest.skip("needs the real data in ../shared/data/raaw")
    folder = tmp_path / "c3_muse_stress"
    parts = {"11": "train", "32": "devel", "47": "test"}
    write(folder / "metadata/partition.csv", "Id,Partition\n", parts.items())
    for id_ in parts:
        text = (RAAW / f"processed/arousal/{id_}.csv").read_text()
        path = folder / f"label_segments/arousal/{id_}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("Time,", "timestamp,", 1))
    package, _ = classes(
        f"segments={RAAW / 'metadata/segment_info'}", "target=arousal", "classes=2"
    )
    found = labels(package, "arousal")
    assert {id_: len(rows) for id_, rows in found.items()} == {"11": 13, "32": 12, "47": 9}
    with (package / "classes/arousal_segments.csv").open() as file:
        first = next(csv.DictReader(file))
    # 15400 <= t < 42090 ms
    assert (first["first_timestamp"], first["last_timestamp"]) == ("15500", "42000")
    assert first["frames"] == "54"
