"""A content store on IPFS: written through a daemon's RPC, read from it and from gateways that stand behind it.

The CID that a daemon gives must be the one that `ostraka.store.cid` computes (chunks of 256 KiB, raw leaves, CIDv1), so that one file has
one name, whichever store it lies in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store.base import Progress
from ostraka.store.cid import CHUNK_BYTES, cid_of, parse_cid
from ostraka.store.fetch import Fetcher, MemorySink, fetch_file
from ostraka.store.sources import RpcSource, Source

_PIECE = 1 << 20
_BOUNDARY = "ostraka-4c7f3f1e9b0a4d6c"  # never inside what is sent: the length is announced and the body is one part


class IpfsStore:
    """`rpc` is a daemon's address (`http://host:5001`); `others` are asked where it fails."""

    def __init__(self, rpc: str, others: Sequence[Source] = (), workers: int = 4) -> None:
        self._rpc = RpcSource(rpc, connections=workers + 2)
        self.fetcher = Fetcher([self._rpc, *others], workers)

    def put(self, data: bytes | Path) -> str:
        """Adds and pins. Raises `StoreUnavailable`, or `HashMismatch` when the daemon's CID is not ours."""
        expected = cid_of(data if isinstance(data, bytes) else _pieces(data))
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="block"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            yield from [data] if isinstance(data, bytes) else _pieces(data)
            yield tail

        arguments = {"cid-version": 1, "raw-leaves": "true", "chunker": f"size-{CHUNK_BYTES}", "pin": "true"}
        query = "&".join(f"{name}={value}" for name, value in {**arguments, "cid-base": "base32"}.items())
        answer = self._rpc.ask(
            "POST",
            f"{self._rpc.name}/api/v0/add?{query}",
            body=body(),
            headers={
                "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
                "Content-Length": str(len(head) + size + len(tail)),
            },
        )
        try:
            lines = answer.read(1 << 16).decode().strip().splitlines()
            cid = json.loads(lines[-1])["Hash"]
        except (ValueError, KeyError, IndexError) as error:
            raise StoreUnavailable(f"store {self._rpc.name}: the answer to `add` makes no sense ({error})") from error
        finally:
            answer.release_conn()
        if cid != expected:
            raise HashMismatch(f"store {self._rpc.name}: named the bytes {cid}, they are {expected}")
        return expected

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        parse_cid(cid)
        sink = MemorySink()
        self.fetcher.fetch(cid, sink, max_bytes, progress)
        return bytes(sink.data)

    def fetch(self, cid: str, target: Path, *, max_bytes: int, progress: Progress | None = None) -> None:
        """`get` into a file, with the memory of a few leaves."""
        fetch_file(self.fetcher, cid, target, max_bytes, progress)

    def has(self, cid: str) -> bool:
        """Whether the daemon itself keeps `cid` pinned."""
        parse_cid(cid)
        try:
            answer = self._rpc.call("pin/ls", arg=cid, timeout="5s")
        except StoreUnavailable:
            return False
        answer.drain_conn()
        return True


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as source:
            while piece := source.read(_PIECE):
                yield piece
    except OSError as error:
        raise StoreUnavailable(f"store: cannot read {os.fspath(path)} ({error.strerror})") from error
