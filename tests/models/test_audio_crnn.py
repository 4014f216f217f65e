"""End2You: convolutions within frames, against the same by hand, and its limits."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d

from muse.errors import MuseError
from muse.models import audio_crnn
from muse.models.audio_crnn import AudioCRNN, FrameConvolutions
from muse.training.memory import frame_bytes
from tests.conftest import kept_for_backward

SMALL = {"channels": [3, 4], "kernels": [4, 3], "pools": [5, 2], "hidden": 6}


def batch(width: int, frames: int = 5) -> torch.Tensor:
    return torch.randn(2, frames, width, generator=torch.Generator().manual_seed(0))


def test_the_published_sizes():
    model = AudioCRNN({"vggface": 512, "audio": 2000, "fasttext": 300}, 3)
    kinds = [nn.Conv1d, nn.MaxPool1d, nn.ReLU, nn.Dropout]
    assert [type(layer) for layer in model.convolutions.layers] == [*kinds * 3, nn.Flatten]
    shapes = [tuple(layer.weight.shape) for layer in model.convolutions.layers[::4][:3]]
    assert shapes == [(50, 1, 8), (125, 50, 8), (250, 125, 6)]
    assert [layer.kernel_size for layer in model.convolutions.layers[1::4]] == [10, 8, 6]
    assert {layer.p for layer in model.convolutions.layers[3::4]} == {0.5}
    # 2000 -> 1993 / 10 -> 192 / 8 -> 19 / 6 = 3 places of 250 channels
    assert model.convolutions.outputs == 750
    lstm = model.lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers) == (512 + 750 + 300, 256, 1)
    output = model.eval()(batch(2812), torch.tensor([5, 3]))
    assert output.shape == (2, 5, 3) and output.abs().max() < 1
    # 16 kHz: 4000 -> 3993 / 10 -> 392 / 8 -> 44 / 6 = 7 places
    assert AudioCRNN({"audio": 4000}, 1).convolutions.outputs == 7 * 250


def test_the_outputs_by_hand():
    torch.manual_seed(1)
    model = AudioCRNN({"x": 2, "audio": 40, "y": 1}, 2, **SMALL).double().eval()
    features = batch(43).double()
    x = features[..., 2:42].reshape(10, 1, 40)
    for layer, pool in zip(model.convolutions.layers[::4][:2], SMALL["pools"], strict=True):
        x = conv1d(x, layer.weight, layer.bias).clamp(min=0)  # 40 -> 37 -> 7 -> 5 -> 2
        count = x.shape[2] // pool
        x = x[..., : count * pool].unflatten(2, (count, pool)).amax(3)
    x = torch.cat([features[..., :2], x.reshape(2, 5, 8), features[..., 42:]], 2)
    expected = model.output(model.lstm(x.transpose(0, 1))[0]).transpose(0, 1)
    got = model(features, torch.tensor([5, 5]))
    torch.testing.assert_close(got, expected.tanh(), rtol=0, atol=1e-12)
    model.last = AudioCRNN({"audio": 40}, 1, **SMALL, tanh=False).last
    torch.testing.assert_close(model(features, torch.tensor([5, 5])), expected, rtol=0, atol=1e-12)


def test_a_frame_is_convolved_by_itself():
    net = FrameConvolutions(40, [3], [4], [5], 0.5).eval()
    x = batch(40).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[1, 3].sum(), x)
    touched = torch.zeros(2, 5, dtype=torch.bool)
    touched[1, 3] = True
    assert torch.equal(gradient.any(2), touched)


def test_parts_of_a_long_recording_are_those_of_the_whole(monkeypatch):
    net = FrameConvolutions(40, [3, 4], [4, 3], [5, 2], 0.5).double().train()
    x = batch(40, 21).double()

    def run() -> list[torch.Tensor]:
        torch.manual_seed(3)
        output = net(x)
        return [output, *torch.autograd.grad(output.square().sum(), net.parameters())]

    monkeypatch.setattr(audio_crnn, "FRAMES_AT_ONCE", 8)
    kept, expected = kept_for_backward(net, x)[0], run()
    monkeypatch.setattr(audio_crnn, "STEP_BYTES", 0)  # all is computed again
    for got, want in zip(run(), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    assert kept_for_backward(net, x)[0] < kept / 5
    monkeypatch.setattr(audio_crnn, "FRAMES_AT_ONCE", 1000)
    with torch.no_grad():
        net.eval()
        whole = net(x)
        monkeypatch.setattr(audio_crnn, "FRAMES_AT_ONCE", 8)
        torch.testing.assert_close(net(x), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("samples", [2000, 4000])
def test_the_memory_of_a_frame_is_known(samples):
    model = AudioCRNN({"audio": samples}, 1).train()
    few, many = (
        kept_for_backward(model, batch(samples, frames), torch.tensor([frames] * 2))[0]
        for frames in (5, 25)
    )
    kept = (many - few) / 40  # the rest is what the backward pass needs for a while
    assert kept < frame_bytes(model, samples) < 1.25 * kept


@pytest.mark.parametrize(
    ("sets", "settings", "message"),
    [
        ({"a": 3, "b": 2}, {}, "model.audio=audio: .* the features are a, b. Give features="),
        ({"audio": 400}, {}, "a frame of 400 samples is too short for kernels=.8, 8, 6."),
        ({"audio": 400}, {"kernels": [8, 8]}, r"kernels=\[8, 8\], .*: expected as many of each"),
        ({"audio": 400}, {"pools": 10}, "model.pools=10: expected a list"),
        ({"audio": 400}, {"channels": [5, 0, 5]}, "model.channels=0: expected a whole number"),
        ({"audio": 400}, {"dropout": 1}, "model.dropout=1: expected a probability"),
        ({"audio": 400}, {"tanh": "yes"}, "model.tanh=yes: expected true or false"),
    ],
)
def test_settings_that_do_not_fit_are_refused(sets, settings, message):
    with pytest.raises(MuseError, match=message):
        AudioCRNN(sets, 1, **settings)
