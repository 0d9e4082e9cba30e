"""How far other nodes are, and how wide the way to them: measured, and told to the orchestrator with each heartbeat.

Latency is half of the shortest of a few round trips; bandwidth is what a payload took beyond that. Each heartbeat's answer names a few
peers to look at, so a node's share of the work does not grow with the swarm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ostraka.errors import OstrakaError
from ostraka.wire.grpc_transport import Peer
from ostraka.wire.messages import Ack, Probe

log = logging.getLogger("ostraka.node")
PINGS = 3
PAYLOAD_BYTES = 256 << 10
TIMEOUT_S = 20.0
MAX_KEPT = 32  # the rows that a heartbeat may carry
WIDEST_BYTES_PER_S = 1 << 40  # where the payload took no time that a clock could see


@dataclass(frozen=True)
class Link:
    """One way: seconds until the first byte is there, bytes per second after it."""

    latency_s: float
    bytes_per_s: float


async def probe(endpoint: str) -> Link:
    """Raises `PeerUnreachable` or what the peer says."""
    peer = Peer(endpoint)
    try:
        await peer.call(Probe(b""), Ack, TIMEOUT_S)  # the first one also opens the connection
        trip = min([await _timed(peer, b"") for _ in range(PINGS)])
        loaded = await _timed(peer, os.urandom(PAYLOAD_BYTES))
    finally:
        await peer.close()
    beyond = max(loaded - trip, PAYLOAD_BYTES / WIDEST_BYTES_PER_S)
    return Link(trip / 2, PAYLOAD_BYTES / beyond)


async def _timed(peer: Peer, payload: bytes) -> float:
    began = time.perf_counter()
    await peer.call(Probe(payload), Ack, TIMEOUT_S)
    return time.perf_counter() - began


@dataclass
class Prober:
    """What this node knows of its links; the oldest knowledge is dropped first."""

    links: dict[int, Link] = field(default_factory=dict)
    _running: asyncio.Task[None] | None = None

    def rows(self) -> list[list[int]]:
        """(node, latency in µs, bytes per second), as a heartbeat carries them."""
        return [[node, round(link.latency_s * 1e6), int(link.bytes_per_s)] for node, link in self.links.items()]

    def look_at(self, peers: Sequence[tuple[int, str]]) -> None:
        """Begins to measure unless it is at it: probes beside probes would measure each other."""
        if peers and (self._running is None or self._running.done()):
            self._running = asyncio.create_task(self._measure(list(peers)))

    async def _measure(self, peers: Sequence[tuple[int, str]]) -> None:
        for node, endpoint in peers:
            self.links.pop(node, None)
            try:
                self.links[node] = await probe(endpoint)
            except OstrakaError as error:
                log.info("link to node %d: %s", node, error)
        while len(self.links) > MAX_KEPT:
            del self.links[next(iter(self.links))]
