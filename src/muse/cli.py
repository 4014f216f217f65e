"""`muse <command>`: find the command, hand over to Hydra. Nothing heavy is imported here."""

import os
import sys
from typing import NamedTuple

from muse import __version__
from muse.errors import did_you_mean


class Command(NamedTuple):
    """What the command line must know of a command without importing it."""

    summary: str
    example: str
    bare_word: str | None  # the key that a word without `=` after the command stands for
    more: str | None = None  # the key of a list, of all further words without `=`


COMMANDS = {
    "train": Command(
        "Train a model on a sub-challenge, several seeds, and score it.",
        "muse train task=stress features=egemaps",
        "task",
    ),
    "fuse": Command(
        "Fuse the predictions of finished runs (late fusion), and score the fusion.",
        "muse fuse task=stress target=arousal 'select.features=[egemaps,vggface]'",
        "task",
    ),
    "summary": Command(
        "The leaderboard of a sweep, and which setting matters.",
        "muse summary outputs/sweep/SWEEP",
        "sweep",
    ),
    "table": Command(
        "A table of a paper: published numbers beside those of your runs.",
        "muse table muse2021 'tasks=[stress]'",
        "table",
    ),
    "resume": Command(
        "Continue an interrupted training where it stood.",
        "muse resume outputs/train/RUN",
        "resume",
    ),
    "evaluate": Command(
        "Score a trained model again, from its weights.",
        "muse evaluate run=outputs/train/RUN partition=devel",
        "run",
    ),
    "predict": Command(
        "Write the predictions of a trained model for a package.",
        "muse predict run=outputs/train/RUN data.root=data out=submission",
        "run",
    ),
    "check": Command(
        "Check a whole package: every fault at once, or its statistics.",
        "muse check task=stress",
        "task",
    ),
    "gold": Command(
        "Fuse raters' traces to one signal, the gold standard (RAAW, EWE, Physio).",
        "muse gold my_ratings/arousal unit=s out=data/c3_muse_stress",
        "raters",
    ),
    "classes": Command(
        "Make classes per segment, as in Sent, out of continuous signals.",
        "muse classes task=stress data.root=data out=data",
        "task",
    ),
    "import": Command(
        "Make a package out of CEAP-360VR, or of CSV files of your own.",
        "muse import ceap CEAP-360VR out=data",
        "dataset",
        "source",
    ),
    "synth": Command(
        "Write a synthetic package in the layout of the official one.",
        "muse synth task=stress out=data scale=0.2",
        "task",
    ),
}


def main() -> None:
    """Entry point of the console script: exit status 0 done, 1 failed, 2 wrong usage."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help", "help"):
        print(usage())
    elif word in ("-V", "--version"):
        print(f"muse {__version__}")
    elif word in ("-sc", "--shell-completion"):
        from muse.completion import complete

        complete()
    elif word in COMMANDS:
        del sys.argv[1]
        from muse.app import run

        try:
            run(word)
            sys.stdout.flush()
        except BrokenPipeError:  # `muse ... | head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
    else:
        hint = did_you_mean(word, list(COMMANDS))
        print(f"muse: no command '{word}'.{hint}\n\n{usage()}", file=sys.stderr)
        sys.exit(2)


def usage() -> str:
    """The text of `muse --help`."""
    lines = ["usage: muse COMMAND key=value ...", "", "commands"]
    lines += [f"  {name:8} {command.summary}" for name, command in COMMANDS.items()]
    lines += ["", "examples"]
    lines += [f"  {command.example}" for command in COMMANDS.values()]
    lines += ["", "`muse COMMAND --help` lists the settings of a command."]
    lines += ['Tab completion in bash: eval "$(muse -sc install=bash)"']
    return "\n".join(lines)


if __name__ == "__main__":
    main()
