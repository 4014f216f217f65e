"""Files of tensors: safetensors with a JSON description and a checksum over both.

A file of tensors is data: nothing in it can be executed. The checksum finds a changed byte
anywhere, so damaged weights never become wrong numbers.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from muse.errors import MuseError
from muse.files import open_regular, write_file


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Write tensors and what is to be known of them (JSON) in one step."""
    # clones: layers may share their weights, which safetensors does not write
    tensors = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    text = json.dumps(about)
    # one entry: safetensors writes several in random order, and equal runs have equal files
    metadata = {"muse": json.dumps({"digest": _digest(tensors, text), "about": text})}

    def write(draft: Path) -> None:
        try:
            save_file(tensors, draft, metadata)
        except SafetensorError as error:  # a full disk
            raise OSError(str(error)) from None

    write_file(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors of a file and their description.

    Raises MuseError if the file is missing, damaged, or not written by muse.
    """
    try:
        open_regular(path).close()  # safetensors would wait for a FIFO
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except FileNotFoundError:
        raise MuseError(f"{path}: the file is missing. Copy the run folder again.") from None
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MuseError(
            f"{path}: not a readable safetensors file ({reason}). Copy the run folder again."
        ) from None
    try:
        muse = json.loads(metadata["muse"])
        text, digest = str(muse["about"]), muse["digest"]
    except (KeyError, TypeError, ValueError):
        raise MuseError(
            f"{path}: not written by `muse train`; expected a file of its run folder."
        ) from None
    if digest != _digest(tensors, text):
        raise MuseError(
            f"{path}: damaged, its content does not fit its checksum. Copy the run folder again."
        )
    return tensors, json.loads(text)


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    """Checksum of names, types, shapes and values in the order of the names."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
