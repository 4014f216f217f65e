"""`muse <command>`: find the command, hand over to Hydra. Nothing heavy is imported here."""

import logging
import os
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path

from muse import __version__
from muse.config.commands import COMMANDS
from muse.errors import did_you_mean


def main() -> None:
    """Entry point of the console script: exit status 0 done, 1 failed, 2 wrong usage."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word == "help" and sys.argv[2:3] and sys.argv[2] in COMMANDS:  # as of git
        sys.argv[1:] = [sys.argv[2], "--help"]
        word = sys.argv[1]
    if word in ("-h", "--help", "help"):
        print(usage())
    elif word in ("-V", "--version"):
        print(f"muse {__version__}")
    elif word in ("-sc", "--shell-completion"):
        from muse.cli.completion import complete

        complete(sys.argv[1:])
    elif word in COMMANDS:
        del sys.argv[1]
        _run(word)
    else:
        hint = did_you_mean(word, list(COMMANDS))
        command = next((given for given in sys.argv[1:] if given in COMMANDS), None)
        if command and not hint:
            words = [given for given in sys.argv[1:] if given != command]
            line = shlex.join([command, *words])
            print(f"muse: the command comes first. Type: muse {line}", file=sys.stderr)
            sys.exit(2)
        more = "\n`muse --help` lists the commands." if hint else f"\n\n{usage()}"
        print(f"muse: no command '{word}'.{hint}{more}", file=sys.stderr)
        sys.exit(2)


def _run(word: str) -> None:
    """Run a command; nothing that is printed commands the terminal.

    A command that is finished does not fail because nobody reads what it says.
    """
    from muse.cli.app import run
    from muse.terminal import PrintableStream

    logging.raiseExceptions = False  # no traceback for a line that cannot be printed
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the start
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
    finished = False
    try:
        with redirect_stdout(PrintableStream(sys.stdout)):
            run(word)
        finished = True
        sys.stdout.flush()
    except BrokenPipeError:  # `muse ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0 if finished else 1)


def usage() -> str:
    """The text of `muse --help`."""
    lines = ["usage: muse COMMAND key=value ...", "", "commands"]
    width = max(map(len, COMMANDS))
    lines += [f"  {name:{width}} {command.summary}" for name, command in COMMANDS.items()]
    lines += ["", "examples"]
    lines += [f"  {command.example}" for command in COMMANDS.values()]
    lines += ["", "`muse COMMAND --help` lists the settings of a command."]
    lines += ['Tab completion in bash: eval "$(muse -sc install=bash)"']
    return "\n".join(lines)


if __name__ == "__main__":
    main()
