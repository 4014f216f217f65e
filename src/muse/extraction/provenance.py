"""How feature sets were made: kept by runs, and used to make them of other recordings."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path

from muse.config.compose import from_data, load_config
from muse.config.extract import ExtractConfig
from muse.config.shared import JobInfo
from muse.data.layout import feature_folder
from muse.errors import MuseError
from muse.extraction.extractors import EXTRACTORS, extractor_of
from muse.extraction.feature_files import PROVENANCE, Extractor
from muse.files import read_bytes

log = logging.getLogger(__name__)

# of a feature set: {"tool": {"name", "version"}, "settings": {...}}, see `read_provenance`
Provenance = dict[str, dict]
# settings that are no part of how features are made: frames may be those of a package, and weights
# are known by their digest
ELSEWHERE = ("extractor", "step", "weights")


def read_provenance(package: Path, names: Iterable[str]) -> dict[str, Provenance]:
    """Feature set -> tool and settings, of those that `muse extract` has made.

    A provenance that cannot be read is left out with a warning: the features are as they are.
    """
    found = {}
    for name in names:
        path = feature_folder(package, name) / PROVENANCE
        if not path.is_file():
            continue
        try:
            about = json.loads(read_bytes(path))
            found[name] = {key: dict(about[key]) for key in ("tool", "settings")}
        except (MuseError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: damaged (%s); the run will not know how %s was made.",
                        path, error, name)  # fmt: skip
    return found


def extractor_again(name: str, made: Provenance, config: ExtractConfig, where: Path) -> Extractor:
    """The extractor that makes a feature set as it was made before.

    Args:
        name: of the feature set.
        made: its provenance.
        config: what is extracted to where, see `settings_again`.
        where: the file that has the provenance, for messages.

    Raises:
        MuseError: this machine would make it in another way, and in which.
    """
    extractor = extractor_of(config)
    now = {"tool": extractor.tool, "settings": extractor.settings}
    other = [
        f"{part}: {key} was {json.dumps(made[part].get(key))}, is {json.dumps(now[part].get(key))}"
        for part in now
        for key in sorted({*made[part], *now[part]} - {"extractor", "step"})
        if made[part].get(key) != now[part].get(key)
    ]
    if other:
        raise MuseError(
            f"{where}: the feature set {name} that the run was trained on cannot be made here "
            f"({'; '.join(other)}). Install that version, or give those weights "
            f"(weights.{name}=PATH); or extract, and train, anew."
        )
    return extractor


def settings_again(name: str, made: Provenance, where: Path, given: dict) -> ExtractConfig:
    """The settings of `muse extract` by which a feature set was made, and `given` ones.

    Args:
        made: its provenance; a setting of it is a field of the settings, or of those of its
            extractor. What is no field (a digest of weights) is left to `extractor_again`.
        where: the file that has the provenance, for messages.
        given: settings that are not in the provenance, such as `source` and `out`.

    Raises:
        MuseError: an extractor that this muse does not have, or a setting that it does not take.
    """
    kind = made["settings"].get("extractor")
    if kind not in EXTRACTORS:
        raise MuseError(
            f"{where}: {name} was made by the extractor {kind!r}; this muse has "
            f"{', '.join(EXTRACTORS)}. Use the version of muse that the run was trained with."
        )
    usual = load_config("extract", [f"extractor={kind}", "source=[.]", "out=."])
    data = {key: value for key, value in asdict(usual).items() if key != "job"}
    groups = [key for key in data if is_dataclass(getattr(usual, key))]
    own = [key for key in groups if key == kind] or groups
    for key, value in made["settings"].items():
        if key in ELSEWHERE:
            continue
        if key in data:
            data[key] = value
        for group in own:
            if key in data[group]:
                data[group][key] = value
    return from_data("extract", data | {"features": name} | given, where, JobInfo("", ""))
