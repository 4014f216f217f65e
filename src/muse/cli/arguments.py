"""The arguments after `muse COMMAND` as Hydra wants them."""

import os
import re
import shlex
from importlib.util import find_spec

import yaml
from hydra._internal.utils import get_args_parser

from muse.config.commands import COMMANDS
from muse.config.overrides import (
    CONFIG_DIR_FLAGS,
    LAUNCHER,
    MULTIRUN,
    SWEPT,
    config_dirs,
    own_model,
    quote_texts,
    quoted_list,
)
from muse.config.search_space import base_words
from muse.config.shipped import GROUPS, choices_of, known_keys
from muse.errors import MuseError


def for_hydra(command: str, words: list[str]) -> list[str]:
    """Expand, quote and order the words after `muse COMMAND`; MuseError if they contradict."""
    _check_cell(words)
    if "hydra/launcher=slurm" in words and not find_spec("submitit"):
        raise MuseError("hydra/launcher=slurm needs a package: pip install 'muse[slurm]'")
    if set(MULTIRUN) & set(words) and any(word.startswith("learning_curve=") for word in words):
        raise MuseError("learning_curve is a sweep of its own: leave -m out.")
    _check_paths(command, words)
    words = collect_bare_words(command, expand_bare_word(command, words))
    _check_bare_words(words)
    words = quote_texts(command, own_model(words))
    if command == "tune":
        words = [*base_words(words), "hydra.mode=RUN"]  # also with an experiment that is a sweep
    if command in SWEPT and not any(word.startswith(LAUNCHER) for word in words):
        words = [*words, "hydra.launcher.n_jobs='${cores:${workers}}'"]  # of the default launcher
    if "--cfg" in words and words[words.index("--cfg") :][1:2] == ["job"]:
        words = [*words, "--resolve"]  # published settings, windows of the task: as they will be
    return overrides_first(words)


def settings_of(command: str, words: list[str]) -> list[str]:
    """The settings among the words after `muse COMMAND`, as `load_config` takes them."""
    folders = [str(folder.absolute()) for folder in config_dirs(words)]
    words = quote_texts(command, collect_bare_words(command, expand_bare_word(command, words)))
    given = [word for word, yes in zip(words, _are_settings(words), strict=True) if yes]
    given = [word for word in given if not word.startswith("hydra")]
    return given + [f"hydra.searchpath={quoted_list(folders)}"] * bool(folders)


def check_choices(words: list[str]) -> None:
    """Raise MuseError for a group such as `task` whose choice is no name; Hydra would crash."""
    for word in words:
        group, _, choice = word.lstrip("+").partition("=")
        if group not in (*GROUPS, "experiment", "debug") or choice == "null":  # none of the group
            continue
        try:
            names = yaml.safe_load(f"[{choice.strip('[]')}]")
        except yaml.YAMLError:  # glob(*) and the like, which Hydra knows
            continue
        if not all(isinstance(name, str) for name in names):
            raise MuseError(f"{word}: expected a name, one of {', '.join(choices_of(group))}.")


def without_dashes(command: str, words: list[str]) -> str | None:
    """The command line with settings where argparse would have options; None if it has none.

    `--epochs 3`, `--epochs=3` and `-epochs=3` become epochs=3, and `--joint` alone joint=true.
    """
    settings, flags = known_keys(command, ""), get_args_parser()._option_string_actions
    mended, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        name = flag.lstrip("-").replace("-", "_")
        known = name.split(".")[0] in settings
        if flag[:1] != "-" or not (known or (flag[:2] == "--" and flag not in flags)):
            mended.append(word)
            if flag in CONFIG_DIR_FLAGS and rest and not equals:
                mended.append(rest.pop(0))
        elif equals:
            mended.append(f"{name}={value}")
        elif rest and "=" not in rest[0] and not re.match(r"-[^\d]|[+~]", rest[0]):
            mended.append(f"{name}={rest.pop(0)}")
        else:
            mended.append(f"{name}=true")
    return None if mended == words else f"muse {command} {shlex.join(mended)}"


def without_spaces(command: str, words: list[str]) -> str | None:
    """The command line with `key = value` as one word; None if there is none."""
    mended: list[str] = []
    for word in words:
        before = mended[-1] if mended else ""
        cut_before = word[:1] == "=" and before != "" and "=" not in before
        cut_after = before[-1:] == "=" and "=" not in word and word[:1] not in ("-", "~")
        if cut_before or cut_after:
            mended[-1] += word
        else:
            mended.append(word)
    return None if mended == words else f"muse {command} {shlex.join(mended)}"


def _check_paths(command: str, words: list[str]) -> None:
    """Raise MuseError for a path without its key that looks like a setting, such as a=b.wav."""
    key = COMMANDS[command].more or COMMANDS[command].bare_word
    for word in words if key not in ("task", "table") else ():  # these are names
        name = word.split("=")[0].split(".")[0]
        if "=" in word and os.path.lexists(word) and name not in known_keys(command, ""):
            mended = shlex.quote(f"{key}={word}")
            raise MuseError(f"{word}: a path with = in it needs its key: {mended}")


def _check_bare_words(words: list[str]) -> None:
    """Raise MuseError for what is neither a setting nor an option, such as half a list."""
    for before, word in zip(["", *words], words, strict=False):
        if "=" not in word and word[:1] not in ("-", "~") and before[:1] != "-":
            raise MuseError(
                f"{word!r}: expected key=value. In a shell a list, and all that has a space in it, "
                "needs quotes: 'features=[egemaps,vggface]'."
            )


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
        if key == "source" and word.startswith("in="):  # no name for a field in Python
            word = f"source={word[3:]}"
        own = re.fullmatch(rf"{key}=([^\['\"].*)", word, re.DOTALL)
        if own:
            given.append(own[1])
        elif "=" in word or word[:1] in ("-", "+", "~") or before[:1] == "-":
            others.append(word)
        else:
            given.append(word)
    return [*others, f"{key}={quoted_list(given)}"] if given else others


def _check_cell(words: list[str]) -> None:
    """Refuse model=gru model.cell=lstm, which would train an LSTM under another name."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    model, cell = given.get("model"), given.get("model.cell")
    if cell and {model, cell} == {"gru", "lstm"}:
        raise MuseError(
            f"model={model} model.cell={cell} contradict each other: type model={cell} alone."
        )


def overrides_first(words: list[str]) -> list[str]:
    """Settings before options: argparse refuses settings on both sides of `--config-dir FOLDER`."""
    both = list(zip(words, _are_settings(words), strict=True))
    return [word for word, yes in both if yes] + [word for word, yes in both if not yes]


def _are_settings(words: list[str]) -> list[bool]:
    """Which words are settings, not options or the folder of one."""
    return [
        ("=" in word or word[:1] == "~") and word[:1] != "-" and before not in CONFIG_DIR_FLAGS
        for before, word in zip(["", *words], words, strict=False)
    ]
