"""What made a run: versions, device, and the state of a checkout."""

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

import muse
from muse.models import is_of_muse


def environment(device: torch.device, target: str) -> dict:
    """All that may change the numbers of a run beside its settings and data.

    Args:
        device: that the run computes on.
        target: `package.module.Class` of the model.

    Returns:
        muse, python, torch, numpy, scikit-learn (versions), platform, cpu, device (its name), git
        (commit and whether files were changed; None unless muse runs from a checkout) and
        model_packages (name -> version of what an own model's package is installed from).
    """
    return {
        "muse": muse.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": metadata.version("scikit-learn"),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "git": _git(Path(muse.__file__).parents[2]),
        "model_packages": {} if is_of_muse(target) else _packages(target.partition(".")[0]),
    }


def _cpu() -> str:
    """The name of the processor; Python knows it on some systems only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(root: Path) -> dict | None:
    """Commit of a checkout, and whether it has changes that are not committed."""
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True,
                           timeout=10, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _packages(package: str) -> dict[str, str]:
    """Versions of the distributions that a package comes from; none for a file in a folder."""
    if package in sys.stdlib_module_names:
        return {}
    names = metadata.packages_distributions().get(package, [])
    return {name: metadata.version(name) for name in sorted(set(names))}
