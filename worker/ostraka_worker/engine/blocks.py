"""The running form of one block: embed, layer or head. Rows in, rows out; sessions are the stage's affair.

Tensors a block file holds (H hidden, F ffn, D head_dim, V vocab, C context):

    embed   embed.weight I8 [V, H]   embed.scale F32 [V]
    layer   attn_norm, ffn_norm F32 [H]   rope_cos, rope_sin F32 [C, D/2]
            qkv [(heads + 2 · kv_heads) · D, H]   o [H, heads · D]   gate_up [2F, H]   down [H, F], each as NAME.weight I8 and NAME.scale F32
    head    norm F32 [H]   head.weight I8 [V, H]   head.scale F32 [V]
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ostraka.codec import Array
from ostraka.errors import ShapeMismatch
from ostraka.model import LlamaConfig
from ostraka_worker.kernels.attention import attend
from ostraka_worker.kernels.cache import KvCache, quantize_heads
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.rope import Rope
from ostraka_worker.kernels.sampling import greedy
from ostraka_worker.kernels.scalar import silu

Float32 = npt.NDArray[np.float32]
Tensors = Mapping[str, Array]

_I8, _F32 = np.dtype(np.int8), np.dtype(np.float32)


class Embed:
    """Token ids to rows."""

    def __init__(self, tensors: Tensors, config: LlamaConfig) -> None:
        shape = (config.vocab, config.hidden)
        self._weight = _take(tensors, "embed.weight", _I8, shape)
        self._scale = _take(tensors, "embed.scale", _F32, shape[:1])

    def __call__(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """int [T], each in [0, vocab) -> fp32 [T, H]."""
        return self._weight[tokens] * self._scale[tokens][:, None]


class Layer:
    """One transformer layer."""

    def __init__(self, tensors: Tensors, config: LlamaConfig, kernel: Kernel) -> None:
        hidden, ffn, dim = config.hidden, config.ffn, config.head_dim
        self._config = config
        self._attn_norm = RmsNorm(_take(tensors, "attn_norm", _F32, (hidden,)), config.norm_eps)
        self._ffn_norm = RmsNorm(_take(tensors, "ffn_norm", _F32, (hidden,)), config.norm_eps)
        self._qkv = _linear(tensors, "qkv", (config.heads + 2 * config.kv_heads) * dim, hidden, kernel)
        self._o = _linear(tensors, "o", hidden, config.heads * dim, kernel)
        self._gate_up = _linear(tensors, "gate_up", 2 * ffn, hidden, kernel)
        self._down = _linear(tensors, "down", hidden, ffn, kernel)
        table = (config.context, dim // 2)
        self._rope = Rope(_take(tensors, "rope_cos", _F32, table), _take(tensors, "rope_sin", _F32, table))

    def new_cache(self, capacity: int) -> KvCache:
        return KvCache(self._config.kv_heads, self._config.head_dim, capacity)

    def __call__(self, x: Float32, cache: KvCache, position: int) -> Float32:
        """fp32 [T, H] of positions `position` … -> fp32 [T, H]; writes T positions of the cache."""
        config = self._config
        heads, turned = config.heads, config.heads + config.kv_heads
        qkv = self._qkv(self._attn_norm(x)).reshape(len(x), -1, config.head_dim)
        qkv[:, :turned] = self._rope(qkv[:, :turned], position)
        rows, scales = quantize_heads(qkv)
        cache.write(position, rows[:, heads:], scales[:, heads:])
        x = x + self._o(attend(rows[:, :heads], scales[:, :heads], cache, position))
        gate_up = self._gate_up(self._ffn_norm(x))
        inner = silu(gate_up[:, : config.ffn])
        inner *= gate_up[:, config.ffn :]
        x += self._down(inner)
        return x


class Head:
    """Final norm and vocabulary projection."""

    def __init__(self, tensors: Tensors, config: LlamaConfig, kernel: Kernel) -> None:
        self._norm = RmsNorm(_take(tensors, "norm", _F32, (config.hidden,)), config.norm_eps)
        self._head = _linear(tensors, "head", config.vocab, config.hidden, kernel)

    def logits(self, x: Float32) -> Float32:
        """fp32 [T, H] -> fp32 [T, V]."""
        return self._head(self._norm(x))

    def __call__(self, x: Float32) -> npt.NDArray[np.int32]:
        """fp32 [T, H] -> the sampled tokens, int32 [T]."""
        return greedy(self.logits(x))


def _linear(tensors: Tensors, name: str, rows: int, columns: int, kernel: Kernel) -> Linear:
    weight = _take(tensors, f"{name}.weight", _I8, (rows, columns))
    return Linear(weight, _take(tensors, f"{name}.scale", _F32, (rows,)), kernel)


def _take(tensors: Tensors, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
    """Raises `ShapeMismatch` unless the block holds the tensor as the manifest's sizes demand."""
    tensor = tensors.get(name)
    if tensor is None:
        raise ShapeMismatch(f"block: tensor {name} is missing; it holds {', '.join(sorted(tensors))}")
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ShapeMismatch(f"block: {name} is {tensor.dtype} {list(tensor.shape)}; the manifest says {dtype} {list(shape)}")
    return tensor
