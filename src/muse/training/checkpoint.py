"""Where a seed stands after an epoch, as a file from which training goes on as if never stopped."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from muse.errors import MuseError
from muse.runs.tensors import read_tensors, write_tensors


@dataclass
class TrainState:
    """All that training of a seed changes, beside the global generators of PyTorch."""

    model: nn.Module
    optimiser: Optimizer
    plateau: ReduceLROnPlateau
    shuffle: torch.Generator
    history: list[dict] = field(default_factory=list)  # the record of each epoch
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best epoch, on the CPU


@dataclass(frozen=True)
class Checkpoint:
    """The file of a seed, and the settings and data that it belongs to."""

    path: Path
    ids: tuple[str, ...]  # of settings and data; the first is written, any is accepted
    model: str  # its targets
    name: str  # of the seed, and of the fold if it is one

    def save(self, progress: TrainState, device: torch.device) -> None:
        """Write weights, optimiser, scheduler, generators and history in one step."""
        tensors = {f"model.{k}": v for k, v in progress.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in progress.best.items()}
        tensors |= {f"generator.{k}": v for k, v in _generators(progress, device).items()}
        state = progress.optimiser.state_dict()
        for number, values in state["state"].items():
            tensors |= {f"optimiser.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
        about = {
            "run": self.ids[0],
            "of": [self.model, self.name],
            "lr": [group["lr"] for group in state["param_groups"]],
            "plateau": progress.plateau.state_dict(),
            "history": progress.history,
        }
        write_tensors(self.path, tensors, about)

    def load(self, progress: TrainState, device: torch.device) -> None:
        """Set ``progress`` and PyTorch's generators to where they were; nothing without a file.

        Raises MuseError for a damaged file and for one of other settings or data.
        """
        if not self.path.exists():
            return
        tensors, about = read_tensors(self.path)
        if about.get("run") not in self.ids:
            raise MuseError(
                f"{self.path}: made with other settings or data (id {about.get('run')}, now "
                f"{self.ids[0]}). Restore them, or train anew without resume."
            )
        if about.get("of") != [self.model, self.name]:
            raise MuseError(
                f"{self.path}: the checkpoint of another target or seed ({about.get('of')}). Put "
                f"that of {self.model}, {self.name} in its place, or delete it to train this "
                "seed from its first epoch."
            )
        try:
            _restore(progress, tensors, about, device)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise MuseError(
                f"{self.path}: no checkpoint of this model ({error}). Delete it to train this seed "
                "from its first epoch."
            ) from None


def read_history(path: Path) -> list[dict]:
    """The record of each epoch that the checkpoint ``path`` has behind it.

    Raises MuseError for a damaged file.
    """
    _, about = read_tensors(path)
    return list(about.get("history", []))


def _restore(
    progress: TrainState, tensors: dict[str, Tensor], about: dict, device: torch.device
) -> None:
    progress.model.load_state_dict(_below(tensors, "model"))
    progress.best = _below(tensors, "best")
    state: dict[int, dict] = {}
    for name, value in _below(tensors, "optimiser").items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value
    groups = progress.optimiser.state_dict()["param_groups"]
    for group, lr in zip(groups, about["lr"], strict=True):
        group["lr"] = lr
    progress.optimiser.load_state_dict({"state": state, "param_groups": groups})
    progress.plateau.load_state_dict(about["plateau"])
    progress.history = about["history"]
    generators = _below(tensors, "generator")
    progress.shuffle.set_state(generators["shuffle"])
    torch.set_rng_state(generators["cpu"])
    if device.type == "cuda" and "cuda" in generators:
        torch.cuda.set_rng_state(generators["cuda"], device)


def _generators(progress: TrainState, device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state(), "shuffle": progress.shuffle.get_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
