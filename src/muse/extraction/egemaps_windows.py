"""eGeMAPS functionals of many overlapping windows at once.

What a frame of 10 ms has is computed once for all windows that it is in, by openSMILE. What a
window changes about it is computed again: the path of the pitch, the harmonics where that differs,
jitter and shimmer of the voiced stretch that the window begins in, the first spectral flux, and the
smoothing at both ends. Functionals of pitch and loudness are openSMILE's; those of all others are
means and deviations.
"""

import numpy as np

from muse.extraction import egemaps_parts as parts
from muse.extraction.egemaps_parts import FRAME
from muse.extraction.egemaps_pitch import CANDIDATES, decode
from muse.extraction.opensmile_run import HOP

SHORT = 2 * HOP  # samples of the frames of loudness, spectrum and formants: 20 ms
AUDIBLE = np.float32(0.001)  # energy of a frame up to which it is unvoiced
LOWEST, BASE = np.float32(29.136), np.float32(27.5)  # Hz of the first semitone, and of none
SPECTRAL = [2, 3, 0, 1]  # columns of `spectral`: alpha ratio, Hammarberg index, two slopes
LEAST = 10  # frames that are used, below which openSMILE has rules of its own
QUIETEST = 1e-12  # -120 dB


def window_functionals(
    sound: np.ndarray, starts: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """The functionals of windows, the first of which begins with the sound.

    Args:
        sound: (samples,) float32 in [-1, 1], to the end of the last window.
        starts: (windows,) rising, their first frames of 10 ms.
        length: of a window in samples.

    Returns:
        (windows, 88) float32; and the windows that need openSMILE itself (windows,) bool: they are
        very short, or it has had to decide on the pitch before all paths agreed.
    """
    lld = parts.descriptors(sound)
    long, short = ((length - size) // HOP + 1 for size in (FRAME, SHORT))  # frames of a window
    at = starts[:, None] + np.arange(long)  # (windows, frames)
    at_short = starts[:, None] + np.arange(short)
    pitch, used, early = _pitch(lld, starts, long)
    changed = pitch != lld["pitch"][at, 0]
    tones = np.where(changed, _semitones(pitch), lld["pitch"][at, 1])
    tones = _smoothed(tones[:, :, None], True)[:, :, 0]
    changed &= np.arange(long) < used[:, None]
    flux = lld["flux"][at_short]
    flux[:, 0] = 0  # nothing is before a window
    whole = np.full(len(starts), short)
    loudness = _smoothed(lld["loudness"][at_short], False)[:, :, 0]
    steady = _smoothed(np.concatenate([flux, lld["mfcc"][at_short]], axis=2), False)
    voice = _voice(sound, lld, at, pitch, changed, used)
    spectral = [lld["spectral"][at][:, :, SPECTRAL], flux[:, :long], lld["mfcc"][at]]
    spectral = np.concatenate(spectral, axis=2)
    voiced = (pitch > 0)[:, :, None]
    of_pitch = parts.contour_functionals(tones, used, "F0", parts.PITCH_FUNCTIONALS)
    of_loudness = parts.contour_functionals(loudness, whole, "loudness", parts.LOUDNESS_FUNCTIONALS)
    # eGeMAPS smooths these up to the frames that are used, as if the last of them went on
    ended = np.minimum(np.arange(long), used[:, None] - 1)[:, :, None]
    voice = np.take_along_axis(voice, ended, axis=1)
    energy = lld["energy"][at_short, 0].mean(axis=1, dtype=np.float64)
    columns = [
        of_pitch["functionals"],
        of_loudness["functionals"],
        _moments(steady, whole, False),
        _moments(_smoothed(voice, True), used, True),
        _moments(_smoothed(np.where(voiced, spectral, 0), True), used, True),
        _moments(_smoothed(np.where(voiced, 0, spectral[:, :, :5]), True), used, True)[:, ::2],
        of_loudness["peaks"],
        of_pitch["segments"],
        of_pitch["pauses"],
        10 * np.log10(np.maximum(energy, QUIETEST))[:, None],
    ]
    values = np.concatenate(columns, axis=1).astype(np.float32)
    return values, early | (used < LEAST)


def _pitch(
    lld: dict[str, np.ndarray], starts: np.ndarray, frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `decode` finds, with no pitch where it is too quiet."""
    hertz, voicing = np.split(lld["candidates"][:, 1 : 1 + 2 * CANDIDATES], 2, axis=1)
    pitch, used, early = decode(hertz, voicing, starts, frames)
    pitch[lld["energy60"][starts[:, None] + np.arange(frames), 0] <= AUDIBLE] = 0
    return pitch, used, early


def _semitones(pitch: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        tones = np.float32(12) * np.log(pitch / BASE) / np.log(np.float32(2))
    return np.where(pitch > LOWEST, tones, (pitch > 0).astype(np.float32))


def _voice(
    sound: np.ndarray,
    lld: dict[str, np.ndarray],
    at: np.ndarray,
    pitch: np.ndarray,
    changed: np.ndarray,
    used: np.ndarray,
) -> np.ndarray:
    """Jitter, shimmer, three harmonics, and frequency, bandwidth and level of three formants:
    (windows, frames, 14).

    Args:
        at: (windows, frames) the frames of each window in the file.
        pitch: (windows, frames) Hz. changed: where it is not that of the file.
        used: (windows,) frames that are used.
    """
    harmonics, jitter = lld["harmonics"][at], lld["jitter"][at]
    if changed.any():
        frames = at[changed]
        harmonics[changed] = parts.harmonics_of(
            sound, frames, pitch[changed], lld["formants"][frames]
        )
    stretches = _stretches(at, pitch, changed, used, lld["pitch"][:, 0])
    clips = [(at[k, a], pitch[k, a:b]) for k, a, b in stretches]
    for (k, a, b), values in zip(stretches, parts.jitter_of(sound, clips), strict=True):
        jitter[k, a:b] = values
    jitter[pitch == 0] = 0
    formants = np.where((pitch > 0)[:, :, None], lld["formants"][at], 0)
    tracks = [formants[:, :, :3], formants[:, :, 5:8], harmonics[:, :, 3:]]
    tracks = np.stack(tracks, axis=3).reshape(*at.shape, 9)  # first formant, second, third
    return np.concatenate([jitter, harmonics[:, :, :3], tracks], axis=2)


def _stretches(
    at: np.ndarray, pitch: np.ndarray, changed: np.ndarray, used: np.ndarray, file: np.ndarray
) -> list[tuple[int, int, int]]:
    """Window, first frame and end of the voiced stretches whose periods openSMILE would follow from
    another one than in the file: those cut by the start of a window, and those whose pitch is
    another there or just before."""
    frames = at.shape[1]
    gap = np.zeros((len(at), 1), dtype=bool)
    voiced = np.concatenate([gap, (pitch > 0) & (np.arange(frames) < used[:, None])], axis=1)
    edges = np.flatnonzero(np.diff(np.append(voiced.reshape(-1), False).astype(np.int8)))
    begins, ends = edges[::2] + 1, edges[1::2] + 1  # in the windows one after another, with gaps
    before = file[np.maximum(at[:, 0] - 1, 0)] > 0
    other = np.concatenate([gap, changed], axis=1)
    other[:, 0] = before & (at[:, 0] > 0)  # the frame before the window
    count = np.append(0, np.cumsum(other))
    again = count[ends] > count[begins - 1]
    window, first = np.divmod(begins[again], frames + 1)
    length = (ends - begins)[again]
    return [(int(k), int(a), int(a + n)) for k, a, n in zip(window, first - 1, length, strict=True)]


def _smoothed(values: np.ndarray, nonzero: bool) -> np.ndarray:
    """Mean of three frames; the first and last go on beyond the ends: (windows, frames, columns).

    Args:
        nonzero: only over values that are not zero; zeros stay.
    """
    before = np.concatenate([values[:, :1], values[:, :-1]], axis=1)
    after = np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
    total = values + before + after
    if not nonzero:
        return total / np.float32(3)
    count = 1 + (before != 0).astype(np.float32) + (after != 0)
    return np.where(values != 0, total / count, 0)


def _moments(values: np.ndarray, used: np.ndarray, nonzero: bool) -> np.ndarray:
    """Mean, and standard deviation by mean, of each column: (windows, 2 * columns).

    Args:
        values: (windows, frames, columns). used: (windows,) frames that count, from the first.
        nonzero: only values that are not zero count. Of none both are 0.
    """
    counted = np.broadcast_to((np.arange(values.shape[1]) < used[:, None])[:, :, None],
                              values.shape)  # fmt: skip
    if nonzero:
        counted = counted & (values != 0)
    number = np.maximum(counted.sum(axis=1), 1)
    mean = np.where(counted, values, 0).sum(axis=1, dtype=np.float64) / number
    apart = np.where(counted, values - mean[:, None, :], 0)
    deviation = np.sqrt((apart**2).sum(axis=1) / number)
    ratio = np.divide(deviation, mean, out=np.zeros_like(mean), where=mean != 0)
    return np.stack([mean, ratio], axis=2).reshape(len(values), -1)
