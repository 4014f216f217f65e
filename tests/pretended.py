"""A device beside the CPU, on any machine: what a GPU would refuse, and what it would wait for.

The values of its tensors are on the CPU, but they say that they are on PyTorch's device ``meta``.
So code that asks for the device goes the way of a GPU, and what it computes can be compared. What
mixes this device with the CPU raises an error, as with a GPU; what makes the CPU wait is counted.
Not seen is all that only ``cuda`` has: cuDNN, its generators, pinned memory, autocast, memory.
Inference mode cannot be used with it: code that does must get `torch.no_grad` in its place.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    return_and_correct_aliasing,
)
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
# their result, or its size, is one of the CPU
READ = {
    *(aten._local_scalar_dense, aten.is_nonzero, aten.equal, aten.nonzero, aten.masked_select),
    *(aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.bincount),
    aten.repeat_interleave,
}
INDEX = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class Held(Tensor):
    """A tensor of the device; its values are ``held``, on the CPU."""

    @staticmethod
    def __new__(cls, held: Tensor):
        where = held.storage_offset(), held.dtype
        found = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), where[0], dtype=where[1], device=DEVICE
        )
        found.held = held
        return found

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of `Pretended`")


class Pretended(TorchDispatchMode):
    """Inside of it there is the device; ``waits`` has what the CPU would have waited for."""

    def __init__(self):
        super().__init__()
        self.waits: list[str] = []
        self._generator, self._generators = torch.Generator, []

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """In the place of `torch.Generator`: one of the device, or of the CPU."""
        made = self._generator()
        if torch.device(device) == DEVICE:
            self._generators.append(made)
        return made

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), func.overloadpacket
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        here = any(isinstance(x, Held) for x in tensors)
        asked = kwargs.get("device")
        there = here if asked is None else torch.device(asked) == DEVICE
        if any(x.device == DEVICE and not isinstance(x, Held) for x in tensors):
            raise RuntimeError(f"{name}: numbers of Python, given to the device one by one")
        if name in (aten._to_copy, aten.copy_):
            self._check_copy(name, args, kwargs, there)
        elif here:
            self._check(name, args, kwargs, tensors)
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        own, named = tree_map(lambda x: x.held if isinstance(x, Held) else x, (args, kwargs))
        result = func(*own, **named)
        if not there or (name is aten.copy_ and not isinstance(args[0], Held)):
            return result
        outer = tree_map(lambda x: Held(x) if isinstance(x, Tensor) else x, result)
        return return_and_correct_aliasing(func, args, kwargs, outer) if here else outer

    def _check_copy(self, name, args, kwargs, there: bool) -> None:
        """From and to the CPU: without waiting only if asked for, and of contiguous memory."""
        target, source = args[:2] if name is aten.copy_ else (None, args[0])
        there = isinstance(target, Held) if name is aten.copy_ else there
        late = kwargs.get("non_blocking", name is aten.copy_ and len(args) > 2 and args[2])
        if isinstance(source, Held) and not there:
            self._wait(f"{name} to the CPU")
        elif there and not isinstance(source, Held) and not (late and source.is_contiguous()):
            self._wait(f"{name} from the CPU")

    def _check(self, name, args, kwargs, tensors: list[Tensor]) -> None:
        """An operation with a tensor of the device."""
        others = [x for x in tensors if not isinstance(x, Held)]
        if name in READ:
            self._wait(str(name))
        if name in INDEX:
            for index in args[1]:
                if index is not None and index.dtype in (torch.bool, torch.uint8):
                    self._wait(f"{name} with a mask")
                if index is not None and not isinstance(index, Held):
                    self._wait(f"{name} with an index of the CPU")
            others = [x for x in others if not any(x is index for index in args[1])]
        if any(x.ndim for x in others):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        random = kwargs.get("generator")
        if random and random._cdata not in [own._cdata for own in self._generators]:
            raise RuntimeError(f"{name}: expected a generator of the device")

    def _wait(self, what: str) -> None:
        frame = sys._getframe(1)
        while frame and "muse" not in frame.f_code.co_filename.split("/"):
            frame = frame.f_back
        place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "-"
        self.waits.append(f"{what} {place}")


@contextmanager
def pretended() -> Iterator[Pretended]:
    """The device, as long as this lasts."""
    # in place, the weights of a module would get another type and keep what they hold
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with Pretended() as device:
            yield device
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def without(action):
    """What an action on the CPU alone returns, not watched, which is faster."""
    with _disable_current_modes():
        return action()
