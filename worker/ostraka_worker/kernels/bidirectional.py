"""Attention without a cache: every query may see every key, a mask and a window permitting. Encoders and exported graphs.

The formulas are those of `attention`, with V the largest scale_v among the keys that the query may see:

    s_t = (q · k_t) · (scale_q · scale · log2 e) · scale_k_t       q, k int8 rows with a scale each
    E_t = rint(2^22 · 2^(s_t - max s))                             0 where the mask or the window hides t
    P_t = rint(E_t · scale_v_t · (2^16 / (Z · V)))                 Z = Σ E_t
    y   = (Σ P_t · v_t) · (V / 2^16)

The bounds are the same: 127² · D < 2^24 for D <= 1024, Σ E_t < 2^53, 127 · (2^16 + S/2 + 1) < 2^24 for S <= 65,536 keys. A hidden key
adds integer zeros and has no part in a maximum, so padding of any length changes no bit of what is not padding. A query that may see
no key gets zeros. With `causal` and without a window the bytes are those of `attention.attend`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from ostraka_worker.kernels.cache import quantize_heads
from ostraka_worker.kernels.scalar import Exp2

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

MAX_DIM, MAX_KEYS = 1024, 65_536
_LOG2_E = 1.4426950408889634
_exp2 = Exp2(shift=22)
_EXPONENT_MIN = np.float32(-24)
_MASKED = np.float32(-3e38)
_SCALE_MIN = np.float32(2.0**-67)  # no key visible: anything that can be divided by
_P_ONE, _P_UNIT = np.float64(2.0**16), np.float32(2.0**-16)
_CHUNK_SCORES = 1 << 20  # scores at once; leaves no mark


def attend_all(
    q: Float32,
    k: Float32,
    v: Float32,
    mask: Bool | None = None,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
) -> Float32:
    """Queries fp32 [B, heads, T, D], keys [B, kv_heads, S, D] and values [B, kv_heads, S, E] -> fp32 [B, heads, T, E].

    `mask` bool, broadcast to [B, heads, T, S]: True where a query may see a key. `causal` hides keys after the query, `window` those
    `window` or more places away; both count places from 0 on. `scale` defaults to 1 / sqrt(D); `kv_heads` must divide `heads`.
    Raises `ValueError` for shapes that do not fit, D > 1024 or S > 65,536.
    """
    batch, heads, count, dim = q.shape
    kv_heads, keys, width = v.shape[1:]
    fits = k.shape == (batch, kv_heads, keys, dim) and v.shape[0] == batch and kv_heads and heads % kv_heads == 0
    if not fits or not 0 < dim <= MAX_DIM or not 0 < keys <= MAX_KEYS or width == 0:
        raise ValueError(f"no attention of {list(q.shape)} to keys {list(k.shape)} and values {list(v.shape)}")
    factor = np.float32(_LOG2_E / math.sqrt(dim) if scale is None else _LOG2_E * scale)
    visible = np.broadcast_to(_visible(count, keys, mask, causal, window), (batch, heads, count, keys))
    y = np.empty((batch, heads, count, width), np.float32)
    lines = max(_CHUNK_SCORES // (keys * heads), 1)
    for sample in range(batch):
        queries, scale_q = quantize_heads(np.ascontiguousarray(q[sample]))
        key, scale_k = (
            np.repeat(a, heads // kv_heads, axis=0) for a in quantize_heads(np.ascontiguousarray(k[sample]))
        )
        value, scale_v = (
            np.repeat(a, heads // kv_heads, axis=0) for a in quantize_heads(np.ascontiguousarray(v[sample]))
        )
        key = np.ascontiguousarray(key.transpose(0, 2, 1))
        for at in range(0, count, lines):
            rows = slice(at, at + lines)
            s = _product(queries[:, rows], key)
            s *= (scale_q[:, rows] * factor)[:, :, None]
            s *= scale_k[:, None, :]
            y[sample, :, rows] = _weigh(s, value, scale_v, visible[sample, :, rows])
    return y


def _visible(count: int, keys: int, mask: Bool | None, causal: bool, window: int | None) -> Bool:
    away = np.arange(count)[:, None] - np.arange(keys)[None, :]
    visible: Bool = np.ones((count, keys), bool) if mask is None else mask
    if causal:
        visible = visible & (away >= 0)
    if window is not None:
        visible = visible & (np.abs(away) < window)
    return visible


def _weigh(s: Float32, values: Float32, scale_v: Float32, visible: Bool) -> Float32:
    """Scores [heads, T, S], values int [heads, S, E] with scales [heads, S], bool [heads, T, S] -> [heads, T, E]."""
    np.copyto(s, _MASKED, where=~visible)
    s -= s.max(axis=2, keepdims=True)
    np.maximum(s, _EXPONENT_MIN, out=s)
    p = _exp2(s)
    np.rint(p, out=p)
    p *= visible  # of a query that sees nothing all scores are equal
    total = np.maximum(np.add.reduce(p, axis=2, dtype=np.float64, keepdims=True), 1.0)
    scales = visible * scale_v[:, None, :]
    peak = np.maximum(scales.max(axis=2, keepdims=True), _SCALE_MIN)
    p *= scales
    p *= (_P_ONE / (total * peak)).astype(np.float32)
    np.rint(p, out=p)
    y = _product(p, values)
    y += np.float32(0)
    y *= peak * _P_UNIT
    return y


def _product(a: Float32, b: Float32) -> Float32:
    """fp32 [heads, M, K] · fp32 [heads, K, N], integer-valued; the caller bounds the sums below 2^24."""
    product: Float32 = torch.bmm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    return product
