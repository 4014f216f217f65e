"""From speech to a curve: extract, gold, train, annotate, on SYNTHETIC recordings of espeak-ng."""

import io
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.extraction.sound import read_sound
from muse.scoring import ccc
from muse.synthetic.raters import simulated_raters, simulated_signal
from tests.conftest import write
from tests.speech import needs_espeak, speech, write_speech

STEP, FRAMES = 0.5, 120  # a minute
KNOWN, NEW = range(1, 19), range(19, 21)  # recordings of the package, and recordings held out
needs_opensmile = pytest.mark.skipif(not find_spec("opensmile"), reason="needs muse[opensmile]")
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")


def curve_of(number: int) -> np.ndarray:
    return simulated_signal(FRAMES, seed=number, width=15)


def run_muse(home: Path, *words: str, **options) -> subprocess.CompletedProcess:
    """Run muse in a folder; its output as text."""
    command = [sys.executable, "-m", "muse", *words]
    return subprocess.run(command, cwd=home, check=True, capture_output=True, **options)


def make_recordings(home: Path) -> None:
    """known/ID.wav and new/ID.wav, and of the known ones what three simulated raters say."""
    times = np.arange(FRAMES) * STEP
    for number in (*KNOWN, *NEW):
        curve = curve_of(number)
        folder = "known" if number in KNOWN else "new"
        write_speech(home / folder / f"{number}.wav", speech(curve, STEP, number))
        if number in KNOWN:
            raters = simulated_raters(curve, [1, 2, 3], [0, 1, 0], [1, 0.8, 1.2], [0.3] * 3, number)
            rows = np.column_stack([times, *raters]).round(4).tolist()
            write(home / f"raters/{number}.csv", "timestamp,a,b,c\n", rows)
    parts = {n: "devel" if n > 14 else "train" for n in KNOWN} | {17: "test", 18: "test"}
    write(home / "data/c3_muse_stress/metadata/partition.csv", "Id,Partition\n", parts.items())


def train_on_speech(home: Path) -> None:
    """From known/ and raters/ to the run."""
    package = "data/c3_muse_stress"
    run_muse(home, "extract", "egemaps", "in=known", f"out={package}", f"step={STEP}")
    rows = f"{package}/feature_segments/egemaps"
    run_muse(home, "gold", "raters", "unit=s", "target=arousal", f"rows={rows}", f"out={package}")
    run_muse(home, "train", "task=stress", "target=arousal", "features=egemaps", "standardise=true",
         "model.layers=1", "model.hidden=32", "lr=0.005", "epochs=40", "seeds=2", "window=60",
         "hop=20", "batch_size=32", "hydra.run.dir=run")  # fmt: skip


@pytest.mark.slow
@needs_espeak
@needs_opensmile
@needs_ffmpeg
def test_speech_to_curve(tmp_path):
    make_recordings(tmp_path)
    train_on_speech(tmp_path)
    run_muse(tmp_path, "annotate", "new", "run=run", "out=out", "view=true")
    for number in NEW:
        made = pd.read_csv(tmp_path / f"out/curves/arousal/{number}.csv")
        assert made.timestamp.tolist() == [500 * k for k in range(FRAMES)]
        score = ccc(made.value.to_numpy(), curve_of(number))
        print(f"recording {number}: CCC with the known curve {score:.3f}")
        assert score > 0.6
        assert {"png", "vtt", "eaf", "html"} <= {
            path.suffix[1:] for path in (tmp_path / "out").glob(f"{number}.*")
        }
    # the same sound as a stream, at -3 dB as extraction brings it
    sound = np.rint(read_sound(tmp_path / "new/19.wav") * 2**15).astype("<i2")
    done = run_muse(tmp_path, "annotate", "stream=true", "run=run", input=sound.tobytes())
    print(done.stderr.decode())
    stream = pd.read_csv(io.BytesIO(done.stdout))
    whole = pd.read_csv(tmp_path / "out/curves/arousal/19.csv")
    difference = np.abs(stream.arousal - whole.value).max()
    print(f"largest difference of the stream from the curve {difference:.2g}")
    assert stream.timestamp.tolist() == whole.timestamp.tolist() and difference < 1e-3
