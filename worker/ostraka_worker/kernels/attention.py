"""Causal grouped-query attention over int8 rows, exact at any context up to 65,536.

Per head, with cached rows k_t, v_t (int8, one scale each):

    sum_t   = q · k_t                                  integer, |sum| <= 127 · 127 · head_dim < 2^24
    s_t     = sum_t · (scale_q · (log2 e / sqrt(head_dim))) · scale_k_t
    E_t     = rint(2^22 · 2^(s_t - max s))             integer in [0, 2^22]; 0 where t is in the future
    Z       = Σ E_t                                     exact in fp64, in any order
    P_t     = rint(E_t · scale_v_t · (2^16 / (Z · V)))     integer; V = the largest scale_v so far
    y       = (Σ P_t · v_t) · (V / 2^16)

Both products are fp32 GEMMs over integers whose partial sums stay below 2^24 in any order: the first by the bound above, the second
because Σ P_t <= 2^16 + T/2 + 1 (the E_t sum to Z, scale_v_t <= V, and rint moves each P_t by at most 1/2), so
|Σ P_t · v_t| <= 127 · (2^16 + 2^15 + 1) < 2^24 for T <= 65,536 positions.

A query row sees its own row and cached rows before it. Future rows have E = 0 exactly and add nothing, so it makes no
difference how many of them a chunk holds: prefill, chunked prefill and decode agree in every bit. V is a running maximum kept
with the cache, so it too depends on the past alone.

**Sliding window.** With `window` = W a query at position i sees positions i - W + 1 … i. Older ones have E = 0 exactly, like future ones;
nothing else changes: V stays the maximum over the whole past.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from ostraka_worker.kernels import dynamic_cache
from ostraka_worker.kernels.cache import KvCache
from ostraka_worker.kernels.scalar import Exp2

Float32 = npt.NDArray[np.float32]

# Query rows are taken in chunks of at most 64 and at most this many scores: that skips most of the future and keeps the
# arrays small enough to be reused by the allocator (measured at 1,128 positions: 7 against 17 ms). Leaves no mark in the result.
MAX_CHUNK_ROWS = 64
MAX_CHUNK_SCORES = 1 << 18

_LOG2_E = 1.4426950408889634
_exp2 = Exp2(shift=22)
_EXPONENT_MIN = np.float32(-24)  # below this E is 0: 2^22 · 2^-24 = 1/4
_MASKED = np.float32(-3e38)
_P_ONE = np.float64(2.0**16)
_P_UNIT = np.float32(2.0**-16)


def attend(q: Float32, q_scales: Float32, cache: KvCache, position: int, window: int | None = None) -> Float32:
    """Queries of positions `position` … `position + T - 1`, whose keys and values are already in the cache.

    q integer-valued fp32 [T, heads, D] in [-127, 127], q_scales fp32 [T, heads] -> fp32 [T, heads · D]. `window` >= 1 or None: all.
    """
    count, heads, dim = q.shape
    kv_heads, group = cache.kv_heads, heads // cache.kv_heads
    # [kv, group, T, D]: the heads that share a key head stand together.
    queries = q.reshape(count, kv_heads, group, dim).transpose(1, 2, 0, 3)
    factors = (q_scales * np.float32(_LOG2_E / math.sqrt(dim))).reshape(count, kv_heads, group, 1).transpose(1, 2, 0, 3)
    chunk = min(MAX_CHUNK_ROWS, max(MAX_CHUNK_SCORES // (heads * (position + count)), 8))
    if count <= chunk:
        y = _attend_chunk(queries, factors, cache, position, window)
    else:
        y = np.empty((kv_heads, group, count, dim), np.float32)
        for start in range(0, count, chunk):
            part = slice(start, start + chunk)
            y[:, :, part] = _attend_chunk(queries[:, :, part], factors[:, :, part], cache, position + start, window)
    return y.transpose(2, 0, 1, 3).reshape(count, heads * dim)


def _attend_chunk(q: Float32, factors: Float32, cache: KvCache, position: int, window: int | None) -> Float32:
    """q fp32 [kv, group, T, D], factors [kv, group, T, 1] -> fp32 [kv, group, T, D]."""
    kv_heads, group, count, dim = q.shape
    seen = position + count
    shape = (kv_heads, group, count, seen)
    s = _product(q.reshape(kv_heads, group * count, dim), cache.keys[:, :, :seen]).reshape(shape)
    s *= factors
    s *= cache.key_scales[:, :, :, :seen]
    if count > 1:
        # The last `count` columns hold this chunk's own positions; only there is any future.
        future = np.arange(count)[:, None] < np.arange(count)[None, :]
        np.copyto(s[:, :, :, position:], _MASKED, where=future)
    if window is not None and seen > window:
        past = np.arange(seen)[None, :] <= np.arange(position - window, seen - window)[:, None]
        np.copyto(s, _MASKED, where=past)
    s -= s.max(axis=3, keepdims=True)
    np.maximum(s, _EXPONENT_MIN, out=s)
    p = _exp2(s)
    np.rint(p, out=p)
    total = np.add.reduce(p, axis=3, dtype=np.float64, keepdims=True)
    value_peaks = cache.value_peaks[:, :, position:seen]
    p *= cache.value_scales[:, :, :, :seen]
    p *= (_P_ONE / (total * value_peaks)).astype(np.float32)
    np.rint(p, out=p)
    y = _product(p.reshape(kv_heads, group * count, seen), cache.values[:, :seen]).reshape(q.shape)
    y += np.float32(0)  # a sum of zeros may be -0.0 on one machine and +0.0 on another
    y *= value_peaks * _P_UNIT
    return y


def _product(a: Float32, b: npt.NDArray[np.int8] | npt.NDArray[np.uint8]) -> Float32:
    """fp32 [kv, M, K] · int8 [kv, K, N] -> fp32 [kv, M, N]; the caller bounds the sums below 2^24. uint8 are dynamic codes.

    The sign of a zero is open. It does not matter to the scores: they pass through a subtraction and rint(t), t - rint(t).
    """
    if b.dtype == np.uint8:
        return dynamic_cache.product(a, b.view(np.uint8))
    product: Float32 = torch.bmm(torch.from_numpy(a), torch.from_numpy(b).float()).numpy()
    return product
