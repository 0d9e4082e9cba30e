"""Shard roots of real bytes, and the proofs that a contract checks."""

from __future__ import annotations

import hashlib

import pytest

from ostraka.crypto.merkle import merkle_root, verify_proof
from ostraka.model import chunk_root, prove_possession, shard_root
from ostraka.model.chunks import CHUNK_BYTES, block_value, count_chunks, pick_block, pick_chunk
from ostraka.types import BlockSpan

SIZES = (1, 1023, 1024, 1025, 10 * 1024 - 1, 7 * 1024)
FILES = [bytes([i]) * size for i, size in enumerate(SIZES)]
BLOCKS = [(count_chunks(len(file)), chunk_root(file)) for file in FILES]
SEEDS = [hashlib.sha256(bytes([i])).digest() for i in range(64)]


def test_the_last_chunk_is_short_and_counted():
    assert [count_chunks(size) for size in SIZES] == [1, 1, 1, 2, 10, 7]
    pieces = [hashlib.sha256(FILES[3][:1024]).digest(), hashlib.sha256(FILES[3][1024:]).digest()]
    assert BLOCKS[3][1] == merkle_root(pieces)
    with pytest.raises(ValueError, match="at least one"):
        chunk_root(b"")


def test_padding_a_file_changes_its_root():
    assert chunk_root(FILES[1]) != chunk_root(FILES[1] + b"\0")


def test_the_shard_root_covers_the_number_of_chunks():
    (count, root), *others = BLOCKS
    assert shard_root([(count + 1, root), *others]) != shard_root(BLOCKS)
    assert shard_root(BLOCKS) == merkle_root([block_value(*block) for block in BLOCKS])


@pytest.mark.parametrize("span", [BlockSpan(0, 6), BlockSpan(3, 4), BlockSpan(2, 5)])
def test_every_proof_leads_to_the_shard_root(span):
    picked = set()
    for seed in SEEDS:
        index = pick_block(seed, span)
        proof = prove_possession(BLOCKS, span, seed, FILES.__getitem__)
        assert span.start <= index < span.stop
        value = block_value(proof.chunk_count, proof.chunk_root)
        assert verify_proof(shard_root(BLOCKS), len(BLOCKS), index, value, proof.block_proof)
        chunk = pick_chunk(seed, proof.chunk_count)
        picked.add((index, chunk))
        value = hashlib.sha256(proof.chunk).digest()
        assert verify_proof(proof.chunk_root, proof.chunk_count, chunk, value, proof.chunk_proof)
        assert proof.chunk == FILES[index][chunk * CHUNK_BYTES :][:CHUNK_BYTES]
    assert {index for index, _ in picked} == set(range(span.start, span.stop))


def test_a_seed_is_read_in_two_halves():
    """The same as `world/possession.py` and the contract: big-endian, the low half for the block, the high one for the chunk."""
    seed = (5).to_bytes(16, "big") + (9).to_bytes(16, "big")
    assert pick_block(seed, BlockSpan(2, 6)) == 2 + 9 % 4
    assert pick_chunk(seed, 3) == 5 % 3


def test_a_file_that_is_not_the_published_one_is_not_shown():
    with pytest.raises(ValueError, match="block 5"):
        prove_possession(BLOCKS, BlockSpan(5, 6), SEEDS[0], lambda _: FILES[5][:-1])
