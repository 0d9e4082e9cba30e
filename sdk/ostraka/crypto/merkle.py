"""The Merkle tree of docs/protocol.md §3, the same as `contracts/libraries/` verifies.

Leaves and nodes are hashed under different prefixes (RFC 6962), so a node can never be shown as a leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

PADDING = bytes(32)


def _leaf(value: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + value).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def depth(count: int) -> int:
    """Levels above the leaves of a tree of `count` values."""
    return (count - 1).bit_length()


def _levels(values: Sequence[bytes]) -> list[list[bytes]]:
    if not values:
        raise ValueError("a Merkle tree needs at least one value")
    level = [_leaf(v) for v in values]
    level += [PADDING] * ((1 << depth(len(values))) - len(values))
    levels = [level]
    while len(level) > 1:
        level = [_node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
        levels.append(level)
    return levels


def merkle_root(values: Sequence[bytes]) -> bytes:
    """Root over 32-byte values. Raises `ValueError` when there are none."""
    return _levels(values)[-1][0]


def merkle_proof(values: Sequence[bytes], index: int) -> list[bytes]:
    """Siblings from the leaf up. Raises `IndexError` when `index` is no value's."""
    if not 0 <= index < len(values):
        raise IndexError(f"index {index} is outside the tree's {len(values)} values")
    proof = []
    for level in _levels(values)[:-1]:
        proof.append(level[index ^ 1])
        index >>= 1
    return proof


def verify_proof(root: bytes, count: int, index: int, value: bytes, proof: Sequence[bytes]) -> bool:
    if not 0 <= index < count or len(proof) != depth(count):
        return False
    digest = _leaf(value)
    for level, sibling in enumerate(proof):
        digest = _node(sibling, digest) if index >> level & 1 else _node(digest, sibling)
    return digest == root
