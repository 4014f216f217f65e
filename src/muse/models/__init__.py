"""Models: (batch, frames, features) and lengths -> (batch, frames, outputs)."""

import importlib
import inspect
import pkgutil
import sys
import traceback
from pathlib import Path

from torch import nn

from muse.errors import MuseError


def build_model(settings: dict, inputs: dict[str, int], outputs: int) -> nn.Module:
    """Build the model of a config.

    The class is called with ``outputs`` and its settings, and with one or both of these, as its
    parameters are named: ``inputs``, the number of features per frame (int), and ``input_sets``,
    the number of features of each feature set, in the order in which they lie side by side in a
    frame (dict of str to int).

    Args:
        settings: ``_target_``, the dotted name of the class, and its keyword arguments.
        inputs: feature set -> number of its features per frame.
        outputs: number of values that the model gives per frame.

    Raises:
        MuseError: no such class, or it does not take these arguments.
    """
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    cls = find_class(str(settings["_target_"]))
    signature = inspect.signature(cls)
    given = {"inputs": sum(inputs.values()), "input_sets": dict(inputs)}
    wanted = given.keys() & signature.parameters.keys() or {"inputs"}
    given = {name: given[name] for name in wanted} | {"outputs": outputs}
    try:
        signature.bind(**given, **arguments)
    except TypeError as error:
        known = ", ".join(name for name in signature.parameters if name not in given)
        name = cls.__name__
        raise MuseError(f"model: {error}; the settings of {name} are {known}.") from None
    return cls(**given, **arguments)


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
    """The source of the module of a class that is not muse's: its code changes the numbers."""
    if is_of_muse(target):
        return None
    try:
        return inspect.getsource(sys.modules[find_class(target).__module__])
    except (OSError, TypeError):
        return None


def check_trusted(path: Path, target: str, trust: list[str]) -> None:
    """Raise MuseError unless a class named in a file is one of muse's models or in ``trust``."""
    if target not in trust and not is_of_muse(target):
        raise MuseError(
            f"{path} names the model class {target}, which is not one of muse's. A class is code: "
            f"if you know it, allow it with 'trust=[{target}]'."
        )
