"""How far other nodes are, and how wide the way to them: measured, and told to the orchestrator with each heartbeat.

A trip is that of a message of a decoding step's size, over the same gRPC calls, to a node that was at rest: the median of a few. Bandwidth
is what a larger payload took beyond it. Each heartbeat's answer names a few peers to look at, so a node's share of the work does not grow
with the swarm; and once it knows its links it rests, since a payload on a narrow line stands before the steps of whoever works there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from ostraka.errors import OstrakaError
from ostraka.wire.grpc_transport import Peer
from ostraka.wire.messages import MAX_LINKS, Ack, Probe

log = logging.getLogger("ostraka.node")
PINGS, PAUSE_S = 5, 0.02
STEP_BYTES = 1 << 10
PAYLOADS = tuple(1 << k for k in range(14, 19))  # the next one only where the one before went through too soon to tell
TELLS_S = 0.03
RESTS = 19  # times as long as it has measured: a twentieth of the time at most
TIMEOUT_S = 20.0
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
        trip = median([await _timed(peer, STEP_BYTES) for _ in range(PINGS)])
        for size in PAYLOADS:
            beyond = await _timed(peer, size) - trip
            if beyond >= TELLS_S:
                break
    finally:
        await peer.close()
    width = (size - STEP_BYTES) / max(beyond, size / WIDEST_BYTES_PER_S)
    return Link(max(trip - STEP_BYTES / width, 0.0) / 2, width)


async def _timed(peer: Peer, size: int) -> float:
    payload = os.urandom(size)
    await asyncio.sleep(PAUSE_S)
    began = time.perf_counter()
    await peer.call(Probe(payload), Ack, TIMEOUT_S)
    return time.perf_counter() - began


@dataclass
class Prober:
    """What this node knows of its links; the oldest knowledge is dropped first."""

    links: dict[int, Link] = field(default_factory=dict)
    _running: asyncio.Task[None] | None = None
    _rests_until: float = float("-inf")

    def rows(self) -> list[list[int]]:
        """(node, latency in µs, bytes per second), as a heartbeat carries them."""
        return [[node, round(link.latency_s * 1e6), int(link.bytes_per_s)] for node, link in self.links.items()]

    def look_at(self, peers: Sequence[tuple[int, str]]) -> None:
        """Begins to measure unless it is at it (probes beside probes would measure each other), or rests and lacks nothing."""
        lacks = len(self.links) < MAX_LINKS and any(node not in self.links for node, _ in peers)
        if not peers or (self._running is not None and not self._running.done()):
            return
        if lacks or time.monotonic() >= self._rests_until:
            self._running = asyncio.create_task(self._measure(list(peers)))

    async def _measure(self, peers: Sequence[tuple[int, str]]) -> None:
        began = time.monotonic()
        for node, endpoint in peers:
            try:
                found = await probe(endpoint)
            except OstrakaError as error:
                log.info("link to node %d: %s", node, error)
                found = None
            self.links.pop(node, None)
            if found is not None:
                self.links[node] = found  # the newest stands last
        while len(self.links) > MAX_LINKS:
            del self.links[next(iter(self.links))]
        ended = time.monotonic()
        self._rests_until = ended + RESTS * (ended - began)
