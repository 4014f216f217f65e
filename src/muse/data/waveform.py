"""Sound as a feature set: audio/<id>.wav, of which a frame is the samples from its timestamp on.

A recording is never copied: windows are cut from a memory map of its file.
"""

import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muse.config.fields import path_of
from muse.config.shared import TaskConfig
from muse.data.cache import FORMAT, CachedTable
from muse.data.cache_files import file_digests
from muse.data.checks import report_lacking
from muse.data.heads import head_of
from muse.errors import Faults, MuseError
from muse.files import check_regular

RATES = (8000, 16000)  # samples per second that are used as they are
LEVELS = {"u1": (128, 2**7), "i2": (0, 2**15), "i4": (0, 2**31)}  # of a sample: silence, full scale
SLACK = 1  # frames by which the sound may end before the last one does


@dataclass(frozen=True)
class Waveform:
    """Frames of sound, to be indexed as an array (frames, samples per frame) float32 in [-1, 1].

    Samples past the end of the file are 0.
    """

    sound: np.ndarray  # (samples,) whole numbers, a memory map of the file
    starts: np.ndarray  # (frames,) int64: first sample of each
    width: int  # samples per frame

    @property
    def shape(self) -> tuple[int, int]:
        """Frames, samples per frame."""
        return len(self.starts), self.width

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: "slice | np.ndarray") -> np.ndarray:
        """Some frames, copied: (frames, samples) float32."""
        silence, full = LEVELS[self.sound.dtype.str[1:]]
        starts, sound = self.starts[rows], np.asarray(self.sound)
        out = np.full((len(starts), self.width), silence, np.float32)
        for frame, start in zip(out, starts.tolist(), strict=True):
            part = sound[start : start + self.width]
            frame[: len(part)] = part
        out -= silence
        out /= full
        return out

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """All frames, for what looks at a whole recording, such as `muse check`."""
        return self[:].astype(dtype or np.float32, copy=False)

    def __reduce__(self) -> tuple:
        """For another process: the name of the file, not its content."""
        place = self.sound.filename, self.sound.dtype, self.sound.offset, len(self.sound)
        return _mapped, (*place, self.starts, self.width)


def _mapped(path: str, dtype, offset: int, samples: int, starts, width: int) -> Waveform:
    sound = np.memmap(path, dtype, mode="r", offset=offset, shape=(samples,))
    return Waveform(sound, starts, width)


def load_waveforms(
    task: TaskConfig,
    home: Path,
    frames: dict[str, CachedTable | None],
    cache: Path,
    faults: Faults,
    optional: bool,
) -> dict[str, CachedTable | None]:
    """The sound of recordings as tables whose rows are its frames.

    Args:
        home: the folder of the WAV files.
        frames: recording id -> a table whose rows are the frames; None: there is none, and the
            frames follow one another from 0 for as long as there is sound.
        cache: its folder, which remembers the digests of the files.
        faults: what to do with a fault; where it is only noted, the table is None.
        optional: a recording may have no file: it is silent, which is reported.

    Raises MuseError for a file that `read_wav` refuses, unequal rates, and sound that ends more
    than SLACK frames too early.
    """
    paths = {id_: home / f"{id_}.wav" for id_ in frames}
    there = [id_ for id_ in frames if not optional or paths[id_].exists()]
    if frames and not there:
        raise MuseError(f"{home}: no WAV file of any of the recordings that are read.")
    tables: dict[str, CachedTable | None] = dict.fromkeys(frames)
    sounds = {}
    for id_ in there:
        with faults.noted():
            sounds[id_] = read_wav(paths[id_])
    rates = [rate for rate, _ in sounds.values()]
    usual = max(rates, key=rates.count, default=RATES[0])
    digests = file_digests(
        path_of(str(cache)) / FORMAT, [paths[id_] for id_ in sounds], home.name, faults
    )
    for (id_, (rate, sound)), digest in zip(sounds.items(), digests, strict=True):
        with faults.noted():
            _check_rate(paths[id_], rate, usual)
            if digest:
                tables[id_] = _at_frames(task, paths[id_], usual, sound, digest, frames[id_])
    for id_ in [id_ for id_ in frames if id_ not in there and frames[id_]]:
        tables[id_] = _silent(task, paths[id_], usual, frames[id_])
    report_lacking(home.name, [id_ for id_ in frames if id_ not in there])
    return tables


def read_wav(path: Path) -> tuple[int, np.ndarray]:
    """Samples per second of a WAV file, and its samples as a memory map: (samples,).

    Raises MuseError, with the way to convert the file, for all but one channel of 8, 16 or 32 bit
    PCM at one of RATES, and for a file that is missing, damaged, cut or empty.
    """
    from scipy.io import wavfile  # slow to import, and few runs need it

    check_regular(path, "Copy it from the package.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are no sound
            rate, sound = wavfile.read(path, mmap=True)
    except OSError as error:
        raise MuseError(f"{path}: cannot be read ({error.strerror}).") from None
    except Exception as error:  # in damaged bytes the reader stumbles over more than it checks
        reason = f" ({error})" * isinstance(error, ValueError)
        raise MuseError(
            f"{path}: not a WAV file that can be read{reason}; it may be damaged or cut, or of a "
            f"kind that is not used, such as 24 bit. Copy it again from its source. {_remedy(path)}"
        ) from None
    if sound.ndim != 1 or sound.dtype.str[1:] not in LEVELS:
        channels = 1 if sound.ndim == 1 else sound.shape[1]
        raise MuseError(
            f"{path}: {channels} channel{'s' * (channels > 1)} of {sound.dtype}; expected one "
            f"channel of whole numbers (PCM) of 8, 16 or 32 bit. {_remedy(path)}"
        )
    if not len(sound):
        raise MuseError(f"{path}: no sound in it. Copy it again from its source.")
    _check_rate(path, rate)
    return rate, sound


def _check_rate(path: Path, rate: int, usual: int | None = None) -> None:
    if rate in RATES and usual in (None, rate):
        return
    wanted = " or ".join(map(str, RATES)) if usual is None else f"{usual}, as most others have"
    raise MuseError(f"{path}: {rate} samples per second; expected {wanted}. {_remedy(path, usual)}")


def _remedy(path: Path, rate: int | None = None) -> str:
    """How a sound file becomes one that is used."""
    name = shlex.quote(path.name)
    words = f"ffmpeg -i {name} -ac 1 -ar {rate or RATES[0]} -c:a pcm_s16le converted/{name}"
    return f"To convert it: {words}"


def _at_frames(
    task: TaskConfig,
    path: Path,
    rate: int,
    sound: np.ndarray,
    digest: str,
    frames: CachedTable | None,
) -> CachedTable:
    """The table of a file. Raises MuseError if it ends too early, or has no frames at all."""
    width = round(task.step * rate)
    if frames is None and head_of(task).per_segment:
        raise MuseError(
            f"{path}: sound has no segments, which {task.title} is about. Give another feature set "
            "as well, whose files have a segment_id."
        )
    if frames is None:
        timestamps = np.arange(max(1, len(sound) // width)) * 1000 * task.step
        segments = np.full(len(timestamps), np.nan)
    else:
        timestamps, segments = frames.timestamps, frames.segments
    starts = np.rint(timestamps * rate / 1000).astype(np.int64)
    if starts[-1] + width - len(sound) > SLACK * width or starts[0] < 0:
        raise MuseError(
            f"{path}: {len(sound) / rate:g} s of sound from 0 on, but the frames of {frames.path} "
            f"are from {timestamps[0] / 1000:g} s to {timestamps[-1] / 1000 + task.step:g} s. The "
            "sound must reach as far, but for one frame. Is it that of this recording, uncut?"
        )
    values = Waveform(sound, starts, width)
    return _table(path, rate, values, timestamps, segments, f"{digest} {width}")


def _silent(task: TaskConfig, path: Path, rate: int, frames: CachedTable) -> CachedTable:
    """Zeros, which take no memory, in place of a missing file."""
    shape = len(frames.timestamps), round(task.step * rate)
    values = np.broadcast_to(np.float32(0), shape)
    return _table(path, rate, values, frames.timestamps, frames.segments, f"silence {shape}")


def _table(path, rate, values, timestamps, segments, digest) -> CachedTable:
    columns = [f"{rate}_Hz_{k}" for k in range(values.shape[1])]  # another rate: another model
    return CachedTable(columns, values, timestamps, segments, path, digest, 0, None)
