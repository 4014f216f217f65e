"""Media files by the program ffmpeg: what it decodes of them, and why it does not."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from muse.errors import MuseError
from muse.files import check_regular

# endings of media files that are common; ffmpeg looks at the content, not at the ending
AUDIO = (".wav", ".mp3", ".m4a", ".flac", ".ogg", ".oga", ".opus", ".aac", ".aif", ".aiff", ".wma",
         ".amr", ".mka")  # fmt: skip
VIDEO = (".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp",
         ".ogv", ".mts")  # fmt: skip
MEDIA = AUDIO + VIDEO

FAULT = re.compile(r"^(?:\[[^\]]+ @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\] (.*)", re.M)


def find_ffmpeg() -> str:
    """The path of ffmpeg; MuseError if it is not installed."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise MuseError(
            "media files are read by the program ffmpeg, which is not installed: apt install "
            "ffmpeg, brew install ffmpeg, or https://ffmpeg.org/download.html"
        )
    return found


def ffmpeg_version() -> str:
    """The version of ffmpeg, as it says itself."""
    said = subprocess.run([find_ffmpeg(), "-version"], capture_output=True, text=True, check=False)
    return said.stdout.removeprefix("ffmpeg version ").split(" ")[0] or "unknown"


def decode(path: Path, options: Sequence[str], stream: str) -> tuple[bytearray, str]:
    """What ffmpeg makes of a file, and its log.

    The file is read by the protocol `file` only: no name and no playlist makes ffmpeg open
    anything on a network.

    Args:
        options: what comes between the input and the output; names the format of the output.
        stream: what is taken of the file, for messages: sound, pictures.

    Raises:
        MuseError: no such file, no ffmpeg, or any error in decoding: what is left of a damaged file
            would be shorter than the recording, and the features would not be those of its frames.
    """
    check_regular(path, "Give the file of a recording.")
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"]
    command += ["-xerror", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
    data = bytearray()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [*command, *options, "pipe:1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        while part := process.stdout.read(2**20):
            data += part
        code = process.wait()
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    faults = FAULT.findall(text)
    if code or faults:
        raise MuseError(f"{path}: {_reason(path, stream, faults, code)}")
    return data, text


def _reason(path: Path, stream: str, faults: list[str], code: int) -> str:
    """Why ffmpeg has not read a file, and what to do, in one line."""
    if path.stat().st_size == 0:
        return "the file is empty. Copy it again from its source."
    if any("matches no streams" in fault for fault in faults):
        return f"there is no {stream} in it. Take a file with {stream}, or leave this one out."
    said = faults[0].strip().removeprefix(f"file:{path}: ") if faults else f"exit status {code}"
    return (
        f"ffmpeg cannot read all of it ({said}). Copy it again from its source, or repair it: "
        "ffmpeg -i FILE REPAIRED.wav keeps what can be read."
    )
