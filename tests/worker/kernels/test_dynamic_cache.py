"""KV caches in the dynamic 8-bit map: exact sums, no mark of chunks, near what they stand for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ostraka.codec.dynamic_map import CODES
from ostraka_worker.kernels.attention import attend
from ostraka_worker.kernels.cache import KvCache, quantize_heads
from ostraka_worker.kernels.dynamic_cache import DYNAMIC, LINEAR, DynamicKvCache, decodings, product

HEADS, KV_HEADS, DIM = 6, 2, 32
MIXES = [(DYNAMIC, DYNAMIC), (DYNAMIC, LINEAR), (LINEAR, DYNAMIC)]


def make(count: int, codec: tuple[int, int], write: list[int] | None = None):
    random = np.random.Generator(np.random.PCG64(3))
    x = random.standard_normal((count, HEADS + 2 * KV_HEADS, DIM)).astype(np.float32)
    whole, scales = quantize_heads(x)
    cache = DynamicKvCache(KV_HEADS, DIM, count, *codec)
    at = 0
    for size in write or [count]:
        part = slice(at, at + size)
        cache.write(at, cache.coded(x[part, HEADS:], whole[part, HEADS:]), scales[part, HEADS:])
        at += size
    return whole[:, :HEADS], scales[:, :HEADS], cache, x


def test_products_are_the_integer_sums_rounded_once():
    random = np.random.Generator(np.random.PCG64(1))
    a = random.integers(-127, 128, (2, 5, 96)).astype(np.float32)
    codes = random.integers(0, 256, (2, 96, 7)).astype(np.uint8)
    grid = np.rint(CODES.astype(np.float64) * 2**20).astype(np.int64)
    sums = a.astype(np.int64) @ grid[codes]
    assert product(a, codes).tobytes() == (sums / 2**20).astype(np.float32).tobytes()


def test_the_largest_sums_stay_below_2_to_the_53():
    ones = np.full((1, 1, 65_536), 1.5, np.float32)  # the probabilities of attention sum to at most 2^16 + 2^15 + 1
    codes = np.full((1, 65_536, 3), 255, np.uint8)
    assert product(ones, codes).tolist() == [[[1.5 * 65_536 * 127] * 3]]


@pytest.mark.parametrize("codec", MIXES)
@pytest.mark.parametrize("sizes", [[1] * 40, [7, 33], [39, 1]])
def test_chunks_leave_no_mark(codec, sizes):
    q, scales, cache, _ = make(40, codec)
    expected = attend(q, scales, cache, 0)
    q, scales, cache, _ = make(40, codec, sizes)
    starts = [0, *itertools.accumulate(sizes)]
    found = [attend(q[a:b], scales[a:b], cache, a) for a, b in itertools.pairwise(starts)]
    assert np.concatenate(found).tobytes() == expected.tobytes()


@pytest.mark.parametrize("codec", MIXES)
def test_it_attends_nearly_as_the_linear_cache(codec):
    q, scales, cache, x = make(60, codec)
    linear = KvCache(KV_HEADS, DIM, 60)
    whole, all_scales = quantize_heads(x)
    linear.write(0, whole[:, HEADS:], all_scales[:, HEADS:])
    near, found = attend(q, scales, linear, 0), attend(q, scales, cache, 0)
    assert not cache.linear
    assert 0 < np.linalg.norm(found - near) / np.linalg.norm(near) < 0.03


def test_what_is_cached_is_what_the_choice_was_made_on():
    _, _, cache, x = make(20, (DYNAMIC, LINEAR))
    keys = CODES[cache.keys.transpose(2, 0, 1)] * cache.key_scales[:, 0, 0].T[:, :, None]
    values = cache.values.transpose(1, 0, 2).astype(np.float32) * cache.value_scales[:, 0, 0].T[:, :, None]
    assert (keys == decodings(x[:, HEADS : HEADS + KV_HEADS])[DYNAMIC]).all()
    assert (values == decodings(x[:, HEADS + KV_HEADS :])[LINEAR]).all()
