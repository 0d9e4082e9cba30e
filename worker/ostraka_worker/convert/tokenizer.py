"""The tokenizer of a GGUF file as `tokenizer.json`, the file the `tokenizers` library reads.

GGUF stores the vocabulary, the merges, each token's type and the name of a pre-tokenizer; how that name splits text is
knowledge of the reader. Known here: `smollm`, `gpt-2` and `default`, all byte-level BPE.

The JSON is written here and not by the library, whose output may change between releases: the same model would get
another digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostraka.crypto.canonical import canonical_json
from ostraka.errors import UnsupportedModel

_CONTROL, _USER_DEFINED = 3, 4  # gguf.TokenType

_SPLITS: dict[str, list[dict[str, Any]]] = {
    # Digits one by one, as SmolLM was trained: "2024" is four tokens.
    "smollm": [{"type": "Digits", "individual_digits": True}],
    "gpt-2": [],
    "default": [],
}


@dataclass(frozen=True)
class TokenizerFiles:
    """`tokenizer_json` is what `tokenizers.Tokenizer.from_str` reads; `chat_template` is Jinja, "" when there is none."""

    tokenizer_json: bytes
    chat_template: str
    bos: int | None
    eos: int | None


def tokenizer_from_gguf(fields: dict[str, Any]) -> TokenizerFiles:
    """Raises `UnsupportedModel` for a tokenizer other than byte-level BPE or an unknown pre-tokenizer."""
    model = _value(fields, "tokenizer.ggml.model")
    if model != "gpt2":
        raise UnsupportedModel(f"tokenizer.ggml.model: {model!r}; this converter reads 'gpt2' (byte-level BPE)")
    name = _value(fields, "tokenizer.ggml.pre") or "default"
    if name not in _SPLITS:
        raise UnsupportedModel(f"tokenizer.ggml.pre: {name!r}; this converter knows {', '.join(sorted(_SPLITS))}")
    tokens: list[str] = _value(fields, "tokenizer.ggml.tokens")
    types: list[int] = _value(fields, "tokenizer.ggml.token_type") or [1] * len(tokens)
    merges: list[str] = _value(fields, "tokenizer.ggml.merges")
    add_prefix_space = bool(_value(fields, "tokenizer.ggml.add_space_prefix"))
    tree = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(index, token, special=kind == _CONTROL)
            for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind in (_CONTROL, _USER_DEFINED)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [*_SPLITS[name], _byte_level(add_prefix_space=add_prefix_space)],
        },
        "post_processor": None,
        "decoder": _byte_level(add_prefix_space=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in merges],
        },
    }
    return TokenizerFiles(
        tokenizer_json=canonical_json(tree),
        chat_template=_value(fields, "tokenizer.chat_template") or "",
        bos=_value(fields, "tokenizer.ggml.bos_token_id"),
        eos=_value(fields, "tokenizer.ggml.eos_token_id"),
    )


def _added(index: int, token: str, *, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": token, "special": special, **flags}


def _byte_level(*, add_prefix_space: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": True}


def _value(fields: dict[str, Any], key: str) -> Any:
    field = fields.get(key)
    return None if field is None else field.contents()
