"""What a model's shard root is made of, and proofs against it: docs/protocol.md §1.

A block's file is cut into chunks of 1 KiB, so that a node can show on chain that it holds any one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ostraka.crypto.merkle import merkle_proof, merkle_root
from ostraka.types import BlockSpan

CHUNK_BYTES = 1024
MAX_CHUNKS = 2**32 - 1


@dataclass(frozen=True)
class PossessionProof:
    """In the order of `IPossession.Proof`."""

    chunk_count: int
    chunk_root: bytes
    block_proof: list[bytes]
    chunk: bytes
    chunk_proof: list[bytes]


def count_chunks(file_bytes: int) -> int:
    """The last chunk may be short; it is not padded."""
    return -(-file_bytes // CHUNK_BYTES)


def _values(file: bytes) -> list[bytes]:
    view, digest = memoryview(file), hashlib.sha256
    return [digest(view[i : i + CHUNK_BYTES]).digest() for i in range(0, len(view), CHUNK_BYTES)]


def chunk_root(file: bytes) -> bytes:
    """Merkle root over the chunks' SHA-256. Raises `ValueError` for an empty file."""
    return merkle_root(_values(file))


def block_value(chunks: int, root: bytes) -> bytes:
    """A block's leaf: how many chunks there are is part of it, so that a seed picks among all of them."""
    return hashlib.sha256(chunks.to_bytes(4, "big") + root).digest()


def shard_root(blocks: Sequence[tuple[int, bytes]]) -> bytes:
    """Root over all blocks, each given as (chunks, chunk root)."""
    return merkle_root([block_value(*block) for block in blocks])


def pick_block(seed: bytes, span: BlockSpan) -> int:
    """Which block of a challenged span a seed asks for."""
    return span.start + int.from_bytes(seed[16:], "big") % (span.stop - span.start)


def pick_chunk(seed: bytes, chunks: int) -> int:
    """Which chunk of that block's file."""
    return int.from_bytes(seed[:16], "big") % chunks


def prove_possession(
    blocks: Sequence[tuple[int, bytes]], span: BlockSpan, seed: bytes, load: Callable[[int], bytes]
) -> PossessionProof:
    """The answer to a challenge. `load` gives the file of the one block that is asked for.

    Raises `ValueError` where the file is not the one that the model was published with: a proof of it would not count.
    """
    index = pick_block(seed, span)
    chunks, root = blocks[index]
    file = load(index)
    values = _values(file)
    if len(values) != chunks or merkle_root(values) != root:
        raise ValueError(f"block {index}: the file's chunks are not the published ones")
    chunk = pick_chunk(seed, chunks)
    return PossessionProof(
        chunk_count=chunks,
        chunk_root=root,
        block_proof=merkle_proof([block_value(*block) for block in blocks], index),
        chunk=file[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES],
        chunk_proof=merkle_proof(values, chunk),
    )
