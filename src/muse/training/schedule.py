"""Learning rates that change from step to step."""

import math


def warmed_up(step: int, steps: int, warmup: float) -> float:
    """The share of the learning rate that a step is made with.

    Linear from 0 over the steps of the warm-up, then linear back, so that it would reach 0 after
    the last step: the schedule that ALBERT was fine-tuned with in MuSe 2020 (that of the library
    transformers, `get_linear_schedule_with_warmup`). The very first step is made with 0.

    Args:
        step: from 0.
        steps: of the whole training.
        warmup: share of them, rounded up to whole steps.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return step / rising
    return (steps - step) / max(1, steps - rising)
