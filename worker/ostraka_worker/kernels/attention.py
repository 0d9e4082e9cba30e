"""Causal grouped-query attention over int8 rows, exact at any context up to 65,536.

Per head, with cached rows k_t, v_t (int8, one scale each):

    sum_t   = q · k_t                                  integer, |sum| <= 127 · 127 · head_dim < 2^24
    s_t     = sum_t · (scale_q / sqrt(head_dim)) · scale_k_t
    E_t     = rint(2^22 · exp(s_t - max s))             integer in [0, 2^22]; 0 where t is in the future
    Z       = Σ E_t                                     exact in fp64, in any order
    P_t     = rint(E_t · scale_v_t · (2^16 / (Z · V)))     V = the largest scale_v so far; integer
    y       = (Σ P_t · v_t) · (V / 2^16)

Both products are fp32 GEMMs over integers whose partial sums stay below 2^24 in any order: the first by the bound above,
the second because Σ P_t <= 2^16 + T/2 + 1 (E_t sum to Z, scale_v_t <= V, one rounding of 1/2 each), so
|Σ P_t · v_t| <= 127 · (2^16 + 2^15 + 1) < 2^24 for T <= 65,536 positions.

A query row sees its own row and cached rows before it. Future rows have E = 0 exactly and add nothing, so it makes no
difference how many of them the chunk holds: prefill, chunked prefill and decode agree in every bit. V is a running maximum, kept with the
cache, so it too depends on the past alone.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from ostraka_worker.kernels.scalar import exp2_scaled

Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]

MAX_POSITIONS = 1 << 16
QUERY_CHUNK = 64  # rows of queries at a time: bounds memory and skips most of the future; leaves no mark in the result

_LOG2_E = 1.4426950408889634
_EXP_SHIFT = 22
# Below this E is 0: 2^22 · 2^-24 = 1/4. Also keeps the exponent's bit pattern in range.
_EXP_FLOOR = np.float32(-24)
_MASKED = np.float32(-3e38)
_P_ONE = np.float64(2.0**16)
_V_UNIT = np.float32(2.0**-16)
_INT8_MAX = np.float32(127)
_SCALE_FLOOR = np.float32(2.0**-60)


def quantize_heads(x: Float32) -> tuple[Int8, Float32]:
    """fp32 [T, heads, D] -> int8 [T, heads, D] and scales fp32 [T, heads, 1]: largest magnitude / 127, half to even."""
    scale = np.maximum(np.abs(x).max(axis=2, keepdims=True), _SCALE_FLOOR)
    scale /= _INT8_MAX
    q = x / scale
    np.rint(q, out=q)
    return q.astype(np.int8), scale


class KvCache:
    """Keys and values of one session in one layer, preallocated: int8 rows with scales.

    `capacity` is in positions. 2 · kv_heads · (head_dim + 6) bytes a position.
    """

    def __init__(self, kv_heads: int, head_dim: int, capacity: int) -> None:
        self.keys = np.zeros((kv_heads, capacity, head_dim), np.int8)
        self.values = np.zeros((kv_heads, capacity, head_dim), np.int8)
        self.key_scales = np.zeros((kv_heads, 1, capacity), np.float32)
        self.value_scales = np.zeros((kv_heads, 1, capacity), np.float32)
        self.value_peaks = np.zeros((kv_heads, capacity, 1), np.float32)  # running maximum of value_scales

    def write(self, position: int, rows: Int8, scales: Float32) -> None:
        """Keys then values of T positions: int8 [T, 2 · kv_heads, D] and fp32 [T, 2 · kv_heads, 1]."""
        kv_heads = len(self.keys)
        stop = position + len(rows)
        rows = rows.swapaxes(0, 1)
        scales = scales.swapaxes(0, 1)
        self.keys[:, position:stop] = rows[:kv_heads]
        self.values[:, position:stop] = rows[kv_heads:]
        self.key_scales[:, 0, position:stop] = scales[:kv_heads, :, 0]
        self.value_scales[:, 0, position:stop] = scales[kv_heads:, :, 0]
        peaks = self.value_peaks
        peaks[:, position:stop] = scales[kv_heads:]
        if position:
            np.maximum(peaks[:, position], peaks[:, position - 1], out=peaks[:, position])
        if len(rows[0]) > 1:
            np.maximum.accumulate(peaks[:, position:stop], axis=1, out=peaks[:, position:stop])


def attend(q: Int8, q_scales: Float32, cache: KvCache, position: int) -> Float32:
    """Queries of positions `position` … `position + T - 1`, whose keys and values are already in the cache.

    q int8 [T, heads, D], q_scales fp32 [T, heads, 1] -> fp32 [T, heads · D].
    """
    count, heads, dim = q.shape
    out = np.empty((count, heads * dim), np.float32)
    for start in range(0, count, QUERY_CHUNK):
        stop = min(start + QUERY_CHUNK, count)
        _attend_chunk(q[start:stop], q_scales[start:stop], cache, position + start, out[start:stop])
    return out


def _attend_chunk(q: Int8, q_scales: Float32, cache: KvCache, position: int, out: Float32) -> None:
    count, heads, dim = q.shape
    kv_heads = len(cache.keys)
    group = heads // kv_heads
    seen = position + count
    # [kv, group · T, D]: the queries of the heads that share a key head stand together.
    queries = _by_kv_head(q, kv_heads).astype(np.float32)
    factors = _by_kv_head(q_scales, kv_heads) * np.float32(_LOG2_E / math.sqrt(dim))

    keys = cache.keys[:, :seen].astype(np.float32)
    s = _bmm(queries, keys.swapaxes(1, 2))
    s *= factors
    s *= cache.key_scales[:, :, :seen]
    if count > 1:
        future = np.arange(count)[:, None] + position < np.arange(seen)[None, :]
        np.copyto(s.reshape(kv_heads, group, count, seen), _MASKED, where=future)
    s -= s.max(axis=2, keepdims=True)
    np.maximum(s, _EXP_FLOOR, out=s)
    e = exp2_scaled(s, _EXP_SHIFT)
    np.rint(e, out=e)
    total = e.sum(axis=2, dtype=np.float64, keepdims=True)
    peaks = cache.value_peaks[:, position:seen]
    if group > 1:
        peaks = np.tile(peaks, (1, group, 1))
    e *= cache.value_scales[:, :, :seen]
    e *= (_P_ONE / (total * peaks)).astype(np.float32)
    np.rint(e, out=e)
    y = _bmm(e, cache.values[:, :seen].astype(np.float32))
    y *= peaks * _V_UNIT
    out.reshape(count, kv_heads, group, dim)[:] = y.reshape(kv_heads, group, count, dim).transpose(2, 0, 1, 3)


def _by_kv_head(x: npt.NDArray[np.generic], kv_heads: int) -> npt.NDArray[np.generic]:
    """[T, heads, D] -> [kv, group · T, D], head h belonging to key head h // group."""
    count, heads, dim = x.shape
    group = heads // kv_heads
    return np.ascontiguousarray(x.reshape(count, kv_heads, group, dim).transpose(1, 2, 0, 3)).reshape(
        kv_heads, group * count, dim
    )


def _bmm(a: Float32, b: Float32) -> Float32:
    return torch.bmm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
