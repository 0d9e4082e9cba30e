"""Drawing tokens: the right distribution, within top-k and top-p, and nothing but seed, position and logits counts."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ostraka.errors import NonFiniteActivation
from ostraka.wire.sampling import GREEDY, Sampling
from ostraka_worker.kernels.sampling import candidates, greedy, minus_log2, sample

WARM = Sampling(temperature_milli=800, seed=11)
FINITE = st.floats(width=32, min_value=-(2.0**20), max_value=2.0**20)


def logits_of(count: int, vocab: int, seed: int = 0) -> np.ndarray:
    random = np.random.Generator(np.random.PCG64(seed))
    return (random.standard_normal((count, vocab)) * 2).astype(np.float32)


def draws(logits: np.ndarray, own: Sampling, count: int) -> np.ndarray:
    """`count` draws from one row, at positions 0 … count - 1."""
    return sample(np.repeat(logits[None], count, axis=0), [own] * count, range(count))


def test_the_tokens_are_pinned():
    # A change is a change of the protocol: replicas of another version would disagree.
    # From whole numbers: numpy may change the stream of its normal numbers.
    logits = ((np.arange(200 * 3000, dtype=np.int64) * 7919 % 10_007).reshape(200, 3000) / np.float32(900)).astype(
        np.float32
    )
    for own, expected in (
        (WARM, "dff646824a4dedf8"),
        (Sampling(1500, top_k=50, top_p_milli=900, seed=(1 << 64) - 1), "12d1f00a2254e52f"),
    ):
        tokens = sample(logits, [own] * 200, range(200))
        assert hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()[:16] == expected


@pytest.mark.parametrize("temperature", [300, 1000, 1700])
def test_frequencies_are_those_of_the_softmax(temperature):
    logits = logits_of(1, 40)[0]
    count = 10_000
    seen = np.bincount(draws(logits, Sampling(temperature, seed=5), count), minlength=40)
    p = np.exp((logits.astype(np.float64) - logits.max()) * 1000 / temperature)
    expected = count * p / p.sum()
    likely = expected >= 5
    seen = np.append(seen[likely], seen[~likely].sum())
    expected = np.append(expected[likely], max(expected[~likely].sum(), 1e-9))
    statistic = ((seen - expected) ** 2 / np.maximum(expected, 1)).sum()
    freedom = len(expected) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)  # four standard deviations; the seed is fixed


def test_equal_tokens_are_equally_likely_however_many_there_are():
    counts = np.bincount(draws(np.zeros(4096, np.float32), Sampling(1000, seed=3), 3200) // 512, minlength=8)
    assert abs(counts - 400).max() < 4 * 20


def by_hand(logits: np.ndarray, top_k: int, top_p_milli: int, temperature: int) -> tuple[set[int], set[int]]:
    """What top-k and top-p must keep and may keep, in fp64: the last token may fall either way by a rounding."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[: top_k or None]
    p = np.exp((logits[order].astype(np.float64) - logits.max()) * 1000 / temperature)
    p /= p.sum()
    before = np.cumsum(p) - p
    must = {order[i] for i in range(len(order)) if before[i] < top_p_milli / 1000 - 1e-5 and p[i] > 1e-8}
    may = {order[i] for i in range(len(order)) if before[i] < top_p_milli / 1000 + 1e-5}
    return must, may


@pytest.mark.parametrize("top_k", [0, 1, 5, 50, 999, 1000])
@pytest.mark.parametrize("top_p_milli", [1, 300, 900, 999, 1000])
def test_top_k_and_top_p_keep_what_they_should(top_k, top_p_milli):
    for logits in (
        logits_of(1, 1000, 4)[0],
        np.round(logits_of(1, 1000, 4)[0]) + np.float32(0),
    ):  # the second has many equals
        own = Sampling(1000, top_k, top_p_milli, 8)
        ids, weights = candidates(logits, own)
        must, may = by_hand(logits, top_k, top_p_milli, 1000)
        assert must <= set(ids.tolist()) <= may
        assert ids.tolist() == sorted(set(ids.tolist()))
        assert (weights > 0).all()
        assert set(draws(logits, own, 50).tolist()) <= set(ids.tolist())


def test_top_p_looks_as_far_down_as_it_must():
    flat = np.zeros(5000, np.float32)
    assert candidates(flat, Sampling(1000, 0, 500, 1))[0].tolist() == list(range(2500))
    assert candidates(flat, Sampling(1000, 0, 999, 1))[0].tolist() == list(range(4995))


@pytest.mark.parametrize(
    "own", [Sampling(1, seed=4), Sampling(2000, top_k=1, seed=4), Sampling(2000, top_p_milli=1, seed=4)]
)
def test_the_coldest_settings_are_greedy(own):
    logits = np.round(logits_of(64, 500) * 8) / 8  # gaps of at least 1/8, but for equals
    logits[np.arange(64), np.arange(64)] = 20
    assert sample(logits, [own] * 64, range(64)).tolist() == greedy(logits).tolist() == list(range(64))


def test_a_mixed_batch_gives_each_row_what_it_gets_alone():
    logits = logits_of(12, 700)
    settings_ = [GREEDY, WARM, Sampling(500, 20, 800, 1 << 63)] * 4
    positions = [5, 5, 5, 0, 65_535, 1, 9, 9, 9, 3, 2, 1]
    together = sample(logits, settings_, positions)
    for row in range(12):
        assert sample(logits[row : row + 1], settings_[row : row + 1], positions[row : row + 1])[0] == together[row]
    assert sample(logits[::-1].copy(), settings_[::-1], positions[::-1]).tolist() == together[::-1].tolist()


def test_another_seed_or_position_is_another_draw():
    logits = logits_of(1, 1000)[0]
    first = draws(logits, WARM, 100)
    assert (first == draws(logits, WARM, 100)).all()
    assert (first != draws(logits, Sampling(800, seed=12), 100)).mean() > 0.5
    assert len(set(first.tolist())) > 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_token_is_drawn_from_numbers_that_are_none(bad):
    logits = logits_of(3, 50)
    logits[1, 7] = bad
    with pytest.raises(NonFiniteActivation):
        sample(logits, [WARM] * 3, range(3))


@given(
    logits=hnp.arrays(np.float32, st.integers(1, 80), elements=FINITE),
    own=st.builds(
        Sampling, st.integers(1, 100_000), st.integers(0, 80), st.integers(1, 1000), st.integers(0, 2**64 - 1)
    ),
    position=st.integers(0, 65_535),
)
@settings(max_examples=150, deadline=None)
def test_any_settings_draw_a_token_that_is_allowed(logits, own, position):
    ids, weights = candidates(logits, own)
    assert 0 < len(ids) <= (own.top_k or len(logits))
    assert weights.max() == weights[ids == logits.argmax()][0]
    assert sample(logits[None], [own], [position])[0] in ids


def test_the_largest_logits_do_not_overflow():
    logits = np.array([[3e38, -3e38, 3e38]], np.float32)
    assert sample(logits, [Sampling(1, seed=1)], [0])[0] in (0, 2)


def test_the_logarithm_is_near_the_true_one():
    words = np.concatenate([np.arange(1000), 2**32 - 1 - np.arange(1000), np.arange(0, 2**32, 999_983)]).astype(
        np.uint64
    )
    true = 33 - np.log2((2 * words + np.uint64(1)).astype(np.longdouble))
    near_one = words > np.uint64(2**31)
    true[near_one] = -np.log1p((words[near_one].astype(np.longdouble) - 2**32 + 0.5) / 2**32) / np.log(np.longdouble(2))
    found = minus_log2(words)
    assert (found > 0).all()
    assert np.abs(found / true - 1).max() < 1e-14
