"""Who has blocks: an IPFS daemon's RPC, or a gateway. Neither is trusted; whoever asks hashes what comes.

A source answers with bytes or raises `StoreUnavailable`. It holds a pool of connections and may be used from several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3

from ostraka.errors import StoreUnavailable
from ostraka.store.dag import MAX_BLOCK_BYTES

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
# A daemon looks for a block that it lacks in the whole network, for ever if it is let.
LOOK_FOR_S = 20
_PIECE = 1 << 18


class Source(Protocol):
    name: str

    def block(self, cid: str) -> bytes:
        """One block as it is hashed. Raises `StoreUnavailable`."""
        ...

    def read(self, cid: str, offset: int, length: int) -> Iterator[bytes]:
        """Bytes `[offset, offset + length)` of the file, or fewer, in pieces. Raises `StoreUnavailable`."""
        ...


class _Http:
    def __init__(self, name: str, connections: int) -> None:
        self.name = name
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=timeout, retries=False)

    def ask(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """A streaming answer. Raises `StoreUnavailable` with what the server says."""
        try:
            answer = self._pool.request(method, url, preload_content=False, **options)
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"store {self.name}: {error}") from error
        if answer.status not in (200, 206):
            said = answer.read(400, decode_content=False).decode(errors="replace").strip()
            answer.drain_conn()
            raise StoreUnavailable(f"store {self.name}: HTTP {answer.status} {said}".rstrip())
        return answer

    def pieces(self, answer: urllib3.BaseHTTPResponse, length: int) -> Iterator[bytes]:
        """At most `length` bytes: a source that sends more gains nothing by it."""
        try:
            for piece in answer.stream(_PIECE):
                yield piece if len(piece) <= length else piece[:length]
                length -= len(piece)
                if length <= 0:
                    break
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"store {self.name}: {error}") from error
        finally:
            answer.release_conn() if length == 0 else answer.close()


class RpcSource(_Http):
    """An IPFS daemon by its RPC (`/api/v0`, Kubo's and js-ipfs's)."""

    def __init__(self, base: str, connections: int = 8) -> None:
        super().__init__(base.rstrip("/"), connections)

    def call(self, command: str, **arguments: object) -> urllib3.BaseHTTPResponse:
        fields = {name.replace("_", "-"): str(value) for name, value in arguments.items()}
        return self.ask("POST", f"{self.name}/api/v0/{command}?{urlencode(fields)}")

    def block(self, cid: str) -> bytes:
        answer = self.call("block/get", arg=cid, timeout=f"{LOOK_FOR_S}s")
        return b"".join(self.pieces(answer, MAX_BLOCK_BYTES + 1))

    def read(self, cid: str, offset: int, length: int) -> Iterator[bytes]:
        answer = self.call("cat", arg=cid, offset=offset, length=length, timeout=f"{LOOK_FOR_S}s")
        return self.pieces(answer, length)


class GatewaySource(_Http):
    """A gateway: `GET base/ipfs/CID`. Not every gateway gives single blocks; one that does not serves no files of many."""

    def __init__(self, base: str, connections: int = 8) -> None:
        super().__init__(base.rstrip("/"), connections)

    def block(self, cid: str) -> bytes:
        answer = self.ask("GET", f"{self.name}/ipfs/{cid}?format=raw", headers={"Accept": "application/vnd.ipld.raw"})
        return b"".join(self.pieces(answer, MAX_BLOCK_BYTES + 1))

    def read(self, cid: str, offset: int, length: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self.ask("GET", f"{self.name}/ipfs/{cid}", headers=headers)
        if answer.status != 206 and offset:
            answer.close()
            raise StoreUnavailable(f"store {self.name}: gives no parts of a file")
        return self.pieces(answer, length)
