"""A tiny ALBERT with random weights, and a tokenizer of given words: what no test downloads."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ["<pad>", "<unk>", "[CLS]", "[SEP]"]  # ids 0 to 3, those of the published ALBERTs
ARCHITECTURE = {
    "model_type": "albert",
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 320,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout_prob": 0.1,
}


def write_albert(folder: Path, words: list[str], seed: int = 0, **architecture) -> Path:
    """A folder with config.json, tokenizer.json (wordpieces) and model.safetensors."""
    from transformers import AlbertConfig, AlbertModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: id_ for id_, token in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    content = ARCHITECTURE | {"vocab_size": len(vocabulary)} | architecture
    (folder / "config.json").write_text(json.dumps(content))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = AlbertModel(AlbertConfig(**content)).state_dict()
    # as published: under the name of the encoder, beside weights of the pretraining
    named = {f"albert.{name}": value for name, value in weights.items()}
    save_file(named | {"predictions.bias": torch.zeros(3)}, folder / "model.safetensors")
    return folder
