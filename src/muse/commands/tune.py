"""`muse tune`: search settings by trials that learn from each other, each a run folder."""

from muse.config.tune import TuneConfig


def run(config: TuneConfig) -> None:
    """Do the trials that a study lacks, then print what came out of it.

    Raises:
        MuseError: as `muse.sweep.tuning.tune`; Optuna is not installed.
    """
    from muse.sweep.study_summary import summarise  # with Optuna, an extra
    from muse.sweep.tuning import tune

    summarise(tune(config), config.database, config.show_test)
