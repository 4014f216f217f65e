"""The extractors of `muse extract` by their names."""

from importlib import import_module

from muse.config.extract import ExtractConfig
from muse.extraction.feature_files import Extractor

# name -> module and function, imported only where it is used: most need packages of an extra
EXTRACTORS = {
    "hrv": "muse.extraction.hrv:extractor",
    "deepspectrum": "muse.extraction.deepspectrum:extractor",
    "vggface": "muse.extraction.visual:extractor",
    "facenet": "muse.extraction.visual:extractor",
    "xception": "muse.extraction.visual:extractor",
    "vit": "muse.extraction.visual:extractor",
    "fau": "muse.extraction.openface:extractor",
    "vggish": "muse.extraction.vggish:extractor",
    "wav2vec2": "muse.extraction.wav2vec2:extractor",
    "bert": "muse.extraction.bert:extractor",
    "fasttext": "muse.extraction.fasttext:extractor",
    "egemaps": "muse.extraction.egemaps:extractor",
    "lld": "muse.extraction.lld:extractor",
}


def extractor_of(config: ExtractConfig) -> Extractor:
    """The extractor that the settings name.

    Raises MuseError if what it needs is not installed, or its weights cannot be used.
    """
    module, function = EXTRACTORS[config.extractor].split(":")
    return getattr(import_module(module), function)(config)
