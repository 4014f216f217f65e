"""The settings of `muse extract`."""

from dataclasses import dataclass
from typing import Any

from muse.config.fields import Settings, setting
from muse.config.shared import JobInfo
from muse.errors import MuseError


@dataclass
class HrvConfig(Settings):
    """What `muse extract hrv` reads of the files, and how it smooths the signals at the frames."""

    KEY = "hrv."

    ecg: str = setting("hrv: column of the raw ECG.")
    resp: str | None = setting("hrv: column of the respiration; null: without.")
    bpm: str | None = setting("hrv: column of the heart rate per minute; null: from the R peaks.")
    rate: float | None = setting("hrv: rows per second; null: from the column timestamp (ms).",
                                 low=50)  # fmt: skip
    smooth: int = setting("hrv: frames of the Savitzky-Golay filter of ECG, RESP and BPM; 1: none.",
                          low=1)  # fmt: skip
    order: int = setting("hrv: order of its polynomial.", low=0)

    def __post_init__(self):
        super().__post_init__()
        if 1 < self.smooth <= self.order:
            raise MuseError(f"hrv.order={self.order}: expected less than hrv.smooth={self.smooth}.")


@dataclass
class DeepSpectrumConfig(Settings):
    """How `muse extract deepspectrum` draws the sound, and which network looks at it."""

    KEY = "deepspectrum."

    network: str = setting("deepspectrum: vgg19 (fc2, 4096 columns) or densenet121 (last pooling, "
                           "1024 columns).", choices=("vgg19", "densenet121"))  # fmt: skip
    mode: str = setting("deepspectrum: mel, or spectrogram (a linear axis, no bands).",
                        choices=("mel", "spectrogram"))  # fmt: skip
    mels: int = setting("deepspectrum: bands of the mel spectrogram.", low=1)
    pixels: str = setting("deepspectrum: what the weights take: imagenet (RGB, standardised) or "
                          "bgr (0 to 255; VGG-19 of Keras).",
                          choices=("imagenet", "bgr"))  # fmt: skip


@dataclass
class FacesConfig(Settings):
    """Which face of a picture `muse extract vggface`, `facenet` and `vit` take."""

    KEY = "faces."

    weights: str | None = setting("faces: weights of MTCNN, a .safetensors file.")
    smallest: int = setting("faces: pixels that a face is wide or high at least.", low=12)
    choose: str = setting("faces: largest or probable, of several.",
                          choices=("largest", "probable"))  # fmt: skip
    margin: float = setting("faces: part of its width and height that is added on each side.",
                            low=0)  # fmt: skip


@dataclass
class VggishConfig(Settings):
    """What `muse extract vggish` takes of the network."""

    KEY = "vggish."

    output: str = setting("vggish: embedding (before its activation), relu (behind it), or pca "
                          "(whitened, 0 to 255, as AudioSet was released).",
                          choices=("embedding", "relu", "pca"))  # fmt: skip


@dataclass
class TextConfig(Settings):
    """How `muse extract bert` and `fasttext` read transcripts."""

    KEY = "text."

    unit: str = setting("bert, fasttext: unit of start and end in CSV files, ms or s.",
                        choices=("ms", "s"))  # fmt: skip
    tier: str = setting("bert, fasttext: the tier of a TextGrid that has the words.")
    at: str = setting("bert, fasttext: a frame has the word at its middle or its start.",
                      choices=("middle", "start"))  # fmt: skip
    pause: float | None = setting(
        "bert, fasttext: sentences about one topic with less than so many seconds between them are "
        "a segment; null: no segments. The rows of a package keep theirs.",
        low=0,
    )
    subwords: str = setting("bert: the vector of a word is the mean of its tokens or that of the "
                            "first.", choices=("mean", "first"))  # fmt: skip


@dataclass
class LldConfig(Settings):
    """How `muse extract lld` brings descriptors of 10 ms to frames."""

    KEY = "lld."

    frame: str = setting(
        "lld: what a frame has of the descriptors of 10 ms: their mean over it, or the one nearest "
        "to its middle.",
        choices=("mean", "nearest"),
    )


@dataclass
class ExtractConfig(Settings):
    """Settings of `muse extract`."""

    extractor: str = setting("What is extracted.", choices=(
        "hrv", "egemaps", "lld", "deepspectrum", "vggish", "wav2vec2", "bert", "fasttext",
        "vggface", "facenet", "xception", "vit", "fau",
    ))  # fmt: skip
    source: Any = setting("Files, or folders of them, one file per recording; in= is the same.",
                          names=True)  # fmt: skip
    out: str = setting("Folder of the package; gets feature_segments/FEATURES.")
    features: str = setting("Name of the feature set that is written.")
    step: float = setting("Seconds from frame to frame, where the package has no rows of the "
                          "recording yet.", above=0)  # fmt: skip
    window: float | None = setting("Seconds that a frame is computed over; unless given, that of "
                                   "the extractor.", above=0)  # fmt: skip
    workers: int = setting("Files side by side; -1: one per core, as far as memory goes.",
                           low=-1, identity=False)  # fmt: skip
    weights: str | None = setting(
        "Weights of a network: a .safetensors file, or the folder of a model of the Hugging Face "
        "hub; of fasttext a .vec file."
    )
    device: str = setting("auto (a GPU where there is one), cpu, cuda or cuda:1; of a network.",
                          identity=False)  # fmt: skip
    batch_size: int = setting("Windows or images that go through a network at once.", low=1,
                              identity=False)  # fmt: skip
    hrv: HrvConfig = setting("Heart-rate variability.")
    deepspectrum: DeepSpectrumConfig = setting("Pictures of spectrograms.")
    faces: FacesConfig = setting("Faces in pictures.")
    vggish: VggishConfig = setting("VGGish.")
    text: TextConfig = setting("Transcripts.")
    lld: LldConfig = setting("Low-level descriptors.")
    job: JobInfo | None = None
