"""How exact and how fast is `muse extract egemaps`? Prints both, measured in one run.

    python scripts/bench_extract.py                      two minutes of a made-up voice
    python scripts/bench_extract.py --sound speech.wav   the first --seconds of a recording
    python scripts/bench_extract.py --hour               also an hour-long file: time and memory

The reference is openSMILE's own output for each window alone, `Smile.process_signal` of the window
that is cut out. Both sides run in one process on one thread; their ratio is that of processor time.
A difference is relative where a functional is larger than 1, and absolute below.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from muse.extraction.egemaps import functionals, names, reference
from muse.extraction.opensmile_run import HOP
from muse.extraction.sound import RATE, read_sound, write_wav

WINDOW = 6 * RATE  # samples


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Voiced stretches with moving pitch and formants, noise and pauses: (samples,) float32."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * RATE))
    at = 0
    while at < len(sound):
        kind = rng.choice(["voiced", "noise", "pause"], p=[0.6, 0.2, 0.2])
        length = int(RATE * rng.uniform(0.08, 0.9 if kind == "voiced" else 0.3))
        part = rng.normal(size=length) * (0.05 if kind == "noise" else rng.choice([0, 1e-3]))
        if kind == "voiced":
            bends = np.interp(np.linspace(0, 4, length), range(5), rng.uniform(-0.3, 0.3, 5))
            phase = np.cumsum(rng.uniform(90, 260) * 2**bends / RATE)
            part = lfilter([1], [1, -0.97], np.diff(np.floor(phase), prepend=0))
            part += 0.01 * rng.normal(size=length)
            for hertz in rng.uniform([250, 900, 2200], [800, 2000, 3000]):
                pole = np.exp(-np.pi * 100 / RATE)
                turn = -2 * pole * np.cos(2 * np.pi * hertz / RATE)
                part = lfilter([1 - pole], [1, turn, pole**2], part)
            part *= np.hanning(length) ** 0.3 * rng.uniform(0.2, 0.7) / np.abs(part).max()
        sound[at : at + length] = part[: len(sound) - at]
        at += length
    return (np.rint(sound * 32767) / 32768).astype(np.float32)


def compare(sound: np.ndarray, step: float) -> None:
    """Print the largest difference of all functionals, and the ratio of the times."""
    starts = np.arange(0, (len(sound) - WINDOW) // HOP + 1, round(step * RATE / HOP))
    begin = time.process_time()
    found = functionals(sound, starts, WINDOW)
    own = time.process_time() - begin
    cut = [sound[start * HOP : start * HOP + WINDOW] for start in starts]
    begin = time.process_time()
    expected = np.stack([reference(window) for window in cut])
    alone = time.process_time() - begin
    absolute = np.abs(found - expected)
    relative = absolute / np.maximum(1, np.abs(expected))
    worst = names()[relative.max(axis=0).argmax()]
    print(
        f"{len(starts)} windows of 6 s every {step:g} s: largest difference {relative.max():.2g} "
        f"({worst}), absolute {absolute.max():.2g}; {1000 * own / len(starts):.1f} ms a window "
        f"against {1000 * alone / len(starts):.1f}: {alone / own:.1f} times as fast",
        flush=True,
    )


def one_hour(sound: np.ndarray, step: float) -> None:
    """Print time and peak memory of `muse extract egemaps` on an hour-long WAV file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hour.wav")
        write_wav(path, np.resize(sound, 3600 * RATE))
        begin = time.perf_counter()
        words = ["extract", "egemaps", f"in={path}", f"out={folder}/package", f"step={step}"]
        subprocess.run([sys.executable, "-m", "muse", *words, "workers=1"], check=True)
        seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    core = used.ru_utime + used.ru_stime
    print(
        f"an hour, a row every {step:g} s: {seconds:.0f} s, {core:.0f} s of a core; at most "
        f"{used.ru_maxrss / 1024:.0f} MiB of memory"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sound", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--hour", action="store_true")
    options = parser.parse_args()
    given = voice(options.seconds) if options.sound is None else read_sound(options.sound)
    given = given[: round(options.seconds * RATE)]
    for every in (0.25, 0.5):
        compare(given, every)
    if options.hour:
        one_hour(given, 0.25)
