"""The picture of a comparison, by what is drawn."""

import numpy as np
import pandas as pd
import pytest

from muse.statistics.figure import draw_differences

NONE = np.nan
COLUMNS = ["target", "first", "second", "difference", "low", "high", "p_holm", "mean_difference"]


def test_each_pair_has_its_difference_and_interval():
    rows = pd.DataFrame(
        [
            ["valence", "a", "b", 0.1, -0.1, 0.3, 0.25, 0.08],
            ["valence", "a", "$c_1$", 0.2, 0.1, 0.4, 0.0002, NONE],
            ["arousal", "a", "b", -0.3, NONE, NONE, NONE, NONE],
            ["arousal", "a", "$c_1$", -0.2, NONE, NONE, NONE, NONE],
        ],
        columns=COLUMNS,
    )
    figure = draw_differences("Title, SYNTHETIC data", "CCC", rows)
    assert figure.get_suptitle().startswith("Title, SYNTHETIC data\n95 % intervals over recordings")
    valence, arousal = figure.axes
    zero, differences, means = valence.lines
    assert list(zero.get_xdata()) == [0, 0]
    assert [list(data) for data in differences.get_data()] == [[0.1, 0.2], [0, 1]]
    np.testing.assert_array_equal(means.get_xdata(), [0.08, NONE])
    (intervals,) = valence.collections
    segments = [np.asarray(segment).tolist() for segment in intervals.get_segments()]
    assert segments == [[[-0.1, 0], [0.3, 0]], [[0.1, 1], [0.4, 1]]]
    assert [text.get_text() for text in valence.texts] == ["p 0.250", "p < 0.001"]
    names = [label.get_text() for label in valence.get_yticklabels()]
    assert names == ["a \N{MINUS SIGN} b", "a \N{MINUS SIGN} $c_1$"]
    assert valence.get_ylim()[0] > valence.get_ylim()[1]  # the first pair is above
    assert (valence.get_title(loc="left"), arousal.get_title(loc="left")) == ("valence", "arousal")
    assert valence.get_xlabel() == "difference of CCC"
    assert [text.get_text() for text in valence.get_legend().get_texts()] == [
        "best seeds",
        "means over seeds",
    ]
    assert list(arousal.lines[1].get_xdata()) == [-0.3, -0.2] and arousal.get_legend() is None
    assert not arousal.collections[0].get_segments()
    figure.canvas.draw()  # a name with a dollar sign is no formula


def test_pairs_of_one_target_are_one_panel():
    rows = pd.DataFrame([["joy", "a", "b", 0.1, 0.0, 0.2, 0.04, NONE]], columns=COLUMNS)
    (panel,) = draw_differences("Title", "macro F1", rows).axes
    assert panel.get_xlabel() == "difference of macro F1"
    assert panel.get_ylim() == pytest.approx((0.5, -0.5))
