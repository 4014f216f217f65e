"""A stream of sound: the values are those of the whole recording, as soon as its windows end."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import muse.commands.annotate
from muse.config.use import DataOfUse, UseConfig
from muse.errors import MuseError
from muse.extraction.feature_files import SoundWindow
from muse.inference.apply import load_run
from muse.inference.stream import _starts, check_stream, delay, follow
from muse.models import build_model
from muse.models.recurrent import check_causal
from tests.inference import loudness
from tests.inference.conftest import tone, write_wav


class Pipe(io.RawIOBase):
    """Standard input that has some bytes at a time, and says how many were read."""

    def __init__(self, data: bytes, piece: int):
        self.data, self.piece, self.read_bytes = data, piece, 0

    def read1(self, most: int) -> bytes:
        found = self.data[self.read_bytes : self.read_bytes + min(self.piece, most)]
        self.read_bytes += len(found)
        return found

    def isatty(self) -> bool:
        return False


@pytest.fixture
def stream(trained, usual, monkeypatch, capsys):
    """stream(bytes, piece) -> the printed rows, and what is said of them."""

    def call(data: bytes, piece: int = 1000) -> tuple[pd.DataFrame, str]:
        pipe = Pipe(data, piece)
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe, isatty=pipe.isatty))
        config = replace(usual, source=None, stream=True, run=str(trained))
        capsys.readouterr()
        muse.commands.annotate.run(config)
        printed = capsys.readouterr()
        return pd.read_csv(io.StringIO(printed.out)), printed.err

    return call


def test_the_values_are_those_of_the_whole_recording(stream, trained, usual, tmp_path):
    """A recording of 9.1 s, of which the last window is moved inwards; an odd last byte."""
    sound = tone(4, 9.1)
    write_wav(tmp_path / "new.wav", sound)
    here = {"source": [f"{tmp_path}/new.wav"], "out": f"{tmp_path}/out"}
    muse.commands.annotate.run(replace(usual, run=str(trained), **here))
    table, said = stream(sound.tobytes() + b"\1", 1001)
    assert table.timestamp.tolist() == [500 * k for k in range(18)]
    for target in ("valence", "arousal"):
        whole = pd.read_csv(tmp_path / f"out/curves/{target}/new.csv")
        assert table[target].to_numpy() == pytest.approx(whole.value.to_numpy(), abs=1e-6)
        assert whole.value.std() > 1e-3
    assert "Values come 0.25 s after the end of their frame" in said
    assert "18 frames of 0.5 s: computed in" in said
    short, _ = stream(sound[:3000].tobytes(), 2**16)  # less than a window
    assert len(short) == 1


def test_a_value_is_there_when_its_window_has_been_heard(trained):
    used, windows = run_of(trained)
    pipe = Pipe(tone(4, 3).tobytes(), 3200)  # pieces of 0.1 s
    heard = {step.timestamp: pipe.read_bytes / 32000 for step in follow(used, windows, pipe)}
    # windows of 1 s around the middle: from 0 (moved inwards), then from 0.25 s on every 0.5 s
    assert heard == pytest.approx({0: 1, 500: 1.3, 1000: 1.8, 1500: 2.3, 2000: 2.8, 2500: 3})
    assert delay(windows, 0.5) == 0.25 and delay({"x": SoundWindow(0.2, None)}, 0.5) == 0


def test_there_are_whole_frames_only(trained):
    """Windows of 0.2 s in the middle of frames of 0.5 s: 1.4 s are two frames, as in a file."""
    used, _ = run_of(trained)
    pipe = Pipe(tone(4, 1.4).tobytes(), 3200)
    heard = {
        step.timestamp: pipe.read_bytes / 32000
        for step in follow(used, {"loud": SoundWindow(0.2, loudness.features)}, pipe)
    }
    assert heard == pytest.approx({0: 0.5, 500: 1})


def test_only_what_windows_need_is_kept(trained, monkeypatch):
    used, windows = run_of(trained)
    kept = []
    monkeypatch.setattr(
        "muse.inference.stream._Heard.part",
        lambda self, start, length: (
            kept.append(len(self.sound)), self.sound[start - self.first :][:length]
        )[1],
    )  # fmt: skip
    for _ in follow(used, windows, Pipe(tone(4, 6).tobytes(), 3200)):
        pass
    assert max(kept) <= 16000 * 1.6


def test_windows_begin_where_those_of_the_tool_do():
    """Frames of 250 ms: the window of 1 s of the third one begins at 0.125 s, 2000 samples."""
    times = np.array([0.0, 250, 500])
    assert _starts(SoundWindow(1.0, None), times, 48000) == ([0, 0, 2000], 16000)
    assert _starts(SoundWindow(1.0, None, 160), times, 48000) == ([0, 0, 1920], 16000)


def run_of(folder):
    """The run of `trained` as a stream uses it, and its windows."""
    use = UseConfig(None, None, [], DataOfUse(None, "", 1))
    return load_run(use, str(folder)), {"loud": SoundWindow(1.0, loudness.features)}


def test_gain(trained):
    """Half as loud with 6.0206 dB more is the same; what is then too loud is clipped."""
    used, windows = run_of(trained)
    sound = tone(4, 4) // 4 * 2

    def valence(data: np.ndarray, gain: float) -> list[float]:
        pipe = Pipe(data.astype("<i2").tobytes(), 1000)
        return [step.values["valence"] for step in follow(used, windows, pipe, gain)]  # noqa: PD011

    assert valence(sound // 2, 6.020599913) == pytest.approx(valence(sound, 0), abs=1e-6)
    assert np.isfinite(valence(sound, 100)).all()


def test_what_is_no_stream(stream, monkeypatch, usual):
    with pytest.raises(MuseError, match="begins with the header of a file"):
        stream(b"RIFF....WAVE", 2)
    with pytest.raises(MuseError, match="ended without any sound"):
        stream(b"")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(MuseError, match="reads sound from standard input"):
        muse.commands.annotate.run(replace(usual, source=None, stream=True))


def test_runs_that_cannot_follow_a_stream(trained):
    used, windows = run_of(trained)
    check_stream(used, windows)
    with pytest.raises(MuseError, match="loud depends on more than the sound of its window"):
        check_stream(used, {"loud": None})
    with pytest.raises(MuseError, match="auto-encoders of its difficulty indicators"):
        check_stream(replace(used, autoencoders=[{"difficulty_loud": None}]), windows)
    other = {"loud": SoundWindow(1.0, lambda sound: {"rms": 0.0})}
    with pytest.raises(MuseError, match="loud has 2 columns, and here others are made"):
        list(follow(used, other, Pipe(tone(4, 2).tobytes(), 3200)))


RECURRENT = "muse.models.recurrent.Recurrent"
PLAIN = "muse.models.plain.PlainRecurrent"
PROJECTED = "muse.models.projected.ProjectedRecurrent"


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("target", [RECURRENT, PLAIN, PROJECTED])
def test_frame_by_frame_is_the_whole(target, cell):
    torch.manual_seed(1)
    settings = {"_target_": target, "cell": cell, "hidden": 5, "layers": 2, "dropout": 0.3}
    model = build_model(settings, {"a": 3}, 2).eval()
    check_causal(model)
    features = torch.randn(1, 9, 3)
    whole = model(features, torch.tensor([9]))
    found, state = [], None
    for part in features.split([1, 1, 4, 3], dim=1):
        output, state = model.step(part, state)
        found.append(output)
    assert torch.allclose(torch.cat(found, dim=1), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"_target_": RECURRENT, "bidirectional": True}, r"model\.bidirectional=true"),
        ({"_target_": PLAIN, "bidirectional": True}, r"model\.bidirectional=true"),
        ({"_target_": PROJECTED, "bidirectional": True}, r"model\.bidirectional=true"),
        ({"_target_": "muse.models.attention.Attention"}, "Attention reads frames that come later"),
        ({"_target_": "muse.models.attention.AttentionRecurrent"}, "reads frames that come later"),
        ({"_target_": "muse.models.gated_cnn.GatedCNN"}, "GatedCNN reads frames that come later"),
    ],
)
def test_models_that_look_ahead(settings, reason):
    with pytest.raises(MuseError, match=reason):
        check_causal(build_model(settings, {"a": 4}, 1))
