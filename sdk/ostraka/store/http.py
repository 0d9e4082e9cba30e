"""A read-only store over HTTP: `GET base/CID`. The server is not trusted; the bytes are hashed as they come."""

from __future__ import annotations

from pathlib import Path

import httpx

from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store.base import Progress
from ostraka.store.cid import CidHasher, parse_cid

TIMEOUT_S = 30.0


class HttpStore:
    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def put(self, data: bytes | Path) -> str:
        raise StoreUnavailable(f"store {self.base}: can only be read; publish to a store of your own")

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        parse_cid(cid)
        hasher, pieces, total = CidHasher(), [], 0
        try:
            with httpx.stream("GET", f"{self.base}/{cid}", timeout=TIMEOUT_S) as answer:
                if answer.status_code != 200:
                    raise StoreUnavailable(f"store {self.base}: cid {cid}: HTTP {answer.status_code}")
                for piece in answer.iter_bytes():
                    total += len(piece)
                    if total > max_bytes:
                        raise HashMismatch(f"cid {cid}: longer than the {max_bytes} bytes that were announced")
                    hasher.update(piece)
                    pieces.append(piece)
                    if progress:
                        progress(len(piece))
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"store {self.base}: {error}") from error
        if hasher.cid != cid:
            raise HashMismatch(f"cid {cid}: {self.base} gave {total} bytes that hash to {hasher.cid}")
        return b"".join(pieces)

    def has(self, cid: str) -> bool:
        parse_cid(cid)
        try:
            return httpx.head(f"{self.base}/{cid}", timeout=TIMEOUT_S).status_code == 200
        except httpx.HTTPError:
            return False
