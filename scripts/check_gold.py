"""How close gold standards come to a known signal, from simulated raters of it.

    python scripts/check_gold.py

600 frames and five raters, who come up to five frames early or late, drift by up to four frames
more, and differ in gain and noise. Printed is the CCC with the known signal, mean over the
signals, of each preset after smoothing and standardising; `known` is EWE of traces read along
their true delays. The signals change within about 15, 25 or 50 frames.
"""

import argparse
import time

import numpy as np
import pandas as pd

from muse.gold.agreement import ewe_weights
from muse.gold.gctw import gctw
from muse.gold.lag import lags_of
from muse.gold.one_step import one_step
from muse.gold.paths import warped
from muse.gold.smoothing import savgol
from muse.gold.standardise import standardise
from muse.scoring import ccc
from muse.synthetic.raters import simulated_raters, simulated_signal

NOISE = [0.2, 0.3, 0.4, 0.5, 0.6]
FRAMES = np.arange(600.0)
WIDTHS = (6, 10, 20)  # of the averages that make a signal; it changes within 2.5 of them
ALIGNED = ("lag", "raaw", "gctw")


def closeness(fused: np.ndarray, signal: np.ndarray) -> float:
    """CCC of the course alone: fusions have a range of their own."""
    scaled = (fused - fused.mean()) / fused.std() * signal.std() + signal.mean()
    return ccc(scaled, signal)


def paths_of(raters: np.ndarray, method: str) -> np.ndarray:
    """Where each rater is read for each frame: (raters, frames)."""
    if method == "lag":
        return np.clip(FRAMES + lags_of(raters, 20)[:, None], 0, FRAMES[-1])
    if method == "raaw":
        return one_step(raters)
    return gctw(list(raters), nonnegative=True).paths


def one(width: int, seed: int) -> dict[str, float]:
    """CCC of every preset; root mean squared error of the paths in frames; seconds of gctw."""
    rng = np.random.default_rng(seed)
    signal = simulated_signal(len(FRAMES), seed, width)
    lags, drifts = rng.uniform(-5, 5, 5), rng.uniform(-4, 4, 5)
    lags -= lags.mean()
    raters = simulated_raters(signal, lags, drifts, rng.uniform(0.4, 1, 5), NOISE, seed)
    (raters,) = standardise([savgol(raters, 5, 3)], [list("abcde")], "corpus", True)
    weights = ewe_weights(raters, "pairwise", "ccc").shares
    late = lags[:, None] + drifts[:, None] * np.sin(np.pi * FRAMES / FRAMES[-1]) ** 2
    late -= late.mean(0)

    def fused(paths: np.ndarray) -> float:
        aligned = [warped(row, path) for row, path in zip(raters, paths, strict=True)]
        return closeness(weights @ np.stack(aligned), signal)

    found = {"mean": closeness(raters.mean(0), signal)}
    found["ewe"] = closeness(weights @ raters, signal)
    for method in ALIGNED:
        start = time.perf_counter()
        paths = paths_of(raters, method)
        found[f"seconds {method}"] = time.perf_counter() - start
        found[method] = fused(paths)
        found[f"off {method}"] = np.sqrt(np.mean((paths - FRAMES - late)[:, 50:-50] ** 2))
    return found | {"known": fused(np.clip(FRAMES + late, 0, FRAMES[-1]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=int, default=20, help="signals per row")
    signals = parser.parse_args().signals
    found = pd.concat(
        {f"{2.5 * width:.0f} frames": pd.DataFrame([one(width, k) for k in range(signals)])
         for width in WIDTHS}, names=["changes within"],
    )  # fmt: skip
    means = found.groupby(level=0).mean()
    print("SYNTHETIC raters: CCC with the known signal")
    print(means[["mean", "ewe", *ALIGNED, "known"]].to_string(float_format="%.4f"))
    print(f"\nof {signals} signals, those closer than mean and EWE")
    better = found[[*ALIGNED]].gt(found[["mean", "ewe"]].max(axis=1), axis=0)
    print(better.groupby(level=0).sum().to_string())
    for title, name in (("error of the paths in frames", "off"), ("seconds", "seconds")):
        columns = means[[f"{name} {method}" for method in ALIGNED]].set_axis(ALIGNED, axis=1)
        print(f"\n{title}\n{columns.to_string(float_format='%.3f')}")


if __name__ == "__main__":
    main()
