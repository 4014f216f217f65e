"""The words of a command line, as Hydra wants them."""

import hashlib
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path

from muse.config.commands import SCHEMAS
from muse.config.fields import changes_no_number
from muse.config.use import AppliedConfig

MULTIRUN = ("-m", "--multirun")
SWEPT = ("train", "fuse")  # the commands whose jobs leave run folders
TRAINING = (*SWEPT, "tune")  # the commands that have the settings of a training
LAUNCHER = ("hydra/launcher=", "hydra.launcher.n_jobs=")
CONFIG_DIR_FLAGS = ("--config-dir", "-cd")  # the word after them is a folder


def is_multirun(word: str) -> bool:
    """Whether a word of the command line makes it a sweep."""
    return word in MULTIRUN or bool(re.fullmatch(r"\+*hydra\.mode=['\"]?MULTIRUN['\"]?", word))


def config_dirs(words: list[str]) -> list[Path]:
    """The folders of the user's own configs that a command line names with --config-dir."""
    pairs = pairwise(words)
    named = [folder for flag, folder in pairs if flag in CONFIG_DIR_FLAGS]
    named += [word.split("=", 1)[1] for word in words if word.startswith("--config-dir=")]
    return [Path(folder) for folder in named]


def own_model(words: list[str]) -> list[str]:
    """With `model._target_=` the model has the settings beside it, not those of the default model.

    They need no `+`: which ones there are is known to the class alone.
    """
    if not any(word.lstrip("+").startswith("model._target_=") for word in words):
        return words
    given = ["++" + word.lstrip("+") if word.startswith("model.") else word for word in words]
    group = any(word.startswith("model=") for word in words)
    return given if group else ["~model", *given]


def quote_texts(command: str, words: list[str]) -> list[str]:
    """Quote the values of settings that are a text, such as a path: `out=2026_11` is no number.

    What Hydra's grammar has for texts is left alone: quotes, null, ${...}, and in a sweep commas.
    """
    several = command == "tune" or any(w in MULTIRUN or w.startswith("+experiment=") for w in words)
    return [_quoted(command, word, several) for word in words]


def _quoted(command: str, word: str, several: bool) -> str:
    match = re.fullmatch(r"([A-Za-z_][\w.]*)=(.+)", word, re.DOTALL)
    if match and match[1] == "model" and issubclass(SCHEMAS[command], AppliedConfig):
        # Hydra would look for a text in the group `model`
        plain = match[2] == "null" or match[2][0] in "'\""
        return f"model={{file: {match[2] if plain else quoted_text(match[2])}}}"
    path = match[1].split(".") if match else []
    if not match or not _is_text(SCHEMAS[command], path):
        return word
    key, value = match[1], match[2]
    if len(path) > 1 and _has_names(SCHEMAS[command], path[0]):
        key = f"++{key}"  # Hydra: it is not in the YAML
    if value[0] in "'\"" or value == "null" or "${" in value or (several and _sweeps(value)):
        return f"{key}={value}"
    return f"{key}={quoted_text(value)}"


def quoted_text(value: str) -> str:
    """In quotes a backslash counts only before a quote."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def quoted_list(values: Iterable[str]) -> str:
    """A list for the command line, whatever is in its texts."""
    return f"[{','.join(map(quoted_text, values))}]"


def unquoted(words: Iterable[str]) -> list[str]:
    """The words as a user types them: `out='x'` is out=x, which is quoted again when it is read."""
    plain = [re.fullmatch(r"([A-Za-z_][\w.]*=)'([^'\\]+)'", word) for word in words]
    return [f"{m[1]}{m[2]}" if m else word for m, word in zip(plain, words, strict=True)]


def _sweeps(value: str) -> bool:
    return bool("," in value or re.match(r"(choice|range|glob|interval|shuffle|sort|tag)\(", value))


def _is_text(schema: type, path: list[str]) -> bool:
    """Whether a setting, by the dataclass of the command, is a str or null."""
    known = {field.name: field.type for field in fields(schema)}
    kind = known.get(path[0])
    if len(path) > 1 and _has_names(schema, path[0]):
        return True
    if len(path) > 1:
        return is_dataclass(kind) and path[0] != "task" and _is_text(kind, path[1:])
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return str in options and set(options) <= {str, type(None)}


def _has_names(schema: type, name: str) -> bool:
    """Whether a setting has texts under names of the user's, as in `weights.NAME=PATH`."""
    return any(item.name == name and item.type == dict[str, str] for item in fields(schema))


def name_of(words: list[str]) -> str:
    """The folder of a sweep, from the words of its command: the same words, the same folder."""
    words = sorted(word for word in words if names_sweep(word))
    values = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    name = values.get("experiment") or values.get("task") or "sweep"
    digest = hashlib.blake2b(" ".join(words).encode(), digest_size=4).hexdigest()
    return f"{name.replace('/', '_').replace(',', '-')}_{digest}"


def names_sweep(word: str) -> bool:
    """Whether a word of the command may change what the jobs of a sweep are."""
    path = word.lstrip("+~").split("=")[0].split(".")
    without = any(changes_no_number(SCHEMAS[command], path) for command in ("fuse", "tune"))
    return word[:1] != "-" and path[0].split("/")[0] != "hydra" and not without
