"""Probing over real gRPC: a slow way is seen as one, a peer that is gone costs nothing but its row."""

from __future__ import annotations

import asyncio
import functools

import pytest

from ostraka.errors import BadFrame
from ostraka.wire.grpc_transport import Peer, serve
from ostraka.wire.messages import Ack, Probe
from ostraka_worker.links import Prober, probe
from ostraka_worker.node import MAX_PROBE_BYTES, Node

DELAY_S = 0.03


def in_a_loop(test):
    @functools.wraps(test)
    def run():
        asyncio.run(test())

    return run


async def peer(delay_s=0.0, bytes_per_s=float("inf")):
    async def answer(message):
        await asyncio.sleep(2 * delay_s + len(message.payload) / bytes_per_s)
        return Ack()

    server, port = await serve("127.0.0.1", 0, {Probe: answer}, {})
    return server, f"127.0.0.1:{port}"


@in_a_loop
async def test_latency_and_bandwidth_are_those_of_the_way():
    server, endpoint = await peer(DELAY_S, 2e6)
    try:
        link = await probe(endpoint)
    finally:
        await server.stop(0)
    assert DELAY_S <= link.latency_s < DELAY_S + 1.0, "sleeps are never shorter than asked, and machines are busy"
    assert link.bytes_per_s <= 2.5e6


@in_a_loop
async def test_a_prober_keeps_what_it_can_reach():
    server, endpoint = await peer()
    prober = Prober()
    try:
        prober.look_at([(7, endpoint), (8, "127.0.0.1:1")])
        prober.look_at([(9, endpoint)])  # still at it: not now
        await prober._running
    finally:
        await server.stop(0)
    ((node, micros, width),) = prober.rows()
    assert node == 7
    assert micros >= 0
    assert width > 0


@in_a_loop
async def test_a_node_takes_probes_of_a_size_only():
    node = Node.__new__(Node)
    assert await node.probe(Probe(b"x" * 10)) == Ack()
    server, port = await serve("127.0.0.1", 0, {Probe: node.probe}, {})
    caller = Peer(f"127.0.0.1:{port}")
    try:
        with pytest.raises(BadFrame, match="probe: "):
            await caller.call(Probe(b"x" * (MAX_PROBE_BYTES + 1)), Ack, 5.0)
    finally:
        await caller.close()
        await server.stop(0)
