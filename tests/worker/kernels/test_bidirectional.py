"""Attention over a whole sequence, and windows on either kind: near torch, exact, padding without a trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka_worker.kernels import bidirectional
from ostraka_worker.kernels.attention import attend
from ostraka_worker.kernels.bidirectional import attend_all
from ostraka_worker.kernels.cache import KvCache, quantize_heads
from ostraka_worker.kernels.scalar import Exp2


def qkv(
    seed: int, batch: int = 2, heads: int = 4, kv: int = 2, count: int = 20, dim: int = 32
) -> tuple[np.ndarray, ...]:
    random = np.random.Generator(np.random.PCG64(seed))
    return tuple(random.standard_normal((batch, n, count, dim)).astype(np.float32) for n in (heads, kv, kv))


def reference(q, k, v, visible):
    """The module's formulas for one sample and head, sums in int64, one query at a time."""
    (qw, qs), (kw, ks), (vw, vs) = (quantize_heads(np.ascontiguousarray(a)[:, None]) for a in (q, k, v))
    out = np.zeros((len(q), v.shape[1]), np.float32)
    for t in range(len(q)):
        seen = visible[t]
        if not seen.any():
            continue
        sums = kw[:, 0].astype(np.int64) @ qw[t, 0].astype(np.int64)
        s = sums.astype(np.float32) * (qs[t, 0] * np.float32(1.4426950408889634 / math.sqrt(q.shape[1]))) * ks[:, 0]
        e = np.rint(Exp2(22)(np.maximum(s - s[seen].max(), np.float32(-24)))) * seen
        z, peak = int(e.astype(np.int64).sum()), vs[seen, 0].max()
        p = np.rint(e * vs[:, 0] * np.float32(2.0**16 / (np.float64(z) * np.float64(peak)))).astype(np.int64)
        assert 127 * p.sum() < 2**24
        out[t] = (p @ vw[:, 0].astype(np.int64)).astype(np.float32) * (peak * np.float32(2.0**-16))
    return out


@given(st.integers(1, 30), st.sampled_from([None, 1, 3, 50]), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_every_head_is_the_int64_reference(count, window, causal, seed):
    q, k, v = qkv(seed, count=count)
    v[:, :, 0] *= 50
    mask = np.random.Generator(np.random.PCG64(seed)).random((2, 1, count, count)) < 0.6
    found = attend_all(q, k, v, mask, causal=causal, window=window)
    away = np.arange(count)[:, None] - np.arange(count)[None, :]
    visible = mask[:, 0] & ((away >= 0) if causal else True) & ((np.abs(away) < window) if window else True)
    for sample, head in np.ndindex(2, 4):
        expected = reference(q[sample, head], k[sample, head // 2], v[sample, head // 2], visible[sample])
        assert np.array_equal(found[sample, head], expected)


def test_it_is_near_the_true_function():
    q, k, v = qkv(1, count=100)
    mask = np.arange(100)[None, None, None, :] < np.array([100, 60]).reshape(2, 1, 1, 1)
    true = F.scaled_dot_product_attention(
        *(torch.from_numpy(a.repeat(4 // a.shape[1], axis=1)) for a in (q, k, v)), attn_mask=torch.from_numpy(mask)
    ).numpy()
    found = attend_all(q, k, v, mask)
    assert np.linalg.norm(found - true) / np.linalg.norm(true) < 0.02


def test_padding_of_any_length_leaves_no_mark():
    q, k, v = qkv(2, count=50)
    for length in (1, 7, 33):
        short = attend_all(*(np.ascontiguousarray(a[:1, :, :length]) for a in (q, k, v)))
        mask = (np.arange(50) < length)[None, None, None, :].repeat(2, axis=0)
        padded = attend_all(q, k, v * np.where(np.arange(50) < length, 1, 1e6)[:, None].astype(np.float32), mask)
        assert padded[0, :, :length].tobytes() == short[0].tobytes()


def test_neither_batch_nor_chunks_leave_a_mark(monkeypatch):
    q, k, v = qkv(3, batch=4)
    usual = attend_all(q, k, v, window=5)
    monkeypatch.setattr(bidirectional, "_CHUNK_SCORES", 1)
    alone = np.concatenate([attend_all(q[i : i + 1], k[i : i + 1], v[i : i + 1], window=5) for i in range(4)])
    assert usual.tobytes() == alone.tobytes()


def test_a_query_that_sees_nothing_gets_zeros():
    q, k, v = qkv(4)
    mask = np.ones((2, 1, 20, 20), bool)
    mask[0, 0, 3] = False
    mask[1] = False
    found = attend_all(q, k, v, mask)
    assert not found[0, :, 3].any()
    assert not found[1].any()
    assert found[0, :, 4].any()


@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_rows_are_exact(sign):
    count = 3000
    q = k = np.full((1, 1, count, 16), 127, np.float32)
    v = np.full((1, 1, count, 4), 127 * sign, np.float32)
    found = attend_all(q[:, :, :2], k, v)
    assert np.array_equal(found[0, 0], reference(q[0, 0, :2], k[0, 0], v[0, 0], np.ones((2, count), bool)))


def test_causal_attention_equals_the_cached_kernel_bit_for_bit():
    q, k, v = qkv(5, batch=1, count=70)
    cache = KvCache(2, 32, 70)
    whole, scales = quantize_heads(np.concatenate([k[0], v[0]]).transpose(1, 0, 2).copy())
    cache.write(0, whole, scales)
    queries, query_scales = quantize_heads(q[0].transpose(1, 0, 2).copy())
    expected = attend(queries, query_scales, cache, 0).reshape(70, 4, 32).transpose(1, 0, 2)
    assert np.array_equal(attend_all(q, k, v, causal=True)[0], expected)


@pytest.mark.parametrize("window", [1, 4, 40, 200])
def test_a_sliding_window_over_the_cache_hides_older_positions(window):
    random = np.random.Generator(np.random.PCG64(6))
    x = random.standard_normal((90, 8, 32)).astype(np.float32)
    x[:, 6:] /= np.abs(x[:, 6:]).max(
        axis=2, keepdims=True
    )  # one scale for all values: then V is the same with and without the past
    whole, scales = quantize_heads(x)
    cache = KvCache(2, 32, 90)
    cache.write(0, whole[:, 4:], scales[:, 4:])
    found = attend(whole[:, :4], scales[:, :4], cache, 0, window)
    steps = np.concatenate([attend(whole[i : i + 1, :4], scales[i : i + 1, :4], cache, i, window) for i in range(90)])
    assert found.tobytes() == steps.tobytes()
    for at in (0, 3, 60, 89):
        first = max(at - window + 1, 0)
        seen = KvCache(2, 32, 90)
        seen.write(0, whole[first : at + 1, 4:], scales[first : at + 1, 4:])
        assert (
            attend(whole[at : at + 1, :4], scales[at : at + 1, :4], seen, at - first).tobytes()
            == found[at : at + 1].tobytes()
        )
    if window >= 90:
        assert found.tobytes() == attend(whole[:, :4], scales[:, :4], cache, 0).tobytes()


def test_shapes_that_do_not_fit_are_refused():
    q, k, v = qkv(7)
    for bad in ((q[:, :3], k, v), (q, k[..., :-1], v), (q, k, v[:, :, :-1]), (q[:1], k, v)):
        with pytest.raises(ValueError, match="no attention"):
            attend_all(*bad)
