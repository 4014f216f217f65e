"""How much does an epoch of muse cost beside a bare torch.nn.LSTM?

    python scripts/bench_epoch.py data.root=DATA task=stress 'features=[luminance,head,gaze]' \
        standardise=true target=arousal model.hidden=64 model.layers=2

Takes the settings of `muse train`. In one process and one thread, in turns, it measures

- an epoch as muse trains it: shuffling, gathering windows, projection, LSTM, head, loss, Adam, and
  the score of devel;
- a forward and a backward pass of torch.nn.LSTM (same layers and hidden size, input: the features)
  over the same windows in batches of the same size, already gathered and padded.

Both with the C library's memory setting that muse makes. Printed: medians and their ratio; only the
ratio means something on a machine that does other things too.
"""

import statistics
import sys
import time

import torch

from muse.app import load_config
from muse.data.recordings import load_package
from muse.data.windows import cut_windows, take
from muse.training.device import prepare
from muse.training.evaluate import mean_score
from muse.training.jobs import make_jobs
from muse.training.loop import train_seed

ROUNDS = 12


def main() -> None:
    config = load_config("train", [*sys.argv[1:], f"epochs={ROUNDS + 2}", f"patience={ROUNDS + 2}"])
    device = prepare("cpu", 1)
    package = load_package(
        config.task, config.targets, config.features, config.feature_sets, config.data
    )
    frames = make_jobs(config, package, device)[0].frames
    windows = cut_windows(frames["train"].samples, config.window, config.hop)
    bare = bare_lstm(config, frames["train"], windows)
    epochs, passes = [], []
    mark = time.perf_counter()

    def on_epoch(_: dict) -> None:
        """The time since the last call is an epoch; the bare passes come in between."""
        nonlocal mark
        epochs.append(time.perf_counter() - mark)
        start = time.perf_counter()
        bare()
        passes.append(time.perf_counter() - start)
        mark = time.perf_counter()

    def score(output) -> float:
        return mean_score(config, frames["devel"], output)

    train_seed(config, frames["train"], frames["devel"], score, config.seeds[0], on_epoch)
    epoch, bare_pass = statistics.median(epochs[2:]), statistics.median(passes[2:])
    print(f"{len(windows)} windows of up to {windows[:, 1].max()} frames, {ROUNDS} rounds")
    print(f"epoch of muse, devel included     {epoch:.3f} s")
    print(f"bare nn.LSTM, forward + backward  {bare_pass:.3f} s")
    print(f"ratio                             {epoch / bare_pass:.2f}")


def bare_lstm(config, frames, windows):
    """A function that runs the bare passes over all windows once."""
    model, inputs = config.model, frames.features.shape[1]
    lstm = torch.nn.LSTM(inputs, model["hidden"], model["layers"], batch_first=True,
                         bidirectional=model["bidirectional"])  # fmt: skip
    size = config.batch_size
    batches = [take(frames, windows[k : k + size])[0] for k in range(0, len(windows), size)]

    def run() -> None:
        for batch in batches:
            lstm.zero_grad()
            lstm(batch)[0].sum().backward()

    return run


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
