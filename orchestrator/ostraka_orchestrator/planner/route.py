"""Routes: R disjoint chains of serving nodes for one job.

Each route is a shortest path (`paths.Router`), where the cost of a node is the time it needs, stretched by a factor drawn
from the job's seed: near-equal nodes share the work, and nobody can foretell which of them a job will get. Routes are taken one
after the other from the nodes left; when that paints itself into a corner, other draws are tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ostraka.errors import NoRoute
from ostraka.types import BlockSpan, NodeId, Stage
from ostraka_orchestrator.planner.links import Floats, Links
from ostraka_orchestrator.planner.paths import Path, Router
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
    shape: ModelShape,
    nodes: Sequence[NodeProfile],
    replicas: int,
    seed: bytes,
    links: Links | None = None,
    region: int = 0,
    served: Mapping[NodeId, float] | None = None,
) -> list[tuple[Stage, ...]]:
    """R routes without a common node or operator, the fastest first.

    `links` and the requester's `region` make far nodes cost more; `served`, the work each node had of late, spreads jobs in proportion
    to speed × stake. Raises `NoRoute` with the number of routes that could be formed.
    """
    serving = tuple(n for n in nodes if n.span is not None)
    router = Router(shape, serving, links or Links.none(1 + max((n.region for n in serving), default=0)))
    work = None if served is None else np.array([served.get(n.node_id, 0.0) for n in serving])
    return [_stages(router, path) for path in draw_paths(router, replicas, seed, region, served=work)]


def draw_paths(
    router: Router,
    replicas: int,
    seed: bytes,
    region: int = 0,
    *,
    served: Floats | None = None,
    load: Floats | None = None,
    without: Collection[int] = (),
) -> list[Path]:
    """R paths without a common operator, the fastest first; arguments as of `Router.path`. Raises `NoRoute`."""
    most = 0
    for draw in range(DRAWS):
        stretch = 1 + SPREAD * _units(seed, draw, router.ids)
        paths = disjoint_paths(router, replicas, region, served=served, load=load, stretch=stretch, without=without)
        if len(paths) == replicas:
            return sorted(paths, key=lambda p: p.seconds)
        most = max(most, len(paths))
        if not paths:
            break  # another draw finds none either
    raise NoRoute(
        f"replicas: {replicas} disjoint routes over {router.shape.blocks} blocks are wanted, "
        f"the {len(router.nodes)} nodes that serve them form {most}; ask for fewer replicas or wait for more nodes"
    )


def head_starts(nodes: Sequence[NodeProfile], served: Mapping[NodeId, float]) -> dict[NodeId, float]:
    """Work that serving nodes without any are taken to have had when they come: as much for speed × stake as the others.

    Else a newcomer would be owed what they had in the hours before, and be given every request until it has caught up.
    """
    serving = [n for n in nodes if n.span is not None]
    old = [n for n in serving if served.get(n.node_id, 0.0) > 0]
    if not old:
        return {}
    usual = sum(served[n.node_id] for n in old) / sum(n.speed * n.stake for n in old)
    return {n.node_id: usual * n.speed * n.stake for n in serving if not served.get(n.node_id, 0.0)}


def _units(seed: bytes, draw: int, node_ids: npt.NDArray[np.uint64]) -> Floats:
    """Numbers in [0, 1) that seed, draw and node fix, whoever else there is: a hash of both, mixed with the node (splitmix64)."""
    key = int.from_bytes(hashlib.sha256(seed + draw.to_bytes(4, "big")).digest()[:8], "big")
    mixed = (node_ids + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    units: Floats = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    return units


def disjoint_paths(
    router: Router,
    replicas: int,
    region: int = 0,
    *,
    served: Floats | None = None,
    load: Floats | None = None,
    stretch: Floats | None = None,
    without: Collection[int] = (),
) -> list[Path]:
    """At most so many paths without a common operator, the best first. Greedy, so now and then one fewer than there are."""
    paths: list[Path] = []
    used: set[str] = set()
    while len(paths) < replicas:
        if used:
            without = [*without, *(i for i, n in enumerate(router.nodes) if n.operator in used)]
        path = router.path(region, served=served, load=load, stretch=stretch, without=without)
        if path is None:
            break
        paths.append(path)
        used |= {router.nodes[i].operator for i in path.chosen}
    return paths


def _stages(router: Router, path: Path) -> tuple[Stage, ...]:
    chosen = [router.nodes[i] for i in path.chosen]
    spans = [n.span for n in chosen if n.span is not None]
    shares = work_shares(router.shape, spans)
    return tuple(Stage(n.node_id, s.start, s.stop, w) for n, s, w in zip(chosen, spans, shares, strict=True))
