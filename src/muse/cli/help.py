"""The text of `muse COMMAND --help`: choices, then every setting with its default."""

import json
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import get_args

import yaml

from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.overrides import SWEPT, TRAINING, config_dirs
from muse.config.shipped import GROUPS, group_files, shipped

# groups, or filled in by muse
NOT_SETTINGS = (
    "job",
    "retrained",
    "personalised",
    "feature_sets",
    "task",
    "to",
    "model",
    "split",
    "recipes",
)

# the settings of a training by what they are about; those that people change most come first
SECTIONS = {
    "search": ("trials", "objective", "sampler", "sampler_seed", "startup", "pruner",
               "warmup_epochs", "study", "database", "heartbeat", "timeout", "space"),
    "what is trained": ("features", "target", "joint", "runs", "select", "beside",
                        "method", "out_of_fold"),
    "training": ("lr", "epochs", "batch_size", "seeds", "patience", "weight_decay", "loss",
                 "loss_over", "class_weights", "warmup", "clip", "noise", "lr_on", "lr_patience",
                 "lr_factor", "lr_floor"),
    "data": ("data", "standardise", "standardise_over", "window", "hop", "missing", "align",
             "tokenizer", "storage"),
    "difficulty indicators": ("difficulty",),
    "cross-validation": ("folds", "groups", "inner_devel", "train_share", "learning_curve"),
    "scores and output": ("ccc", "bootstrap", "crossfit", "keep_seeds", "plots", "tensorboard"),
    "sweeps": ("rerun", "show_test", "jobs_per_device"),
    "machine": ("workers", "device", "population", "kernel", "precision", "threads"),
    "debugging": ("recordings", "best_on"),
}  # fmt: skip


def help_text(command: str, words: list[str]) -> str:
    """The help of a command; ``words`` may choose a model and name a --config-dir."""
    about, defaults, folders = COMMANDS[command], shipped(command), config_dirs(words)
    groups = [name for entry in defaults["defaults"] if isinstance(entry, dict) for name in entry]
    lines = [_usage(command), "", about.summary, f"Example: {about.example}"]
    choices = _choices(command, groups, folders)
    if choices:
        wide = max(14, *map(len, choices))
        lines += ["", "choices", *(f"  {group:{wide}} {names}" for group, names in choices.items())]
    rows = settings(SCHEMAS[command], defaults)
    width = max(14, *(len(name) for name, _ in rows))
    for title, part in _sections(command, rows).items():
        lines += ["", f"{title} (default)", *(f"  {name:{width}} {text}" for name, text in part)]
    if "model" in groups:
        lines += ["", *_model(words, folders)]
    sweeps = "-m sweeps over values with commas, " if command in SWEPT else ""
    lines += [
        "",
        f"Hydra: {sweeps}--cfg job prints the composed settings,",
        "--config-dir adds a folder of your own configs, --hydra-help explains the other options.",
    ]
    return "\n".join(lines)


def _usage(command: str) -> str:
    """The usage line, with the settings whose key may be left out."""
    about = COMMANDS[command]
    dots = {about.bare_word: "", about.more: " ..."}
    names = {"resume": "RUN", "retrain": "RUN"}
    words = [f"[{names.get(key, key.upper())}{dots[key]}]" for key in dots if key]
    return " ".join(["usage: muse", command, *words, "key=value ..."])


def _choices(command: str, groups: list[str], folders: list[Path]) -> dict[str, str]:
    """Group -> the names that it has."""

    def names(group: str) -> str:
        return ", ".join(file.stem for file in group_files(group, folders))

    choices = {group: names(group) for group in groups if group in GROUPS}
    if "task@to" in groups:
        choices["task@to"] = "that of the new package: the same, with classes (sent, topic)"
    if "split" in choices:
        choices["split"] = (
            "given, or derive (recordings N of test become N_train, N_devel and N_test; "
            "split.seconds=[60,60])"
        )
    if command == "train":
        choices["+debug"] = names("debug")
        for paper in dict.fromkeys(f.parent.name for f in group_files("experiment/*", folders)):
            choices[f"+experiment={paper}/"] = names(f"experiment/{paper}")
    return choices


def _sections(command: str, rows: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Section -> its settings; of other commands than a training what must be given is first."""
    if command not in TRAINING:
        last = {row: (row[0].startswith("data."), "(required)" not in row[1]) for row in rows}
        return {"settings": sorted(rows, key=last.get)}
    parts = {title: [row for name in names for row in rows if row[0].split(".")[0] == name]
             for title, names in SECTIONS.items()}  # fmt: skip
    placed = [row for part in parts.values() for row in part]
    parts["other settings"] = [row for row in rows if row not in placed]
    return {title: part for title, part in parts.items() if part}


def _model(words: list[str], folders: list[Path]) -> list[str]:
    """The settings of the model that the command line chooses."""
    files = {file.stem: file for file in group_files("model", folders)}
    chosen = next((w[6:] for w in words if w[:6] == "model=" and w[6:] in files), "lstm")
    model = yaml.safe_load(files[chosen].read_text())
    return [
        f"settings of the model (model={chosen})",
        *(f"  model.{name} = {shown(value)}" for name, value in model.items()),
    ]


def settings(schema: type, defaults: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Each setting of a dataclass: its name, and what it means with its choices and default."""
    rows = []
    known = {item.name: item for item in fields(schema)}
    names = [name for name in defaults if name in known]  # in the order of the YAML
    for name in names + [name for name in known if name not in names]:
        item = known[name]
        group = name not in defaults or defaults[name] is not None
        if not prefix and name in NOT_SETTINGS and group:
            continue
        value = defaults.get(item.name)
        kinds = get_args(item.type) or (item.type,)  # a group of settings may be null
        if isinstance(value, dict) and is_dataclass(kinds[0]):
            rows += settings(kinds[0], value, f"{item.name}.")
        else:
            rows.append((prefix + name, f"{described(item)} ({shown(value)})"))
    return rows


def described(item: Field) -> str:
    """The help of a field, with the choices that it does not name itself."""
    text = item.metadata.get("help", "")
    choices = list(item.metadata.get("choices") or ())
    if all(choice in text for choice in choices):
        return text
    return f"{text} One of {', '.join(choices)}."


def shown(value) -> str:
    """A default as a person reads it: ${oc.env:MUSE_DATA,data} is `data`."""
    if value == "???":
        return "required"
    if value == "${sweep:}":
        return "from the words of the command"
    if isinstance(value, str) and value.startswith("${oc.env:"):
        return value.rstrip("}").split(",", 1)[1].strip('"')
    if isinstance(value, str) and value.startswith("${published:"):
        return f"as published, else {value.rstrip('}').split(',', 1)[1]}"
    if isinstance(value, str) and value.startswith("${per_segment:"):
        yes, no = value.removeprefix("${per_segment:").rstrip("}").split(",")
        return f"{yes} for classes of segments, else {no}"
    if isinstance(value, str) and value.startswith("${"):
        return f"that of the {value[2:].rstrip('}').split('.')[0]}"
    return value.split("${")[0] if isinstance(value, str) else json.dumps(value)
