"""The tokenizer of a GGUF file as `tokenizer.json`, built with the `tokenizers` library alone.

GGUF stores the vocabulary, the merges, each token's type and the name of a pre-tokenizer; how that name splits text is knowledge of the
reader. Known here: `smollm`, `gpt-2` and `default`, all byte-level BPE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostraka.errors import UnsupportedModel

_CONTROL, _USER_DEFINED = 3, 4  # gguf.TokenType


@dataclass(frozen=True)
class TokenizerFiles:
    """`tokenizer_json` is what `tokenizers.Tokenizer.from_str` reads; `chat_template` is Jinja, "" when there is none."""

    tokenizer_json: bytes
    chat_template: str
    bos: int | None
    eos: int | None


def tokenizer_from_gguf(fields: dict[str, Any]) -> TokenizerFiles:
    """Raises `UnsupportedModel` for a tokenizer other than byte-level BPE or an unknown pre-tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    model = _value(fields, "tokenizer.ggml.model")
    if model != "gpt2":
        raise UnsupportedModel(f"tokenizer.ggml.model: {model!r}; this converter reads 'gpt2' (byte-level BPE)")
    name = _value(fields, "tokenizer.ggml.pre") or "default"
    splits: dict[str, list[Any]] = {
        # Digits one by one, as SmolLM was trained: "2024" is four tokens.
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "gpt-2": [],
        "default": [],
    }
    if name not in splits:
        raise UnsupportedModel(f"tokenizer.ggml.pre: {name!r}; this converter knows {', '.join(sorted(splits))}")
    tokens: list[str] = _value(fields, "tokenizer.ggml.tokens")
    types: list[int] = _value(fields, "tokenizer.ggml.token_type") or [1] * len(tokens)
    merges = [tuple(merge.split(" ", 1)) for merge in _value(fields, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=bool(_value(fields, "tokenizer.ggml.add_space_prefix")))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits[name], byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            AddedToken(t, special=special, normalized=False) for t, k in zip(tokens, types, strict=True) if k == kind
        ]
        if special:
            tokenizer.add_special_tokens(added)
        else:
            tokenizer.add_tokens(added)
    return TokenizerFiles(
        tokenizer_json=tokenizer.to_str(pretty=False).encode(),
        chat_template=_value(fields, "tokenizer.chat_template") or "",
        bos=_value(fields, "tokenizer.ggml.bos_token_id"),
        eos=_value(fields, "tokenizer.ggml.eos_token_id"),
    )


def _value(fields: dict[str, Any], key: str) -> Any:
    field = fields.get(key)
    return None if field is None else field.contents()
