"""The running form of one block: embed, layer or head. Rows in, rows out; sessions are the stage's affair.

Tensors a block file holds (H hidden, F ffn, D head_dim, V vocab, C context):

    embed   embed.weight [V, H], embed.scale
    layer   attn_norm, ffn_norm F32 [H]; rope_cos, rope_sin F32 [C, D/2];
            qkv.weight [(heads + 2 · kv_heads) · D, H], o.weight [H, heads · D], gate_up.weight [2F, H],
            down.weight [H, F], and a scale for each; optional kv.codec U8 [2], for cached keys and for values: 0 linear, 1 dynamic
    head    norm F32 [H]; head.weight [V, H], head.scale

Weights are I8 with NAME.scale F32, or packed as int4: `weights` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostraka.errors import ShapeMismatch
from ostraka.model import LlamaConfig
from ostraka_worker.engine.weights import Tensors, take, take_floats, take_matrix
from ostraka_worker.kernels import fused
from ostraka_worker.kernels.attention import attend
from ostraka_worker.kernels.cache import KvCache, quantize_heads
from ostraka_worker.kernels.dynamic_cache import DYNAMIC, LINEAR, DynamicKvCache
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.rope import Rope
from ostraka_worker.kernels.scalar import silu

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """The rows `[start, stop)` of a batch: the next positions of one session, from `position` on."""

    start: int
    stop: int
    position: int
    sample_from: int  # the head samples for rows `[sample_from, stop)`


class Embed:
    """Token ids to rows."""

    def __init__(self, tensors: Tensors, config: LlamaConfig) -> None:
        self._weight, self._scale = take_matrix(tensors, "embed", config.vocab, config.hidden)

    def __call__(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """int [T], each in [0, vocab) -> fp32 [T, H]."""
        return self._weight[tokens] * self._scale[tokens][:, None]


class Layer:
    """One transformer layer."""

    def __init__(self, tensors: Tensors, config: LlamaConfig, kernel: Kernel) -> None:
        hidden, ffn, dim = config.hidden, config.ffn, config.head_dim
        self._config = config
        self._attn_norm = RmsNorm(take_floats(tensors, "attn_norm", (hidden,)), config.norm_eps)
        self._ffn_norm = RmsNorm(take_floats(tensors, "ffn_norm", (hidden,)), config.norm_eps)
        self._qkv = _linear(tensors, "qkv", (config.heads + 2 * config.kv_heads) * dim, hidden, kernel)
        self._o = _linear(tensors, "o", hidden, config.heads * dim, kernel)
        self._gate_up = _linear(tensors, "gate_up", 2 * ffn, hidden, kernel)
        self._down = _linear(tensors, "down", hidden, ffn, kernel)
        self._kv_codec = _kv_codec(tensors)
        table = (config.context, dim // 2)
        self._rope = Rope(take_floats(tensors, "rope_cos", table), take_floats(tensors, "rope_sin", table))

    def new_cache(self, capacity: int) -> KvCache:
        sizes = self._config.kv_heads, self._config.head_dim, capacity
        return DynamicKvCache(*sizes, *self._kv_codec) if any(self._kv_codec) else KvCache(*sizes)

    def keys_and_values(self, x: Float32) -> tuple[Float32, Float32]:
        """fp32 [T, H] of positions 0 … -> what would be cached, fp32 [T, kv_heads, D] each. For choosing a codec."""
        heads, turned = self._config.heads, self._config.heads + self._config.kv_heads
        qkv = self._qkv(self._attn_norm(x)).reshape(len(x), -1, self._config.head_dim)
        return self._rope(qkv[:, heads:turned], 0), qkv[:, turned:]

    def __call__(self, x: Float32, parts: Sequence[Part], caches: Sequence[KvCache]) -> Float32:
        """fp32 [T, H], the parts of several sessions one after the other -> fp32 [T, H]; writes each session's cache."""
        config = self._config
        heads, turned = config.heads, config.heads + config.kv_heads
        qkv = self._qkv(self._attn_norm(x)).reshape(len(x), -1, config.head_dim)
        mixed = np.empty((len(x), heads * config.head_dim), np.float32)
        for part, cache in zip(parts, caches, strict=True):
            own = qkv[part.start : part.stop]
            y = fused.attend_to_past(own, self._rope, cache, part.position, heads)
            if y is not None:
                mixed[part.start : part.stop] = y
                continue
            own[:, :turned] = self._rope(own[:, :turned], part.position)
            whole, scales = quantize_heads(own)
            cache.write(part.position, cache.coded(own[:, heads:], whole[:, heads:]), scales[:, heads:])
            mixed[part.start : part.stop] = attend(whole[:, :heads], scales[:, :heads], cache, part.position)
        x = x + self._o(mixed)
        gate_up = self._gate_up(self._ffn_norm(x))
        inner = fused.silu_mul(gate_up)
        if inner is None:
            inner = silu(gate_up[:, : config.ffn])
            inner *= gate_up[:, config.ffn :]
        x += self._down(inner)
        return x


class Head:
    """Final norm and vocabulary projection."""

    def __init__(self, tensors: Tensors, config: LlamaConfig, kernel: Kernel) -> None:
        self._norm = RmsNorm(take_floats(tensors, "norm", (config.hidden,)), config.norm_eps)
        self._head = _linear(tensors, "head", config.vocab, config.hidden, kernel)

    def logits(self, x: Float32) -> Float32:
        """fp32 [T, H] -> fp32 [T, V]."""
        return self._head(self._norm(x))


def _kv_codec(tensors: Tensors) -> tuple[int, int]:
    """For keys and for values `LINEAR` or `DYNAMIC`; `LINEAR` both where the block does not say."""
    if "kv.codec" not in tensors:
        return LINEAR, LINEAR
    keys, values = take(tensors, "kv.codec", np.dtype(np.uint8), (2,)).tolist()
    if not {keys, values} <= {LINEAR, DYNAMIC}:
        raise ShapeMismatch(f"kv.codec is [{keys}, {values}]; each must be {LINEAR} (linear) or {DYNAMIC} (dynamic)")
    return keys, values


def _linear(tensors: Tensors, name: str, rows: int, columns: int, kernel: Kernel) -> Linear:
    return Linear(*take_matrix(tensors, name, rows, columns), kernel)
