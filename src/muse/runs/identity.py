"""What makes two runs the same: the settings that change numbers, and the data."""

import hashlib
import json

from muse.config.fields import numbers_of
from muse.config.train import TrainConfig

FORMAT = 2


def run_id(
    config: TrainConfig,
    features: list[str],
    standardised: dict,
    digest: str,
    source: str | None,
    groups: dict[str, str] | None = None,
) -> str:
    """A name for the numbers of a run: equal settings and equal data give an equal id.

    Args:
        features: feature sets, aliases expanded.
        standardised: target -> feature sets that are standardised for it.
        digest: of the data.
        source: code of the model, if it is not one of muse's.
        groups: recording -> group, if the numbers depend on it.
    """
    settings = numbers_of(config)
    settings |= {"target": config.targets, "features": features, "standardise": standardised}
    settings |= {"groups": groups} if groups else {}
    text = json.dumps([FORMAT, settings, digest, source], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def settings_key(config: TrainConfig) -> str:
    """A name for the settings alone: equal settings that change numbers give an equal key."""
    runs = config.runs if config.fusion else None
    features = config.features or runs or config.select.features
    settings = numbers_of(config) | {"features": features}
    settings |= {"groups": config.groups} if config.groups else {}
    text = json.dumps([settings, features, config.targets, runs], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
