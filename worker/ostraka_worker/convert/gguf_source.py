"""Typed, checked access to a GGUF file of the Llama family. Everything it cannot express is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.errors import UnsupportedModel
from ostraka.model import LlamaConfig

Float32 = npt.NDArray[np.float32]

DEFAULT_CONTEXT = 2048


def read_gguf(path: Path | str) -> Any:
    """The `gguf.GGUFReader` of a file. Raises `UnsupportedModel` for one that is damaged or no GGUF."""
    from gguf import GGUFReader  # slow to import, and only a publisher needs it

    try:
        return GGUFReader(str(path))
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise UnsupportedModel(f"{path}: not a whole GGUF file ({error}); fetch it again") from None


class GgufSource:
    """What the converter asks of a file. Its methods raise `UnsupportedModel`."""

    def __init__(self, reader: Any) -> None:
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.fields: dict[str, Any] = reader.fields
        for key in ("general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
            if key not in self.fields:
                raise UnsupportedModel(f"{key}: missing from the GGUF file")
        architecture = self.text("general.architecture")
        if architecture != "llama":
            raise UnsupportedModel(f"general.architecture: {architecture!r}; this converter reads 'llama'")

    def text(self, key: str) -> str:
        field = self.fields.get(key)
        return "" if field is None else str(field.contents())

    def number(self, key: str, default: int | None = None) -> int:
        field = self.fields.get(key)
        if field is None and default is None:
            raise UnsupportedModel(f"{key}: missing from the GGUF file")
        value: Any = default if field is None else field.contents()
        return int(value)

    def decimal(self, key: str, default: str) -> str:
        field = self.fields.get(key)
        # The file holds float32: its shortest decimal is what the author wrote ("1e-05", not 9.999999747378752e-06).
        return default if field is None else _shortest(np.float32(field.contents()))

    def config(self, context: int | None) -> LlamaConfig:
        heads = self.number("llama.attention.head_count")
        hidden = self.number("llama.embedding_length")
        head_dim = self.number("llama.attention.key_length", hidden // heads)
        own_context = self.number("llama.context_length")
        if self.number("llama.rope.dimension_count", head_dim) != head_dim:
            raise UnsupportedModel("llama.rope.dimension_count: only a part of each head is rotated; not supported")
        for key in ("llama.rope.scaling.type", "llama.expert_count"):
            if key in self.fields and self.text(key) not in ("none", "0"):
                raise UnsupportedModel(f"{key}: {self.text(key)!r} is not supported")
        if "rope_freqs.weight" in self._tensors:
            raise UnsupportedModel("rope_freqs.weight: scaled rotary frequencies are not supported")
        if any(name.endswith(".bias") for name in self._tensors):
            raise UnsupportedModel("tensors: linear layers with a bias are not supported")
        if context is not None and not 1 <= context <= own_context:
            raise UnsupportedModel(f"context: {context}; this model allows 1 to {own_context}")
        return LlamaConfig(
            hidden=hidden,
            layers=self.number("llama.block_count"),
            heads=heads,
            kv_heads=self.number("llama.attention.head_count_kv", heads),
            head_dim=head_dim,
            ffn=self.number("llama.feed_forward_length"),
            vocab=len(self.fields["tokenizer.ggml.tokens"].data),
            context=context or min(own_context, DEFAULT_CONTEXT),
            norm_eps=self.decimal("llama.attention.layer_norm_rms_epsilon", "1e-05"),
            rope_base=self.decimal("llama.rope.freq_base", "10000"),
            tie_embeddings="output.weight" not in self._tensors,
        )

    def tensor(self, name: str, *shape: int) -> Float32:
        """De-quantized, fp32 of `shape`."""
        from gguf.quants import dequantize

        found = self._tensors.get(name)
        if found is None:
            raise UnsupportedModel(f"{name}: missing from the GGUF file")
        if tuple(int(n) for n in reversed(found.shape)) != shape:
            raise UnsupportedModel(f"{name}: shape {list(reversed(found.shape))}; the sizes say {list(shape)}")
        try:
            weight = dequantize(found.data, found.tensor_type)
        except NotImplementedError:
            raise UnsupportedModel(f"{name}: type {found.tensor_type.name} cannot be read; use Q8_0 or F16") from None
        return np.ascontiguousarray(weight, dtype=np.float32).reshape(shape)


def _shortest(value: np.float32) -> str:
    text = repr(float(str(value)))
    return text.removesuffix(".0")
