"""The tree of a UnixFS file, read from blocks that nobody vouches for: every block is hashed before it is believed.

A root of raw bytes is the whole file. A dag-pb node (UnixFS specification, github.com/ipfs/specs/UNIXFS.md) lists its children with their
CIDs and, in its data, how many bytes of the file lie below each. So after the few inner blocks every leaf's hash, place and size are known,
and leaves may come in any order from anyone, each checked by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ostraka.errors import HashMismatch
from ostraka.store.cid import is_raw, parse_cid, text_of_cid

MAX_BLOCK_BYTES = 2 << 20  # what IPFS nodes exchange at most
MAX_DEPTH = 8
MAX_LEAVES = 1 << 17  # 32 GiB in chunks of 256 KiB; a small tree may else stand for endlessly many


@dataclass(frozen=True)
class Leaf:
    """`size` bytes of a file from `offset` on, which hash to `digest`."""

    digest: bytes
    offset: int
    size: int


def check_block(cid: str, block: bytes, where: str) -> None:
    """Raises `HashMismatch` when `block` is not what `cid` names."""
    if hashlib.sha256(block).digest() != parse_cid(cid)[4:]:
        raise HashMismatch(f"cid {cid}: the {len(block)} bytes that {where} has under it hash to something else")


def leaves_of(cid: str, max_bytes: int, fetch: Callable[[str], bytes]) -> list[Leaf]:
    """The leaves of the file `cid` in their order; `fetch` gives a verified block. A single raw block is fetched to know its size.

    Raises `HashMismatch` for a tree that is no file's, or whose file is longer than `max_bytes`.
    """
    if is_raw(cid):
        leaf = Leaf(parse_cid(cid)[4:], 0, len(fetch(cid)))
        _cap(cid, leaf.size, max_bytes)
        return [leaf]
    found: list[Leaf] = []
    end = _walk(cid, 0, None, max_bytes, fetch, found, 0)
    if end != sum(leaf.size for leaf in found):
        raise HashMismatch(f"cid {cid}: its leaves do not add up to the {end} bytes of its file")
    return found


def _walk(
    cid: str,
    offset: int,
    size: int | None,
    max_bytes: int,
    fetch: Callable[[str], bytes],
    found: list[Leaf],
    depth: int,
) -> int:
    """Appends the leaves below `cid`; returns where they end."""
    if is_raw(cid):
        assert size is not None
        if len(found) == MAX_LEAVES:
            raise HashMismatch(f"cid {cid}: a file of more than {MAX_LEAVES} leaves")
        found.append(Leaf(parse_cid(cid)[4:], offset, size))
        return offset + size
    if depth == MAX_DEPTH:
        raise HashMismatch(f"cid {cid}: nested deeper than {MAX_DEPTH} levels")
    children, sizes = parse_node(cid, fetch(cid))
    total = sum(sizes)
    _cap(cid, offset + total, max_bytes)
    if size is not None and total != size:
        raise HashMismatch(f"cid {cid}: holds {total} bytes where its parent says {size}")
    for child, below in zip(children, sizes, strict=True):
        offset = _walk(child, offset, below, max_bytes, fetch, found, depth + 1)
    return offset


def _cap(cid: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise HashMismatch(f"cid {cid}: longer than the {max_bytes} bytes that were announced")


def parse_node(cid: str, block: bytes) -> tuple[list[str], list[int]]:
    """The children's CIDs and the bytes of the file below each. Raises `HashMismatch` for what is no inner node of a file."""
    try:
        children = [_child(value) for number, value in _fields(block) if number == 2]
        data = [value for number, value in _fields(block) if number == 1]
        if len(data) != 1 or isinstance(data[0], int):
            raise ValueError("no data")
        fields = list(_fields(data[0]))
        sizes = [value for number, value in fields if number == 4 and isinstance(value, int)]
        if [value for number, value in fields if number == 1] != [2]:
            raise ValueError("no file")
        if any(number == 2 for number, _ in fields) or len(sizes) != len(children) or not children or not all(sizes):
            raise ValueError("bytes of its own, or children without sizes")
    except (ValueError, IndexError) as error:
        raise HashMismatch(f"cid {cid}: is no inner node of a file ({error})") from None
    return children, sizes


def _child(link: bytes | int) -> str:
    if isinstance(link, int):
        raise ValueError("a link that is a number")
    for number, value in _fields(link):
        if number == 1 and isinstance(value, bytes):
            return text_of_cid(value)
    raise ValueError("a link without a CID")


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, value) of a protobuf message; only varints and byte strings, which is all that these messages hold."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2:
            if at + value > len(data):
                raise ValueError("a field that is longer than its message")
            yield key >> 3, data[at : at + value]
            at += value
        else:
            raise ValueError(f"wire type {key & 7}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
