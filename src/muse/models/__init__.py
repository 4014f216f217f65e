"""Models: (batch, frames, features) and lengths -> (batch, frames, outputs)."""

import importlib
import inspect

from torch import nn

from muse.errors import MuseError


def build_model(settings: dict, inputs: int, outputs: int) -> nn.Module:
    """Build the model of a config.

    Args:
        settings: ``_target_``, the dotted name of the class, and its keyword arguments.
        inputs: number of features per frame.
        outputs: number of values that the model gives per frame.

    Raises:
        MuseError: no such class, or it does not take these arguments.
    """
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    module, _, name = str(settings["_target_"]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise MuseError(
            f"model._target_={settings['_target_']}: cannot be imported ({error}). Expected "
            "package.module.Class of a package that Python finds."
        ) from None
    signature = inspect.signature(cls)
    try:
        signature.bind(inputs=inputs, outputs=outputs, **arguments)
    except TypeError as error:
        known = ", ".join(
            name for name in signature.parameters if name not in ("inputs", "outputs")
        )
        raise MuseError(f"model: {error}; the settings of {name} are {known}.") from None
    return cls(inputs=inputs, outputs=outputs, **arguments)
