"""Philox4x32-10, a counter-based random generator of whole numbers.

J. Salmon, M. Moraes, R. Dror, D. Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011; their code is Random123.

Four 32-bit words of counter and two of key become four words of output by ten rounds of multiplication and exclusive or. There is no state:
a word depends on its counter and key alone, so it does not matter which machine draws which number, in which order or batch. All
arithmetic is modulo 2^32 on unsigned integers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]  # each below 2^32

ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_BUMPS = 0x9E3779B9, 0xBB67AE85  # golden ratio and sqrt(3) - 1, in 2^32
_MASK = 0xFFFFFFFF
_HALF = np.uint64(32)
_LOW = np.uint64(_MASK)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Four arrays uint64 of one shape, each word below 2^32 -> the same."""
    a, b, c, d = counter
    for step in range(ROUNDS):
        k0, k1 = (np.uint64((word + step * bump) & _MASK) for word, bump in zip(key, _BUMPS, strict=True))
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (q >> _HALF) ^ b ^ k0, q & _LOW, (p >> _HALF) ^ d ^ k1, p & _LOW
    return a, b, c, d


def token_noise(ids: npt.NDArray[np.int64], position: int, seed: int) -> Words:
    """One 32-bit word a token id, for ascending `ids`; of (seed, position, id) alone.

    Word id mod 4 of the counter (id / 4, position, 0, 0) under the key (seed mod 2^32, seed / 2^32).
    """
    fours = ids >> 2
    new = np.diff(fours, prepend=-1) > 0
    first = fours[new].astype(np.uint64)
    none = np.zeros_like(first)
    words = philox((first, np.full_like(first, position), none, none), (seed & _MASK, seed >> 32))
    noise: Words = np.stack(words)[ids & 3, np.cumsum(new) - 1]
    return noise
