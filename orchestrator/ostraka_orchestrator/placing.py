"""Which node serves which blocks of which model: decided here, from what the board and the chain say. Pure.

Newcomers are dealt out chain by chain, each to the model with the fewest whole chains of unlike operators, since a job needs as many as
it wants replicas. Nodes that form no whole chain join one that stands. What churn leaves is mended by `rebalance`, unless that would
cost a model a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner import (
    Costs,
    Ends,
    Links,
    ModelShape,
    Move,
    NodeProfile,
    Patience,
    Router,
    Weights,
    disjoint_paths,
    least_latency,
    most_throughput,
    move_to,
    next_chain,
    rebalance,
    spread,
    states,
    swarm_flow,
    weighed,
)

Mode = Literal["replicas", "latency", "throughput"]
MODES: tuple[Mode, ...] = ("replicas", "latency", "throughput")
PATIENCE = Patience()
PLAIN = Weights()
USUAL_REPLICAS = 3  # below so many chains, another one is worth a move
PIPELINE_STATES = (
    300  # sets of nodes: eight that are all unlike, or a dozen of three kinds; an exact search takes a second then
)
MOST_REPLICAS = 7  # more chains than a job may have replicas are worth no more


@dataclass(frozen=True)
class Place:
    model_id: bytes
    span: BlockSpan


@dataclass(frozen=True)
class Swarm:
    """One model and the nodes at work on it. Those in `loading` fetch the span that they have; nobody sends them work yet."""

    shape: ModelShape
    serving: tuple[NodeProfile, ...] = ()
    loading: tuple[NodeProfile, ...] = ()

    @property
    def all(self) -> tuple[NodeProfile, ...]:
        return (*self.serving, *self.loading)

    def chains(self, nodes: Sequence[NodeProfile] | None = None) -> int:
        """How many replicas a job could have: chains without a common operator."""
        nodes = self.all if nodes is None else nodes
        if not nodes:
            return 0
        alike = tuple(replace(n, region=0) for n in nodes)
        return len(disjoint_paths(Router(self.shape, alike, Links.none()), MOST_REPLICAS))

    def with_loading(self, spans: Mapping[NodeId, BlockSpan], nodes: Sequence[NodeProfile]) -> Swarm:
        more = tuple(replace(n, span=spans[n.node_id]) for n in nodes if n.node_id in spans)
        return replace(self, loading=(*self.loading, *more))


def deal_out(
    swarms: Mapping[bytes, Swarm],
    waiting: Sequence[NodeProfile],
    mode: Mode = "replicas",
    links: Links | None = None,
    weights: Mapping[bytes, Weights] = MappingProxyType({}),
) -> dict[NodeId, Place]:
    """Places for as many of `waiting` as find one. Models come in the order of their publication; among equals the newest is first.

    `mode` says what a new chain is good at: `replicas` (as many chains as there can be), `latency` (each as fast as can be, links
    included: `links` speaks of the regions of `waiting`, `weights` are what was learnt of a model), `throughput` (many requests at once).
    """
    swarms, placed = dict(swarms), dict[NodeId, Place]()
    pool = list(waiting)
    open_ = list(reversed(swarms))
    while pool and open_:
        model = min(open_, key=lambda m: swarms[m].chains())  # the first of equals: the newest
        spans = _chain(swarms[model], pool, mode, links, weights.get(model, PLAIN)) or _joiners(swarms[model], pool)
        if not spans:
            open_.remove(model)
            continue
        swarms[model] = swarms[model].with_loading(spans, pool)
        placed |= {node: Place(model, span) for node, span in spans.items()}
        pool = [n for n in pool if n.node_id not in spans]
    return placed


def _chain(
    swarm: Swarm, pool: Sequence[NodeProfile], mode: Mode, links: Links | None, weights: Weights
) -> dict[NodeId, BlockSpan]:
    if mode == "replicas":
        return next_chain(swarm.shape, pool)
    links = links or Links.none(1 + max(n.region for n in pool))
    home = links.regions - 1
    if mode == "throughput":
        return {} if swarm.all else _most_flow(swarm, pool, links)
    nodes, links = weighed(pool, links, weights)
    costs = Costs(swarm.shape, tuple(nodes), links, Ends(region=home))
    found = least_latency(costs)
    return dict(costs.runs(found.chosen)) if found else {}


def _most_flow(swarm: Swarm, pool: Sequence[NodeProfile], links: Links) -> dict[NodeId, BlockSpan]:
    """For an empty swarm: `spread`, or where the pool is small enough for an exact search the best pipeline with all others beside it,
    whichever carries more."""
    found = spread(swarm.shape, pool)
    costs = Costs(swarm.shape, tuple(pool), links, Ends(region=links.regions - 1))
    if states(costs) > PIPELINE_STATES or (chosen := most_throughput(costs)) is None:
        return found
    spans = dict(costs.runs(chosen))
    rest = [n for n in pool if n.node_id not in spans]
    spans |= _joiners(swarm.with_loading(spans, pool), rest)
    flow, other = (swarm_flow(swarm.shape, pool, s) for s in (spans, found))
    return spans if flow > other else found


def _joiners(swarm: Swarm, pool: Sequence[NodeProfile]) -> dict[NodeId, BlockSpan]:
    """Newcomers beside those that serve already; nobody else moves."""
    if not swarm.all:
        return {}
    free = [replace(n, span=None) for n in pool]
    moves = rebalance(swarm.shape, [*swarm.serving, *free], Patience(hysteresis=0.0), swarm.loading)
    mine = {n.node_id for n in free}
    return {m.node_id: m.span for m in moves if m.node_id in mine}


def mend(swarm: Swarm, patience: Patience = PATIENCE) -> list[Move]:
    """Nodes that should move, a few at a time. No model is left with fewer chains, on the way or at the end."""
    if not swarm.serving:
        return []
    before = swarm.chains(swarm.serving)
    moves = rebalance(swarm.shape, swarm.serving, patience, swarm.loading)
    if moves and _chains_after(swarm, {m.node_id: m.span for m in moves}, before) >= before:
        return moves
    return _one_more_chain(swarm, before) if before < USUAL_REPLICAS else []


def _chains_after(swarm: Swarm, moves: Mapping[NodeId, BlockSpan], before: int) -> int:
    """-1 where the model would be left without a chain while those who move load their blocks."""
    stay = [n for n in swarm.serving if n.node_id not in moves]
    if swarm.chains(stay) < min(before, 1):
        return -1
    return swarm.chains([*stay, *(replace(n, span=moves[n.node_id]) for n in swarm.serving if n.node_id in moves)])


def _one_more_chain(swarm: Swarm, before: int) -> list[Move]:
    """The single move to a span in use that makes another chain and leaves the most throughput, of equals the cheapest: throughput alone
    sees no need where one wide place serves all."""
    spans = sorted({n.span for n in swarm.serving if n.span is not None})
    found = [
        move_to(swarm.shape, node, span)
        for node in swarm.serving
        for span in spans
        if span != node.span
        and swarm.shape.span_bytes(span) <= node.memory_bytes
        and _chains_after(swarm, {node.node_id: span}, before) > before
    ]
    now = {n.node_id: n.span for n in swarm.serving if n.span is not None}

    def price(move: Move) -> tuple[float, int, int]:
        flow = swarm_flow(swarm.shape, swarm.serving, now | {move.node_id: move.span})
        return -flow, move.bytes_, move.node_id

    return [min(found, key=price)] if found else []
