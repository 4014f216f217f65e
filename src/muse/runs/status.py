"""How far a run is, from its status.json, and whether it can be continued."""

import json
from pathlib import Path

from muse.files import read_regular


def read_status(home: Path) -> dict[str, str]:
    """The content of status.json as text; empty if there is none or it is damaged."""
    try:
        status = json.loads(read_regular(home / "status.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: str(v) for k, v in status.items()} if isinstance(status, dict) else {}


def status_of(home: Path) -> tuple[str, str]:
    """State and reason from status.json; the state is `damaged` if the file cannot be read."""
    status = read_status(home)
    return status.get("status", "damaged"), status.get("reason", "")


def can_continue(home: Path) -> bool:
    """Whether a run has stopped, and not for a reason that would stop it again at once.

    One that was pruned was stopped on purpose; it is only continued if it is named.
    """
    state, reason = status_of(home)
    begun = any((home / "checkpoints").rglob("*.safetensors"))
    return not (home / "result.json").exists() and (
        state not in ("failed", "pruned")
        or (state == "failed" and begun and "diverged" not in reason)
    )
