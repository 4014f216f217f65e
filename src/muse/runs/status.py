"""How far a run is, from its status.json, and whether it can be continued."""

import json
from pathlib import Path


def status_of(home: Path) -> tuple[str, str]:
    """State and reason from status.json; the state is `damaged` if the file cannot be read."""
    try:
        status = json.loads((home / "status.json").read_text(encoding="utf-8"))
        return str(status["status"]), str(status.get("reason", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "damaged", ""


def can_continue(home: Path) -> bool:
    """Whether a run has stopped, and not for a reason that would stop it again at once."""
    state, reason = status_of(home)
    begun = any((home / "checkpoints").rglob("*.safetensors"))
    return not (home / "result.json").exists() and (
        state != "failed" or (begun and "diverged" not in reason)
    )
