"""How close gold standards come to a known signal, from simulated raters of it.

    python scripts/check_gold.py

600 frames and five raters, who come up to five frames early or late, drift by up to four frames
more, and differ in gain and noise. Printed is the CCC with the known signal, mean over the
signals, of each fusion after smoothing and standardising; `known` is EWE of traces read along
their true delays. The signals change within about 15, 25 or 50 frames.
"""

import argparse
import time

import numpy as np

from muse.gold.agreement import ewe_weights
from muse.gold.gctw import gctw, warped
from muse.gold.lag import lags_of, shifted
from muse.gold.smoothing import savgol
from muse.gold.standardise import standardise
from muse.scoring import ccc
from muse.synthetic.raters import simulated_raters, simulated_signal
from muse.terminal import in_columns

NOISE = [0.2, 0.3, 0.4, 0.5, 0.6]
FRAMES = np.arange(600)


def closeness(fused: np.ndarray, signal: np.ndarray) -> float:
    """CCC of the course alone: fusions have a range of their own."""
    scaled = (fused - fused.mean()) / fused.std() * signal.std() + signal.mean()
    return ccc(scaled, signal)


def one(width: int, seed: int) -> tuple[list[float], float, float]:
    """CCC of every fusion, root mean squared error of the paths in frames, seconds of RAAW."""
    rng = np.random.default_rng(seed)
    signal = simulated_signal(len(FRAMES), seed, width)
    lags, drifts = rng.uniform(-5, 5, 5), rng.uniform(-4, 4, 5)
    lags -= lags.mean()
    raters = simulated_raters(signal, lags, drifts, rng.uniform(0.4, 1, 5), NOISE, seed)
    (raters,) = standardise([savgol(raters, 5, 3)], [list("abcde")], "corpus", True)
    weights = ewe_weights(raters, "pairwise", "ccc").shares
    start = time.perf_counter()
    paths = gctw(list(raters), upright=True).paths
    seconds = time.perf_counter() - start
    late = lags[:, None] + drifts[:, None] * np.sin(np.pi * FRAMES / FRAMES[-1]) ** 2
    late -= late.mean(0)
    true = np.clip(FRAMES + late, 0, FRAMES[-1])
    constant = [shifted(row, lag) for row, lag in zip(raters, lags_of(raters, 20), strict=True)]
    fused = [
        raters.mean(0),
        weights @ raters,
        weights @ np.stack(constant),
        weights @ np.stack([warped(row, path) for row, path in zip(raters, paths, strict=True)]),
        weights @ np.stack([warped(row, path) for row, path in zip(raters, true, strict=True)]),
    ]
    wrong = np.sqrt(np.mean((paths - FRAMES - late)[:, 50:-50] ** 2))
    return [closeness(row, signal) for row in fused], float(wrong), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=int, default=20, help="signals per row")
    signals = parser.parse_args().signals
    rows = [["changes within", "mean", "EWE", "lag + EWE", "RAAW", "known", "best", "frames off",
             "seconds"]]  # fmt: skip
    for width in (6, 10, 20):
        found = [one(width, seed) for seed in range(signals)]
        scores = np.array([scores for scores, _, _ in found])
        best = (scores[:, 3] > scores[:, :2].max(1)).sum()
        rows.append([
            f"{2.5 * width:.0f} frames",
            *(f"{score:.4f}" for score in scores.mean(0)),
            f"{best} of {signals}",
            f"{np.mean([wrong for _, wrong, _ in found]):.2f}",
            f"{np.mean([seconds for _, _, seconds in found]):.2f}",
        ])  # fmt: skip
    print("SYNTHETIC raters: CCC with the known signal; best: RAAW above mean and EWE")
    print(in_columns(rows))


if __name__ == "__main__":
    main()
