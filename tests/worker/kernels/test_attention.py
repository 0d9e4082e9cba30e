"""Attention: near the true function; exact sums under extreme values; chunks and futures leave no mark."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ostraka_worker.kernels import attention
from ostraka_worker.kernels.attention import attend
from ostraka_worker.kernels.cache import KvCache, quantize_heads
from ostraka_worker.kernels.scalar import Exp2

HEADS, KV_HEADS, DIM = 6, 2, 32


def make(count: int, seed: int = 0, capacity: int | None = None) -> tuple[np.ndarray, np.ndarray, KvCache, np.ndarray]:
    """Queries and scales of `count` positions, a cache that holds their keys and values, and the fp32 heads [T, 10, D]."""
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((count, HEADS + 2 * KV_HEADS, DIM)).astype(np.float32)
    x[:, HEADS + KV_HEADS :] *= random.random((count, 1, 1)).astype(np.float32) * 3  # value rows of unlike size
    whole, scales = quantize_heads(x)
    cache = KvCache(KV_HEADS, DIM, capacity or count)
    cache.write(0, whole[:, HEADS:], scales[:, HEADS:])
    return whole[:, :HEADS], scales[:, :HEADS], cache, x


def exact_reference(q, q_scales, cache, position):
    """The formulas of the module's text with int64 sums, one query at a time."""
    out = np.empty((len(q), HEADS, DIM), np.float32)
    for t in range(len(q)):
        seen = position + t + 1
        for head in range(HEADS):
            kv = head // (HEADS // KV_HEADS)
            sums = q[t, head].astype(np.int64) @ cache.keys[kv, :, :seen].astype(np.int64)
            s = sums.astype(np.float32) * (q_scales[t, head] * np.float32(1.4426950408889634 / math.sqrt(DIM)))
            s = s * cache.key_scales[kv, 0, 0, :seen]
            e = np.rint(Exp2(22)(np.maximum(s - s.max(), np.float32(-24))))
            total = int(e.astype(np.int64).sum())
            peak = cache.value_scales[kv, 0, 0, :seen].max()
            unit = np.float32(2.0**16 / (np.float64(total) * np.float64(peak)))
            p = np.rint(e * cache.value_scales[kv, 0, 0, :seen] * unit).astype(np.int64)
            assert 127 * p.sum() < 2**24
            y = (p @ cache.values[kv, :seen].astype(np.int64)).astype(np.float32)
            out[t, head] = y * (peak * np.float32(2.0**-16))
    return out.reshape(len(q), -1)


def test_attention_is_the_int64_reference_bit_for_bit():
    q, scales, cache, _ = make(90)
    assert attend(q, scales, cache, 0).tobytes() == exact_reference(q, scales, cache, 0).tobytes()


@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_rows_are_exact(sign):
    """All ±127 and equal scores: the largest sums both products can have."""
    q, scales, cache, _ = make(2500)
    q = np.full_like(q[-3:], 127)
    cache.keys[:] = 127
    cache.values[:] = 127 * sign
    cache.value_scales[:] = cache.value_peaks[:] = 1
    cache.key_scales[:] = 1e-9
    found = attend(q, scales[-3:], cache, 2497)
    assert found.tobytes() == exact_reference(q, scales[-3:], cache, 2497).tobytes()


def test_attention_is_near_the_true_function():
    q, scales, cache, x = make(200)
    wide = x.astype(np.float64)
    group = HEADS // KV_HEADS
    queries, keys, values = wide[:, :HEADS], wide[:, HEADS : HEADS + KV_HEADS], wide[:, HEADS + KV_HEADS :]
    s = np.einsum("thd,shd->hts", queries, keys.repeat(group, axis=1)) / math.sqrt(DIM)
    s[:, np.triu(np.ones((200, 200), bool), 1)] = -np.inf
    p = np.exp(s - s.max(axis=2, keepdims=True))
    true = np.einsum("hts,shd->thd", p / p.sum(axis=2, keepdims=True), values.repeat(group, axis=1)).reshape(200, -1)
    found = attend(q, scales, cache, 0)
    assert np.linalg.norm(found - true) / np.linalg.norm(true) < 0.02


def test_chunks_and_single_steps_agree_bit_for_bit():
    q, scales, cache, x = make(150)
    whole, all_scales = quantize_heads(x)
    at_once = attend(q, scales, cache, 0)
    for sizes in ([150], [1] * 150, [64, 64, 22], [3, 100, 47]):
        stepwise = KvCache(KV_HEADS, DIM, 150)
        position, parts = 0, []
        for size in sizes:
            chunk = slice(position, position + size)
            stepwise.write(position, whole[chunk, HEADS:], all_scales[chunk, HEADS:])
            parts.append(attend(q[chunk], scales[chunk], stepwise, position))
            position += size
        assert np.concatenate(parts).tobytes() == at_once.tobytes(), sizes
        assert stepwise.value_peaks.tobytes() == cache.value_peaks.tobytes()


@pytest.mark.parametrize(("rows", "scores"), [(1, 1 << 18), (7, 1 << 18), (64, 1), (1000, 1 << 30)])
def test_how_queries_are_cut_for_memory_leaves_no_mark(monkeypatch, rows, scores):
    q, scales, cache, _ = make(150)
    usual = attend(q, scales, cache, 0)
    monkeypatch.setattr(attention, "MAX_CHUNK_ROWS", rows)
    monkeypatch.setattr(attention, "MAX_CHUNK_SCORES", scores)
    assert attend(q, scales, cache, 0).tobytes() == usual.tobytes()


def test_what_lies_in_the_cache_after_a_position_does_not_matter():
    q, scales, cache, _ = make(40, capacity=80)
    before = attend(q[20:30], scales[20:30], cache, 20)
    cache.keys[:, :, 30:] = 127
    cache.values[:, 30:] = -127
    cache.key_scales[..., 30:] = np.nan
    cache.value_scales[..., 30:] = np.inf
    assert attend(q[20:30], scales[20:30], cache, 20).tobytes() == before.tobytes()


def test_writing_again_from_a_position_forgets_what_stood_there():
    _, _, cache, x = make(40, capacity=40)
    other = KvCache(KV_HEADS, DIM, 40)
    whole, scales = quantize_heads(x)
    other.write(0, whole[::-1, HEADS:], scales[::-1, HEADS:] * 9)
    other.write(0, whole[:15, HEADS:], scales[:15, HEADS:])
    other.write(15, whole[15:, HEADS:], scales[15:, HEADS:])
    for name in ("keys", "values", "key_scales", "value_scales", "value_peaks"):
        assert getattr(other, name).tobytes() == getattr(cache, name).tobytes()


def test_head_rows_quantize_within_int8_whatever_their_size():
    x = np.zeros((3, 2, DIM), np.float32)
    x[0, 0] = np.linspace(-1, 1, DIM)
    x[1] = np.float32(2.0**-149)
    x[2] = np.float32(3e38)
    whole, scales = quantize_heads(x)
    assert np.abs(whole).max() == 127
    assert np.isfinite(scales).all()
    assert not whole[1].any()
