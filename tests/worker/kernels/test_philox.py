"""Philox4x32-10 against the published answers."""

from __future__ import annotations

import numpy as np
import pytest

from ostraka_worker.kernels.philox import philox, token_noise

# `philox4x32 10` of kat_vectors in Random123 (github.com/DEShawResearch/random123, tests/kat_vectors): counter, key, output.
# The third is the digits of pi. Ports in Rust, Julia, JavaScript and Verilog are tested against the same numbers.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_known_answers(counter, key, output):
    got = philox(tuple(np.array([word], np.uint64) for word in words(counter)), tuple(words(key)))
    assert [int(word[0]) for word in got] == words(output)


def in_whole_numbers(counter: list[int], key: list[int]) -> list[int]:
    """The paper's description, in Python integers."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q % 2**32, (p >> 32) ^ d ^ k1, p % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [a, b, c, d]


def test_arrays_give_what_whole_numbers_give():
    random = np.random.Generator(np.random.PCG64(0))
    counters = random.integers(0, 2**32, (4, 50)).astype(np.uint64)
    got = np.stack(philox(tuple(counters), (123456789, 4000000000)))
    for place in range(50):
        expected = in_whole_numbers(counters[:, place].tolist(), [123456789, 4000000000])
        assert got[:, place].tolist() == expected


def test_a_tokens_noise_depends_on_seed_position_and_id_alone():
    seed = (7 << 32) + 9
    noise = token_noise(np.arange(1000), 31, seed)
    for ids in ([0], [999], [3, 4, 5, 900], [1, 2, 3]):
        assert token_noise(np.array(ids), 31, seed).tolist() == noise[ids].tolist()
    assert int(noise[42]) == in_whole_numbers([10, 31, 0, 0], [9, 7])[2]
    for other in (token_noise(np.arange(1000), 32, seed), token_noise(np.arange(1000), 31, seed + 1)):
        assert (other == noise).mean() < 0.01
    assert len(token_noise(np.empty(0, np.int64), 1, seed)) == 0
