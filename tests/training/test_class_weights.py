"""Balanced class weights: by hand, and over a batch that goes through the model in parts."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from muse.models.recurrent import Recurrent
from muse.training import memory
from muse.training.loop import train_epoch
from muse.training.losses import balanced_weights
from muse.training.memory import frame_bytes
from tests.training.test_memory import FEATURES, LENGTHS, PLAIN, data

CLASSES = {"topic": 4, "valence": 3}
GOLD = np.array([[0, 0, 0, 1, 2, 0, 2, 0], [1, 1, 0, 2, 1, 1, 2, 0]])  # (targets, windows)
WEIGHTS = {  # windows / (classes that there are * windows of the class)
    "topic": [8 / (3 * 5), 8 / (3 * 1), 8 / (3 * 2), 0],
    "valence": [8 / (3 * 2), 8 / (3 * 4), 8 / (3 * 2)],
}


def test_weights_by_hand():
    got = balanced_weights(torch.from_numpy(GOLD.T).double(), [4, 3])
    assert [weight.tolist() for weight in got] == [pytest.approx(w) for w in WEIGHTS.values()]


@pytest.mark.parametrize("parts", [1, 4])
def test_the_mean_over_a_batch_is_weighted_for_each_target(monkeypatch, parts):
    """Windows of unequal length, the last frame of which has the class, against a loop."""
    given = data("ccc")
    labels = torch.zeros(len(given.labels), 2, dtype=torch.float64)
    labels[given.samples.sum(1) - 1] = torch.from_numpy(GOLD.T).double()
    given = replace(given, labels=labels, targets=[*CLASSES])
    torch.manual_seed(1)
    model = Recurrent(FEATURES, 7, hidden=6).double()
    means = []
    outputs = [
        model(given.features[None, a : a + n], torch.tensor([n]))[0, -1]
        for a, n in given.samples.tolist()
    ]
    batch = 5  # two steps, each with a mean of its own, by weights of all windows
    for start in (0, batch):
        of_targets = []
        for k, (first, target) in enumerate(((0, "topic"), (4, "valence"))):
            total = count = 0.0
            for b in range(start, min(start + batch, 8)):
                own = outputs[b][first : first + CLASSES[target]].log_softmax(0)
                weight = WEIGHTS[target][GOLD[k, b]]
                total, count = total - weight * own[GOLD[k, b]], count + weight
            of_targets.append(total / count)
        means.append((of_targets[0] + of_targets[1]) / 2)
    theirs = torch.autograd.grad(means[1], model.parameters())
    if parts > 1:
        each = frame_bytes(model, FEATURES)
        monkeypatch.setattr(memory, "STEP_BYTES", -(-len(LENGTHS) * 40 * each // parts))
    task = SimpleNamespace(head="classes", metric=None, classes_of=CLASSES.get)
    settings = PLAIN | {"class_weights": "balanced", "loss": "cross_entropy", "batch_size": batch}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    config = SimpleNamespace(**settings, task=task)
    losses = train_epoch(model, optimiser, given, given.samples, config)
    assert losses.tolist() == pytest.approx([mean.item() for mean in means], rel=1e-12)
    for weight, expected in zip(model.parameters(), theirs, strict=True):  # of the last step
        torch.testing.assert_close(weight.grad, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("task", ["stress", "sent"])
def test_weights_are_for_classes(make_config, task):
    words = f"task={task}", "features=a", "class_weights=balanced"
    if task == "sent":
        assert make_config("train", *words).class_weights == "balanced"
        return
    with pytest.raises(Exception, match=r"class_weights=balanced with loss=ccc: only a task with"):
        make_config("train", *words)
