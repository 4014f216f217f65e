"""Settings of `muse export`."""

from dataclasses import dataclass

from muse.config.fields import Settings, path_of, setting
from muse.errors import MuseError


@dataclass
class ExportConfig(Settings):
    """Settings of `muse export`."""

    run: str = setting("The run folder, or latest: the newest finished run below outputs.")
    out: str = setting("The archive, FILE.zip: a new file.")
    licence: str = setting("Licence of the weights, such as CC-BY-4.0, for the model card.")
    onnx: bool = setting("Also an ONNX file for each model (needs the extra muse[onnx]).")
    predictions: bool = setting("Also the predictions, and which recordings each fold held out: "
                                "these name recordings.")  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if path_of(self.out).suffix != ".zip":
            raise MuseError(f"out={self.out}: expected the name of an archive, FILE.zip.")
        if not self.licence.strip():
            raise MuseError("licence: expected the name of a licence, or leave it out.")
