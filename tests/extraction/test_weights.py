"""Weights of networks: safetensors only, wrong names and shapes named, a digest of the files."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from muse.errors import MuseError
from muse.extraction.weights import load_network, load_transformer, load_weights, network_on

WHAT = "somebody/net"


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def weights(tmp_path):
    """weights(**changes) -> a file with the weights of `build`, None removes one."""

    def write(path="net.safetensors", **changes):
        torch.manual_seed(0)
        state = build().state_dict() | {name.replace("__", "."): v for name, v in changes.items()}
        save_file({k: v for k, v in state.items() if v is not None}, tmp_path / path)
        return tmp_path / path

    return write


def test_a_network_gets_the_weights_and_they_are_in_the_digest(weights):
    path = weights()
    network, digest = load_network(build, path, WHAT)
    torch.manual_seed(0)
    own, x = build().eval(), torch.ones(4, 3)
    assert torch.equal(network(x), own(x)) and not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert load_network(build, path, WHAT)[1] == digest
    other = weights("other.safetensors", **{"0__bias": torch.ones(2)})
    assert load_network(build, other, WHAT)[1] != digest
    once = [network_on("cpu", load_network, build, str(path), WHAT) for _ in range(2)]
    assert once[0] is once[1]


def test_half_precision_counters_and_heads(weights):
    """float16 is read as float32; counters of training may lack, and heads may be there."""
    bias, head = torch.tensor([0.5, -2.0]), torch.zeros(7)
    changes = {"0__bias": bias.half(), "1__num_batches_tracked": None, "head__weight": head}
    network, _ = load_network(build, weights(**changes), WHAT, ("head.",))
    assert network[0].bias.dtype == torch.float32 and torch.equal(network[0].bias, bias)


def test_wrong_names_and_shapes_are_named(weights):
    changes = {"0__bias": None, "1__bias": torch.zeros(5), "2__weight": torch.zeros(1)}
    with pytest.raises(MuseError) as error:
        load_network(build, weights(**changes), WHAT)
    text = str(error.value)
    assert "1 missing (0.bias)" in text and "1 unexpected (2.weight)" in text
    assert "1 of another shape (1.bias (5,) instead of (2,))" in text


def test_pickle_is_refused_and_how_to_convert_is_said(tmp_path):
    torch.save(build().state_dict(), tmp_path / "net.pt")
    with pytest.raises(MuseError, match=r"other.* can run code\. .*weights_only=True"):
        load_weights(tmp_path / "net.pt", WHAT)
    (tmp_path / "net.pt").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(MuseError, match=r"no model.safetensors in it; pytorch_model.bin can run"):
        load_weights(tmp_path, WHAT)
    with pytest.raises(MuseError, match=r"hf download somebody/net --local-dir net, then weights="):
        load_weights(None, WHAT)
    (tmp_path / "net.safetensors").write_bytes(b"no tensors")
    with pytest.raises(MuseError, match=r"net.safetensors: damaged"):
        load_weights(tmp_path / "net.safetensors", WHAT)
    with pytest.raises(MuseError, match=r"none: there is no such file or folder"):
        load_weights(tmp_path / "none", WHAT)


def test_shards_of_a_folder(weights, tmp_path):
    parts = {"a.safetensors": ["0.bias"], "b.safetensors": ["0.weight"]}
    whole = load_weights(weights(), WHAT)[0]
    for name, keys in parts.items():
        save_file({key: whole[key] for key in keys}, tmp_path / name)
    index = {key: name for name, keys in parts.items() for key in keys}
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": index}))
    state, digest = load_weights(tmp_path, WHAT)
    assert all(torch.equal(state[key], whole[key]) for key in index) and len(state) == 2
    (tmp_path / "config.json").write_text("{}")
    assert load_weights(tmp_path, WHAT)[1] != digest
    path.write_text(json.dumps({"weight_map": {"0.bias": "../net.safetensors"}}))
    with pytest.raises(MuseError, match="names files outside the folder"):
        load_weights(tmp_path, WHAT)


def test_networks_of_transformers(tmp_path, capfd):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                    intermediate_size=8, image_size=16, patch_size=8)  # fmt: skip
    made = transformers.ViTForImageClassification(config)
    made.save_pretrained(tmp_path)
    capfd.readouterr()
    options = {"add_pooling_layer": False}
    network, digest = load_transformer(transformers.ViTModel, tmp_path, WHAT, **options)
    image = torch.ones(1, 3, 16, 16)
    own = made.eval().vit(image).last_hidden_state
    assert torch.allclose(network(image).last_hidden_state, own, atol=1e-6)
    assert not network.training and len(digest) == 16
    assert capfd.readouterr().err == ""
    with pytest.raises(MuseError, match="model_type vit; expected bert"):
        load_transformer(transformers.BertModel, tmp_path, WHAT)
    with pytest.raises(MuseError, match=r"2 missing \(pooler.dense.bias, pooler.dense.weight\)"):
        load_transformer(transformers.ViTModel, tmp_path, WHAT)
    config.num_hidden_layers, config.intermediate_size = 2, 6
    config.save_pretrained(tmp_path)
    with pytest.raises(
        MuseError, match=r"missing .layer[^ ]*\.1\..*of another shape .* instead of"
    ):
        load_transformer(transformers.ViTModel, tmp_path, WHAT, **options)
