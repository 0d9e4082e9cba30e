"""What nodes say of themselves, as the planner's values: profiles, links, and the work each has had.

Pure, over heartbeats. Nobody is believed for saying nothing: a link that nobody measured counts as a poor one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ostraka.types import BlockSpan, NodeId
from ostraka.wire.messages import MAX_LINKS
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.planner import Links, NodeProfile, jain
from ostraka_orchestrator.planner.links import Ints
from ostraka_orchestrator.planner.regions import regions_of

PROBES_A_BEAT = 2
EACH_ITS_REGION = 64  # up to so many nodes every pair has a row of its own; larger swarms are told apart by region
NEAR_S = 0.008  # a hop that takes no longer stays within a region
UNKNOWN = (0.100, 1.25e6)  # a hop over a link that nobody has measured: 50 ms each way, 10 Mbit/s
Said = tuple[int, int, list[tuple[int, int, int]]]  # node, what a step takes beside its blocks in µs, its links


def profile(beat: Heartbeat, operator: str, stake: float = 1.0) -> NodeProfile:
    """`stake` is in units of the least stake."""
    span = BlockSpan(beat.span[1], beat.span[2]) if beat.span else None
    return NodeProfile(
        NodeId(beat.node_id), operator, beat.memory_bytes, beat.speed, beat.endpoint, span, load=beat.busy, stake=stake
    )


@dataclass
class Ways:
    """Regions and links between nodes. They are kept while nodes say the same of their links: grouping a large swarm takes a while."""

    _known: tuple[list[Said], Ints, Links] | None = None

    def connect(
        self, nodes: Sequence[NodeProfile], beats: Mapping[int, Heartbeat]
    ) -> tuple[list[NodeProfile], Links, int]:
        """The nodes with their regions, the links between these, and the requester's region, to which all are equally near.

        A step's answer comes back the way it went, so a hop's latency is twice the way's; what a node takes for a step beside its blocks
        counts as part of every way to it. Before anything is measured all links are alike, so they decide nothing.
        """
        said = [(int(n.node_id), beats[n.node_id].step_us, beats[n.node_id].links) for n in nodes]
        known = self._known  # other threads may put another one in its place
        if known is None or known[0] != said:
            self._known = known = (said, *_links(said))
        _, regions, links = known
        return (
            [replace(n, region=int(region)) for n, region in zip(nodes, regions, strict=True)],
            links,
            links.regions - 1,
        )


def connect(nodes: Sequence[NodeProfile], beats: Mapping[int, Heartbeat]) -> tuple[list[NodeProfile], Links, int]:
    """What `Ways.connect` says, for once."""
    return Ways().connect(nodes, beats)


def _links(said: Sequence[Said]) -> tuple[Ints, Links]:
    """The region of each node, and the links between these with the requester's as the last one."""
    place = {node_id: at for at, (node_id, _, _) in enumerate(said)}
    probes = np.array(
        [
            (place[node_id], place[peer], 2 * micros * 1e-6, max(width, 1))
            for node_id, _, links in said
            for peer, micros, width in links
            if peer in place and peer != node_id
        ],
        dtype=float,
    ).reshape(-1, 4)
    regions = np.arange(len(said))
    if len(said) > EACH_ITS_REGION:
        regions = regions_of(len(said), probes, NEAR_S)
        ends = regions[probes[:, :2].astype(np.int64)]
        probes = np.hstack([ends, probes[:, 2:]])[(ends >= 0).all(axis=1)]
        regions = np.where(
            regions < 0, regions.max() + 1, regions
        )  # those of whom too little is known, with poor links
    home = int(regions.max(initial=-1)) + 1
    links = Links.probed(home + 1, probes, UNKNOWN)
    links.latency_s[home, :] = links.latency_s[:, home] = 0.0
    links.bytes_per_s[home, :] = links.bytes_per_s[:, home] = np.inf
    if said:
        steps = np.bincount(regions, weights=[step_us for _, step_us, _ in said]) / np.bincount(regions)
        links.latency_s[:, :home] += steps * 1e-6
    return regions, links


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
