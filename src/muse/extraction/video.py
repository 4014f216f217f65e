"""The pictures of a video at given times, by the program ffmpeg: one after another, never all."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from muse.errors import MuseError
from muse.extraction.media import FAULT, decode, reading

# what is counted as the same time: containers round to 1 ms, and where sound and pictures are cut
# to whole frames, they do not begin and end together
ROUNDING, CUT = 0.0005, 0.1  # s
RUNS = 1000  # evenly spaced stretches of times in one call of ffmpeg, whose command line is limited


def video_span(path: Path) -> tuple[float, float]:
    """When the first picture of a video is shown and when the last one ends, in seconds.

    Time 0 is where the file begins, with its sound or its pictures. The times of all pictures are
    read, since what the head of a file says of its length is missing in some and wrong in others.

    Raises:
        MuseError: a file without pictures (the cover of a song is none), or that cannot be read.
    """
    listed, _ = decode(path, ["-map", "0:V:0", "-c", "copy", "-f", "framecrc"], "video")
    unit, times, last = 0.0, [], (0, 0)
    for line in listed.decode().splitlines():
        if line.startswith("#tb 0: "):
            over, under = line.removeprefix("#tb 0: ").split("/")
            unit = int(over) / int(under)
        elif not line.startswith("#"):
            _, _, time, duration, *_ = map(str.strip, line.split(","))
            times.append(int(time))
            last = max(last, (int(time), int(duration)))
    if not times:
        raise MuseError(f"{path}: there are no pictures in it. Copy it again from its source.")
    times.sort()
    duration = last[1] or (np.median(np.diff(times)) if len(times) > 1 else 0)
    return times[0] * unit, (last[0] + duration) * unit


def shown_frames(path: Path, times: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Whether each of the times (frames,), in ms, is between begin and end, in s: (frames,) bool.

    Raises MuseError if none is.
    """
    shown = (times >= 1000 * (begin - CUT)) & (times <= 1000 * (end + CUT))
    if not shown.any():
        raise MuseError(
            f"{path}: none of its {len(times)} frames is between {begin:.3g} and {end:.3g} s."
        )
    return shown


def read_frames(path: Path, times: np.ndarray) -> Iterator[np.ndarray]:
    """The picture that is shown at each time, turned as the file says.

    A picture is shown from its own time to that of the next; the first one also before its time,
    the last one also afterwards.

    Args:
        times: (frames,) ms, rising.

    Yields:
        (height, width, 3) uint8, red, green and blue.

    Raises:
        MuseError: a file without pictures, or that cannot be read to the last of the times.
    """
    seconds = np.asarray(times, dtype=np.float64) / 1000
    runs = evenly_spaced(seconds)
    for first in range(0, len(runs), RUNS):
        part = runs[first : first + RUNS]
        begin, end = part[0][0], part[-1][1] + 1
        shifted = [(a - begin, b - begin) for a, b in part]
        yield from _shown(path, slots(seconds[begin:end], shifted), end - begin)


def evenly_spaced(seconds: np.ndarray, first: int = 0) -> list[tuple[int, int]]:
    """First and last index of stretches of times with one distance between them, found by halves.

    Args:
        first: index of the first of the times.
    """
    count = len(seconds)
    if np.abs(seconds - np.linspace(seconds[0], seconds[-1], count)).max() < ROUNDING:
        return [(first, first + count - 1)]
    half = count // 2
    return evenly_spaced(seconds[:half], first) + evenly_spaced(seconds[half:], first + half)


def slots(seconds: np.ndarray, runs: list[tuple[int, int]]) -> str:
    """Expression of ffmpeg for the index of the first time at or after T, the time of a picture.

    Of the pictures of one index the last is the one that is shown at that time. Nested halves, so
    that each picture costs the logarithm of the number of runs.
    """
    first, last = runs[0][0], runs[-1][1]
    if len(runs) == 1:
        if first == last:
            return f"({first}+gt(T,{seconds[first] + ROUNDING:.6f}))"
        step = (seconds[last] - seconds[first]) / (last - first)
        return f"({first}+max(0,ceil((T-{seconds[first] + ROUNDING:.6f})/{step:.9f})))"
    half = len(runs) // 2
    limit = seconds[runs[half - 1][1]] + ROUNDING
    left, right = slots(seconds, runs[:half]), slots(seconds, runs[half:])
    return f"if(lte(T,{limit:.6f}),{left},{right})"


def _shown(path: Path, slot: str, count: int) -> Iterator[np.ndarray]:
    """``count`` pictures: those that are the last of their index.

    A picture is moved to its index, in ms, and the filter fps keeps the last of each ms and repeats
    it where there is none. It stops where the file ends, which may be at the time of the last
    picture: 0.4 ms more are rounded down for pictures, and up for the end, so that none is lost.
    """
    filters = (
        f"settb=AVTB,setpts='({slot}+0.4)/1000/TB',"
        "fps=fps=1000:start_time=0:round=near:eof_action=pass"
    )
    command = [*reading(path), "-map", "0:V:0", "-vf", filters, "-frames:v", str(count)]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"]
    given, picture = 0, None
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, bufsize=2**20
        )
        try:
            while (following := _read_ppm(process.stdout)) is not None:
                given, picture = given + 1, following
                yield picture
            code = process.wait()
        finally:  # also where nobody asks for more
            process.kill()
            process.stdout.close()
            process.wait()
        log.seek(0)
        faults = FAULT.findall(log.read().decode("utf-8", "replace"))
    if code or faults or picture is None:
        said = faults[0].strip().removeprefix(f"file:{path}: ") if faults else "no pictures"
        raise MuseError(
            f"{path}: ffmpeg cannot read all of its pictures ({said}). Copy it again from its "
            "source, or repair it: ffmpeg -i FILE REPAIRED.mp4 keeps what can be read."
        )
    for _ in range(count - given):
        yield picture


def _read_ppm(stream: IO[bytes]) -> np.ndarray | None:
    """The next picture of a stream in the format PPM; None at its end, whole picture or not."""
    head = [stream.readline() for _ in range(3)]  # P6, width and height, 255
    if not head[2]:
        return None
    width, height = map(int, head[1].split())
    data = stream.read(3 * width * height)
    if len(data) < 3 * width * height:
        return None
    return np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
