"""The words of a command line, as Hydra wants them."""

import re
import types
import typing
from collections.abc import Iterable
from dataclasses import fields, is_dataclass

from muse.cli import COMMANDS
from muse.config import SCHEMAS

MULTIRUN = ("-m", "--multirun")
SWEPT = ("train", "fuse")  # the commands whose jobs leave run folders
LAUNCHER = ("hydra/launcher=", "hydra.launcher.n_jobs=")
WITH_A_FOLDER = ("--config-dir", "-cd")


def for_hydra(command: str, words: list[str]) -> list[str]:
    """Expand, quote and order the words after `muse COMMAND`."""
    words = collect_bare_words(command, expand_bare_word(command, words))
    words = quote_texts(command, own_model(words))
    if command in SWEPT and not any(word.startswith(LAUNCHER) for word in words):
        words = [*words, "hydra.launcher.n_jobs='${cores:${jobs}}'"]  # of the default launcher
    return overrides_first(words)


def expand_bare_word(command: str, words: list[str]) -> list[str]:
    """Turn one bare word after the command into the key that the command declares for it."""
    key = COMMANDS[command].bare_word
    at = 1 if words[:1] in (["-m"], ["--multirun"]) else 0
    word = words[at] if at < len(words) else "-"
    if key and "=" not in word and word[:1] not in ("-", "+", "~"):
        return [*words[:at], f"{key}={word}", *words[at + 1 :]]
    return words


def collect_bare_words(command: str, words: list[str]) -> list[str]:
    """Gather all further bare words in the list that the command declares for them.

    So is a path after its key: whatever is in it, it is a text.
    """
    key = COMMANDS[command].more
    if key is None:
        return words
    given, others = [], []
    for before, word in zip(["", *words], words, strict=False):
        own = re.fullmatch(rf"{key}=([^\['\"].*)", word, re.DOTALL)
        if own:
            given.append(own[1])
        elif "=" in word or word[:1] in ("-", "+", "~") or before[:1] == "-":
            others.append(word)
        else:
            given.append(word)
    return [*others, f"{key}={quoted_list(given)}"] if given else others


def overrides_first(words: list[str]) -> list[str]:
    """Settings before options: argparse refuses settings on both sides of `--config-dir FOLDER`."""
    is_setting = [
        ("=" in word or word[:1] == "~") and word[:1] != "-" and before not in WITH_A_FOLDER
        for before, word in zip(["", *words], words, strict=False)
    ]
    settings = [word for word, yes in zip(words, is_setting, strict=True) if yes]
    return settings + [word for word, yes in zip(words, is_setting, strict=True) if not yes]


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
    several = any(w in MULTIRUN or w.startswith("+experiment=") for w in words)
    return [_quoted(command, word, several) for word in words]


def _quoted(command: str, word: str, several: bool) -> str:
    match = re.fullmatch(r"([A-Za-z_][\w.]*)=(.+)", word, re.DOTALL)
    if not match or not _is_text(SCHEMAS[command], match[1].split(".")):
        return word
    key, value = match[1], match[2]
    if value[0] in "'\"" or value == "null" or "${" in value or (several and _sweeps(value)):
        return word
    return f"{key}={_in_quotes(value)}"


def _in_quotes(value: str) -> str:
    """In quotes a backslash counts only before a quote."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def quoted_list(values: Iterable[str]) -> str:
    """A list for the command line, whatever is in its texts."""
    return f"[{','.join(map(_in_quotes, values))}]"


def unquoted(words: Iterable[str]) -> list[str]:
    """The words as a user types them: `out='x'` is out=x, which is quoted again when it is read."""
    plain = [re.fullmatch(r"([A-Za-z_][\w.]*=)'([^'\\]+)'", word) for word in words]
    return [f"{m[1]}{m[2]}" if m else word for m, word in zip(plain, words, strict=True)]


def _sweeps(value: str) -> bool:
    return bool("," in value or re.match(r"(choice|range|glob|interval|shuffle|sort)\(", value))


def _is_text(schema: type, path: list[str]) -> bool:
    """Whether a setting, by the dataclass of the command, is a str or null."""
    known = {field.name: field.type for field in fields(schema)}
    kind = known.get(path[0])
    if len(path) > 1:
        return is_dataclass(kind) and path[0] != "task" and _is_text(kind, path[1:])
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return str in options and set(options) <= {str, type(None)}
