"""Routes: R disjoint chains of serving nodes for one job.

Each route is a shortest path over block borders, where the cost of a node is the time it needs, stretched by a factor drawn
from the job's seed: near-equal nodes share the work, and nobody can foretell which of them a job will get. Routes are taken one
after the other from the nodes left; when that paints itself into a corner, other draws are tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import inf

from ostraka.errors import NoRoute
from ostraka.types import BlockSpan, NodeId, Stage
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

DRAWS = 64
SPREAD = 0.25  # how far the draw may stretch a node's time: it breaks ties, it does not send work to slow nodes


def work_shares(shape: ModelShape, spans: Sequence[BlockSpan]) -> list[int]:
    """Basis points of the work of each span, 10 000 in sum; what rounding leaves goes to the largest remainders."""
    total = sum(shape.span_work(s) for s in spans)
    exact = [shape.span_work(s) * 10_000 for s in spans]
    shares = [e // total for e in exact]
    by_remainder = sorted(range(len(spans)), key=lambda i: (-(exact[i] % total), i))
    for i in by_remainder[: 10_000 - sum(shares)]:
        shares[i] += 1
    return shares


def choose_routes(
    shape: ModelShape, nodes: Sequence[NodeProfile], replicas: int, seed: bytes
) -> list[tuple[Stage, ...]]:
    """R routes without a common node or operator, the fastest first.

    Raises `NoRoute` with the number of routes that could be formed.
    """
    serving = [n for n in nodes if n.span is not None]
    most = 0
    for draw in range(DRAWS):
        stretch = {n.node_id: 1 + SPREAD * _unit(seed, draw, n.node_id) for n in serving}
        routes = _disjoint(shape, serving, replicas, stretch)
        if len(routes) == replicas:
            return sorted(routes, key=lambda r: _seconds(shape, serving, r))
        most = max(most, len(routes))
    raise NoRoute(
        f"replicas: {replicas} disjoint routes over {shape.blocks} blocks are wanted, "
        f"the {len(serving)} nodes that serve them form {most}; ask for fewer replicas or wait for more nodes"
    )


def _unit(seed: bytes, draw: int, node_id: NodeId) -> float:
    """A number in [0, 1) that seed, draw and node fix."""
    digest = hashlib.sha256(seed + draw.to_bytes(4, "big") + node_id.to_bytes(8, "big")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _disjoint(
    shape: ModelShape, nodes: list[NodeProfile], replicas: int, stretch: dict[NodeId, float]
) -> list[tuple[Stage, ...]]:
    routes: list[tuple[Stage, ...]] = []
    free = nodes
    while len(routes) < replicas:
        path = _shortest(shape, free, stretch)
        if path is None:
            break
        spans = [span for _, span in path]
        shares = work_shares(shape, spans)
        routes.append(tuple(Stage(n.node_id, s.start, s.stop, w) for (n, s), w in zip(path, shares, strict=True)))
        used = {n.operator for n, _ in path}
        free = [n for n in free if n.operator not in used]
    return routes


def _shortest(
    shape: ModelShape, nodes: list[NodeProfile], stretch: dict[NodeId, float]
) -> list[tuple[NodeProfile, BlockSpan]] | None:
    cost = [0.0] + [inf] * shape.blocks
    back: list[tuple[NodeProfile, int] | None] = [None] * (shape.blocks + 1)
    for border in range(shape.blocks):  # spans only lead forward, so borders in order is a topological order
        if cost[border] == inf:
            continue
        for node in nodes:
            if node.span is None or node.span.start != border:  # a node serves its span whole
                continue
            reached = node.span.stop
            time = cost[border] + node.seconds(shape, BlockSpan(border, reached)) * stretch[node.node_id]
            if time < cost[reached]:
                cost[reached], back[reached] = time, (node, border)
    if cost[shape.blocks] == inf:
        return None
    path, border = [], shape.blocks
    while border:
        step = back[border]
        assert step is not None
        node, start = step
        path.append((node, BlockSpan(start, border)))
        border = start
    path.reverse()
    # a node serves one span, so a path that only leads forward never meets it twice
    return path


def _seconds(shape: ModelShape, nodes: list[NodeProfile], route: tuple[Stage, ...]) -> float:
    by_id = {n.node_id: n for n in nodes}
    return sum(by_id[s.node_id].seconds(shape, s.span) for s in route)
