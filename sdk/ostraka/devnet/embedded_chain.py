"""The embedded chain: py-evm behind JSON-RPC on loopback.

For trying things out and for tests. It is one process without consensus; it keeps nothing when it stops. Chain blocks carry the
wall clock's time and an empty one is made every second, because deadlines are judged by `block.timestamp` in views too.

    python -m ostraka.devnet.embedded_chain --port 8545 --mnemonic "…" --accounts 12
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from typing import Any

from ostraka.devnet.evm import EmbeddedChain
from ostraka.devnet.evm_json import error as told

BLOCK_INTERVAL_S = 1.0
MAX_REQUEST_BYTES = 4 << 20
MAX_HEAD_BYTES = 64 << 10


class _Asker(asyncio.Protocol):
    """One program's connection. All are served in one thread: the chain does one thing at a time, and threads that wait for it would only
    take it from the core again and again."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._seen = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._there = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while not self._there.is_closing() and (end := self._seen.find(b"\r\n\r\n")) >= 0:
            method, fields = _head(bytes(self._seen[:end]))
            length = int(size) if (size := fields.get("content-length", "0")).isdigit() else 0
            if method != "POST" or not 0 < length <= MAX_REQUEST_BYTES:
                self._refuse(f"413 a POST of 1 to {MAX_REQUEST_BYTES} bytes is taken, no other request")
                return
            if len(self._seen) < end + 4 + length:
                if fields.get("expect"):
                    self._there.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body = bytes(self._seen[end + 4 : end + 4 + length])
            del self._seen[: end + 4 + length]
            answer = json.dumps(self._answer(body)).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
            self._there.write(head.encode() + answer)
            if fields.get("connection") == "close":
                self._there.close()
        if len(self._seen) > MAX_HEAD_BYTES + MAX_REQUEST_BYTES:
            self._refuse("431 the head of this request does not end")

    def _refuse(self, why: str) -> None:
        self._there.write(f"HTTP/1.1 {why}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        self._there.close()

    def _answer(self, body: bytes) -> Any:
        try:
            asked = json.loads(body)
            return [self._one(each) for each in asked] if isinstance(asked, list) else self._one(asked)
        except (ValueError, AttributeError) as error:  # no JSON, or no object
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": str(error)}}

    def _one(self, body: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": body.get("id")}
        try:
            reply["result"] = self._chain.request(body["method"], body.get("params") or [])
        except Exception as error:  # whatever py-evm raises is this request's error, not the server's end
            reply["error"] = told(error)
        return reply


def _head(raw: bytes) -> tuple[str, dict[str, str]]:
    """The method, and the fields by their names in lower case; their values, too."""
    first, *rest = raw.decode("latin-1").split("\r\n")
    fields = (line.lower().partition(":") for line in rest)
    return first.partition(" ")[0], {name.strip(): value.strip() for name, _, value in fields}


async def serve(port: int, mnemonic: str, accounts: int) -> None:
    """Serves until SIGTERM or SIGINT. Raises `OSError` when the port is taken."""
    chain = EmbeddedChain(mnemonic, accounts)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    server = await loop.create_server(lambda: _Asker(chain), "127.0.0.1", port)
    while not stop.is_set():
        chain.mine_if_due()
        try:
            await asyncio.wait_for(stop.wait(), BLOCK_INTERVAL_S)
        except TimeoutError:
            continue
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mnemonic", required=True)
    parser.add_argument("--accounts", type=int, default=12)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.mnemonic, options.accounts))


if __name__ == "__main__":
    main()
