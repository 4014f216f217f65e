"""The one exception for what a user can mend."""


class MuseError(Exception):
    """A mistake in the input: its text is all that the user sees.

    The text says what was found, where (file, row, column or key), what was
    expected and what to do about it.
    """


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `` Did you mean 'x'?`` for a near miss among ``known``, else an empty string."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
