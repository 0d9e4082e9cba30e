"""CIDv1 of a file without a daemon: the same as `ipfs add --cid-version 1 --raw-leaves` prints.

A file of at most one chunk is a bare raw block. A larger one is a balanced tree of dag-pb nodes over 256 KiB chunks,
174 links a node (UnixFS specification, github.com/ipfs/specs/UNIXFS.md). Only the hashes are kept while a file streams by.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

CHUNK_BYTES = 262_144
LINKS_PER_NODE = 174
_RAW, _DAG_PB, _FILE = 0x55, 0x70, 2


@dataclass(frozen=True)
class _Link:
    cid: bytes
    file_bytes: int  # bytes of the file below this link
    dag_bytes: int  # bytes of all blocks below it, itself included


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _binary_cid(codec: int, block: bytes | memoryview) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest()


def _node(links: list[_Link]) -> _Link:
    size = sum(link.file_bytes for link in links)
    # Links come before Data, and Name is written although it is empty: both decide the hash.
    body = b"".join(
        _field(2, _field(1, k.cid) + _field(2, b"") + _varint(3 << 3) + _varint(k.dag_bytes)) for k in links
    )
    unixfs = _varint(1 << 3) + _varint(_FILE) + _varint(3 << 3) + _varint(size)
    unixfs += b"".join(_varint(4 << 3) + _varint(link.file_bytes) for link in links)
    block = body + _field(1, unixfs)
    return _Link(_binary_cid(_DAG_PB, block), size, len(block) + sum(link.dag_bytes for link in links))


class CidHasher:
    """Feed it a file piece by piece, then ask for `.cid`. Holds one chunk and 32 bytes for each chunk seen."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._leaves: list[_Link] = []

    def update(self, data: bytes | memoryview) -> None:
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:
            self._leaf(bytes(self._pending[:CHUNK_BYTES]))
            del self._pending[:CHUNK_BYTES]

    def _leaf(self, chunk: bytes) -> None:
        self._leaves.append(_Link(_binary_cid(_RAW, chunk), len(chunk), len(chunk)))

    @property
    def cid(self) -> str:
        level = list(self._leaves)
        if self._pending or not level:
            level.append(_Link(_binary_cid(_RAW, bytes(self._pending)), len(self._pending), len(self._pending)))
        while len(level) > 1:
            level = [_node(level[i : i + LINKS_PER_NODE]) for i in range(0, len(level), LINKS_PER_NODE)]
        return _text(level[0].cid)


def _text(binary: bytes) -> str:
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def cid_of(data: bytes | memoryview | Iterable[bytes]) -> str:
    """CIDv1 (base32) of a file given whole or in pieces."""
    hasher = CidHasher()
    if isinstance(data, (bytes, bytearray, memoryview)):
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            hasher.update(view[start : start + CHUNK_BYTES])
    else:
        for piece in data:
            hasher.update(piece)
    return hasher.cid


def cid_of_digest(digest: bytes) -> str:
    """The CID of a raw block with this SHA-256: how a manifest is found from its digest on chain."""
    if len(digest) != 32:
        raise ValueError(f"digest: want 32 bytes, got {len(digest)}")
    return _text(bytes([1, _RAW, 0x12, 0x20]) + digest)


def digest_of_cid(cid: str) -> bytes:
    """The SHA-256 inside a CID. Raises `ValueError` when `cid` is not a CIDv1 of ours."""
    binary = parse_cid(cid)
    return binary[4:]


def is_raw(cid: str) -> bool:
    """Whether a CID names a raw block: the bytes themselves and no node of a tree."""
    return parse_cid(cid)[1] == _RAW


def text_of_cid(binary: bytes) -> str:
    """The base32 form of a binary CID. Raises `ValueError` when it is none of ours."""
    cid = _text(binary)
    parse_cid(cid)
    return cid


def parse_cid(cid: str) -> bytes:
    """Binary form. Raises `ValueError`: a CID from a peer becomes a file name, so nothing else may pass."""
    if not cid.startswith("b") or not cid[1:].isalnum() or len(cid) > 128:
        raise ValueError(f"cid: {cid[:80]!r} is not a base32 CIDv1")
    try:
        binary = base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
    except ValueError:
        raise ValueError(f"cid: {cid[:80]!r} is not base32") from None
    if len(binary) != 36 or binary[0] != 1 or binary[1] not in (_RAW, _DAG_PB) or binary[2:4] != b"\x12\x20":
        raise ValueError(f"cid: {cid!r} is not a CIDv1 of raw or dag-pb with SHA-256")
    return binary
