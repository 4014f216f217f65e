"""What can be set: the shipped configs, the names below a key, and the text of --help."""

import json
import sys
from dataclasses import fields
from pathlib import Path

import yaml

import muse
from muse.cli import COMMANDS
from muse.command_line import SWEPT
from muse.config import SCHEMAS

# groups, or filled in by muse
NOT_SETTINGS = ("job", "feature_sets", "task", "to", "model", "recipes")
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


def help_text(command: str) -> str:
    """The text of `muse COMMAND --help`: choices, then every setting with its default."""
    about = COMMANDS[command]
    defaults = shipped(command)
    choices = [name for entry in defaults["defaults"] if isinstance(entry, dict) for name in entry]
    lines = [f"usage: {about.example.split('=')[0].rsplit(' ', 1)[0]} key=value ...", ""]
    lines += [about.summary, f"Example: {about.example}"]
    for k, group in enumerate(group for group in choices if group in GROUPS):
        lines += [] if k else ["", "choices"]
        lines.append(f"  {group:14} {', '.join(file.stem for file in group_files(group))}")
    if "task@to" in choices:
        lines.append(f"  {'task@to':14} that of the new package: the same, with classes (sent)")
    if command == "train":
        lines.append(f"  +debug         {', '.join(file.stem for file in group_files('debug'))}")
        experiments = [f"{p.parent.name}/{p.stem}" for p in group_files("experiment/*")]
        lines.append(f"  +experiment    {', '.join(experiments)}")
    lines += ["", "settings (default)"]
    rows = settings(SCHEMAS[command], defaults)
    width = min(20, max(14, *(len(name) for name, _ in rows)))
    lines += [f"  {name:{width}} {text}" for name, text in rows]
    if "model" in choices:
        files = {file.stem: file for file in group_files("model")}
        chosen = next((w[6:] for w in sys.argv[1:] if w[:6] == "model=" and w[6:] in files), "lstm")
        lines += ["", f"settings of the model (model={chosen})"]
        model = yaml.safe_load(files[chosen].read_text())
        lines += [f"  model.{name} = {shown(value)}" for name, value in model.items()]
    sweeps = "-m sweeps over values with commas, " if command in SWEPT else ""
    lines += [
        "",
        f"Hydra: {sweeps}--cfg job prints the composed settings,",
        "--config-dir adds a folder of your own configs, --hydra-help tells the rest.",
    ]
    return "\n".join(lines)


def settings(schema: type, defaults: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Each setting of a dataclass: its name, and what it means with its default."""
    rows = []
    known = {item.name: item for item in fields(schema)}
    names = [name for name in defaults if name in known]  # in the order of the YAML
    for name in names + [name for name in known if name not in names]:
        item = known[name]
        if not prefix and name in NOT_SETTINGS:
            continue
        value = defaults.get(item.name)
        if isinstance(value, dict):
            rows += settings(item.type, value, f"{item.name}.")
        else:
            text = item.metadata.get("help", "")
            rows.append((prefix + name, f"{text} ({shown(value)})"))
    return rows


def shown(value) -> str:
    """A default as a person reads it: ${oc.env:MUSE_DATA,data} is `data`."""
    if value == "???":
        return "required"
    if isinstance(value, str) and value.startswith("${oc.env:"):
        return value.rstrip("}").split(",", 1)[1].strip('"')
    if isinstance(value, str) and value.startswith("${"):
        return f"that of the {value[2:].split('.')[0]}"
    return value.split("${")[0] if isinstance(value, str) else json.dumps(value)
