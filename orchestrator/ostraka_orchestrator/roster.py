"""What nodes say of themselves, as the planner's values: profiles, links, and the work each has had.

Pure, over heartbeats. Nobody is believed for saying nothing: a link that nobody measured counts as a poor one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ostraka.types import BlockSpan, NodeId
from ostraka.wire.messages import MAX_LINKS
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.planner import Links, NodeProfile, jain
from ostraka_orchestrator.planner.links import regions_of

PROBES_A_BEAT = 2
EACH_ITS_REGION = 64  # up to so many nodes every pair has a row of its own; larger swarms are told apart by region
NEAR_S = 0.008  # nodes whose hop to a region's first node takes no longer belong to it
UNKNOWN = (0.100, 1.25e6)  # a hop over a link that nobody has measured: 50 ms each way, 10 Mbit/s


def profile(beat: Heartbeat, operator: str, stake: float = 1.0) -> NodeProfile:
    """`stake` is in units of the least stake."""
    span = BlockSpan(beat.span[1], beat.span[2]) if beat.span else None
    return NodeProfile(
        NodeId(beat.node_id), operator, beat.memory_bytes, beat.speed, beat.endpoint, span, load=beat.busy, stake=stake
    )


def connect(nodes: Sequence[NodeProfile], beats: Mapping[int, Heartbeat]) -> tuple[list[NodeProfile], Links, int]:
    """The nodes with their regions, the links between these, and the requester's region, to which all are equally near.

    A step's answer comes back the way it went, so a hop's latency is twice the way's; what a node takes for a step beside its blocks counts
    as part of every way to it. Before anything is measured all links are alike, so they decide nothing.
    """
    place = {int(n.node_id): at for at, n in enumerate(nodes)}
    probes = [
        (place[n.node_id], place[peer], 2 * micros * 1e-6, float(max(width, 1)))
        for n in nodes
        for peer, micros, width in beats[n.node_id].links
        if peer in place and peer != n.node_id
    ]
    regions = list(range(len(nodes)))
    if len(nodes) > EACH_ITS_REGION:
        regions = regions_of(Links.probed(len(nodes), probes, UNKNOWN).latency_s, NEAR_S)
        probes = [(regions[a], regions[b], latency, width) for a, b, latency, width in probes]
    home = max(regions, default=-1) + 1
    links = Links.probed(home + 1, probes, UNKNOWN)
    links.latency_s[home, :] = links.latency_s[:, home] = 0.0
    links.bytes_per_s[home, :] = links.bytes_per_s[:, home] = np.inf
    if nodes:
        steps = np.bincount(regions, weights=[beats[n.node_id].step_us for n in nodes]) / np.bincount(regions)
        links.latency_s[:, :home] += steps * 1e-6
    return [replace(n, region=region) for n, region in zip(nodes, regions, strict=True)], links, home


def to_probe(beats: Mapping[int, Heartbeat], node_id: int, turn: int) -> list[tuple[int, str]]:
    """(node, endpoint) of the peers that this node should measure next: those it has told nothing of, else (or once it knows as many as a
    heartbeat tells of) all in turn. These not beside work: a probe would stand in its way, and be delayed by it.
    """
    peers = [i for i in sorted(beats) if i != node_id]
    own = beats.get(node_id)
    known = {peer for peer, _, _ in own.links} if own else set()
    news = [i for i in peers if i not in known] if len(known) < MAX_LINKS else []
    among = news or [i for i in peers if not beats[i].busy and not (own and own.busy)]
    first = (turn + node_id) * PROBES_A_BEAT  # nodes begin at unlike peers
    count = min(PROBES_A_BEAT, len(among)) if news else min(1, len(among))
    return [(i, beats[i].endpoint) for i in (among[(first + k) % len(among)] for k in range(count))]


def fairness(nodes: Iterable[NodeProfile], served: Mapping[NodeId, float]) -> float:
    """Jain's index of work had against work due by speed × stake; 1 where nobody has had any."""
    shares = [served.get(n.node_id, 0.0) / (n.speed * n.stake) for n in nodes if n.span is not None]
    return jain(shares) if any(shares) else 1.0
