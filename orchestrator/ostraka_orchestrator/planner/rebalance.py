"""Moving nodes when others come, go or slow down.

A move costs bytes (the blocks that a node does not hold yet) and, while they come, the node's service. So:

- nodes without a span get one at once: that takes nothing away;
- nothing else moves until the swarm carries less than `hysteresis` of what a fresh placement would (the rule and number of Petals'
  `block_selection.py`);
- then nodes leave the spans that need them least, until `enough` of the fresh placement is reached; a plan that gains less than
  `least_gain` is dropped, so moves cannot go in circles;
- a node leaves its span only if, with all movers away, the model stays covered and `keep` of what was carried still is.

A swarm that does not cover the model any more has nothing to lose: it moves whatever covers it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner.flow import flow_bound, greatest_flow, pipes, rate
from ostraka_orchestrator.planner.links import Floats
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile
from ostraka_orchestrator.planner.spread import SHARPNESS, Filling, Spans, spread, swarm_flow, tree


@dataclass(frozen=True)
class Patience:
    """When moves are worth it. Larger `hysteresis` and `enough`: more throughput, more bytes moved."""

    hysteresis: float = 0.75
    enough: float = 0.95
    least_gain: float = 0.05
    keep: float = 0.7
    most_moves: int = 1_000


@dataclass(frozen=True)
class Move:
    """`bytes_`: what the node has to fetch."""

    node_id: NodeId
    span: BlockSpan
    bytes_: int


def rebalance(
    shape: ModelShape,
    nodes: Sequence[NodeProfile],
    patience: Patience = Patience(),
    loading: Sequence[NodeProfile] = (),
) -> list[Move]:
    """The moves to begin now, newcomers first. `nodes` with a span serve it; those in `loading` fetch theirs and are left alone."""
    if flow_bound(shape, [*nodes, *loading]) == 0:
        return []  # not even all together hold the model: blocks would be fetched for nothing
    waiting = [n for n in nodes if n.span is None]
    coming = [n for n in (*nodes, *loading) if n.span is not None]
    after = _newcomers(shape, coming, waiting) if coming else spread(shape, waiting)
    moves = [move_to(shape, n, after[n.node_id]) for n in waiting if n.node_id in after]
    if not patience.hysteresis:
        return moves  # whatever the swarm carries is enough
    everyone = [*nodes, *loading]
    spans = {n.node_id: _of(n) for n in coming} | after
    now = swarm_flow(shape, everyone, spans)
    fresh = spread(shape, everyone)
    best = swarm_flow(shape, everyone, fresh)
    if best == 0 or now >= patience.hysteresis * best:
        return moves
    better = _shift(shape, nodes, everyone, spans, best, patience)
    gained = swarm_flow(shape, everyone, better)
    if now == 0 and gained == 0:  # spans that no longer meet at borders: begin anew
        better, gained = fresh, best
    if gained <= now * (1 + patience.least_gain):
        return moves
    return [move_to(shape, n, better[n.node_id]) for n in nodes if n.node_id in better and better[n.node_id] != n.span]


def move_to(shape: ModelShape, node: NodeProfile, span: BlockSpan) -> Move:
    """With what the node has to fetch for it: blocks that it does not serve already."""
    old = node.span
    held = range(old.start, old.stop) if old else range(0)
    return Move(node.node_id, span, sum(shape.bytes_[b] for b in range(span.start, span.stop) if b not in held))


def _filling(shape: ModelShape, serving: Sequence[NodeProfile], among: Sequence[NodeProfile]) -> Filling:
    filling = Filling(shape, flow_bound(shape, among), _family(shape, serving))
    for node in serving:
        if node.span is not None:
            filling.rates[node.span.start : node.span.stop] += rate(shape, node, node.span)
    return filling


def _family(shape: ModelShape, serving: Sequence[NodeProfile]) -> list[BlockSpan]:
    """The tree; where spans are served that are none of its (a small swarm in whole chains), only those: others would not meet them."""
    family, used = tree(shape), {n.span for n in serving if n.span is not None}
    return family if used <= set(family) else sorted(used)


def _newcomers(shape: ModelShape, serving: Sequence[NodeProfile], waiting: Sequence[NodeProfile]) -> Spans:
    able = [n for n in waiting if n.memory_bytes >= min(shape.bytes_)]
    if not able:
        return {}
    filling = _filling(shape, serving, [*serving, *waiting])
    spans: Spans = {}
    for node in sorted(able, key=lambda n: (-n.speed, n.node_id)):
        best = filling.best(node, SHARPNESS[1])
        if best is not None:
            spans[node.node_id] = filling.spans[best]
            filling.add(best, node.speed)
    return spans


def _shift(
    shape: ModelShape,
    nodes: Sequence[NodeProfile],
    everyone: Sequence[NodeProfile],
    spans: Spans,
    best: float,
    patience: Patience,
) -> Spans:
    """Spans after as many moves of `nodes` as reach `enough` of `best`, or as safety allows."""
    serving = [n for n in nodes if n.span is not None]
    filling = _filling(shape, [replace(n, span=spans[n.node_id]) for n in everyone if n.node_id in spans], everyone)
    still = pipes(shape, serving)  # what goes on while the movers load
    floor = patience.keep * greatest_flow(shape.blocks, still)
    moved: Spans = {}
    for node in sorted(serving, key=lambda n: (-_least(filling.rates, n.span), shape.span_bytes(_of(n)), n.node_id)):
        if len(moved) == patience.most_moves or filling.rates.min() >= patience.enough * best:
            break
        old, speed = _of(node), rate(shape, node, _of(node))
        filling.rates[old.start : old.stop] -= speed
        at = filling.best(node, SHARPNESS[1])
        target = old if at is None else filling.spans[at]
        still[old.start, old.stop] -= speed
        # It goes where less is carried than stays behind, and only if the rest can do without it for a while.
        worth = _least(filling.rates, target) < _least(filling.rates, old) or floor == 0
        if at is not None and target != old and worth and greatest_flow(shape.blocks, still) >= floor:
            filling.add(at, node.speed)
            moved[node.node_id] = target
        else:
            filling.rates[old.start : old.stop] += speed
            still[old.start, old.stop] += speed
    return spans | moved


def _of(node: NodeProfile) -> BlockSpan:
    assert node.span is not None
    return node.span


def _least(rates: Floats, span: BlockSpan | None) -> float:
    return float(rates[span.start : span.stop].min()) if span else 0.0
