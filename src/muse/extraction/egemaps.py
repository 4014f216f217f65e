"""eGeMAPS functionals of overlapping windows by openSMILE: `muse extract egemaps`.

The 88 functionals of Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for
voice research and affective computing, IEEE Transactions on Affective Computing 7(2), 2016, in
version 2 of openSMILE, over windows of 6 s as in section 3.2 of Stappen et al., The MuSe 2021
Multimodal Sentiment Analysis Challenge.

openSMILE itself takes a window at a time, though each moment of the recording is in a dozen of them
or two. Here it is run once over all of it, and again only over what a window changes; the result is
that of each window alone (muse/extraction/egemaps_windows.py).
"""

import warnings
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from muse.config.extract import ExtractConfig
from muse.errors import MuseError
from muse.extraction.egemaps_parts import FRAME
from muse.extraction.egemaps_windows import window_functionals
from muse.extraction.feature_files import Extractor, SoundWindow, Times
from muse.extraction.media import MEDIA, ffmpeg_version
from muse.extraction.opensmile_run import HOP, import_opensmile
from muse.extraction.sound import RATE, read_sound, sound_bytes
from muse.extraction.spans import sample_spans

BLOCK_FRAMES = 120_000  # of windows that are computed at once: 200 of 6 s
BLOCK_SECONDS = 300  # of sound that they may span


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract egemaps` does; MuseError if openSMILE or ffmpeg is not installed."""
    import_opensmile()
    if config.window is None or config.window < FRAME / RATE:
        raise MuseError(f"window={config.window}: expected {FRAME / RATE:g} s or more.")
    tool = {"name": "opensmile", "version": version("opensmile"), "ffmpeg": ffmpeg_version()}
    extract = partial(extract_egemaps, window=config.window)
    own = SoundWindow(config.window, partial(_of_window, names()), HOP)
    return Extractor(MEDIA, tool, {"window": config.window}, sound_bytes, extract, own)


def extract_egemaps(
    path: Path, times_of: Times, window: float
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The 88 functionals of a recording at its frames.

    Args:
        path: a media file with sound.
        times_of: gets the seconds of the recording, gives the times of its frames in ms.
        window: seconds, around the middle of a frame; at both ends of the recording the first and
            last whole window; of a shorter recording, all of it. Windows begin at multiples of
            10 ms, openSMILE's own frames.

    Returns:
        Times of the frames (frames,) ms, functional -> its values (frames,) float32 with NaN where
        a frame is outside the recording, and warnings.

    Raises:
        MuseError: no sound, or less than a frame of openSMILE's; openSMILE is not installed.
    """
    sound = read_sound(path)
    check_sound(path, sound)
    times = times_of(len(sound) / RATE)
    first, length, inside = sample_spans(times, window, len(sound), RATE)
    starts, which = np.unique(first // HOP, return_inverse=True)
    values = functionals(sound, starts, length)[which]
    values[~inside] = np.nan
    columns = dict(zip(names(), values.T, strict=True))
    return times, columns, note_outside(path, inside, len(sound) / RATE)


def check_sound(path: Path, sound: np.ndarray) -> None:
    """Raise MuseError for a sound that is shorter than a frame of openSMILE's."""
    if len(sound) < FRAME:
        raise MuseError(
            f"{path}: {1000 * len(sound) / RATE:.3g} ms of sound; openSMILE needs "
            f"{1000 * FRAME // RATE} ms. Leave the file out."
        )


def note_outside(path: Path, inside: np.ndarray, seconds: float) -> list[str]:
    """A warning if frames (frames,) are not ``inside`` the recording."""
    if inside.all():
        return []
    return [
        f"{path}: {(~inside).sum()} of {len(inside)} frames are outside of its {seconds:.6g} s of "
        "sound; their fields are empty."
    ]


def names() -> list[str]:
    """The names of the functionals, in their order."""
    return list(_reference().feature_names)


def _of_window(columns: list[str], sound: np.ndarray) -> dict[str, float]:
    """The functionals of a single window; MuseError if it is too short for one."""
    if len(sound) < FRAME:
        raise MuseError(
            f"{1000 * len(sound) / RATE:.3g} ms of sound; openSMILE needs "
            f"{1000 * FRAME // RATE} ms."
        )
    return dict(zip(columns, reference(sound).tolist(), strict=True))


def reference(sound: np.ndarray) -> np.ndarray:
    """The functionals of a window as openSMILE computes them of it alone: (88,) float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it depends on, about their own calls
        return _reference().process_signal(sound, RATE).to_numpy()[0]


@cache
def _reference():
    opensmile = import_opensmile()
    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)


def functionals(sound: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """The functionals of windows: (windows, 88) float32.

    Args:
        sound: (samples,) float32 in [-1, 1].
        starts: (windows,) rising, their first frames of 10 ms.
        length: of a window in samples.
    """
    found = []
    for some in _blocks(starts, length):
        block = sound[some[0] * HOP : some[-1] * HOP + length]
        alone = np.ones(1, dtype=bool)
        if len(some) > 1:
            values, alone = window_functionals(block, some - some[0], length)
        else:
            values = np.empty((1, len(names())), dtype=np.float32)
        for k in np.flatnonzero(alone):
            values[k] = reference(sound[some[k] * HOP : some[k] * HOP + length])
        found.append(values)
    return np.concatenate(found)


def _blocks(starts: np.ndarray, length: int) -> list[np.ndarray]:
    """Windows that are computed at once, as far as memory should go; those far from any alone."""
    most = max(1, BLOCK_FRAMES // (length // HOP))
    blocks: list[list[int]] = []
    for start in starts:
        near = blocks and start - blocks[-1][-1] <= length // HOP
        fits = near and start - blocks[-1][0] <= BLOCK_SECONDS * RATE // HOP
        if not fits or len(blocks[-1]) == most:
            blocks.append([])
        blocks[-1].append(start)
    return [np.array(block) for block in blocks]
