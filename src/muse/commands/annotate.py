"""`muse annotate`: recordings with the curves of a trained model, from files or as a stream."""

import logging
import sys

import numpy as np

from muse.config.annotate import AnnotateConfig
from muse.config.fields import path_of
from muse.errors import MuseError, raise_failed
from muse.inference.annotate import annotate_files, open_stream
from muse.inference.stream import RAW, Step
from muse.terminal import counted

log = logging.getLogger(__name__)


def run(config: AnnotateConfig) -> None:
    """Write the annotations, then print what is there; or print those of a stream.

    Raises:
        MuseError: a run that cannot be used for it; or the files that have failed, after all others
            were done.
    """
    if config.stream:
        _print_stream(config)
        return
    done = annotate_files(config)
    files = "curves, ID.png, ID.vtt, ID.eaf" + ", ID.html" * config.view
    if done.done:
        print(
            f"{path_of(config.out)}: {counted(len(done.done), 'recording')} annotated "
            f"({', '.join(done.targets)}): {files}"
        )
    raise_failed(done.failed, len(done.done) + len(done.failed))


def _print_stream(config: AnnotateConfig) -> None:
    """A row per frame as it comes; at the end, on standard error, how long a frame took."""
    if sys.stdin is None or sys.stdin.isatty():
        raise MuseError(f"stream=true reads sound from standard input. For example: {RAW}")
    steps, delay, step = open_stream(config, sys.stdin.buffer)
    print(f"Values come {delay:g} s after the end of their frame.", file=sys.stderr)
    seconds = []
    for number, frame in enumerate(steps):
        if not number:
            print(",".join(["timestamp", *frame.values]))
        print(_row(frame), flush=True)
        seconds.append(frame.seconds)
    took = 1000 * np.array(seconds)
    print(
        f"{counted(len(took), 'frame')} of {step:g} s: computed in {np.median(took):.1f} ms each "
        f"(median), {took.max():.1f} ms at most, {1000 * step / took.mean():.0f} times as fast as "
        "real time.",
        file=sys.stderr,
    )


def _row(frame: Step) -> str:
    return ",".join([f"{frame.timestamp:.10g}", *(str(value) for value in frame.values.values())])
