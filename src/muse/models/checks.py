"""What models check of their settings."""

from muse.errors import MuseError


def check_sizes(least: int = 1, **sizes: int) -> None:
    """Raise MuseError for a setting of the model that is no whole number of ``least`` or more."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise MuseError(f"model.{name}={size}: expected a whole number of {least} or more.")


def check_dropout(dropout: float) -> None:
    """Raise MuseError unless ``dropout`` is a probability below 1."""
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise MuseError(f"model.dropout={dropout}: expected a probability from 0 to below 1.")
