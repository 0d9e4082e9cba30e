"""Placement for throughput: thousands of nodes on one model.

Whole spans have to meet at borders, so the spans given are the vertices of a binary tree: the root is the model, each vertex is cut in
two where work and bytes balance best. In such a family the greatest flow equals the least covered block's rate: what flows is
`own(v) + min(flow(left), flow(right))`, and a minimum of sums along paths is a sum of minima.

The minimum is a flat thing to climb, so nodes are put, one after the other, where they lower `Σ exp(-sharpness · rate(block))` most,
those with the least room first, the fastest of them first; then some are taken out and put in again at growing sharpness.
O(nodes · blocks²) small matrix products, and a polish whose length does not grow with the swarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner.flow import flow_bound, greatest_flow, pipes
from ostraka_orchestrator.planner.links import Floats
from ostraka_orchestrator.planner.place import place
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

SHARPNESS = (8.0, 24.0, 72.0, 216.0)  # over the bound's rate: from even filling to the worst block alone
POLISH = 3_000  # nodes tried again at each sharpness
FEW = 12  # up to so many nodes, whole chains of `place` are tried too: a tree is coarse for them
Spans = dict[NodeId, BlockSpan]


def tree(shape: ModelShape, span: BlockSpan | None = None) -> list[BlockSpan]:
    """All spans that placement may give, the model first."""
    span = BlockSpan(0, shape.blocks) if span is None else span
    if len(span) == 1:
        return [span]
    cut = min(range(span.start + 1, span.stop), key=lambda at: _unevenness(shape, span, at))
    return [span, *tree(shape, BlockSpan(span.start, cut)), *tree(shape, BlockSpan(cut, span.stop))]


def _unevenness(shape: ModelShape, span: BlockSpan, at: int) -> tuple[float, int]:
    left, right = BlockSpan(span.start, at), BlockSpan(at, span.stop)
    size = max(shape.span_bytes(left), shape.span_bytes(right)) / max(shape.span_bytes(span), 1)
    work = max(shape.span_work(left), shape.span_work(right)) / max(shape.span_work(span), 1)
    return max(size, work), abs(2 * at - span.start - span.stop)


class Filling:
    """Rates of blocks as nodes are put on spans of a family and taken away again."""

    def __init__(self, shape: ModelShape, scale: float, spans: Sequence[BlockSpan] | None = None) -> None:
        """`spans` is the family, by default the tree."""
        self.spans = tree(shape) if spans is None else list(spans)
        self.sizes = np.array([shape.span_bytes(s) for s in self.spans])
        self.work = np.array([max(shape.span_work(s), 1) for s in self.spans], dtype=float)
        blocks = np.arange(shape.blocks)
        self._inside = np.array([(blocks >= s.start) & (blocks < s.stop) for s in self.spans], dtype=float)
        self.rates: Floats = np.zeros(shape.blocks)
        self._scale = scale  # a rate of this order: sharpness is meant relative to it

    def add(self, span: int, speed: float) -> None:
        """`span` is an index; a negative speed takes a node away."""
        at = self.spans[span]
        self.rates[at.start : at.stop] += speed / self.work[span]

    def best(self, node: NodeProfile, sharpness: float) -> int | None:
        """The span where the node helps most; the longest of equals."""
        need = np.exp(-sharpness / self._scale * (self.rates - self.rates.min()))
        gain = (self._inside @ need) * -np.expm1(-sharpness / self._scale * node.speed / self.work)
        gain[self.sizes > node.memory_bytes] = -1.0
        best = int(np.argmax(gain))
        return best if gain[best] >= 0 else None


def spread(shape: ModelShape, nodes: Sequence[NodeProfile]) -> Spans:
    """A span for every node that can hold a block, such that the swarm carries many positions per second."""
    bound = flow_bound(shape, nodes)
    if bound == 0:
        return {}
    filling = Filling(shape, bound)
    room = {n.node_id: int((filling.sizes <= n.memory_bytes).sum()) for n in nodes}
    order = sorted((n for n in nodes if room[n.node_id]), key=lambda n: (room[n.node_id], -n.speed, n.node_id))
    placed = {}
    for node in order:
        best = filling.best(node, SHARPNESS[0])
        assert best is not None
        placed[node.node_id] = best
        filling.add(best, node.speed)
    placed = _polish(filling, order, placed)
    found = {node_id: filling.spans[at] for node_id, at in placed.items()}
    if len(nodes) <= FEW:
        chains = place(shape, nodes)
        if swarm_flow(shape, nodes, chains) > swarm_flow(shape, nodes, found):
            return chains
    return found


def _polish(filling: Filling, order: Sequence[NodeProfile], placed: dict[NodeId, int]) -> dict[NodeId, int]:
    best, best_rate = dict(placed), filling.rates.min()
    # Slow nodes move little each, so they can even out what fast ones left; in a small swarm all are tried.
    movable = sorted(order, key=lambda n: (n.speed, n.node_id))[:POLISH]
    for sharpness in SHARPNESS:
        for _ in range(max(1, POLISH // (4 * len(movable)))):
            for node in movable:
                filling.add(placed[node.node_id], -node.speed)
                at = filling.best(node, sharpness)
                assert at is not None
                placed[node.node_id] = at
                filling.add(at, node.speed)
            if filling.rates.min() > best_rate:
                best, best_rate = dict(placed), filling.rates.min()
    return best


def swarm_flow(shape: ModelShape, nodes: Sequence[NodeProfile], spans: Spans) -> float:
    """Positions per second when nodes serve these spans."""
    served = (replace(n, span=spans[n.node_id]) for n in nodes if n.node_id in spans)
    return greatest_flow(shape.blocks, pipes(shape, served))
