"""The extractors of `muse extract` by their names."""

from importlib import import_module

from muse.config.extract import ExtractConfig
from muse.extraction.feature_files import Extractor

# name -> module and function, imported only where it is used: most need packages of an extra
EXTRACTORS = {
    "hrv": "muse.extraction.hrv:extractor",
    "egemaps": "muse.extraction.egemaps:extractor",
    "lld": "muse.extraction.lld:extractor",
}


def extractor_of(config: ExtractConfig) -> Extractor:
    """The extractor that the settings name.

    Raises MuseError if what it needs is not installed, or its weights cannot be used.
    """
    module, function = EXTRACTORS[config.extractor].split(":")
    return getattr(import_module(module), function)(config)
