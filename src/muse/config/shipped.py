"""The shipped YAML: where it is, and which names it knows."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import yaml

import muse
from muse.config.commands import SCHEMAS

GROUPS = ("task", "model", "gold", "extractor", "split")


def config_folder() -> Path:
    """The shipped configs/: inside an installed muse, or at the root of a checkout."""
    package = Path(muse.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def group_files(group: str, folders: Iterable[Path] = ()) -> list[Path]:
    """The YAML files of a group: those shipped, then those in the user's own ``folders``."""
    return [
        file
        for folder in (config_folder(), *folders)
        for file in sorted(folder.glob(f"{group}/*.yaml"))
    ]


def choices_of(group: str, folders: Iterable[Path] = ()) -> list[str]:
    """The names of a group, also those in folders of it: `muse2021/stress`."""
    homes = [folder / group for folder in (config_folder(), *folders)]
    found = {
        file.relative_to(home).with_suffix("") for home in homes for file in home.rglob("*.yaml")
    }
    return sorted(path.as_posix() for path in found)


def known_keys(command: str, parent: str, folders: Iterable[Path] = ()) -> list[str]:
    """Names of the settings below ``parent`` ('' is the top), from the command's YAML files."""
    node = shipped(command)
    for part in filter(None, parent.split(".")):
        node = node.get(part)
        if part in GROUPS and node is None:
            contents = [yaml.safe_load(file.read_text()) for file in group_files(part, folders)]
            node = {key: None for content in contents for key in content or {}}
        if not isinstance(node, dict):
            return []
    names = {f.name for f in fields(SCHEMAS[command])} if not parent else set()
    return sorted((names | set(node)) - {"job", "defaults", "hydra"})


def shipped(command: str) -> dict:
    """The command's YAML as it is shipped and what it builds on; no group is composed."""
    content = yaml.safe_load((config_folder() / f"{command}.yaml").read_text())
    own = content.pop("defaults", [])
    bases = [shipped(name) for name in own if isinstance(name, str) and _is_base(name)]
    merged = {"defaults": [*(entry for base in bases for entry in base["defaults"]), *own]}
    for part in [*bases, content]:
        for key, value in part.items():
            if key != "defaults":
                nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
                merged[key] = merged[key] | value if nested else value
    return merged


def _is_base(name: str) -> bool:
    """Whether an entry of a defaults list is a file whose settings become the command's."""
    return "@" not in name and (config_folder() / f"{name}.yaml").is_file()
