"""The settings of `muse annotate`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.shared import JobInfo
from muse.errors import MuseError


@dataclass
class AnnotateConfig(Settings):
    """Settings of `muse annotate`."""

    source: Any = setting("Recordings, or folders of them; in= is the same. None with stream=true.",
                          names=True, null=True)  # fmt: skip
    run: str = setting("The run folder, or latest: the newest finished run below outputs.")
    out: str = setting("Folder for the annotations; gets features/ as well, which are used again.")
    weights: dict[str, str] = setting("weights.NAME=PATH: the weights of the network that the "
                                      "feature set NAME was made with.")  # fmt: skip
    view: bool = setting("Write a page as well that plays the recording beside its curves.")
    overwrite: bool = setting("Replace earlier annotations in out.")
    stream: bool = setting("Read 16 kHz, 16 bit, mono from standard input and print a row of "
                           "values every step; writes no files.")  # fmt: skip
    gain: float = setting("stream: decibels added to what is read; extraction has its peak at "
                          "-3 dB.")  # fmt: skip
    workers: int = setting("Files extracted side by side; -1: one per core, as far as memory goes.",
                           low=-1, identity=False)  # fmt: skip
    device: str | None = setting("auto, cpu, cuda or cuda:1; null: as the run.")
    threads: int | None = setting("Threads of PyTorch on the CPU; null: as the run.", low=1)
    trust: Any = setting("Model classes outside muse that may be built: [my_package.MyModel].")
    job: JobInfo | None = setting("Filled in by muse.", default=None)

    def __post_init__(self):
        super().__post_init__()
        if self.stream and self.source:
            raise MuseError(
                f"stream=true reads from standard input; leave {', '.join(self.source)} out."
            )
        if not self.stream and not self.source:
            raise MuseError("no recordings. For example: muse annotate talk.wav run=latest")
