"""ALBERT against the classifier of the library transformers; padding, weights, what is refused."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from muse.errors import MuseError
from muse.models import albert, build_model
from muse.models.albert import Albert
from muse.training.memory import frame_bytes
from tests.conftest import kept_for_backward
from tests.tiny_albert import ARCHITECTURE, write_albert

WORDS = ["a", "b", "c", "d", "e", "f"]
LENGTHS = torch.tensor([7, 2, 5])
IDS = torch.tensor([[2, 4, 5, 6, 7, 8, 3], [2, 3, 0, 0, 0, 0, 0], [2, 9, 9, 4, 3, 0, 0]])
FEATURES = IDS[..., None].float()


@pytest.fixture
def folder(tmp_path):
    return write_albert(tmp_path / "albert", WORDS)


@pytest.fixture
def model(folder):
    torch.manual_seed(1)
    model = Albert({"transcript": 1}, 4, str(folder))
    model.load_pretrained()
    return model.eval()


def test_outputs_are_those_of_the_published_classifier_at_every_frame(model, folder):
    from transformers import AlbertConfig, AlbertForSequenceClassification

    content = json.loads((folder / "config.json").read_text())
    other = AlbertForSequenceClassification(AlbertConfig(**content, num_labels=4)).eval()
    weights = load_file(folder / "model.safetensors")
    del weights["predictions.bias"]
    own = {f"classifier.{name}": value for name, value in model.output.state_dict().items()}
    other.load_state_dict(weights | own)
    with torch.no_grad():
        mask = (torch.arange(7) < LENGTHS[:, None]).long()
        expected = other(input_ids=IDS, attention_mask=mask).logits
        got = model(FEATURES, LENGTHS)
    assert got.shape == (3, 7, 4)
    torch.testing.assert_close(got, expected[:, None].expand(3, 7, 4), rtol=1e-5, atol=1e-6)


def test_a_segment_gets_the_same_output_alone_and_padded(model, monkeypatch):
    padded = FEATURES.clone()
    padded[1, 2:] = 8  # whatever is there
    with torch.inference_mode():
        whole = model(padded, LENGTHS)
        for b, n in enumerate(LENGTHS.tolist()):
            alone = model(FEATURES[b : b + 1, :n], LENGTHS[b : b + 1])
            torch.testing.assert_close(alone[0], whole[b, :n], rtol=1e-5, atol=1e-6)
        monkeypatch.setattr(albert, "STEP_BYTES", 1)  # a segment at a time
        torch.testing.assert_close(model(padded, LENGTHS), whole, rtol=1e-5, atol=1e-6)


def test_the_initial_weights_are_those_of_the_folder_or_random(folder):
    def weights(pretrained: bool) -> torch.Tensor:
        torch.manual_seed(5)
        model = Albert({"transcript": 1}, 4, str(folder))
        if pretrained:
            model.load_pretrained()
        return model.encoder.embeddings.word_embeddings.weight

    there = load_file(folder / "model.safetensors")["albert.embeddings.word_embeddings.weight"]
    assert torch.equal(weights(True), there) and not torch.equal(weights(False), there)
    model = Albert({"transcript": 1}, 4, str(folder), dropout=0.3)
    assert model.dropout.p == 0.3 and not model.output.bias.any()
    assert Albert({"transcript": 1}, 4, str(folder)).dropout.p == 0.1


@pytest.mark.parametrize(
    "more", [{}, {"num_hidden_layers": 5}, {"attention_probs_dropout_prob": 0.2}]
)
def test_memory_of_a_frame_is_foreseen(tmp_path, more):
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3}
    sizes |= {"max_position_embeddings": 128} | more
    folder = write_albert(tmp_path, WORDS, **sizes)
    model = Albert({"transcript": 1}, 4, str(folder)).train()
    ids = torch.randint(0, 10, (4, 128, 1)).float()
    kept, _ = kept_for_backward(model, ids, torch.tensor([128, 128, 100, 90]))
    weights = sum(weight.nbytes for weight in model.parameters())
    assert 1 < frame_bytes(model, 1) * 4 * 128 / (kept - weights) < 2


def test_what_are_no_tokens_of_the_model_is_refused(model):
    for value, message in ((10.0, "ids of tokens from 0 to 9"), (4.5, "ids of"), (-1.0, "ids of")):
        wrong = FEATURES.clone()
        wrong[0, 1] = value
        with pytest.raises(MuseError, match=message):
            model(wrong, LENGTHS)
    with pytest.raises(MuseError, match=r"321 tokens in a segment, but .* was made for 320"):
        model(torch.full((1, 321, 1), 4.0), torch.tensor([321]))


def test_a_folder_that_is_none_of_an_albert_is_refused(folder, monkeypatch):
    def build(**sets: int) -> Albert:
        model = build_model(
            {"_target_": "muse.models.albert.Albert", "weights": str(folder)}, sets, 4
        )
        model.load_pretrained()
        return model

    assert build(transcript=1)
    for sets in ({"egemaps": 88}, {"transcript": 1, "egemaps": 88}):
        with pytest.raises(MuseError, match=r"model=albert reads one transcript, not .*egemaps"):
            build(**sets)
    weights = load_file(folder / "model.safetensors")
    name = "albert.pooler.weight"
    for wrong in ({}, {name: torch.zeros(3, 3)}):
        left = {key: value for key, value in weights.items() if key != name}
        save_file(left | wrong, folder / "model.safetensors")
        with pytest.raises(MuseError, match=r"1 of 25 are missing .* such as pooler.weight"):
            build(transcript=1)
    (folder / "model.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(MuseError, match=r"model.safetensors: damaged"):
        build(transcript=1)
    (folder / "model.safetensors").unlink()
    with pytest.raises(MuseError, match=r"model.safetensors: the file is missing\. Expected"):
        build(transcript=1)
    config = ARCHITECTURE | {"vocab_size": 10}
    for content, message in (
        (config | {"model_type": "bert"}, "no config.json of an ALBERT .*model_type bert"),
        (config | {"hidden_act": "nonsense"}, "no config.json of an ALBERT .*nonsense"),
        (config | {"vocab_size": "many"}, "no config.json of an ALBERT .*vocab_size"),
        ([], "no config.json of an ALBERT"),
    ):
        (folder / "config.json").write_text(json.dumps(content))
        with pytest.raises(MuseError, match=message):
            build(transcript=1)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MuseError, match=r"the package transformers: pip install 'muse\[text\]'"):
        build(transcript=1)


def test_nothing_in_a_config_names_code(folder):
    code = {"auto_map": {"AutoModel": "evil.Model"}, "attn_implementation": "someone/kernel",
            "_attn_implementation": "someone/kernel"}  # fmt: skip
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | code))
    config = Albert({"transcript": 1}, 4, str(folder)).encoder.config
    assert config._attn_implementation == "sdpa" and not hasattr(config, "auto_map")
