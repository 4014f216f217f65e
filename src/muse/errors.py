"""The one exception for what a user can mend."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SHOWN = 100  # failures that a message lists


class MuseError(Exception):
    """A mistake in the input: its text is all that the user sees.

    The text says what was found, where (file, row, column or key), what was
    expected and what to do about it. ``faults`` has all that were found at once; the first is
    the text.
    """

    def __init__(self, text: str, faults: Sequence[str] = ()):
        super().__init__(text)
        self.faults = list(faults) or [text]


class Faults:
    """What to do with a fault: stop at it, or note it and go on to the next."""

    def __init__(self, stop: bool = True):
        self.stop = stop
        self.found: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Faults raised inside are kept in ``found`` unless they are to stop everything."""
        try:
            yield
        except MuseError as error:
            if self.stop:
                raise
            self.found += [fault for fault in error.faults if fault not in self.found]


STOP = Faults()  # the default: the first fault ends everything


def raise_faults(faults: Sequence[str]) -> None:
    """Raise the first fault with all others attached; nothing if there is none."""
    if faults:
        raise MuseError(faults[0], faults)


def raise_failed(failed: Sequence[str], count: int) -> None:
    """Raise the reasons of the files that have failed, of ``count``; nothing if none has."""
    if failed:
        shown = [f"{k:>3}. {reason}" for k, reason in enumerate(failed[:SHOWN], start=1)]
        files = f"{count} file{'s' * (count != 1)}"
        head = f"{len(failed)} of {files} failed" + "; the others are done" * (len(failed) < count)
        raise MuseError("\n".join([head, *shown]), failed)


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `` Did you mean 'x'?`` for a near miss among ``known``, else an empty string."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
