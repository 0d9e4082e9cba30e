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

DELAY_S = 0.2  # more than a busy machine adds to the median of five trips


def in_a_loop(test):
    @functools.wraps(test)
    def run():
        asyncio.run(test())

    return run


async def peer(delay_s=0.0, taken=None):
    async def answer(message):
        if taken is not None:
            taken.append(len(message.payload))
        await asyncio.sleep(2 * delay_s)
        return Ack()

    server, port = await serve("127.0.0.1", 0, {Probe: answer}, {})
    return server, f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("delay_s", "bytes_per_s", "payloads"),
    [(0.03, 2e6, 3), (0.0, 1e5, 1), (0.2, 1e5, 1), (0.001, 1e9, len(PAYLOADS))],
    ids=["a line", "a narrow line", "a narrow line far away", "a wide line"],
)
def test_latency_and_bandwidth_are_those_of_the_way(monkeypatch, delay_s, bytes_per_s, payloads):
    """On a way that takes just what it should: what a message weighs is the width's, not the distance's."""
    sent = []

    async def way(peer, size):
        sent.append(size)
        return 2 * delay_s + size / bytes_per_s

    async def measured():
        server, endpoint = await peer()
        try:
            return await probe(endpoint)
        finally:
            await server.stop(0)

    monkeypatch.setattr("ostraka_worker.links._timed", way)
    link = asyncio.run(measured())
    assert link.latency_s == pytest.approx(delay_s, abs=1e-9)
    assert link.bytes_per_s == pytest.approx(bytes_per_s, rel=1e-6)
    assert sent == [STEP_BYTES] * PINGS + list(PAYLOADS[:payloads]), "no more than tells its width"


@in_a_loop
async def test_a_far_peer_is_further_than_a_near_one():
    taken: list[int] = []
    near, here = await peer(taken=taken)
    far, there = await peer(DELAY_S)
    try:
        close, distant = await probe(here), await probe(there)
    finally:
        await near.stop(0)
        await far.stop(0)
    assert distant.latency_s > close.latency_s
    assert taken[: PINGS + 2] == [0, *[STEP_BYTES] * PINGS, PAYLOADS[0]]


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
