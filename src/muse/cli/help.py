"""What can be set: the shipped configs, the names below a key, and the text of --help."""

import json
import sys
from dataclasses import fields

import yaml

from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.overrides import SWEPT
from muse.config.shipped import GROUPS, group_files, shipped

# groups, or filled in by muse
NOT_SETTINGS = ("job", "feature_sets", "task", "to", "model", "recipes")


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
