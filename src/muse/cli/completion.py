"""Tab completion in bash: eval "$(muse -sc install=bash)"

Hydra's script asks `muse -sc query=bash` with the line so far in COMP_LINE. Commands, run folders
and names of feature sets are answered here, settings and their groups by Hydra.
"""

import io
import os
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path

import yaml

from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.shipped import GROUPS, config_folder, group_files, shipped

OPTIONS = ("--cfg", "--config-dir", "--help", "--multirun")
FOLDERS = ("run", "resume", "sweep")  # settings that take a folder below outputs/


def complete(words: list[str]) -> None:
    """Answer `muse -sc install=bash`, `uninstall=bash` or `query=bash`; ``words`` follow `muse`."""
    if "query=bash" not in words:
        _ask_hydra(next(iter(COMMANDS)), words)
        return
    line = os.environ.get("COMP_LINE", "")
    words = line.split()[1:]
    word = words.pop() if words and not line.endswith(" ") else ""
    print(" ".join(candidates(words, word)))


def candidates(words: list[str], word: str) -> list[str]:
    """What ``word`` may become after ``words``, which begin with a command."""
    if not words:
        return [name for name in COMMANDS if name.startswith(word)]
    command, *words = words
    if command not in COMMANDS:
        return []
    if word.startswith("-"):
        return [option for option in OPTIONS if option.startswith(word)]
    bare = COMMANDS[command].bare_word
    key, equals, value = word.rpartition("=")
    found = []
    if key in FOLDERS:
        return [key + equals + folder for folder in _run_folders(value)]
    if key in ("features", "loss", "partition"):
        choices = {item.name: item.metadata.get("choices") for item in fields(SCHEMAS[command])}
        known = _feature_sets() if key == "features" else choices.get(key) or ()
        return [key + equals + name for name in known if name.startswith(value)]
    if not words and not equals and bare in GROUPS:
        found = [file.stem for file in group_files(bare) if file.stem.startswith(word)]
    elif not equals and (bare == "runs" or (bare in FOLDERS and not words)):
        found = _run_folders(word)
    return found + _settings(command, words, word)


def _run_folders(start: str) -> list[str]:
    """Run folders that begin with ``start``, else folders on the way to them."""
    folders = [p for p in Path().glob(f"{start}*") if p.is_dir()] if start[:1] != "/" else []
    files = [*Path().glob("outputs/*/*/config.yaml"), *Path().glob("outputs/*/*/*/config.yaml")]
    runs = [str(file.parent) for file in files]
    matching = [run for run in runs if run.startswith(start)]
    return sorted(matching or [f"{folder}/" for folder in folders])


def _feature_sets() -> list[str]:
    return list(yaml.safe_load((config_folder() / "features.yaml").read_text()))


def _settings(command: str, words: list[str], word: str) -> list[str]:
    """What Hydra knows of a command's settings; of those of a task if none is chosen yet."""
    folders = [k for k, w in enumerate(words[:-1]) if w == "--config-dir"]
    options = [w for k in folders for w in words[k : k + 2]]
    values = {k + 1 for k in folders}
    before = [w for k, w in enumerate(words) if w[0] != "-" and k not in values]
    bare = COMMANDS[command].bare_word
    if before and "=" not in before[0] and before[0][0] not in "+~":
        before[0] = f"{bare}={before[0]}"
    before = [w for w in before if "=" in w or w[0] in "+~"]  # Hydra knows no further bare words
    groups = [name for entry in shipped(command)["defaults"] if isinstance(entry, dict)
              for name in entry]  # fmt: skip
    if "task" in groups and not any(w.startswith("task=") for w in before):
        before.append(f"task={group_files('task')[0].stem}")
    os.environ["COMP_LINE"] = " ".join(["muse", *before, word])
    with redirect_stdout(io.StringIO()) as answer:
        _ask_hydra(command, ["-sc", "query=bash", *options])
    others = {f"{group}=" for group in GROUPS if group not in groups} | {"debug="}
    return [found for found in answer.getvalue().split() if found not in others]


def _ask_hydra(command: str, words: list[str]) -> None:
    from muse.cli.app import run

    sys.argv[1:] = words
    run(command)
