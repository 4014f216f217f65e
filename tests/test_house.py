"""The house: rooms in order, and no import that runs upwards or in a circle."""

import ast
from pathlib import Path

import pytest

import muse

# from the roof to the ground: a room imports only what stands after it
ROOMS = [
    *("cli", "commands", "report", "sweep", "inference", "training", "tables", "fusion"),
    *("synthetic", "extraction", "gold", "classes", "runs", "statistics", "data", "models"),
    *("config", "plots", "page", "scoring", "temporary", "files", "terminal", "cores", "errors"),
]
SOURCE = Path(muse.__file__).parent
FILES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def imports_of(path: Path) -> set[str]:
    """The modules of muse that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
    return found & set(FILES) - {"muse"}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_file_stands_in_a_room():
    loose = {room_of(module) for module in FILES if module not in ("muse", "muse.__main__")}
    assert loose <= set(ROOMS)


@pytest.mark.parametrize("module", [m for m in FILES if m not in ("muse", "muse.__main__")])
def test_no_import_runs_upwards(module):
    own = ROOMS.index(room_of(module))
    above = [m for m in imports_of(FILES[module]) if ROOMS.index(room_of(m)) < own]
    assert not above, f"{module} imports {above}, which stand above it"


def test_no_imports_run_in_a_circle():
    left = {module: imports_of(path) - {module} for module, path in FILES.items()}
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"these files import each other in a circle, or stand above one: {left}"
