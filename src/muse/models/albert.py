"""ALBERT, a Transformer of language with shared layers, on the tokens of a segment.

Shapes: B batch, T frames, each a token (padded on the right), H hidden, O outputs.
"""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from muse.config.fields import path_of
from muse.cores import STEP_BYTES
from muse.errors import MuseError
from muse.files import read_bytes
from muse.models.checks import check_dropout

# what is read of config.json: sizes and rates, nothing that could name code
ARCHITECTURE = (
    *("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups"),
    *("num_attention_heads", "intermediate_size", "inner_group_num", "hidden_act"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob"),
    *("max_position_embeddings", "type_vocab_size", "initializer_range", "layer_norm_eps"),
    "pad_token_id",
)
ADVICE = (
    "Expected model.weights=FOLDER, with config.json, tokenizer.json and model.safetensors of an "
    "ALBERT such as albert-xxlarge-v2."
)


class Albert(nn.Module):
    """A pretrained ALBERT (Lan et al. 2020) with a linear layer on its pooled output.

    That is the classifier that MuSe 2020 (Stappen et al. 2020, section 5.4) fine-tunes: the first
    token's last hidden state goes through the pretrained pooler (linear, tanh), dropout, and one
    linear layer, initialised as in transformers. The output is given for every frame.

    Args:
        input_sets: one set with one column, the ids of the tokens with those that begin and end
            a text, see `muse.data.transcript`.
        outputs: values per segment.
        weights: folder with config.json and model.safetensors. The first alone gives the
            architecture; `load_pretrained` reads the second.
        dropout: of the pooled output; None: as config.json has it.

    Raises:
        MuseError: other inputs, transformers is not installed, a config.json of another model.
    """

    PRETRAINED = ("config.json", "model.safetensors")

    def __init__(
        self, input_sets: dict[str, int], outputs: int, weights: str, dropout: float | None = None
    ):
        super().__init__()
        if list(input_sets.values()) != [1]:
            raise MuseError(
                f"model=albert reads one transcript, not {', '.join(input_sets)}: expected "
                "features=transcript and tokenizer=FOLDER."
            )
        if dropout is not None:
            check_dropout(dropout)
        self.weights = path_of(weights)
        self.encoder = _encoder(self.weights / "config.json")
        config = self.encoder.config
        rate = config.classifier_dropout_prob if dropout is None else dropout
        self.dropout = nn.Dropout(rate)
        self.output = nn.Linear(config.hidden_size, outputs)
        nn.init.normal_(self.output.weight, std=config.initializer_range)
        nn.init.zeros_(self.output.bias)

    @property
    def frame_bytes(self) -> int:
        """Memory of a frame in training: 9 H and 5 times the feedforward size in each layer.

        Measured for the backward pass; one layer more for what is on the way. Attention weights are
        kept only where some of them are dropped.
        """
        config = self.encoder.config
        layer = 4 * (9 * config.hidden_size + 5 * config.intermediate_size)
        if config.attention_probs_dropout_prob:
            layer += 12 * config.num_attention_heads * config.max_position_embeddings
        return layer * (config.num_hidden_layers * config.inner_group_num + 1)

    def load_pretrained(self) -> None:
        """Replace the initial weights of the encoder by those of the folder.

        Raises MuseError for a file that is missing or damaged, or has not all of the weights.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.weights / "model.safetensors"
        try:
            found = load(read_bytes(path, ADVICE))
        except SafetensorError as error:
            raise MuseError(f"{path}: damaged ({error}). Download it again.") from None
        found = {name.removeprefix("albert."): value for name, value in found.items()}
        expected = self.encoder.state_dict()
        wrong = [
            name
            for name, value in expected.items()
            if name not in found or found[name].shape != value.shape
        ]
        if wrong:
            raise MuseError(
                f"{path}: not the weights of the ALBERT of config.json; {len(wrong)} of "
                f"{len(expected)} are missing or have another shape, such as {wrong[0]}. {ADVICE}"
            )
        self.encoder.load_state_dict({name: found[name] for name in expected})

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, 1), lengths (B,) -> (B, T, O), the same for each frame of a segment."""
        ids = features[..., 0].long()  # (B, T)
        self._check(ids, features)
        there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]  # (B, T)
        rows = len(ids)
        if not torch.is_grad_enabled():  # one layer at a time is in memory
            each = self.frame_bytes // self.encoder.config.num_hidden_layers
            rows = max(1, STEP_BYTES // (each * ids.shape[1]))
        pooled = [
            self.encoder(input_ids=part, attention_mask=mask.long()).pooler_output
            for part, mask in zip(ids.split(rows), there.split(rows), strict=True)
        ]  # (B, H) together
        output = self.output(self.dropout(torch.cat(pooled)))  # (B, O)
        return output[:, None].expand(-1, ids.shape[1], -1)

    def _check(self, ids: Tensor, features: Tensor) -> None:
        """Raise MuseError for inputs that are no tokens of this model, or too many of them."""
        config = self.encoder.config
        if ids.shape[1] > config.max_position_embeddings:
            raise MuseError(
                f"{ids.shape[1]} tokens in a segment, but {self.weights} was made for "
                f"{config.max_position_embeddings}. Give a window of at most as many."
            )
        if (ids != features[..., 0]).any() or not 0 <= int(ids.min()) <= int(ids.max()) < (
            config.vocab_size
        ):
            raise MuseError(
                f"features: not the ids of tokens from 0 to {config.vocab_size - 1} that "
                f"{self.weights} knows. Expected features=transcript, and a tokenizer= of the same "
                "folder as model.weights."
            )


def _encoder(path: Path) -> nn.Module:
    """The ALBERT of a config.json with random weights."""
    try:
        from transformers import AlbertConfig, AlbertModel
    except ImportError:
        raise MuseError(
            "model=albert needs the package transformers: pip install 'muse[text]', in a checkout "
            "pip install -c constraints.txt -e '.[text]'."
        ) from None
    try:
        content = json.loads(read_bytes(path, ADVICE))
        known = {name: content[name] for name in ARCHITECTURE if name in content}
        if content["model_type"] != "albert":
            raise ValueError(f"model_type {content['model_type']}")
        return AlbertModel(AlbertConfig(**known, attn_implementation="sdpa"))
    except MuseError:
        raise
    except Exception as error:  # transformers raises what it likes for values it does not take
        reason = " ".join(str(error).split())
        raise MuseError(f"{path}: no config.json of an ALBERT ({reason}). {ADVICE}") from None
