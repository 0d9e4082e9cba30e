"""The seam: three methods every content store has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from ostraka.errors import HashMismatch
from ostraka.store.cid import CidHasher

Progress = Callable[[int], None]  # called with bytes that have come since the last call


class ContentStore(Protocol):
    def put(self, data: bytes | Path) -> str:
        """Stores bytes, or a file, and returns their CID. Storing the same bytes again changes nothing."""
        ...

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        """The bytes of `cid`, verified.

        Raises:
            StoreUnavailable: nobody has it.
            HashMismatch: what was found is not what `cid` says, or is longer than `max_bytes`.
        """
        ...

    def has(self, cid: str) -> bool: ...


def read_verified(
    pieces: Iterable[bytes], cid: str, where: str, max_bytes: int, progress: Progress | None = None
) -> bytes:
    """Joins what an untrusted `where` gives for `cid`, hashing it as it comes.

    Raises `HashMismatch` as soon as it is longer than `max_bytes`, or at the end when it is something else.
    """
    hasher, kept, total = CidHasher(), [], 0
    for piece in pieces:
        total += len(piece)
        if total > max_bytes:
            raise HashMismatch(f"cid {cid}: longer than the {max_bytes} bytes that were announced")
        hasher.update(piece)
        kept.append(piece)
        if progress:
            progress(len(piece))
    if hasher.cid != cid:
        raise HashMismatch(f"cid {cid}: the {total} bytes that {where} has under it hash to {hasher.cid}")
    return b"".join(kept)
