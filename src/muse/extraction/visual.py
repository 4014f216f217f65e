"""Features of the pictures of a video, or of the faces in them, by a network.

vggface and xception of Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge,
section 3.3, facenet and vit of MuSe 2023: of the picture that is shown at the time of a frame. A
frame without a face is zeros, as in section 3.5 of the former.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from muse.config.extract import ExtractConfig, FacesConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.extraction.faces import Detector, choose_face, crop_face, find_faces
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.media import VIDEO, find_ffmpeg
from muse.extraction.networks.facenet import FaceNet
from muse.extraction.networks.mtcnn import Mtcnn
from muse.extraction.networks.vggface import VggFace
from muse.extraction.networks.xception import Xception
from muse.extraction.video import read_frames, shown_frames, video_span
from muse.extraction.weights import (
    check_finite,
    load_network,
    load_transformer,
    network_on,
    torch_version,
    weight_bytes,
)
from muse.files import read_bytes

PICTURE_BYTES = 2**29  # what a picture of 3840 x 2160 pixels takes on its way through MTCNN
INPUT_BYTES = 40 * 2**20  # what a crop takes on its way through a network
Load = Callable[[str | None], tuple[nn.Module, str]]  # weights -> network, digest
# what a network takes of each picture, (size, size, 3) uint8, or None
Inputs = Iterator[np.ndarray | None]


@dataclass(frozen=True)
class Recipe:
    """How a network takes pictures: stretched to a square, colours standardised."""

    size: int  # pixels of the side
    mean: list[float]  # of red, green and blue, 0 to 255
    deviation: list[float]
    resample: int = 2  # filter of Pillow: bilinear


VGGFACE = ("Expected the file vgg_face_dag.pth of www.robots.ox.ac.uk/~albanie/pytorch-models.html "
           "as .safetensors; docs/extract.md says how.")  # fmt: skip
FACENET = ("Expected the file 20180402-114759-vggface2.pt of github.com/timesler/facenet-pytorch "
           "as .safetensors; docs/extract.md says how.")  # fmt: skip
MTCNN = ("Expected the weights of MTCNN of github.com/timesler/facenet-pytorch as .safetensors; "
         "docs/extract.md says how.")  # fmt: skip
XCEPTION, VIT = "timm/legacy_xception.tf_in1k", "facebook/dino-vits16"
RECIPES = {
    "vggface": Recipe(224, [129.1863, 104.7624, 93.5940], [1.0] * 3),  # mean of its training data
    "facenet": Recipe(160, [127.5] * 3, [128.0] * 3),
    "xception": Recipe(299, [127.5] * 3, [127.5] * 3),
    # that of DINO's own code, unless the folder of the weights has another
    "vit": Recipe(224, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
}
FACES = "vggface", "facenet", "vit"  # that take faces, not whole pictures


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract vggface`, `facenet`, `xception` and `vit` do.

    Raises MuseError if ffmpeg or weights are missing, or weights cannot be used.
    """
    find_ffmpeg()
    load, what = LOAD[config.extractor]
    _, digest = load(config.weights)
    recipe = recipe_of(config.extractor, config.weights)
    settings = {"weights": digest, **asdict(recipe)}
    memory = weight_bytes(config.weights, what) + config.batch_size * INPUT_BYTES + PICTURE_BYTES
    detector = None
    if config.extractor in FACES:
        _, digest = load_mtcnn(config.faces.weights)
        settings["faces"] = asdict(config.faces) | {"weights": digest}
        detector = partial(_detect, config.device, config.faces)
    extract = partial(
        extract_pictures,
        name=config.extractor,
        network=partial(network_on, config.device, load, config.weights),
        recipe=recipe,
        detector=detector,
        faces=config.faces,
        batch_size=config.batch_size,
    )
    return Extractor(
        VIDEO, torch_version(), settings, lambda path: memory, extract, device=config.device
    )


def recipe_of(name: str, weights: str | None) -> Recipe:
    """The recipe of an extractor; of vit as preprocessor_config.json beside its weights says.

    Raises MuseError if that is damaged.
    """
    path = path_of(str(weights)) / "preprocessor_config.json"
    if name != "vit" or not path.is_file():
        return RECIPES[name]
    try:
        found = json.loads(read_bytes(path))
        size, old = found["size"], RECIPES[name]
        size = size["height"] if isinstance(size, dict) else size
        mean, deviation = ([255 * float(x) for x in found[key]]
                           for key in ("image_mean", "image_std"))  # fmt: skip
        resample = int(found.get("resample", old.resample))
        return replace(old, size=int(size), mean=mean, deviation=deviation, resample=resample)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MuseError(f"{path}: damaged ({error!r}). Copy it again from its source.") from None


def load_vggface(weights: str | None) -> tuple[nn.Module, str]:
    return load_network(VggFace, weights, VGGFACE, ("fc6.", "fc7.", "fc8."))


def load_facenet(weights: str | None) -> tuple[nn.Module, str]:
    return load_network(FaceNet, weights, FACENET, ("logits.",))


def load_xception(weights: str | None) -> tuple[nn.Module, str]:
    return load_network(Xception, weights, XCEPTION, ("fc.",))


def load_vit(weights: str | None) -> tuple[nn.Module, str]:
    try:
        from transformers import ViTModel
    except ImportError as error:
        raise MuseError(
            f"muse extract vit needs transformers ({error}): pip install 'muse[networks]'"
        ) from None
    return load_transformer(ViTModel, weights, VIT, add_pooling_layer=False)


def load_mtcnn(weights: str | None) -> tuple[nn.Module, str]:
    if weights is None:
        raise MuseError(f"faces.weights= is missing. {MTCNN}")
    return load_network(Mtcnn, weights, MTCNN)


LOAD: dict[str, tuple[Load, str]] = {
    "vggface": (load_vggface, VGGFACE),
    "facenet": (load_facenet, FACENET),
    "xception": (load_xception, XCEPTION),
    "vit": (load_vit, VIT),
}


def _detect(device: str, faces: FacesConfig, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return find_faces(network_on(device, load_mtcnn, faces.weights), faces.smallest, picture)


def extract_pictures(
    path: Path,
    times_of: Times,
    name: str,
    network: Callable[[], nn.Module],
    recipe: Recipe,
    detector: Detector | None,
    faces: FacesConfig,
    batch_size: int,
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording.

    Args:
        path: a video.
        times_of: gets the seconds of the recording, gives the times of its frames in ms.
        name: of the columns, name_0 and so on.
        network: gives the network; asked for a file that has pictures.
        detector: finds the faces of a picture; None: the network takes whole pictures.
        batch_size: pictures that go through the network at once.

    Returns:
        Times of the frames (frames,) ms, column -> values (frames,) float32, zeros where no face is
        found or no picture is shown; and warnings.

    Raises:
        MuseError: see `video_span` and `read_frames`; no frame in the time of the pictures;
            features that are not finite.
    """
    begin, end = video_span(path)
    times = times_of(end)
    shown = shown_frames(path, times, begin, end)
    unique, place = np.unique(times[shown], return_inverse=True)
    inputs = _inputs(read_frames(path, unique), recipe, detector, faces)
    found, any_face = compute_features(inputs, network(), recipe, batch_size, path)
    values = np.zeros((len(times), found.shape[1]), np.float32)
    values[shown] = found[place]
    notes = []
    if not shown.all():
        notes.append(f"{path}: {(~shown).sum()} of {len(times)} frames are outside its pictures, "
                     f"which are from {begin:.3g} to {end:.3g} s: zeros.")  # fmt: skip
    if not any_face:
        notes.append(f"{path}: no face in any of its pictures: zeros.")
    return times, {f"{name}_{k}": column for k, column in enumerate(values.T)}, notes


def _inputs(
    pictures: Iterator[np.ndarray], recipe: Recipe, detector: Detector | None, faces: FacesConfig
) -> Inputs:
    for picture in pictures:
        if detector is not None:
            box = choose_face(*detector(picture), faces.choose)
            picture = None if box is None else crop_face(picture, box, faces.margin)
        yield None if picture is None else resized(picture, recipe)


def resized(picture: np.ndarray, recipe: Recipe) -> np.ndarray:
    """A picture stretched to (size, size, 3) uint8 by Pillow, as published code does it."""
    square = recipe.size, recipe.size
    return np.asarray(Image.fromarray(picture).resize(square, Image.Resampling(recipe.resample)))


@torch.inference_mode()
def compute_features(
    inputs: Inputs, network: nn.Module, recipe: Recipe, batch_size: int, path: Path
) -> tuple[np.ndarray, bool]:
    """Features (inputs, columns) float32, zeros for None; and whether there is any that is not.

    The first token of a ViT, the output of other networks.
    """
    device = next(network.parameters()).device
    mean, deviation = (torch.tensor(x, device=device) for x in (recipe.mean, recipe.deviation))

    def features(batch: list[np.ndarray]) -> np.ndarray:
        pictures = (torch.tensor(np.stack(batch), device=device).float() - mean) / deviation
        given = network(pictures.permute(0, 3, 1, 2))
        given = given if isinstance(given, torch.Tensor) else given.last_hidden_state[:, 0]
        return check_finite(given, path).cpu().numpy()

    places, batch, parts, count = [], [], [], 0
    for count, one in enumerate(inputs, start=1):
        if one is not None:
            batch.append(one)
            places.append(count - 1)
        if len(batch) == batch_size:
            parts.append(features(batch))
            batch = []
    if batch or not parts:  # without any face a black one says how many columns there are
        black = np.zeros((recipe.size, recipe.size, 3), np.uint8)
        parts.append(features(batch or [black]))
    values = np.zeros((count, parts[0].shape[1]), np.float32)
    values[places] = np.concatenate(parts)[: len(places)]
    return values, bool(places)
