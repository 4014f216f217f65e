"""Features of the windows of a recording's sound by a network, at the frames of a package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from muse.errors import MuseError
from muse.extraction.feature_files import Times
from muse.extraction.sound import RATE, read_sound
from muse.extraction.spans import sample_spans
from muse.extraction.weights import check_finite

# samples of windows (windows, samples) -> features (windows, columns)
Features = Callable[[np.ndarray], np.ndarray]


def extract_sound(
    path: Path,
    times_of: Times,
    name: str,
    window: float,
    least: int,
    batch_size: int,
    features: Features,
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording.

    Args:
        path: a media file with sound.
        times_of: gets the seconds of the recording, gives the times of its frames in ms.
        name: of the columns, name_0 and so on.
        window: seconds around the middle of a frame; see `muse.extraction.spans`.
        least: samples that the network needs; a shorter recording gets silence behind it.
        batch_size: windows that go to ``features`` at once.

    Returns:
        Times of the frames (frames,) ms, column -> values (frames,) float32, zeros where a frame
        lies outside the sound, as the MuSe challenges have it; and warnings.

    Raises:
        MuseError: see `read_sound`; features that are not finite.
    """
    sound = read_sound(path)
    seconds = len(sound) / RATE
    notes = []
    if len(sound) < least:
        notes.append(f"{path}: {seconds:.3g} s; silence makes it {least / RATE:.3g} s.")
        sound = np.pad(sound, (0, least - len(sound)))
    times = times_of(seconds)
    first, length, inside = sample_spans(times, window, len(sound), RATE)
    if not inside.any():
        raise MuseError(f"{path}: none of its {len(times)} frames lies in its {seconds:.3g} s.")
    starts, place = np.unique(first[inside], return_inverse=True)
    windows = np.lib.stride_tricks.sliding_window_view(sound, length)
    parts = (windows[starts[k : k + batch_size]] for k in range(0, len(starts), batch_size))
    with torch.inference_mode():
        found = np.concatenate([features(part) for part in parts])
    check_finite(torch.from_numpy(found), path)
    values = np.zeros((len(times), found.shape[1]), np.float32)
    values[inside] = found[place]
    if not inside.all():
        notes.append(f"{path}: {(~inside).sum()} of {len(times)} frames lie behind its end: zeros.")
    return times, {f"{name}_{k}": column for k, column in enumerate(values.T)}, notes


def power_spectra(samples: np.ndarray, window: int, hop: int, size: int) -> np.ndarray:
    """Squared magnitudes of the short-time Fourier transform, without padding at the ends.

    Args:
        samples: (..., samples)
        window: samples of the periodic Hann window. hop: samples from one to the next.
        size: of the transform; zeros make up for what the window lacks.

    Returns:
        (..., frames, size // 2 + 1) float32.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, window, axis=-1)[..., ::hop, :]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
    return np.abs(np.fft.rfft(frames * hann, size)).astype(np.float32) ** 2
