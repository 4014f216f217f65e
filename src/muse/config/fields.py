"""Fields of settings: each declares its help, its limits and whether it changes numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from muse.errors import MuseError, did_you_mean


def setting(
    text: str,
    *,
    choices=None,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    names: bool = False,
    null: bool = False,
    identity: bool | str = True,
    implied: Any = MISSING,
    default: Any = MISSING,
) -> Any:
    """A field of settings. `Settings` checks its value as it is declared here; null has no limits.

    Args:
        text: the line of help, with the unit.
        choices: the values that are allowed; `--help` lists those that the text does not name.
        low, high: limits that are allowed themselves. `above`, `below`: limits that are not.
        names: a name or a list of names, which becomes a list; null only with `null`.
        identity: True, the value is in the run id; False, it changes no number and names no sweep;
            "indirect", it changes numbers only through what is in the run id already: the digest of
            the data, or another setting.
        implied: the value that runs had before the setting was there; with it the setting is not in
            the run id, so that the runs of before keep theirs.
        default: without one the YAML of the command has the value.
    """
    limits = {"low": low, "above": above, "high": high, "below": below}
    declared = {key: value for key, value in limits.items() if value is not None}
    declared |= {"help": text, "choices": choices, "names": names, "null": null}
    declared |= {"identity": identity, "implied": implied}
    return field(default=default, metadata=declared)


class Settings:
    """Base of the dataclasses of settings: their values are checked as their fields declare.

    Checks across fields are a `__post_init__` of the class that calls this one first.
    """

    KEY = ""  # stands before the names of the fields in errors: `align.` of `align.method`

    def __post_init__(self):
        for item in fields(self):
            value = _checked(f"{self.KEY}{item.name}", getattr(self, item.name), item.metadata)
            setattr(self, item.name, value)


def _checked(key: str, value: Any, declared: Mapping) -> Any:
    """The value, a list if it was declared as names. Raises MuseError if it is not allowed."""
    if declared.get("names") and not (value is None and declared["null"]):
        value = names_of(key, value)
    if value is None:
        return None
    if declared.get("choices"):
        for one in value if isinstance(value, list) else [value]:
            one_of(key, one, declared["choices"])
    within(key, value, **{name: declared[name] for name in LIMITS if name in declared})
    return value


LIMITS = {
    "low": (lambda value, limit: value >= limit, "{} or more"),
    "above": (lambda value, limit: value > limit, "more than {}"),
    "high": (lambda value, limit: value <= limit, "at most {}"),
    "below": (lambda value, limit: value < limit, "less than {}"),
}


def within(key: str, value: float, **limits: float) -> None:
    """Raise a MuseError that says all limits if ``value`` is outside one of them, or NaN."""
    if not all(LIMITS[name][0](value, limit) for name, limit in limits.items()):
        expected = " and ".join(LIMITS[name][1].format(limit) for name, limit in limits.items())
        raise MuseError(f"{key}={value}: expected {expected}.")


def is_number(value: Any) -> bool:
    """Whether a value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def path_of(text: str) -> Path:
    """A path as the user wrote it; a `~` alone or before a separator is the home folder.

    Raises MuseError if the home folder is not known.
    """
    path = Path(text)
    if path.parts[:1] != ("~",):
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        raise MuseError(
            f"{text}: the home folder is not known. Set HOME, or give another path; that of the "
            "cache is data.cache=FOLDER or MUSE_CACHE."
        ) from None


def one_of(key: str, value: str, known) -> None:
    """Raise a MuseError that lists the known values if ``value`` is none of them."""
    if value not in known:
        names = list(known)
        if len(names) == 1:
            raise MuseError(f"{key}={value}: expected {names[0]}.")
        raise MuseError(
            f"{key}={value}: expected one of {', '.join(names)}.{did_you_mean(value, names)}"
        )


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


def numbers_of(record: Any) -> dict:
    """The settings that change numbers, as their fields declare; nested ones as dicts."""
    return {
        item.name: numbers_of(value) if is_dataclass(value) else value
        for item in fields(record)
        if item.metadata.get("identity", True) is True
        and (value := getattr(record, item.name)) != item.metadata.get("implied", MISSING)
    }


def changes_no_number(schema: type, path: list[str]) -> bool:
    """Whether a setting, such as ["data", "cache"], is declared with `identity=False`."""
    return any(item.metadata.get("identity") is False for item in _fields_of(schema, path))


def _fields_of(schema: type, path: list[str]) -> Iterator:
    """The fields that a path goes through, as far as they are settings."""
    for name in path:
        item = next((f for f in fields(schema) if f.name == name), None)
        if item is None:
            return
        yield item
        if not is_dataclass(item.type):
            return
        schema = item.type
