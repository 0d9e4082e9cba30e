"""Probing over real gRPC: a slow way is seen as one, a peer that is gone costs nothing but its row."""

from __future__ import annotations

import asyncio
import functools

import pytest

from ostraka.errors import BadFrame
from ostraka.wire.grpc_transport import Peer, serve
from ostraka.wire.messages import Ack, Probe
from ostraka_worker.links import PAYLOADS, PINGS, STEP_BYTES, Prober, probe
from ostraka_worker.node import MAX_PROBE_BYTES, Node

DELAY_S = 0.03


def in_a_loop(test):
    @functools.wraps(test)
    def run():
        asyncio.run(test())

    return run


async def peer(delay_s=0.0, bytes_per_s=float("inf"), taken=None):
    async def answer(message):
        if taken is not None:
            taken.append(len(message.payload))
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
async def test_a_narrow_way_carries_no_more_than_tells_its_width():
    taken: list[int] = []
    server, endpoint = await peer(bytes_per_s=1e5, taken=taken)
    try:
        link = await probe(endpoint)
    finally:
        await server.stop(0)
    assert max(taken) == PAYLOADS[0]
    assert taken.count(STEP_BYTES) == PINGS
    assert link.bytes_per_s <= 1.1e5
    assert link.latency_s < DELAY_S, "what a small message weighs is the width's, not the distance's"


@in_a_loop
async def test_a_prober_that_lacks_nothing_rests_and_keeps_what_it_knows_while_it_looks():
    server, endpoint = await peer()
    prober = Prober()
    try:
        prober.look_at([(7, endpoint)])
        await prober._running
        known, done = prober.links[7], prober._running
        prober.look_at([(7, endpoint)])
        assert prober._running is done
        prober.look_at([(8, endpoint)])
        assert prober._running is not done, "what is lacking is not waited for"
        await prober._running
        prober._rests_until = 0.0
        prober.look_at([(7, endpoint)])
        assert prober.links[7] is known
        await prober._running
        assert prober.links[7] is not known
    finally:
        await server.stop(0)
    prober._rests_until = 0.0
    prober.look_at([(7, "127.0.0.1:1")])
    await prober._running
    assert list(prober.links) == [8]


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
