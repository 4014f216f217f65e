"""`muse summary`: the leaderboard of a sweep again, and which setting matters."""

from pathlib import Path

from muse.config.table import SummaryConfig
from muse.sweep.leaderboard import report


def run(config: SummaryConfig) -> None:
    """Print the leaderboard of a sweep's folder.

    Raises:
        MuseError: a folder without jobs.
    """
    report(Path(config.sweep), config.show_test)
