"""Features of the pictures of videos: what a network gets, at which frames, the real networks."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from muse.commands import extract as command
from muse.config.extract import FacesConfig
from muse.errors import MuseError
from muse.extraction.networks.facenet import FaceNet
from muse.extraction.networks.vggface import VggFace
from muse.extraction.networks.xception import Xception
from muse.extraction.visual import (
    RECIPES,
    Recipe,
    compute_features,
    extract_pictures,
    load_mtcnn,
)
from tests.extraction.networks import write_weights
from tests.extraction.test_faces import bright_squares
from tests.extraction.test_video import greys, with_ffmpeg, write_video

FACES = FacesConfig(weights=None, smallest=20, choose="largest", margin=0.0)
PLAIN = Recipe(8, [0.0] * 3, [1.0] * 3)
SKIN, EYES = (220, 170, 130), (60, 30, 10)


class Means(nn.Module):
    """The mean red, green and blue of each picture, instead of a network."""

    def __init__(self):
        super().__init__()
        self.sizes = []  # of the batches
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(pictures))
        return pictures.mean(dim=(2, 3)) * self.one


def drawn_face(left: int, top: int, side: int = 24) -> np.ndarray:
    """A grey picture with a square face, which has two eyes and a mouth."""
    pixels = np.full((60, 80, 3), 90, np.uint8)
    face = pixels[top : top + side, left : left + side]
    face[:] = SKIN
    third = side // 3
    face[third : third + 3, third - 3 : third] = face[third : third + 3, -third : 3 - third] = EYES
    face[-6:-4, third:-third] = EYES
    return pixels


def find_drawn(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A detector: the box around all that has the colours of the drawn face."""
    rows, columns = np.nonzero((picture == SKIN).all(axis=2) | (picture == EYES).all(axis=2))
    if not len(rows):
        return np.zeros((0, 4)), np.zeros(0)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return np.array([box], float), np.ones(1)


def extracted(
    path: Path, times: np.ndarray | float, detector: Callable | None = None, recipe=PLAIN, **more
) -> tuple[np.ndarray, list[str], Means]:
    """Features (frames, 3) at times, or every so many seconds, with their warnings."""
    network = Means()
    found, columns, notes = extract_pictures(
        path,
        (lambda s: np.arange(int(s / times)) * 1000 * times) if np.isscalar(times)
        else lambda _: times,
        name="means", network=lambda: network, recipe=recipe, detector=detector,
        faces=more.pop("faces", FACES), batch_size=more.pop("batch_size", 4),
    )  # fmt: skip
    assert list(columns) == [f"means_{k}" for k in range(3)]
    assert all(len(column) == len(found) for column in columns.values())
    return np.stack(list(columns.values()), axis=1), notes, network


@with_ffmpeg
def test_whole_pictures_at_the_frames_of_labels(tmp_path):
    """A colour per 0.3 s, frames every 0.25 s, in batches of four."""
    path = write_video(tmp_path / "1.mkv", greys(10), np.arange(10) * 0.3)
    values, notes, network = extracted(path, 0.25)
    assert len(values) == 11 and not notes  # 3 s, less the end of the last picture, which ffmpeg
    expected = 10 * np.floor(np.arange(11) * 0.25 / 0.3 + 1e-9)
    assert np.abs(values - expected[:, None]).max() <= 1
    assert network.sizes == [4, 4, 3]


@with_ffmpeg
def test_faces_are_cropped_and_frames_without_are_zeros(tmp_path):
    """The face moves, is missing in the third picture, and is all that the network sees."""
    pictures = np.stack([drawn_face(5, 10), drawn_face(50, 30), np.full((60, 80, 3), 90, np.uint8),
                         drawn_face(20, 0, side=48)])  # fmt: skip
    path = write_video(tmp_path / "1.mkv", pictures, np.arange(4) * 0.5)
    values, notes, network = extracted(path, np.arange(4) * 500.0, find_drawn)
    assert (values[2] == 0).all() and not notes and network.sizes == [3]
    for row, (left, top, side) in ((0, (5, 10, 24)), (1, (50, 30, 24)), (3, (20, 0, 48))):
        crop = Image.fromarray(pictures[row][top : top + side, left : left + side])
        expected = np.asarray(crop.resize((8, 8), Image.Resampling.BILINEAR)).mean(axis=(0, 1))
        assert values[row] == pytest.approx(expected, abs=1e-3)
    wide = FacesConfig(weights=None, smallest=20, choose="largest", margin=0.25)
    values, _, _ = extracted(path, np.zeros(1), find_drawn, faces=wide)
    crop = Image.fromarray(pictures[0][4:40, 0:35])
    expected = np.asarray(crop.resize((8, 8), Image.Resampling.BILINEAR)).mean(axis=(0, 1))
    assert values[0] == pytest.approx(expected, abs=1e-3)


@with_ffmpeg
def test_frames_without_pictures_are_zeros_and_are_reported(tmp_path):
    path = write_video(tmp_path / "1.mkv", greys(10) + 50, np.arange(10) * 0.1)
    times = np.array([0, 500, 500, 900, 1200, 60_000.0])
    values, notes, _ = extracted(path, times)
    assert values[:, 0].tolist() == pytest.approx([50, 100, 100, 140, 0, 0])
    assert "2 of 6 frames are outside its pictures, which are from 0 to" in notes[0]
    with pytest.raises(MuseError, match=r"1\.mkv: none of its 2 frames is between 0 and"):
        extracted(path, times[4:])
    values, notes, _ = extracted(path, times[:3], find_drawn)
    assert (values == 0).all() and notes == [f"{path}: no face in any of its pictures: zeros."]


def test_what_the_networks_get():
    """Standardised as published: the channels of one pixel by hand."""
    pixel = np.array([200, 100, 50])
    expected = {
        "vggface": [200 - 129.1863, 100 - 104.7624, 50 - 93.5940],
        "facenet": (pixel - 127.5) / 128,
        "xception": pixel / 127.5 - 1,
        "vit": (pixel / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    }
    sizes = {"vggface": 224, "facenet": 160, "xception": 299, "vit": 224}
    for name, recipe in RECIPES.items():
        assert recipe.size == sizes[name]
        picture = np.full((4, 4, 3), pixel, np.uint8)
        values, any_face = compute_features(
            iter([None, picture, None]), Means(), recipe, 2, Path("1.mp4")
        )
        assert any_face and values[1] == pytest.approx(expected[name], abs=1e-4)
        assert values.dtype == np.float32 and not values[[0, 2]].any()


def test_the_networks_are_those_published():
    """Numbers of parameters of the published networks, and what their output has to be."""
    with torch.device("meta"):
        counts = {build: sum(p.numel() for p in build().parameters())
                  for build in (VggFace, FaceNet, Xception)}  # fmt: skip
    assert counts == {VggFace: 14_714_688, FaceNet: 23_482_624, Xception: 20_806_952}


def videos(home: Path) -> Path:
    """Half a second each: a bright square, black, the square; black only; and a broken file."""
    home.mkdir()
    bright = np.zeros((60, 80, 3), np.uint8)
    bright[10:50, 20:60] = 255, 240, 230
    both = np.stack([bright, np.zeros_like(bright), bright, bright])
    write_video(home / "1.mkv", both, np.arange(4) * 0.5)
    write_video(home / "2.mkv", np.zeros_like(both), np.arange(4) * 0.5)
    (home / "3.mkv").write_bytes(b"broken")
    return home


@pytest.fixture
def extract(tmp_path, make_config):
    """extract("vggface", weights, "key=value", ...) -> the folder of the features."""
    save_file(bright_squares().state_dict(), tmp_path / "mtcnn.safetensors")

    def call(name: str, weights: Path, *words: str) -> Path:
        own = f"source=[{tmp_path}/videos]", f"out={tmp_path}/package", f"weights={weights}"
        own = *own, f"faces.weights={tmp_path}/mtcnn.safetensors", "device=cpu", "workers=1"
        command.run(make_config("extract", f"extractor={name}", *own, *words))
        return tmp_path / "package/feature_segments" / name

    return call


def read(path: Path) -> np.ndarray:
    return pd.read_csv(path).drop(columns=["timestamp", "segment_id"], errors="ignore").to_numpy()


@with_ffmpeg
def test_vggface_of_faces_and_its_provenance(tmp_path, extract):
    """Zeros without a face, the network's own values with one; the broken file is listed."""
    videos(tmp_path / "videos")
    weights = write_weights(tmp_path / "vggface.safetensors", VggFace, fc6__weight=torch.ones(2, 2))
    labels = tmp_path / "package/label_segments/arousal/1.csv"
    labels.parent.mkdir(parents=True)
    labels.write_text("timestamp,segment_id,value\n0,1,0\n250,1,0\n500,1,0\n1000,1,0\n")
    with pytest.raises(MuseError, match=r"1 of 3 files failed.*\n.*3\.mkv: ffmpeg cannot read"):
        extract("vggface", weights)
    home = tmp_path / "package/feature_segments/vggface"
    table = pd.read_csv(home / "1.csv")
    assert list(table) == ["timestamp", "segment_id", *(f"vggface_{k}" for k in range(512))]
    values = read(home / "1.csv")
    assert not values[2].any() and values[[0, 1, 3]].any(axis=1).all()
    assert np.array_equal(values[0], values[1]) and np.array_equal(values[0], values[3])
    assert not read(home / "2.csv").any() and read(home / "2.csv").shape == (3, 512)
    about = json.loads((home / "extraction.json").read_text())
    assert about["tool"]["name"] == "torch" and list(about["files"]) == ["1", "2"]
    settings = about["settings"]
    assert settings["mean"] == [129.1863, 104.7624, 93.594] and settings["faces"]["smallest"] == 20
    digest = settings["faces"]["weights"]
    assert len(digest) == 16 and "mtcnn" not in json.dumps(settings)
    with pytest.raises(MuseError, match=r"made in another way \(faces was .*margin"):
        extract("vggface", weights, "faces.margin=0.3")


@pytest.mark.slow
@with_ffmpeg
def test_xception_of_whole_pictures(tmp_path, extract):
    """Black pictures have features as well; a detector is not needed."""
    videos(tmp_path / "videos")
    (tmp_path / "videos/3.mkv").unlink()
    weights = write_weights(tmp_path / "xception.safetensors", Xception, fc__bias=torch.ones(3))
    home = extract("xception", weights, "faces.weights=null")
    values = read(home / "1.csv")
    assert values.shape == (3, 2048) and values.any(axis=1).all()
    assert np.array_equal(values[0], values[2]) and not np.array_equal(values[0], values[1])
    assert "faces" not in json.loads((home / "extraction.json").read_text())["settings"]


@pytest.mark.slow
@with_ffmpeg
def test_facenet_gives_vectors_of_length_1(tmp_path, extract):
    videos(tmp_path / "videos")
    (tmp_path / "videos/3.mkv").unlink()
    weights = write_weights(tmp_path / "facenet.safetensors", FaceNet, logits__bias=torch.ones(3))
    values = read(extract("facenet", weights) / "1.csv")
    assert values.shape == (3, 512)
    assert np.linalg.norm(values, axis=1) == pytest.approx([1, 0, 1], abs=1e-5)


@pytest.mark.slow
@with_ffmpeg
def test_vit_takes_the_recipe_of_its_folder(tmp_path, extract):
    transformers = pytest.importorskip("transformers")
    videos(tmp_path / "videos")
    (tmp_path / "videos/3.mkv").unlink()
    config = transformers.ViTConfig(
        hidden_size=384, num_attention_heads=6, intermediate_size=1536, num_hidden_layers=2,
        image_size=32, patch_size=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit = transformers.ViTModel(config)
    vit.save_pretrained(tmp_path / "vit")
    recipe = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    beside = tmp_path / "vit/preprocessor_config.json"
    beside.write_text(json.dumps(recipe | {"resample": 3}))
    home = extract("vit", tmp_path / "vit")
    values = read(home / "1.csv")
    assert values.shape == (3, 384) and not values[1].any()
    settings = json.loads((home / "extraction.json").read_text())["settings"]
    assert settings["size"] == 32 and settings["resample"] == 3 and settings["mean"] == [127.5] * 3
    picture = np.full((32, 32, 3), (255, 240, 230), np.uint8)
    black = np.zeros_like(picture)
    recipe = Recipe(32, [127.5] * 3, [63.75] * 3)
    given, _ = compute_features(iter([picture, black]), vit.eval(), recipe, 2, Path("1"))
    with torch.no_grad():
        pixels = (torch.tensor(picture).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
        expected = vit(pixels).last_hidden_state[0, 0].numpy()
    assert given[0] == pytest.approx(expected, abs=1e-5)
    beside.write_text('{"size": 32}')
    with pytest.raises(MuseError, match=r"preprocessor_config\.json: damaged"):
        extract("vit", tmp_path / "vit")


@with_ffmpeg
def test_missing_weights_say_where_they_are(tmp_path, extract):
    videos(tmp_path / "videos")
    for name, word in (("vggface", "vgg_face_dag"), ("facenet", "facenet-pytorch"),
                       ("xception", "hf download timm/")):  # fmt: skip
        with pytest.raises(MuseError, match=f"weights= is missing.*{word}") as caught:
            extract(name, "null")
        assert "\n" not in str(caught.value)
    with pytest.raises(MuseError, match=r"faces\.weights= is missing.*MTCNN"):
        load_mtcnn(None)
    save_file({"conv1.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(MuseError, match="not the weights of this network"):
        load_mtcnn(str(tmp_path / "other.safetensors"))
