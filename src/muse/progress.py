"""Progress bars: one for what the user waits for, none in the jobs of a sweep."""

from typing import Any

from tqdm import tqdm

quiet = False  # set in the jobs of a sweep, which has a bar of its own


def bar(*arguments: Any, **options: Any) -> tqdm:
    """A tqdm bar; nothing is drawn where nobody looks (no terminal, or inside a sweep)."""
    return tqdm(*arguments, disable=True if quiet else None, **options)
