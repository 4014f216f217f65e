"""Write docs/settings.md, the settings of every command, from the dataclasses and the YAML.

make docs
"""

from pathlib import Path

from muse.cli.help import settings
from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.shipped import group_files, shipped

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def page() -> str:
    """The text of docs/settings.md."""
    lines = ["# Settings", "", "<!-- written by `make docs`; do not edit -->", ""]
    lines.append("Each setting can be given on the command line as `name=value`. `muse COMMAND")
    lines.append("--help` prints those of a command, `--cfg job` what a command line composes to.")
    for command, about in COMMANDS.items():
        lines += ["", f"## muse {command}", "", about.summary, "", f"    {about.example}", ""]
        lines += ["| setting | meaning (default) |", "|---|---|"]
        for name, text in settings(SCHEMAS[command], shipped(command)):
            lines.append(f"| `{name}` | {text.replace('|', '/')} |")
    lines += ["", "## Groups", "", "| group | choices |", "|---|---|"]
    for group in ("task", "model", "gold", "debug"):
        names = ", ".join(f"`{file.stem}`" for file in group_files(group, []))
        lines.append(f"| `{group}` | {names} |")
    experiments = [f"`{p.parent.name}/{p.stem}`" for p in group_files("experiment/*", [])]
    lines.append(f"| `+experiment` | {', '.join(experiments)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
