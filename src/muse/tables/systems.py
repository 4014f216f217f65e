"""Which runs may stand beside the rows of a table: their model, and the members of its fusions."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Systems:
    """What a paper says of the systems in its table."""

    model: dict  # settings that the model of a run must have to fill a row
    members: dict[str, dict[str, dict[str, str]]]  # task -> target -> modality -> feature set

    def member(self, task: str, target: str, modality: str) -> str | None:
        """The feature set of a modality in the late fusions; None where the paper names none."""
        return self.members.get(task, {}).get(target, {}).get(modality)


def read_systems(name: str, members: str) -> Systems:
    """Read the file beside the numbers of a table that ships with muse.

    Args:
        members: `paper`, the feature sets that the paper names; `devel`, none of them.
    """
    path = Path(__file__).parent / "numbers" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Systems(content["model"], content["members"] if members == "paper" else {})
