"""`muse summary`: what came out of a sweep or a study, and which setting matters."""

from muse.config.fields import path_of
from muse.config.table import SummaryConfig
from muse.sweep.leaderboard import report
from muse.sweep.state import is_study


def run(config: SummaryConfig) -> None:
    """Print the leaderboard of a sweep's folder, or of a study's.

    Raises:
        MuseError: a folder without jobs; a study whose database cannot be read.
    """
    root = path_of(config.sweep)
    if is_study(root):
        from muse.sweep.study_summary import summarise  # with Optuna, an extra

        summarise(root, config.database, config.show_test)
    else:
        report(root, config.show_test)
