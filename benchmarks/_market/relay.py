"""A relay before a chain that counts what is asked, by method. It forwards bytes as they come, and looks for nothing but methods' names.

python -m benchmarks._market.relay --port 8546 --target 8545
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
from collections import Counter

_METHOD = re.compile(rb'"method": ?"(\w+)"')
_LONGEST = 64  # bytes that the name of a method takes with its key, at most
ASK = b"COUNTS\n"  # instead of a request: the counts so far, as JSON


class Relay:
    def __init__(self, target: int) -> None:
        self.target = target
        self.counts: Counter[str] = Counter()

    async def serve(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Asker(self), "127.0.0.1", port)
        await server.serve_forever()


class _Asker(asyncio.Protocol):
    """One connection of a program; `_Chain` is its other end."""

    def __init__(self, relay: Relay) -> None:
        self._relay, self._tail = relay, b""
        self._there: asyncio.Transport | None = None
        self._early: list[bytes] = []  # until the other end is there
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._here = transport
        _at_once(transport)
        self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            there, _ = await loop.create_connection(lambda: _Chain(self._here), "127.0.0.1", self._relay.target)
        except OSError:
            self._here.close()
            return
        self._there = there
        there.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        if data == ASK:
            self._here.write(json.dumps(self._relay.counts).encode())
            self._here.close()
            return
        seen = self._tail + data
        end = 0
        for found in _METHOD.finditer(seen):
            self._relay.counts[found[1].decode()] += 1
            end = found.end()
        self._tail = seen[max(end, len(seen) - _LONGEST) :]  # a name may be cut in two; none is counted twice
        if self._there is None:
            self._early.append(data)
        else:
            self._there.write(data)

    def connection_lost(self, problem: Exception | None) -> None:
        if self._there is not None:
            self._there.close()


class _Chain(asyncio.Protocol):
    def __init__(self, back: asyncio.Transport) -> None:
        self._back = back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _at_once(transport)

    def data_received(self, data: bytes) -> None:
        self._back.write(data)

    def connection_lost(self, problem: Exception | None) -> None:
        self._back.close()


def _at_once(transport: asyncio.BaseTransport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def counts(port: int) -> Counter[str]:
    """What a relay at `port` has seen so far."""
    with socket.create_connection(("127.0.0.1", port), 10) as asked:
        asked.sendall(ASK)
        parts = []
        while part := asked.recv(65_536):
            parts.append(part)
    return Counter(json.loads(b"".join(parts)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(Relay(given.target).serve(given.port))


if __name__ == "__main__":
    main()
