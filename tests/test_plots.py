"""Figures by what is drawn in them, and the file that is written."""

import numpy as np
import pytest

from muse.plots import (
    draw_confusion,
    draw_curves,
    draw_distributions,
    draw_signals,
    save_figure,
)
from muse.scoring import ccc

TIME = np.arange(20) * 500.0


def recording(number: int, noise: float):
    gold = np.sin(TIME / 900 + number)
    return str(number), TIME, gold, gold + noise * np.cos(TIME / 70)


def test_signals_are_drawn_from_the_best_to_the_worst_recording():
    recordings = [recording(k, noise) for k, noise in enumerate([0.5, 0.1, 2.0, 0.0, 1.0])]
    figure = draw_signals("Title (synthetic data)", "arousal", recordings, "sample", shown=3)
    assert figure.get_suptitle() == "Title (synthetic data)"
    panels = figure.axes
    for panel, number in zip(panels, [3, 0, 2], strict=True):  # best, median, worst
        id_, time, gold, prediction = recordings[number]
        drawn_gold, drawn_prediction = panel.lines
        np.testing.assert_array_equal(drawn_gold.get_xdata(), time / 1000)
        np.testing.assert_array_equal(drawn_gold.get_ydata(), gold)
        np.testing.assert_array_equal(drawn_prediction.get_ydata(), prediction)
        score = ccc(prediction, gold)
        assert panel.get_title(loc="left") == f"recording {id_} (CCC {score:.3f})"
        assert panel.get_ylabel() == "arousal"
    legend = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert legend == ["gold standard", "prediction"] and panels[-1].get_xlabel() == "time (s)"


def test_the_panels_of_signals_say_the_variance_that_scores_have():
    id_, time, gold, prediction = recording(1, 0.7)
    figure = draw_signals("", "arousal", [(id_, time, gold, prediction)], "biased")
    value = ccc(prediction, gold, "biased")
    assert f"CCC {value:.3f}" in figure.axes[0].get_title(loc="left")


def test_a_confusion_matrix_has_shares_and_counts():
    figure = draw_confusion("Title", "valence", [[3, 1], [0, 0]])
    panel, colours = figure.axes
    np.testing.assert_array_equal(panel.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    texts = {text.get_position(): text.get_text() for text in panel.texts}
    assert texts == {(0, 0): "75 %\n3", (1, 0): "25 %\n1", (0, 1): "0 %\n0", (1, 1): "0 %\n0"}
    assert panel.get_xlabel() == "predicted class of valence"
    assert panel.get_ylabel() == "gold class of valence"
    assert colours.get_ylabel() == "share of the gold class"


def test_learning_curves_show_every_seed_its_best_epoch_and_learning_rate():
    def records(seed, devel):
        return [{"target": "joy", "seed": seed, "epoch": k + 1, "devel": score, "lr": 0.1 / (k + 1),
                 "train": score + 0.1} for k, score in enumerate(devel)]  # fmt: skip

    figure = draw_curves("Title", "CCC", records(101, [0.1, 0.4, 0.4]) + records(102, [0.2, 0.1]))
    scores, rates = figure.axes
    assert (scores.get_title(), scores.get_ylabel(), rates.get_xlabel()) == ("joy", "CCC", "epoch")
    lines = [[*map(list, line.get_data())] for line in scores.lines]
    assert lines[:3] == [[[1, 2, 3], [0.2, 0.5, 0.5]], [[1, 2, 3], [0.1, 0.4, 0.4]], [[2], [0.4]]]
    assert lines[5] == [[1], [0.2]]  # of the second seed
    assert list(rates.lines[1].get_ydata()) == [0.1, 0.05]
    texts = [text.get_text() for text in scores.get_legend().get_texts()]
    assert texts == ["seed 101", "seed 102"] and "dotted" in figure.get_suptitle()


def test_distributions_of_classes_are_bars_of_each_partition():
    labels = {"valence": {"train": np.array([0, 1, 1, 1]), "devel": np.array([2, 0])}}
    figure = draw_distributions("Title", labels, {"valence": 3})
    (panel,) = figure.axes
    heights = [[bar.get_height() for bar in bars] for bars in panel.containers]
    assert heights == [[0.25, 0.75, 0], [0.5, 0, 0.5]]
    assert [t.get_text() for t in panel.get_legend().get_texts()] == ["train (4)", "devel (2)"]
    assert (panel.get_title(), panel.get_xlabel()) == ("valence", "class")
    assert panel.get_ylabel() == "share of the segments"


def test_distributions_of_signals_share_their_bins_and_each_sums_to_one():
    rng = np.random.default_rng(4)
    labels = {
        target: {"train": rng.normal(size=90), "test": rng.normal(3, 1, size=30)}
        for target in ("valence", "arousal")
    }
    figure = draw_distributions("Title", labels, dict.fromkeys(labels, 0))
    for panel, (target, parts) in zip(figure.axes, labels.items(), strict=True):
        bins = np.histogram_bin_edges(np.concatenate(list(parts.values())), 40)
        filled = [bars for bars in panel.containers if len(bars) == 40]
        for bars, values in zip(filled, parts.values(), strict=True):
            expected = np.histogram(values, bins)[0] / len(values)
            np.testing.assert_allclose([bar.get_height() for bar in bars], expected)
            assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
        assert panel.get_title() == target and panel.get_xlabel() == "value"
    assert figure.axes[0].get_ylabel() == "share of the frames"


def test_a_figure_is_written_as_png(tmp_path):
    save_figure(draw_confusion("Title", "valence", [[1]]), tmp_path / "plots" / "a.png")
    assert (tmp_path / "plots/a.png").read_bytes().startswith(b"\x89PNG")
