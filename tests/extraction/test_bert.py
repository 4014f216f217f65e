"""`muse extract bert`: vectors of words against the network itself, parts, provenance."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from muse.commands import extract as command
from muse.errors import MuseError
from tests.conftest import write

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402

from muse.data.transcript import load_tokenizer  # noqa: E402
from muse.extraction.bert import fitting, load_bert, sentences, word_vectors  # noqa: E402

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "day", "##s", "end", "##ing", ".", "don",
          "'", "t"]  # fmt: skip
TINY = {"hidden_size": 16, "num_hidden_layers": 5, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 12}  # fmt: skip


def write_bert(folder: Path, **architecture) -> Path:
    """A folder as on the hub: config.json, model.safetensors, tokenizer.json (wordpieces)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=len(TOKENS), **architecture)
        transformers.BertForMaskedLM(config).save_pretrained(folder)
    ids = {token: k for k, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def bert(tmp_path):
    """The network and the tokenizer of `write_bert`."""
    folder = write_bert(tmp_path / "bert", **TINY)
    file = folder / "tokenizer.json"
    return load_bert(str(folder))[0], load_tokenizer(file, file.read_bytes(), None)


def tokens_of(network, ids: list[int]) -> torch.Tensor:
    """The sum of the last four layers: (tokens, hidden)."""
    with torch.inference_mode():
        layers = network(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return (layers[2] + layers[3] + layers[4] + layers[5])[0]


def test_a_word_is_the_mean_of_its_tokens_in_its_sentence(bert):
    network, tokenizer = bert
    texts = ["Good", "days", ".", "don't", "\u200b", "ending"]
    first = tokens_of(network, [2, 4, 5, 6, 9, 3])  # [CLS] good day ##s . [SEP]
    second = tokens_of(network, [2, 10, 11, 12, 7, 8, 3])  # [CLS] don ' t end ##ing [SEP]
    means = [first[1], first[2:4].mean(0), first[4], second[1:4].mean(0), torch.zeros(16),
             second[4:6].mean(0)]  # fmt: skip
    for batch_size in (1, 8):
        found = word_vectors(network, tokenizer, texts, False, batch_size)
        assert torch.allclose(found, torch.stack(means), atol=1e-5)
    found = word_vectors(network, tokenizer, texts, True, 8)
    assert torch.allclose(
        found[[1, 3, 5]], torch.stack([first[2], second[1], second[4]]), atol=1e-5
    )


def test_no_word_is_lost_in_a_long_sentence(bert):
    """12 positions are 10 tokens: "days" has two, so five of 12 fit at a time, then two."""
    network, tokenizer = bert
    found = word_vectors(network, tokenizer, ["days"] * 12, False, 8)
    assert found.shape == (12, 16)
    five, two = (tokens_of(network, [2, *[5, 6] * n, 3]) for n in (5, 2))  # 5, 6: day ##s
    expected = [tokens[k : k + 2].mean(dim=0) for tokens in (five, five, two)
                for k in range(1, len(tokens) - 1, 2)]  # fmt: skip
    assert torch.allclose(found, torch.stack(expected), atol=1e-5)


def test_sentences_and_parts():
    assert sentences(["a", "b.", "c", "?", "d"]) == [[0, 1], [2, 3], [4]]
    parts = list(fitting([5, 6, 7], [[1, 1], [2], [3, 3]], 3))
    assert parts == [([5, 6], [[1, 1], [2]]), ([7], [[3, 3]])]


@pytest.fixture
def extract(tmp_path, make_config):
    """extract("key=value", ...) runs muse extract bert on a transcript; the table it writes."""

    def call(weights: Path, *words: str) -> pd.DataFrame:
        rows = [(500, 1200, "good"), (1200, 1201, "."), (2000, 2600, "days")]
        write(tmp_path / "in/7.csv", "start,end,word\n", rows)
        places = f"source=[{tmp_path}/in]", f"out={tmp_path}/package", f"weights={weights}"
        command.run(make_config("extract", "extractor=bert", "workers=1", *places, *words))
        return pd.read_csv(tmp_path / "package/feature_segments/bert/7.csv")

    return call


def test_words_are_repeated_for_their_duration(extract, tmp_path, bert):
    """Frames of 0.5 s up to 2.6 s: middles at 250, 750, 1250, 1750, 2250 ms."""
    table = extract(tmp_path / "bert")
    assert list(table) == ["timestamp", *(f"bert_{k}" for k in range(16))]
    values = table.to_numpy()[:, 1:]
    network, _ = bert
    good = tokens_of(network, [2, 4, 9, 3])[1]
    days = tokens_of(network, [2, 5, 6, 3])[1:3].mean(0)
    zeros = torch.zeros(16)
    expected = torch.stack([zeros, good, zeros, zeros, days]).numpy()
    assert np.allclose(values, expected, atol=1e-5)
    about = json.loads((tmp_path / "package/feature_segments/bert/extraction.json").read_text())
    assert about["tool"]["name"] == "transformers" and len(about["settings"]["weights"]) == 16
    with pytest.raises(MuseError, match=r"made in another way \(subwords was .mean., is .first"):
        extract(tmp_path / "bert", "text.subwords=first")


def test_weights_of_another_network_are_refused(extract, tmp_path, bert):
    file = tmp_path / "bert/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": "albert"}))
    with pytest.raises(MuseError, match=r"model_type albert; expected bert\. .*hf download"):
        extract(tmp_path / "bert")


@pytest.mark.slow
def test_the_base_variant(extract, tmp_path):
    """12 layers, 768 columns."""
    table = extract(write_bert(tmp_path / "base"))
    assert table.shape == (5, 769) and (table.to_numpy()[[0, 2, 3], 1:] == 0).all()
