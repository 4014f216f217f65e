"""What the figure of a gold standard shows: panels, lines, labels and legends."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import same_color

from muse.gold.agreement import ewe_weights
from muse.gold.figure import FUSED, MEAN, NAMED, SIGNAL, draw_gold
from muse.gold.frames import Frames
from muse.gold.pipeline import Gold

TIMES = np.arange(0, 5000, 500.0)


@pytest.fixture
def gold() -> Gold:
    """Two raters and a physiological signal, the second rater a frame late."""
    before = np.random.default_rng(1).standard_normal((3, 10))
    shifts = np.tile([[0.0], [0.5], [-0.5]], 10)
    return Gold("7", Frames(TIMES, None, 0.5), ["a", "b", "EDA"], before, before + 1, shifts,
                ewe_weights(before + 5, "pairwise", "ccc"), before.mean(0) + 2,
                before.mean(0))  # fmt: skip


def panels_of(figure) -> dict:
    """Title of a panel up to its colon -> the panel."""
    return {panel.get_title("left").split(":")[0]: panel for panel in figure.axes}


def test_panels_lines_and_labels(gold):
    figure = draw_gold("arousal, recording 7", "arousal", gold, "EDA")
    assert figure.get_suptitle() == "arousal, recording 7"
    panels = panels_of(figure)
    assert list(panels) == ["raters (weight)", "aligned", "time shift", "fused"]
    assert [panel.get_ylabel() for panel in panels.values()] == [
        "arousal", "arousal", "time shift (s)", "arousal",
    ]  # fmt: skip
    assert panels["fused"].get_xlabel() == "time (s)"
    for name, values in (("raters (weight)", gold.before), ("aligned", gold.after),
                         ("time shift", gold.shifts)):  # fmt: skip
        lines = panels[name].get_lines()[:3]
        assert np.array_equal([line.get_ydata() for line in lines], values)
        assert all(np.array_equal(line.get_xdata(), TIMES / 1000) for line in lines)
        assert [same_color(line.get_color(), SIGNAL) for line in lines] == [False, False, True]
    assert panels["aligned"].get_ylim() == panels["raters (weight)"].get_ylim()
    shares = gold.weights.shares
    expected = [
        f"rater a ({shares[0]:.2f})",
        f"rater b ({shares[1]:.2f})",
        f"EDA ({shares[2]:.2f})",
    ]
    legend = panels["raters (weight)"].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == expected


def test_the_fused_signal_and_the_mean(gold):
    lines = panels_of(draw_gold("", "arousal", gold, None))["fused"].get_lines()
    assert np.array_equal([line.get_ydata() for line in lines[:3]], gold.after)
    by_label = {line.get_label(): line for line in lines[3:]}
    assert list(by_label) == ["plain average", "gold standard"]
    assert np.array_equal(by_label["plain average"].get_ydata(), gold.mean)
    assert np.array_equal(by_label["gold standard"].get_ydata(), gold.fused)
    assert [line.get_color() for line in lines[3:]] == [MEAN, FUSED]


def test_without_alignment_and_weights(gold):
    plain = replace(gold, shifts=np.zeros((3, 10)), weights=None)
    panels = panels_of(draw_gold("", "arousal", plain, None))
    assert list(panels) == ["raters", "fused"]
    texts = panels["raters"].get_legend().get_texts()
    assert [text.get_text() for text in texts] == ["rater a", "rater b", "rater EDA"]


def test_many_raters_have_no_legend(gold):
    count = NAMED + 1
    values = np.tile(gold.before[:1], (count, 1))
    many = replace(gold, raters=[str(k) for k in range(count)], before=values, after=values,
                   shifts=np.zeros((count, 10)), weights=None)  # fmt: skip
    panels = panels_of(draw_gold("", "arousal", many, None))
    assert panels["raters"].get_legend() is None and len(panels["raters"].get_lines()) == count
    assert panels["fused"].get_legend() is not None
