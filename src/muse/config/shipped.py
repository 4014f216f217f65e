"""The shipped YAML: where it is, and which names it knows."""

import sys
from dataclasses import fields
from pathlib import Path

import yaml

import muse
from muse.config.commands import SCHEMAS

GROUPS = ("task", "model", "gold")


def config_folder() -> Path:
    """The shipped configs/: inside an installed muse, or at the root of a checkout."""
    package = Path(muse.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def group_files(group: str) -> list[Path]:
    """The YAML files of a group: those shipped, then those of --config-dir on the command line."""
    words = sys.argv[1:]
    own = [words[k + 1] for k in range(len(words) - 1) if words[k] in ("--config-dir", "-cd")]
    own += [word.split("=", 1)[1] for word in words if word.startswith("--config-dir=")]
    return [
        file
        for folder in (config_folder(), *map(Path, own))
        for file in sorted(folder.glob(f"{group}/*.yaml"))
    ]


def known_keys(command: str, parent: str) -> list[str]:
    """Names of the settings below ``parent`` ('' is the top), from the command's YAML files."""
    node = shipped(command)
    for part in filter(None, parent.split(".")):
        node = node.get(part)
        if part in GROUPS and node is None:
            contents = [yaml.safe_load(file.read_text()) for file in group_files(part)]
            node = {key: None for content in contents for key in content or {}}
        if not isinstance(node, dict):
            return []
    names = {f.name for f in fields(SCHEMAS[command])} if not parent else set()
    return sorted((names | set(node)) - {"job", "defaults", "hydra"})


def shipped(command: str) -> dict:
    """The command's YAML as it is shipped and what it builds on; no group is composed."""
    content = yaml.safe_load((config_folder() / f"{command}.yaml").read_text())
    for base in [shipped(name) for name in content["defaults"] if name in ("use", "train")]:
        content = base | content | {"defaults": base["defaults"] + content["defaults"]}
    return content
