"""Feature sets of the package beside the predictions that are fused."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from muse.config.fuse import FuseConfig
from muse.data.layout import FeaturePlan, find_package, plan_features
from muse.data.recordings import Package, Recording, load_package
from muse.errors import MuseError
from muse.runs.finished import finished_run


def plan_fusion(config: FuseConfig) -> FeaturePlan:
    """Members and feature sets beside them.

    A feature set that is called as a member is has `_features` behind its name.
    """
    plan = _plan_beside(config)
    named = {name: _name_beside(config, name) for name in [*plan.names, *plan.read]}
    computed = {named[name]: [named[s] for s in sets] for name, sets in plan.computed.items()}
    return FeaturePlan([*config.features, *(named[name] for name in plan.names)], computed)


def _plan_beside(config: FuseConfig) -> FeaturePlan:
    """The feature sets of the package, as they are called there."""
    folder = find_package(config.task, config.data.root)
    return plan_features(config.beside, config.feature_sets, folder)


def _name_beside(config: FuseConfig, name: str) -> str:
    return f"{name}_features" if name in config.features else name


def standardised_in_members(config: FuseConfig) -> dict[str, bool]:
    """Whether members, and feature sets beside them that a member reads, are standardised.

    A member is not. A feature set is if it is in a member that reads it: the input of its
    auto-encoder is that of its predictor.
    """
    known = dict.fromkeys(config.features, False)
    if config.beside:
        for folder in map(Path, config.runs):
            if (folder / "result.json").is_file():
                result = finished_run(folder).result
                standardised = result["targets"][config.target]["standardised"]
                for name in [*result["features"], *standardised]:
                    known[_name_beside(config, name)] = name in standardised
    return known


def add_beside(config: FuseConfig, package: Package) -> Package:
    """Put the feature sets of ``config.beside`` beside the predictions.

    Those are read that are needed: of a difficulty indicator without a folder the feature sets that
    it is computed from. Rows become those of the feature files.

    Raises MuseError as `muse.data.recordings.load_package`, and for frames that differ.
    """
    sets = _plan_beside(config).read
    ids = {p: [recording.id for recording in group] for p, group in package.partitions.items()}
    missing = "zero" if config.missing == "drop" else config.missing  # the frames are given
    found = load_package(
        config.task, [], sets, {}, config.data, missing, ids, storage=config.storage
    )
    named = {name: _name_beside(config, name) for name in sets}
    taken = sorted(set(named.values()) & set(package.features))
    if taken:
        raise MuseError(f"beside: {taken[0]} is the name of a member. Rename its folder.")
    pairs = {p: zip(package.partitions[p], found.partitions[p], strict=True) for p in ids}
    digests = {p: package.digests[p] + found.digests[p] for p in ids}
    return replace(
        package,
        features=[*package.features, *named.values()],
        columns=package.columns | {named[name]: found.columns[name] for name in sets},
        partitions={p: [_joined(*pair, found.folder) for pair in pairs[p]] for p in ids},
        digests={
            p: hashlib.blake2b(digest.encode(), digest_size=16).hexdigest()
            for p, digest in digests.items()
        },
        synthetic=package.synthetic or found.synthetic,
    )


def _joined(predicted: Recording, found: Recording, folder: Path) -> Recording:
    """Predictions of a recording with its features, in the rows of the feature files."""
    place = {time: k for k, time in enumerate(found.timestamps.tolist())}
    where = [place.get(time) for time in predicted.timestamps.tolist()]
    if None in where:
        time = predicted.timestamps[where.index(None)]
        raise MuseError(
            f"beside: recording {predicted.id} has a prediction at {time:g} ms, but "
            f"{folder / 'feature_segments'} no frame that is used. Give the package that the "
            "members were trained on with data.root=FOLDER."
        )
    rows = found.rows[where]
    members = []
    for values in predicted.features:
        whole = np.zeros((len(found.features[0]), values.shape[1]), np.float32)
        whole[rows] = values[predicted.rows]
        members.append(whole)
    return replace(
        predicted,
        rows=rows,
        features=[*members, *found.features],
        missing=[*predicted.missing, *found.missing],
    )
