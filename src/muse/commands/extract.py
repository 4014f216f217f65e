"""`muse extract`: a feature set out of recordings."""

import logging

from muse import terminal
from muse.config.extract import ExtractConfig
from muse.errors import raise_failed
from muse.extraction.extractors import extractor_of
from muse.extraction.feature_files import extract_files
from muse.terminal import counted

log = logging.getLogger(__name__)


def run(config: ExtractConfig) -> None:
    """Write the features, then print what is there.

    Raises:
        MuseError: no files, or features of another origin; or the files that have failed, after all
            others were done.
    """
    found = extract_files(extractor_of(config), config)
    if found.notes:
        log.warning("%s", terminal.first_of(found.notes))
    kept = f", {len(found.kept)} were there already" if found.kept else ""
    print(f"{found.home}: {counted(len(found.made), 'recording')} written{kept}")
    raise_failed(found.failed, len(found.made) + len(found.kept) + len(found.failed))
