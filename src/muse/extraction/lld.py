"""Low-level descriptors of ComParE 2016 and their deltas by openSMILE: `muse extract lld`.

The 130 columns of MuSe 2020 (Stappen et al., section 4.1.1): 65 descriptors and their deltas every
10 ms, in openSMILE's own configuration. The paper aligns them with the labels but does not say how;
here a frame has the mean of those that begin in it, or the one nearest to its middle.
"""

from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from muse.config.extract import ExtractConfig, LldConfig
from muse.errors import MuseError
from muse.extraction.egemaps import check_sound, note_outside
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.media import MEDIA, ffmpeg_version
from muse.extraction.opensmile_run import HOP, component, import_opensmile, run, shipped
from muse.extraction.sound import RATE, read_sound, sound_bytes
from muse.extraction.spans import frame_middles

PARTS = ("is13_lld_nzsmo", "is13_lldA_smo", "is13_lldB_smo")  # levels in the order of the columns


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract lld` does; MuseError if openSMILE or ffmpeg is not installed."""
    import_opensmile()
    if config.window is not None:
        raise MuseError(f"window={config.window:g}: lld has none. Leave it out.")
    tool = {"name": "opensmile", "version": version("opensmile"), "ffmpeg": ffmpeg_version()}
    extract = partial(extract_lld, config=config.lld)
    return Extractor(MEDIA, tool, {"frame": config.lld.frame}, sound_bytes, extract)


def extract_lld(
    path: Path, times_of: Times, config: LldConfig
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The 130 descriptors of a recording at its frames.

    Args:
        path: a media file with sound.
        times_of: gets the seconds of the recording, gives the times of its frames in ms.

    Returns:
        Times of the frames (frames,) ms, descriptor -> its values (frames,) float32 with NaN where
        a frame is outside the recording, and warnings.

    Raises:
        MuseError: no sound, or less than a frame of openSMILE's; openSMILE is not installed.
    """
    sound = read_sound(path)
    check_sound(path, sound)
    seconds = len(sound) / RATE
    times = times_of(seconds)
    middles, step = frame_middles(times, seconds)
    inside = (middles >= 0) & (middles <= seconds)
    values = at_frames(descriptors(sound), middles, step, config.frame == "mean")
    values[~inside] = np.nan
    columns = dict(zip(names(), values.T, strict=True))
    return times, columns, note_outside(path, inside, seconds)


def names() -> list[str]:
    """The names of the descriptors, then those of their deltas."""
    package = import_opensmile()
    found: list[str] = []
    for level in ("LowLevelDescriptors", "LowLevelDescriptors_Deltas"):
        smile = package.Smile(package.FeatureSet.ComParE_2016, getattr(package.FeatureLevel, level))
        found += smile.feature_names
    return found


def descriptors(sound: np.ndarray) -> np.ndarray:
    """Descriptors and deltas every 10 ms, from the start on: (frames, 130) float32."""
    config = shipped("compare/ComParE_2016_core.lld.conf.inc")
    levels = [f"{part}{end}" for end in ("", "_de") for part in PARTS]
    config += component("all", "cVectorConcat", reader__dmLevel=";".join(levels),
                        writer__dmLevel="all", includeSingleElementFields=1)  # fmt: skip
    # levels that functionals would read need not be kept
    brief = {"bufferModeConf": shipped("shared/BufferModeRbLag.conf.inc")}
    return run(config, {"all": "all"}, sound, files=brief, stream=True)["all"]


def at_frames(values: np.ndarray, middles: np.ndarray, step: float, mean: bool) -> np.ndarray:
    """Values every 10 ms at frames: the mean over each, or the value nearest to its middle.

    Args:
        values: (rows, columns), the first at 0 s.
        middles: (frames,) s. step: seconds of a frame.

    Returns:
        (frames, columns) float32; beyond the last row, that one.
    """
    a_second = RATE // HOP
    if not mean:
        return values[np.clip(np.round(middles * a_second), 0, len(values) - 1).astype(np.int64)]
    low, high = (np.round((middles + side * step / 2) * a_second).astype(np.int64)
                 for side in (-1, 1))  # fmt: skip
    low = np.clip(low, 0, len(values) - 1)
    high = np.clip(high, low + 1, len(values))
    return np.stack([values[a:b].mean(axis=0, dtype=np.float64)
                     for a, b in zip(low, high, strict=True)]).astype(np.float32)  # fmt: skip
