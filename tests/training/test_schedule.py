"""The learning rate of every step of a training with a warm-up."""

import numpy as np
import pytest
import torch

from muse.training.schedule import warmed_up
from tests.training.test_loop import config, frames, run  # noqa: F401


def test_shares_by_hand():
    # 10 steps, a quarter of them rounded up to 3
    expected = [0, 1 / 3, 2 / 3, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7]
    assert [warmed_up(k, 10, 0.25) for k in range(10)] == pytest.approx(expected)
    assert [warmed_up(k, 4, 0.0) for k in range(4)] == [1, 0.75, 0.5, 0.25]
    assert [warmed_up(k, 2, 0.99) for k in range(2)] == [0, 0.5]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.06), (17, 0.06), (100, 0.5), (9, 0.0)])
def test_shares_are_those_of_transformers(steps, warmup):
    from transformers import get_linear_schedule_with_warmup

    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rising = int(np.ceil(warmup * steps))
    schedule = get_linear_schedule_with_warmup(optimiser, rising, steps)
    for step in range(steps):
        assert warmed_up(step, steps, warmup) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()


def test_every_step_has_its_share_of_the_learning_rate(config, monkeypatch):  # noqa: F811
    config.warmup, config.epochs, config.patience = 0.1, 3, None
    seen, step = [], torch.optim.Adam.step

    def noted(optimiser, *arguments):
        seen.append(optimiser.param_groups[0]["lr"])
        return step(optimiser, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    history = []
    run(config, 101, history.append)
    steps = 3 * 3  # six recordings of 4 windows, 8 in a step
    assert seen == pytest.approx([config.lr * warmed_up(k, steps, 0.1) for k in range(steps)])
    assert [record["lr"] for record in history] == [config.lr] * 3  # that all are shares of
