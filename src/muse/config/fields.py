"""Fields of settings: their line of help, and checks of their values."""

from dataclasses import field
from pathlib import Path
from typing import Any

from muse.errors import MuseError, did_you_mean


def setting(text: str) -> Any:
    """A field without a default (the YAML has it) that carries its line of help."""
    return field(metadata={"help": text})


def path_of(text: str) -> Path:
    """A path as the user wrote it; a `~` alone or before a separator is the home folder."""
    return Path(text).expanduser() if Path(text).parts[:1] == ("~",) else Path(text)


def one_of(key: str, value: str, known) -> None:
    """Raise a MuseError that lists the known values if ``value`` is none of them."""
    if value not in known:
        raise MuseError(
            f"{key}={value}: expected one of {', '.join(known)}.{did_you_mean(value, list(known))}"
        )


def at_least(key: str, value: float, low: float) -> None:
    if not value >= low:
        raise MuseError(f"{key}={value}: expected {low} or more.")


def names_of(key: str, value: Any) -> list[str]:
    """A name or a list of names, as a list of text: a folder may be called 12."""
    given = value if isinstance(value, list) else [value]
    names = [str(name) for name in given]
    if not names or "" in names or not all(isinstance(name, str | int) for name in given):
        raise MuseError(f"{key}={value}: expected a name, or a list of names such as [a,b].")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MuseError(f"{key}={value}: {', '.join(twice)} is named twice; name each once.")
    return names
