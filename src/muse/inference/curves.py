"""The curves of a recording, and the files that other programs read them from."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from muse.extraction.media import VIDEO
from muse.files import write_rows, write_text
from muse.terminal import printable

DIGITS = 2  # of a value in subtitles and annotations


@dataclass(frozen=True)
class Curves:
    """What a model says of a recording, a value per frame and target."""

    id: str
    about: str  # the model, in a line
    media: Path | None  # the recording; None if it is no sound or film
    times: np.ndarray  # (frames,) ms: the start of each frame
    step: float  # ms from frame to frame
    values: dict[str, np.ndarray]  # target -> (frames,) float32

    @property
    def ends(self) -> np.ndarray:
        """The end of each frame, (frames,) ms: the start of the next one."""
        return np.append(self.times[1:], self.times[-1] + self.step)

    @property
    def is_video(self) -> bool:
        """Whether the recording has pictures, by its ending."""
        return self.media is not None and self.media.suffix.lower() in VIDEO

    def link(self, folder: Path) -> str:
        """The way from ``folder`` to the recording, as a URL."""
        media = self.media.parent.resolve() / self.media.name
        try:
            way = Path(os.path.relpath(media, folder.resolve())).as_posix()
        except ValueError:  # Windows: on another drive there is no such way
            return media.as_uri()
        return quote(os.fsencode(way if way.startswith("../") else f"./{way}"))

    def text(self, target: str, frame: int) -> str:
        """A value in as many digits as are shown; without a minus before zero."""
        return f"{round(float(self.values[target][frame]), DIGITS) + 0.0:.{DIGITS}f}"

    def spans(self, texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
        """Start and end in ms of each text, frames with the same text as one.

        Args:
            texts: of each frame.
        """
        starts, ends = np.rint(self.times).astype(int), np.rint(self.ends).astype(int)
        begin = 0
        for frame in range(1, len(texts) + 1):
            if frame == len(texts) or texts[frame] != texts[begin]:
                yield int(starts[begin]), int(ends[frame - 1]), texts[begin]
                begin = frame


def write_curves(curves: Curves, folder: Path) -> None:
    """TARGET/ID.csv of each target: timestamp (ms) and value, as predictions have them."""
    for target, values in curves.values.items():
        write_rows(folder / target / f"{curves.id}.csv", curves.times, None, {"value": values})


def write_subtitles(curves: Curves, path: Path) -> None:
    """WebVTT: a cue with all targets, for as long as none of them changes in its digits."""
    texts = [
        "\n".join(f"{_cue(t)} {curves.text(t, frame)}" for t in curves.values)
        for frame in range(len(curves.times))
    ]
    cues = (f"{_clock(a)} --> {_clock(b)}\n{text}\n" for a, b, text in curves.spans(texts))
    write_text(path, "\n".join(["WEBVTT\n", *cues]))


def _cue(name: str) -> str:
    """A name as the text of a cue, in one line."""
    text = " ".join(printable(name).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(milliseconds: int) -> str:
    """Hours, minutes, seconds and thousandths, as WebVTT writes them."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
