"""What follows from a task's head, on arrays that can be read."""

import numpy as np
import pytest

from muse.data.heads import head_of
from muse.errors import MuseError

OUTPUT = np.array(  # four frames, two targets of three classes
    [
        [0, 1, 2, 9, 0, 0],
        [5, 1, 2, 0, 9, 0],
        [0, 1, 0, 0, 0, 9],
        [0, 1, 3, 0, 0, 9],
    ],
    np.float32,
)
SEGMENTS = np.array([[0, 2], [2, 2]])  # start and length: frames 0 and 1, frames 2 and 3


def head(make_config, *words: str):
    return head_of(make_config("train", "features=a", *words).task)


def test_regression_has_a_value_per_frame(make_config):
    own = head(make_config, "task=stress")
    values, whole = own.values(OUTPUT, 1), np.array([[0, 4]])
    assert values.tolist() == [1, 1, 1, 1] and own.outputs == [1, 1]
    assert own.predictions(values, whole).tolist() == values.tolist()
    assert own.labels(values, whole).tolist() == values.tolist()
    assert own.rows(whole).tolist() == [0, 1, 2, 3]
    assert not own.per_segment and (own.folder, own.columns(1)) == ("predictions", ["value"])


def test_classes_are_read_at_the_last_frame_of_a_segment(make_config):
    own = head(make_config, "task=sent", "task.classes=3")
    values = own.values(OUTPUT, 0)
    assert values.shape == (4, 3) and own.outputs == [3, 3]
    assert own.predictions(values, SEGMENTS).tolist() == [0, 2]
    assert own.predictions(own.values(OUTPUT, 1), SEGMENTS).tolist() == [1, 2]
    assert own.labels(np.array([1.0, 1, 2, 2], np.float32), SEGMENTS).tolist() == [1, 2]
    assert own.rows(SEGMENTS).tolist() == [0, 2]
    assert own.per_segment and (own.folder, own.columns(3)) == ("logits", ["c_0", "c_1", "c_2"])


def test_the_metric_of_the_task_is_among_the_scores(make_config):
    gold = np.array([0.0, 0, 2, 2])
    weighted = head(make_config, "task=sent", "task.classes=3", "task.metric={auc:0.5,uar:0.5}")
    scores = weighted.scores([weighted.values(OUTPUT, 1)], [gold], [SEGMENTS])
    # target 1 predicts classes 1 and 2; each class 0 and 2: AUC of 0 is 1/2 (equal), of 2 is 1
    assert scores["auc"] == pytest.approx(0.75) and scores["uar"] == 0.5
    assert scores["0.5*auc+0.5*uar"] == pytest.approx(0.625)
    pearson = head(make_config, "task=stress", "task.metric=pearson")
    scores = pearson.scores([np.arange(4.0)], [np.array([1.0, 2, 3, 5])], [np.array([[0, 4]])])
    assert scores["pearson"] == pytest.approx(6.5 / np.sqrt(5 * 8.75))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=sent", "task.metric=ccc"], "metric ccc with classes=5; expected one of f1, uar"),
        (["task=stress", "task.metric={ccc:1,uar:1}"], "metric uar with classes=0; expected one"),
        (["task=sent", "task.metric={f1:1,uar:-1}"], "task.metric.uar=-1: expected a weight above"),
        (["task=sent", "task.metric={f1:a}"], "task.metric.f1=a: expected a weight above 0"),
        (["task=sent", "task.metric=uaf"], "task.metric=uaf: expected one of"),
        (["task=sent", "task.metric={}"], "expected a metric, or weights"),
        (["task=sent", "task.classes=1"], "task.classes=1: expected 0 (regression), or 2 or more"),
    ],
)
def test_a_metric_that_the_head_does_not_have_is_refused(make_config, words, message):
    with pytest.raises(MuseError) as caught:
        head(make_config, *words)
    assert message in str(caught.value)
