"""The sound of any media file as the features of the MuSe challenges take it.

Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 3.2: the audio of a
video is normalised to -3 dB, then converted to one channel, 16 kHz and 16 bit. Taken here as the
peak over all channels of the file, as it was recorded.
"""

import re
import wave
from pathlib import Path

import numpy as np

from muse.errors import MuseError
from muse.extraction.media import VIDEO, decode

RATE = 16_000  # samples per second
PEAK = 10 ** (-3 / 20)  # -3 dB of full scale
STEPS = 2**15  # of 16 bit on each side of zero
# of files that are small for their length; a longer one than that takes more memory than expected
BYTES_A_SECOND = {".wav": 32_000, ".aif": 32_000, ".aiff": 32_000, ".flac": 10_000, ".mp3": 6_000,
                  ".video": 40_000}  # fmt: skip
OWN_BYTES = 200 * 2**20
# Samples go by the time that the file gives them: sound that begins after the pictures, or has a
# gap, gets silence there. Channels are mixed so that the sum cannot be louder than they are.
FILTERS = (
    "aformat=sample_fmts=fltp,"
    "astats=measure_perchannel=none:measure_overall=Peak_level,"
    f"aresample={RATE}:async=1:first_pts=0:rematrix_maxval=1,"
    "aformat=sample_fmts=flt:channel_layouts=mono"
)
DECIBELS = re.compile(r"Peak level dB: (\S+)")


def sound_bytes(path: Path) -> int:
    """Roughly the bytes that features of a media file take on their way; 0 of one not there.

    Args:
        path: its size and ending say about how long it is.
    """
    if not path.is_file():
        return 0
    kind = ".video" if path.suffix.lower() in VIDEO else path.suffix.lower()
    seconds = path.stat().st_size / BYTES_A_SECOND.get(kind, BYTES_A_SECOND[".mp3"])
    return OWN_BYTES + int(8 * RATE * seconds)


def read_sound(path: Path) -> np.ndarray:
    """The first audio stream of a media file, 16 kHz, one channel, its peak at -3 dB, in 16 bit.

    The gain is computed from the peak of the file as it is and applied behind the conversion to one
    channel and 16 kHz, which is linear: it is the order of the paper in one pass. Channels are
    mixed as ffmpeg does it for their layout. Silence stays silence.

    Returns:
        (samples,) float32 in [-1, 1], multiples of 2 ** -15.

    Raises:
        MuseError: ffmpeg is missing; a file that it cannot read to its end, or without sound.
    """
    options = ["-map", "0:a:0", "-af", FILTERS, "-f", "f32le"]
    data, log = decode(path, options, "sound")
    sound = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
    if not len(sound):
        raise MuseError(f"{path}: its sound has no samples. Copy it again from its source.")
    peak = 10 ** (float(DECIBELS.findall(log)[-1]) / 20)
    if not np.isfinite(peak) or not np.isfinite(sound).all():
        raise MuseError(f"{path}: its sound has values that are no numbers. Record or convert it "
                        "again.")  # fmt: skip
    if peak > 0:
        sound *= np.float32(STEPS * PEAK / peak)
        np.rint(sound, out=sound)
        np.clip(sound, -STEPS, STEPS - 1, out=sound)
        sound /= STEPS
    return sound


def sound_in_16_bit(sound: np.ndarray) -> bytes:
    """The samples (samples,) of `read_sound` as they were there, 16 bit each."""
    return (sound * STEPS).astype("<i2").tobytes()


def write_wav(path: Path, sound: np.ndarray) -> None:
    """Write the samples (samples,) of `read_sound` as a WAV file, piece by piece."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for start in range(0, len(sound), 60 * RATE):
            file.writeframes(sound_in_16_bit(sound[start : start + 60 * RATE]))
