"""A read-only store over HTTP: `GET base/CID`. The server is not trusted; the bytes are hashed as they come."""

from __future__ import annotations

from pathlib import Path

import httpx

from ostraka.errors import StoreUnavailable
from ostraka.store.base import Progress, read_verified
from ostraka.store.cid import parse_cid

TIMEOUT_S = 30.0


class HttpStore:
    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def put(self, data: bytes | Path) -> str:
        raise StoreUnavailable(f"store {self.base}: can only be read; publish to a store of your own")

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        parse_cid(cid)
        try:
            with httpx.stream("GET", f"{self.base}/{cid}", timeout=TIMEOUT_S) as answer:
                if answer.status_code != 200:
                    raise StoreUnavailable(f"store {self.base}: cid {cid}: HTTP {answer.status_code}")
                return read_verified(answer.iter_bytes(), cid, self.base, max_bytes, progress)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"store {self.base}: {error}") from error

    def has(self, cid: str) -> bool:
        parse_cid(cid)
        try:
            return httpx.head(f"{self.base}/{cid}", timeout=TIMEOUT_S).status_code == 200
        except httpx.HTTPError:
            return False
