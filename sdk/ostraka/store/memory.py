"""A content store in memory: the fake that passes the same tests as the real ones."""

from __future__ import annotations

from pathlib import Path

from ostraka.errors import StoreUnavailable
from ostraka.store.base import Progress, read_verified
from ostraka.store.cid import cid_of, parse_cid


class MemoryStore:
    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, data: bytes | Path) -> str:
        blob = data.read_bytes() if isinstance(data, Path) else bytes(data)
        cid = cid_of(blob)
        self._blobs[cid] = blob
        return cid

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        parse_cid(cid)
        blob = self._blobs.get(cid)
        if blob is None:
            raise StoreUnavailable(f"cid {cid} is not in this store")
        return read_verified([blob], cid, "this store", max_bytes, progress)

    def has(self, cid: str) -> bool:
        return cid in self._blobs
