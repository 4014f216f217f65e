"""What does a sweep cost beside its training? Prints seconds and memory.

    python scripts/bench_sweep.py                 2000 finished jobs, 16 new ones
    python scripts/bench_sweep.py --jobs 200 --new 4

- continue: the same command when all jobs are finished, until the leaderboard is printed. The jobs
  are copies of a finished one, each with settings, run id and record of its own.
- memory: peak of the process that watches, without its workers.
- overhead: of a new job of a second or less, on one core (workers=1, plots=false,
  tensorboard=false): seconds of the sweep over its jobs, less the seconds in epochs.

Everything is in a temporary folder, on a synthetic package.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from muse.commands.synth import run as synth
from muse.config.compose import load_config
from muse.config.overrides import name_of, quote_texts
from muse.files import digest_of, write_json
from muse.runs.folder import begin, set_status
from muse.runs.identity import settings_key
from muse.sweep.jobs import expand
from muse.sweep.records import data_paths, keep_record, stamps
from muse.training.prepare import id_of, load_inputs

SMALL = ["task=stress", "features=egemaps", "target=arousal", "seeds=1", "epochs=1", "bootstrap=0",
         "model.layers=1", "model.hidden=4", "plots=false", "tensorboard=false"]  # fmt: skip


def main() -> None:
    """Measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2000, help="finished jobs")
    parser.add_argument("--new", type=int, default=16, help="jobs to train")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        synth(load_config("synth", ["task=stress", "scale=0.05", "features=egemaps"]))
        new = [*SMALL, f"lr={','.join(f'0.01{k:03}' for k in range(given.new))}"]
        seconds, _ = muse("train", "-m", *new, "workers=1")
        runs = [path.parent for path in Path("outputs/sweep").glob("*/*/result.json")]
        assert len(runs) == given.new
        epochs = sum(json.loads((run / "result.json").read_text())["seconds"] for run in runs)
        print(f"overhead   {(seconds - epochs) / given.new:8.2f} s per new job of {given.new}")
        words = [*SMALL, f"lr={','.join(f'0.001{k:03}' for k in range(given.jobs // 10))}"]
        words.append(f"weight_decay={','.join(f'0.{k}' for k in range(10))}")
        copies(runs[0], words)
        for what in ("first", "again"):
            seconds, peak = muse("train", "-m", *words)
            print(f"continue   {seconds:8.1f} s for {given.jobs} finished jobs, {what}")
            print(f"memory     {peak / 2**20:8.0f} MiB at the peak of the process that watches")


def copies(run: Path, words: list[str]) -> None:
    """The finished jobs of a sweep, each a copy of ``run`` with settings of its own."""
    words = quote_texts("train", words)  # as the command line does
    jobs = expand(words)
    first = load_config("train", jobs[0])
    package = load_inputs(first)
    root = Path("outputs/sweep") / name_of(words)
    result = json.loads((run / "result.json").read_text())
    setup = json.loads((run / "job.json").read_text())["setup"]
    data = stamps(data_paths(first))
    for job in jobs:
        lr, decay = (float(word.partition("=")[2]) for word in job[-2:])
        config = replace(first, lr=lr, weight_decay=decay)
        folder = root / settings_key(config)
        shutil.copytree(run, folder)
        begin(folder, config)
        content = {key: value for key, value in result.items() if key != "digest"}
        content["run_id"] = id_of(config, package)
        write_json(folder / "result.json", content | {"digest": digest_of(content)})
        set_status(folder, "finished")
        keep_record(folder, job, setup, config, content["run_id"], data)


def muse(*words: str) -> tuple[float, int]:
    """Run a command; its seconds, and the bytes that its process had at its peak."""
    code = (
        "import sys, resource; from muse.cli.main import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, int(done.stderr.split()[-1]) * unit


if __name__ == "__main__":
    main()
