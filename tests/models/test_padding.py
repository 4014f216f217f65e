"""Every shipped model gives a recording the same outputs alone and beside a longer one."""

import pytest
import torch

from muse.config.shipped import config_folder
from muse.models import build_model
from tests.models.test_recurrent import LENGTHS, padded_batch

# those with pretrained weights have tests of their own
FILES = (config_folder() / "model").glob("*.yaml")
MODELS = sorted(path.stem for path in FILES if "weights: ???" not in path.read_text())
MORE = {"bidirectional": True, "layers": 2, "blocks": 2, "attention_layers": 2, "pad": True}


@pytest.mark.parametrize("deep", [False, True], ids=["as shipped", "deep"])
@pytest.mark.parametrize("model", MODELS)
def test_alone_or_padded_is_the_same(make_config, model, deep):
    settings = make_config("train", "task=stress", "features=a", f"model={model}").model
    if deep:
        settings |= {key: value for key, value in MORE.items() if key in settings}
    dim = 10 if settings.get("pad") else 8
    sets = {"x": 4, "y": dim - 4}
    if "audio" in settings:
        dim, sets = 1000, {"x": 4, "audio": 996}
    torch.manual_seed(1)
    net = build_model(settings, sets, 2).double().eval()
    x = padded_batch(dim)
    together = net(x, LENGTHS)
    assert together.shape == (4, 9, 2)
    mask = torch.arange(9) < LENGTHS[:, None]
    gradient = torch.autograd.grad(together[mask].square().sum(), net.parameters())
    total = [torch.zeros_like(part) for part in gradient]
    for row, length in enumerate(LENGTHS.tolist()):
        alone = net(x[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-13)
        for sum_, part in zip(
            total, torch.autograd.grad(alone.square().sum(), net.parameters()), strict=True
        ):
            sum_ += part
    for mine, expected in zip(gradient, total, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-11)
