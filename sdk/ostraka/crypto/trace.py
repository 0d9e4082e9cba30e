"""The trace of a job and the result hash over it: docs/protocol.md §3 and §4.

A trace is an array of digests, uint8 of shape [N, B+1, 32]: one row a position, one column a border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostraka.crypto.merkle import merkle_proof, merkle_root

Digests = npt.NDArray[np.uint8]

TRACE_TAG = b"ostraka/trace/1"
OUTPUT_TAG = b"ostraka/output/1"


def token_digest(token: int) -> bytes:
    """`d[p][0]`, and `d[p][B]` where a token was sampled."""
    return hashlib.sha256(int(token).to_bytes(4, "little")).digest()


def chain(digests: Digests, manifest_digest: bytes, input_digest: bytes) -> list[bytes]:
    """`h[-1], h[0], …, h[N-1]`: N+1 hashes, each over everything before it."""
    if digests.ndim != 3 or digests.shape[2] != 32 or digests.dtype != np.uint8:
        raise ValueError(f"digests: want uint8 [N, B+1, 32], got {digests.dtype} {digests.shape}")
    links = [hashlib.sha256(TRACE_TAG + manifest_digest + input_digest).digest()]
    for row in digests:
        links.append(hashlib.sha256(links[-1] + row.tobytes()).digest())
    return links


def token_words(tokens: Sequence[int]) -> bytes:
    """A generation's output: u32le each."""
    return b"".join(int(t).to_bytes(4, "little") for t in tokens)


def words_digest(words: bytes) -> bytes:
    """Of any output: tokens, or the packed values of a graph, whose length is a multiple of four, too."""
    if len(words) % 4:
        raise ValueError(f"output: {len(words)} bytes are no whole words of four")
    return hashlib.sha256(OUTPUT_TAG + (len(words) // 4).to_bytes(4, "little") + words).digest()


def output_digest(tokens: Sequence[int]) -> bytes:
    return words_digest(token_words(tokens))


def column(digests: Digests, border: int) -> bytes:
    """What a receipt says of a stage's input or output: the hash of one border's digests over all positions."""
    return hashlib.sha256(np.ascontiguousarray(digests[:, border]).tobytes()).digest()


def result_hash(units: int, output: bytes, trace_root: bytes) -> bytes:
    """`sha256(abi.encodePacked(uint32 units, bytes32 output, bytes32 traceRoot))`."""
    return hashlib.sha256(units.to_bytes(4, "big") + output + trace_root).digest()


@dataclass(frozen=True)
class Result:
    """What a replica commits to. `units` is the number of positions processed."""

    units: int
    output: bytes
    trace_root: bytes

    @property
    def hash(self) -> bytes:
        return result_hash(self.units, self.output, self.trace_root)


def make_result(digests: Digests, tokens: Sequence[int], manifest_digest: bytes, input_digest: bytes) -> Result:
    return result_of(digests, token_words(tokens), manifest_digest, input_digest)


def result_of(digests: Digests, words: bytes, manifest_digest: bytes, input_digest: bytes) -> Result:
    """`words`: the output as bytes, whatever kind of job it is."""
    links = chain(digests, manifest_digest, input_digest)
    return Result(len(digests), words_digest(words), merkle_root(links[1:]))


@dataclass(frozen=True)
class Divergence:
    """Everything `JobMarket.pinpoint` needs to see which block first differs."""

    position: int
    border: int
    previous: bytes
    loser_digests: tuple[bytes, ...]
    winner_digests: tuple[bytes, ...]
    loser_proof: tuple[bytes, ...]
    winner_proof: tuple[bytes, ...]


def first_divergence(loser: Digests, winner: Digests, manifest_digest: bytes, input_digest: bytes) -> Divergence | None:
    """The first position at which two traces of one job differ, with proofs; None where they are equal.

    Where one is the beginning of the other, that is the last position they share: its rows are equal, and that one of them went on
    there is the lead's doing (border 0).
    """
    shared = min(len(loser), len(winner))
    differs = np.flatnonzero((loser[:shared] != winner[:shared]).any(axis=(1, 2)))
    if not len(differs) and len(loser) == len(winner):
        return None
    position = int(differs[0]) if len(differs) else shared - 1
    borders = np.flatnonzero((loser[position] != winner[position]).any(axis=1))
    border = int(borders[0]) if len(borders) else 0
    links = {name: chain(d, manifest_digest, input_digest) for name, d in (("l", loser), ("w", winner))}
    return Divergence(
        position=position,
        border=border,
        previous=links["l"][position],
        loser_digests=tuple(d.tobytes() for d in loser[position]),
        winner_digests=tuple(d.tobytes() for d in winner[position]),
        loser_proof=tuple(merkle_proof(links["l"][1:], position)),
        winner_proof=tuple(merkle_proof(links["w"][1:], position)),
    )
