"""Connections to nodes that go away and come back."""

from __future__ import annotations

import asyncio
import time

import pytest

from ostraka.errors import PeerUnreachable
from ostraka.wire.grpc_transport import Peer, serve
from ostraka.wire.messages import Message

AWAY_S = 10.5  # by then gRPC alone would wait for another five seconds or so


class Hello(Message, frozen=True, tag=True):
    name: str


async def greet(hello: Hello) -> Hello:
    return Hello(f"hello {hello.name}")


async def come_back() -> float:
    """How long a node that was away for a while cannot be reached after it is back."""
    server, port = await serve("127.0.0.1", 0, {Hello: greet}, {})
    peer = Peer(f"127.0.0.1:{port}")
    assert (await peer.call(Hello("you"), Hello, 5.0)).name == "hello you"
    await server.stop(None)
    end = time.monotonic() + AWAY_S
    while time.monotonic() < end:
        with pytest.raises(PeerUnreachable):
            await peer.call(Hello("you"), Hello, 1.0)
        await asyncio.sleep(0.2)
    server, _ = await serve("127.0.0.1", port, {Hello: greet}, {})
    back = time.monotonic()
    try:
        while True:
            try:
                await peer.call(Hello("you"), Hello, 1.0)
                return time.monotonic() - back
            except PeerUnreachable:
                assert time.monotonic() < back + 30
                await asyncio.sleep(0.05)
    finally:
        await peer.close()
        await server.stop(None)


def test_a_node_that_comes_back_is_reached_within_a_second_or_so():
    assert asyncio.run(come_back()) < 2.0
