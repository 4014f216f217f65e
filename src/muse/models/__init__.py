"""Models: (batch, frames, features) and lengths -> (batch, frames, outputs)."""

import ast
import importlib.util
import inspect
import json
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from torch import nn

from muse.config.fields import path_of
from muse.errors import MuseError

INSTALLED = "site-packages", "dist-packages"  # what lies in there is no folder of the user's


def build_model(
    settings: dict, inputs: dict[str, int], outputs: int, rows: dict[str, int] | None = None
) -> nn.Module:
    """Build the model of a config.

    The class is called with ``outputs`` and its settings, and with one or both of these, as its
    parameters are named: ``inputs``, the number of features per frame (int), and ``input_sets``,
    the number of features of each feature set, in the order in which they lie side by side in a
    frame (dict of str to int). If it has the parameter ``input_rows``, it also gets how many rows
    of each feature set lie side by side in a frame (dict of str to int, see `muse.data.align`).

    Args:
        settings: ``_target_``, the dotted name of the class, and its keyword arguments.
        inputs: feature set -> number of its features per frame.
        outputs: number of values that the model gives per frame.
        rows: feature set -> its rows in a frame; those without have one.

    Raises:
        MuseError: no such class, it does not take these arguments or several rows in a frame, or it
            does not fit into memory.
    """
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    cls = find_class(str(settings["_target_"]))
    signature = inspect.signature(cls)
    given = {"inputs": sum(inputs.values()), "input_sets": dict(inputs)}
    wanted = given.keys() & signature.parameters.keys() or {"inputs"}
    given = {name: given[name] for name in wanted} | {"outputs": outputs}
    of_sets = dict.fromkeys(inputs, 1) | (rows or {})
    if "input_rows" in signature.parameters:
        given["input_rows"] = of_sets
    elif max(of_sets.values(), default=1) > 1:
        several = ", ".join(f"{name} {count}" for name, count in of_sets.items() if count > 1)
        raise MuseError(
            f"align=own: {cls.__name__} takes one row of each feature set in a frame; found "
            f"{several}. Use align=labels, or a model that has the parameter input_rows, such as "
            "model=multimodal_transformer."
        )
    try:
        signature.bind(**given, **arguments)
    except TypeError as error:
        raise MuseError(f"model: {error}. {_parameters(cls, given)}") from None
    try:
        return cls(**given, **arguments)
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        sizes = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise MuseError(f"model: {sizes}: does not fit into memory. Give smaller sizes.") from None


def _parameters(cls: type[nn.Module], given: dict) -> str:
    """What the constructor of a class takes, and what muse passes to it."""
    names = list(inspect.signature(cls).parameters)
    known = ", ".join(name for name in names if name not in given) or "none"
    text = f"The settings of {cls.__name__} are: {known}."
    if any(name not in names for name in given):
        text += (
            " Its constructor must have the parameters outputs, and inputs or input_sets: muse "
            "passes the number of outputs, and the number of features (of each feature set)."
        )
    return text


def pretrained_files(settings: dict) -> list[Path]:
    """The files that a model has its initial weights from; none of a model that begins at random.

    Its class names them in ``PRETRAINED``, in the folder that its setting ``weights`` names, and
    reads them in the method ``load_pretrained``, which is called where training begins.
    """
    names = getattr(find_class(str(settings["_target_"])), "PRETRAINED", ())
    return [path_of(str(settings["weights"])) / name for name in names]


def find_class(target: str) -> type[nn.Module]:
    """Import the class ``package.module.Class``; the working folder is searched last.

    Raises MuseError if there is none, or if it is no nn.Module.
    """
    module, _, name = target.rpartition(".")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where `python -m` finds modules as well
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise MuseError(
            f"model._target_={target}: cannot be imported ({error}). Expected "
            "package.module.Class of a package that Python finds, such as one in this folder."
        ) from None
    except Exception as error:  # whatever the user's module does wrong
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = getattr(error, "filename", None) or frame.filename
        line = getattr(error, "lineno", None) or frame.lineno
        raise MuseError(
            f"model._target_={target}: {where}, line {line}: {type(error).__name__}: {error}"
        ) from None
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise MuseError(f"model._target_={target}: expected a class derived from torch.nn.Module.")
    return cls


def is_fitted(target: str) -> bool:
    """Whether a class is fitted at once, see `muse.training.fit`, not trained by gradient."""
    return hasattr(find_class(target), "chosen_by")


def is_of_muse(target: str) -> bool:
    """Whether ``package.module.Class`` is a model that muse defines; nothing else is imported."""
    module, _, _ = target.rpartition(".")
    own = {f"{__name__}.{found.name}" for found in pkgutil.iter_modules(__path__)}
    if module not in own:
        return False
    try:
        return find_class(target).__module__ == module
    except MuseError:
        return False


def source_of(target: str) -> str | None:
    """The code of a class that is not muse's, since it changes the numbers.

    That is the source of its module, and of all that this one imports, at any depth, from its own
    package, or from its own folder if it is in none.
    """
    if is_of_muse(target):
        return None
    module = sys.modules[find_class(target).__module__]
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        return None
    found = {module.__name__: source}
    _add_imported(module.__name__, found)
    return source if len(found) == 1 else json.dumps(found, sort_keys=True)


def _add_imported(name: str, found: dict[str, str]) -> None:
    """Add the sources of what a module imports from its own package or folder to ``found``."""
    top = sys.modules[name.partition(".")[0]]
    in_package = hasattr(top, "__path__")
    home = Path(top.__path__[0]).parent if in_package else Path(top.__file__).parent
    if not in_package and home.name in INSTALLED:
        return
    for full in _imported(name, found[name]):
        path = home.joinpath(*full.split("."))
        own = not in_package or full.partition(".")[0] == top.__name__
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if own and full not in found and file.is_file():
                found[full] = file.read_text(encoding="utf-8")
                with suppress(ImportError):
                    importlib.import_module(full)
                    _add_imported(full, found)


def _imported(name: str, source: str) -> Iterator[str]:
    """Names that a module imports, some of which may be no modules but what is in them."""
    package = name if hasattr(sys.modules[name], "__path__") else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError, ValueError):  # above the package
                start = "." * node.level + (node.module or "")
                start = importlib.util.resolve_name(start, package)
                yield from (start, *(f"{start}.{alias.name}" for alias in node.names))


def check_trusted(path: Path, target: str, trust: list[str]) -> None:
    """Raise MuseError unless a class named in a file is one of muse's models or in ``trust``."""
    if target not in trust and not is_of_muse(target):
        raise MuseError(
            f"{path} names the model class {target}, which is not one of muse's. A class is code: "
            f"if you know it, allow it with 'trust=[{target}]'."
        )
