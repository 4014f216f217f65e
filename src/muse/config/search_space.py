"""The space that `muse tune` searches, written in Hydra's sweep syntax."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException

from muse.config.overrides import quoted_text
from muse.errors import MuseError

SYNTAX = "choice(32,64), range(1,5), interval(0.0,0.5) or tag(log,interval(1e-4,1e-2))"
DIGITS = 6  # significant, of a number between two others: short enough to be typed again


@dataclass(frozen=True)
class Axis:
    """A setting that is searched, and its values: choices, or numbers from low to high."""

    key: str  # such as model.hidden
    text: str  # as it was written
    choices: tuple[str, ...] = ()  # as they stand on a command line
    low: float = 0
    high: float = 0  # included
    step: float | None = None  # from one value to the next; None: any number between them
    log: bool = False  # whether the logarithm is drawn evenly

    def word(self, value: Any) -> str:
        """A value of this axis as a word of the command line."""
        return f"{self.key}={shown(value)}"

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(self.choices)
        step = "" if self.step is None else f" in steps of {self.step}"
        return f"{shown(self.low)} to {shown(self.high)}{step}{', log' * self.log}"

    @property
    def first(self) -> str:
        """The first value as a word of the command line."""
        return self.word(self.choices[0] if self.choices else self.low)

    def for_setting(self, value: Any) -> "Axis":
        """The same axis for a setting that has ``value``: of a whole number whole numbers.

        Raises MuseError if an interval of whole numbers does not begin and end with one.
        """
        if self.choices or self.step or not isinstance(value, int) or isinstance(value, bool):
            return self
        low, high = int(self.low), int(self.high)
        if (low, high) != (self.low, self.high):
            raise MuseError(
                f"{self.key}={self.text}: the setting is a whole number; expected an interval "
                "between two of them."
            )
        return replace(self, low=low, high=high, step=1)


def shown(value: Any) -> str:
    """A value as it stands on the command line and is trained: floats with six digits."""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def split_words(words: list[str]) -> tuple[list[str], dict[str, Axis]]:
    """The words of a command line without those that are searched; setting -> its axis.

    Raises MuseError for a sweep that Hydra's optimisers do not have either.
    """
    fixed, axes = [], {}
    for word in words:
        override = _parsed(word)
        if override and override.is_sweep_override():
            axis = _axis(override, word.split("=", 1)[1])
            axes[axis.key] = axis
        else:
            fixed.append(word)
    return fixed, axes


def axes_of(space: dict) -> dict[str, Axis]:
    """The axes of a block `space:` (or Hydra's `sweeper.params`), whose keys may be nested.

    Raises MuseError for a value that is no search.
    """
    words = [f"{key}={value}" for key, value in _flat(space)]
    fixed, axes = split_words(words)
    if fixed:
        raise MuseError(f"space: {fixed[0]} has one value; expected such as {SYNTAX}.")
    return axes


def base_words(words: list[str]) -> list[str]:
    """The words with the first value of what is searched, and the search itself as `space`."""
    fixed, axes = split_words(words)
    for axis in axes.values():
        fixed += [axis.first, f"++space.{axis.key}={quoted_text(axis.text)}"]
    return fixed


def _flat(space: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in space.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _parsed(word: str) -> Override | None:
    """A word as Hydra reads it; None for an option such as --config-dir and its value."""
    if "=" not in word or word.startswith("-"):
        return None
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise MuseError(
            f"{word}: {str(error).splitlines()[0]}. A search is written as {SYNTAX}."
        ) from None


def _axis(override: Override, text: str) -> Axis:
    key, sweep = override.get_key_element(), override.value()
    if key.startswith(("+", "~")) or key == "task" or key.startswith("hydra"):
        raise MuseError(f"{key}={text}: cannot be searched; give one value.")
    if isinstance(sweep, ChoiceSweep):
        choices = [Transformer.str(value) for value in sweep.list]
        return Axis(key, text, choices=tuple(dict.fromkeys(choices)))
    log = sweep.tags == {"log"} if isinstance(sweep, IntervalSweep | RangeSweep) else False
    if isinstance(sweep, RangeSweep):
        values = sorted(sweep.range())
        if not values:
            raise MuseError(f"{key}={text}: an empty range; the end of a range is left out.")
        if sweep.tags:
            raise MuseError(f"{key}={text}: a range has no tag; expected an interval.")
        if not isinstance(values[0], int):
            return Axis(key, text, choices=tuple(map(shown, values)))
        return Axis(key, text, low=values[0], high=values[-1], step=abs(sweep.step))
    if not isinstance(sweep, IntervalSweep) or (sweep.tags and not log):
        raise MuseError(f"{key}={text}: expected such as {SYNTAX}.")
    low, high = sweep.start, sweep.end
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high or (log and low <= 0):
        above = " above 0" if log else ""
        raise MuseError(f"{key}={text}: expected an interval from a number{above} to a larger one.")
    step = 1 if isinstance(low, int) and isinstance(high, int) else None
    return Axis(key, text, low=low, high=high, step=step, log=log)
