"""The grid of `muse train -m`, as a plugin of Hydra, which takes plugins from this package alone.

Hydra imports this file at the start of every command: nothing heavy belongs at its top.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override


@dataclass
class MuseSweeperConf(BasicSweeperConf):
    """The settings of Hydra's own grid."""

    _target_: str = "hydra_plugins.muse_sweeper.MuseSweeper"


ConfigStore.instance().store("muse", MuseSweeperConf, group="hydra/sweeper", provider="muse")


class MuseSweeper(BasicSweeper):
    """Hydra's grid of all combinations, in which finished jobs are not composed again."""

    def split_arguments(
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The batches of jobs that are left to do, each job a list of overrides."""
        from muse.sweep.records import left_to_do

        (jobs,) = BasicSweeper.split_arguments(overrides, None)
        left = left_to_do(jobs, self.config)
        return list(self.split_overrides_to_chunks(left, max_batch_size)) if left else []

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose jobs until each value of each axis was in one; Hydra composes all of them twice.

        An error of composition comes of a value: an unknown name in a group, a setting that a model
        has not. The few that come of two values together stop the sweep when their job's turn is.
        """
        seen: set[str] = set()
        for job in batch:
            if not seen.issuperset(job):
                seen.update(job)
                super().validate_batch_is_legal([job])
