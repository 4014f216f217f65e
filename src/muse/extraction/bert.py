"""BERT on transcripts: a vector for each word in its context: `muse extract bert`.

Stappen et al., The MuSe 2021 Multimodal Sentiment Analysis Challenge, section 3.4: the sum of the
last four layers of the base variant of BERT (Devlin et al., 2019), pretrained on English for
MuSe-CaR and on German for Ulm-TSST: the weights decide. The paper does not say

- how the pieces that the tokenizer makes of a word become one vector: their mean
  (`text.subwords=mean`), or the first (`first`);
- what the context of a word is: its sentence, up to a word that ends with . ! or ?, with its
  punctuation. One with more tokens than the network takes, or a transcript without punctuation, is
  read in consecutive parts of as many words as fit.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from muse.config.extract import ExtractConfig
from muse.config.fields import path_of
from muse.data.transcript import load_tokenizer
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.weights import (
    check_finite,
    import_transformers,
    load_transformer,
    network_on,
    weight_bytes,
)
from muse.extraction.words import ENDINGS, STOPS, extract_words, settings_of_text
from muse.files import checksum_of, read_bytes

WHAT = "google-bert/bert-base-uncased"  # or google-bert/bert-base-german-cased
LAYERS = 4  # the last, which are summed
TOKEN_BYTES = 2**17  # what a token takes on its way
Pieces = list[list[int]]  # for each word the ids of its tokens


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract bert` does; MuseError for weights that cannot be used."""
    _, digest = load_bert(config.weights)
    tokenizer = _tokenizer_file(config.weights)
    memory = weight_bytes(config.weights, WHAT) + config.batch_size * 512 * TOKEN_BYTES
    text = config.text
    _tokenizer(config.weights)
    return Extractor(
        ENDINGS,
        {"name": "transformers", "version": version("transformers")},
        {"weights": digest, "tokenizer": checksum_of(tokenizer), "subwords": text.subwords,
         **settings_of_text(text)},
        lambda path: memory + 4 * 2**20,
        partial(extract_bert, config=config),
        device=config.device,
    )  # fmt: skip


def extract_bert(
    path: Path, times_of: Times, config: ExtractConfig
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording, see `extract_words`: 768 of the base variant."""

    def vectors(texts: list[str]) -> tuple[np.ndarray, list[str]]:
        network = network_on(config.device, load_bert, config.weights)
        tokenizer, first = _tokenizer(config.weights), config.text.subwords == "first"
        found = word_vectors(network, tokenizer, texts, first, config.batch_size)
        return check_finite(found, path).numpy(), []

    return extract_words(path, times_of, config, "bert", vectors)


def load_bert(weights: str | None) -> tuple[nn.Module, str]:
    """The network and the digest of its files."""
    transformers = import_transformers("bert")
    return load_transformer(transformers.BertModel, weights, WHAT, add_pooling_layer=False)


def word_vectors(
    network: nn.Module, tokenizer, texts: list[str], first: bool, batch_size: int
) -> torch.Tensor:
    """The vectors of words in their sentences: (words, hidden); zeros for one without a token.

    Args:
        network: a BertModel.
        tokenizer: of the library tokenizers, see `load_tokenizer`.
        first: the first token of a word, not the mean of all.
        batch_size: parts that go through the network at once.
    """
    begin, end = tokenizer.encode("").ids
    device, most = network.device, network.config.max_position_embeddings - 2
    vectors = torch.zeros(len(texts), network.config.hidden_size)
    parts = []
    for words in sentences(texts):
        parts += list(fitting(words, _pieces(tokenizer, [texts[k] for k in words], most), most))
    for k in range(0, len(parts), batch_size):
        batch = [[begin, *(id_ for ids in pieces for id_ in ids), end]
                 for _, pieces in parts[k : k + batch_size]]  # fmt: skip
        lengths = torch.tensor([len(ids) for ids in batch])
        ids = nn.utils.rnn.pad_sequence(list(map(torch.tensor, batch)), batch_first=True)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            output = network(
                input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True
            )
            tokens = sum(output.hidden_states[1:][-LAYERS:]).cpu()  # (parts, tokens, hidden)
        for (words, pieces), row in zip(parts[k : k + batch_size], tokens, strict=True):
            place = 1
            for word, own in zip(words, pieces, strict=True):
                if own:
                    last = place + 1 if first else place + len(own)
                    vectors[word] = row[place:last].mean(dim=0)
                place += len(own)
    return vectors


def sentences(texts: list[str]) -> list[list[int]]:
    """The numbers of the words of each sentence, which ends with a stop."""
    found: list[list[int]] = [[]]
    for k, text in enumerate(texts):
        found[-1].append(k)
        if text.endswith(STOPS):
            found.append([])
    return [words for words in found if words]


def fitting(words: list[int], pieces: Pieces, most: int) -> Iterator[tuple[list[int], Pieces]]:
    """Words and their tokens in consecutive parts with at most ``most`` tokens."""
    begin, tokens = 0, 0
    for k, own in enumerate(pieces):
        if tokens + len(own) > most:
            yield words[begin:k], pieces[begin:k]
            begin, tokens = k, 0
        tokens += len(own)
    yield words[begin:], pieces[begin:]


def _pieces(tokenizer, texts: list[str], most: int) -> Pieces:
    """The tokens of each word; of one with more than the network takes the first ``most``."""
    encoded = tokenizer.encode(texts, is_pretokenized=True, add_special_tokens=False)
    pieces: Pieces = [[] for _ in texts]
    for id_, word in zip(encoded.ids, encoded.word_ids, strict=True):
        pieces[word].append(id_)
    return [own[:most] for own in pieces]


def _tokenizer_file(weights: str) -> Path:
    return path_of(weights) / "tokenizer.json"


@lru_cache(maxsize=1)
def _tokenizer(weights: str):
    file = _tokenizer_file(weights)
    return load_tokenizer(file, read_bytes(file, "Expected that of the model beside it."), None)
