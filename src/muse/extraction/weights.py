"""Weights of pretrained networks, from files of this machine: safetensors, never pickle.

A network is built without memory (PyTorch's device ``meta``) and gets the tensors of the file,
whose names and shapes must be its own.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from muse.config.fields import path_of
from muse.cores import find_device
from muse.data.layout import is_name
from muse.errors import MuseError
from muse.files import checksum, checksum_of, read_bytes

# endings of files whose reading may run what is in them
PICKLED = (".bin", ".pt", ".pth", ".pth.tar", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
CONVERT = (
    'python -c "import sys, torch; from safetensors.torch import save_file; save_file({k: '
    "v.clone().contiguous() for k, v in torch.load(sys.argv[1], weights_only=True).items()}, "
    'sys.argv[2])" FROM.pt TO.safetensors'
)
SHOWN = 3  # wrong names in an error
COUNTER = ".num_batches_tracked"  # of batch normalisation, which only training uses


def load_weights(path: str | Path | None, what: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of a .safetensors file, or of the folder of a model of the Hugging Face hub.

    Args:
        path: the file or folder. A folder has model.safetensors, or model.safetensors.index.json
            and the files that it names.
        what: a model on the hub that has such weights, for the line that says how to get them; or
            that line.

    Returns:
        Name -> tensor, floating-point numbers as float32; and the digest of all files that were
        read, for the provenance.

    Raises:
        MuseError: no path, nothing there, a pickle, a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: dict[str, Tensor] = {}
    for file in weight_files(path, what):
        try:
            part = load_file(file)
        except (SafetensorError, OSError) as error:
            raise MuseError(f"{file}: damaged ({error}). {how_to_get(what)}") from None
        found |= {k: v.float() if v.is_floating_point() else v for k, v in part.items()}
    return found, digest_of_weights(path, what)


def digest_of_weights(path: str | Path | None, what: str) -> str:
    """Digest of the files that the weights are in, and of the config.json beside them."""
    parts = [checksum_of(file) for file in weight_files(path, what)]
    config = path_of(str(path)) / "config.json"
    if config.is_file():
        parts.append(checksum_of(config))
    return checksum("".join(parts).encode()) if len(parts) > 1 else parts[0]


def weight_files(path: str | Path | None, what: str) -> list[Path]:
    """The .safetensors files of a path; raises MuseError as `load_weights`."""
    if path is None:
        raise MuseError(f"weights= is missing. {how_to_get(what)}")
    path = path_of(str(path))
    if path.name.lower().endswith(PICKLED):
        raise MuseError(
            f"weights={path}: only .safetensors files are read, since others can run code. "
            f"{how_to_get(what)} Or convert a file of PyTorch that you trust: {CONVERT}"
        )
    if not path.exists():
        raise MuseError(f"weights={path}: there is no such file or folder. {how_to_get(what)}")
    if path.is_file():
        return [path]
    whole, index = path / "model.safetensors", path / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        pickled = [p.name for p in sorted(path.iterdir()) if p.name.endswith(PICKLED)]
        other = f"; {', '.join(pickled)} can run code and is not read" if pickled else ""
        raise MuseError(f"weights={path}: no model.safetensors in it{other}. {how_to_get(what)}")
    try:
        names = sorted(set(json.loads(read_bytes(index))["weight_map"].values()))
        if not all(map(is_name, names)):
            raise ValueError("it names files outside the folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MuseError(f"{index}: damaged ({error}). {how_to_get(what)}") from None
    for name in names:
        if not (path / name).is_file():
            raise MuseError(f"{path / name}: the file is missing. {how_to_get(what)}")
    return [path / name for name in names]


def weight_bytes(path: str | Path | None, what: str) -> int:
    """Bytes that the weights take in memory, as in the file or as float32."""
    return 2 * sum(file.stat().st_size for file in weight_files(path, what))


def torch_version() -> dict[str, str]:
    """PyTorch as the tool of an `Extractor`, whatever device its build is for."""
    return {"name": "torch", "version": torch.__version__.partition("+")[0]}


def how_to_get(what: str) -> str:
    """One line: what `weights=` is, and the command that fetches it; a sentence stays as it is."""
    if " " in what:
        return what
    folder = what.rpartition("/")[2]
    return (
        "Expected a .safetensors file or the folder of a model of the Hugging Face hub: "
        f"hf download {what} --local-dir {folder}, then weights={folder}."
    )


def load_network(
    build: Callable[[], nn.Module], path: str | Path | None, what: str, unused: tuple[str, ...] = ()
) -> tuple[nn.Module, str]:
    """A network with the weights of a file, ready to be used, not to be trained.

    Args:
        build: makes the network. All its buffers must be in its state dict.
        path, what: see `load_weights`.
        unused: beginnings of names in the file that the network does without, such as "head.".

    Returns:
        The network in evaluation mode on the CPU, and the digest of the files.

    Raises:
        MuseError: see `load_weights`; names or shapes that are not those of the network.
    """
    state, digest = load_weights(path, what)
    with torch.device("meta"):
        network = build()
    expected = network.state_dict()
    state |= {name: torch.zeros_like(value, device="cpu") for name, value in expected.items()
              if name.endswith(COUNTER) and name not in state}  # fmt: skip
    state = {k: v for k, v in state.items() if k in expected or not k.startswith(unused)}
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    other = [f"{k} {tuple(state[k].shape)} instead of {tuple(v.shape)}"
             for k, v in expected.items() if k in state and state[k].shape != v.shape]  # fmt: skip
    check_names(path, what, missing, unexpected, other)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False), digest


def check_names(
    path: str | Path | None, what: str, missing: list, unexpected: list, other: list
) -> None:
    """Raise MuseError with the names that are wrong, if any."""
    wrong = [
        f"{len(names)} {text} ({', '.join(names[:SHOWN])}{', ...' * (len(names) > SHOWN)})"
        for text, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", other),
        )
        if names
    ]
    if wrong:
        raise MuseError(
            f"weights={path}: not the weights of this network: {'; '.join(wrong)}. "
            f"{how_to_get(what)}"
        )


@lru_cache(maxsize=2)
def network_on(device: str, load: Callable[..., tuple[nn.Module, str]], *arguments) -> nn.Module:
    """The network that ``load(*arguments)`` gives, on a device and read once per process.

    ``load`` must be a function of a module, which is the same in every call.
    """
    torch.backends.cudnn.allow_tf32 = False  # a GPU would round to 10 bits of a mantissa
    return load(*arguments)[0].to(find_device(device))


def load_transformer(
    architecture: type,
    path: str | Path | None,
    what: str,
    optional: tuple[str, ...] = (),
    **options,
) -> tuple[nn.Module, str]:
    """A network of the library transformers from the folder of a model of the hub.

    Args:
        architecture: its class there, such as BertModel.
        path: folder with config.json and the weights.
        what: see `load_weights`.
        optional: beginnings of the names of weights that may be missing, since they are not used.
        options: arguments of its constructor.

    Returns:
        The network in evaluation mode on the CPU, and the digest of its files. Weights in the
        folder that it does without, such as those of a head, are left out.

    Raises:
        MuseError: see `load_weights`; a folder of another architecture or with other shapes.
    """
    digest = digest_of_weights(path, what)
    folder = path_of(str(path))
    kind = architecture.config_class.model_type
    try:
        found = json.loads(read_bytes(folder / "config.json", how_to_get(what)))["model_type"]
    except (ValueError, KeyError, TypeError):
        found = "unknown"
    if found != kind:
        raise MuseError(
            f"{folder / 'config.json'}: model_type {found}; expected {kind}. {how_to_get(what)}"
        )
    try:
        with _quiet():
            network, info = architecture.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are found below
                output_loading_info=True,
                dtype=torch.float32,
                **options,
            )
    except Exception as error:  # transformers raises what it likes for files it does not take
        reason = " ".join(str(error).split())
        raise MuseError(
            f"weights={path}: cannot be loaded ({reason}). {how_to_get(what)}"
        ) from None
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(optional))
    other = [f"{k} {tuple(a)} instead of {tuple(b)}" for k, a, b in sorted(info["mismatched_keys"])]
    check_names(path, what, missing, [], other)
    return network.eval().requires_grad_(False), digest


def import_transformers(extractor: str):
    """The library transformers, or MuseError with how to get it."""
    try:
        import transformers
    except ImportError:
        raise MuseError(
            f"muse extract {extractor} needs the package transformers: pip install "
            "'muse[networks]', in a checkout pip install -c constraints.txt -e '.[networks]'."
        ) from None
    return transformers


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor reports of transformers, which go to standard error."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own names
            yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def check_finite(values: Tensor, path: Path) -> Tensor:
    """Features of a batch; MuseError if one is not finite, as with weights of another network."""
    if not torch.isfinite(values).all():
        raise MuseError(f"{path}: the network gives features that are not finite; see weights=.")
    return values
