"""The seam: three methods every content store has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

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
