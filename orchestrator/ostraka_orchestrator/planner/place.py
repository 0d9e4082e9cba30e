"""Placement: gives waiting nodes spans so that they form whole chains of the model.

A chain is a few nodes whose spans tile all blocks. Within a chain the split is optimal: dynamic programming over
(node, block) minimizes the slowest stage under each node's memory, over all orders of the nodes. Which nodes form a
chain is chosen greedily: the roomiest node first, completed by the smallest helper that makes the chain fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import inf

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

MAX_PERMUTED = 5  # 120 orders; longer chains are tried by falling memory only


def split(shape: ModelShape, nodes: Sequence[NodeProfile]) -> dict[NodeId, BlockSpan] | None:
    """The best tiling of all blocks by these nodes, each with at least one block; None where memory does not suffice."""
    orders = permutations(nodes) if len(nodes) <= MAX_PERMUTED else iter([tuple(nodes)])
    best: tuple[float, dict[NodeId, BlockSpan]] | None = None
    for order in orders:
        found = _split_in_order(shape, order)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    return best[1] if best else None


def _split_in_order(shape: ModelShape, nodes: Sequence[NodeProfile]) -> tuple[float, dict[NodeId, BlockSpan]] | None:
    blocks = shape.blocks
    # slowest[b]: the least possible slowest stage when the nodes so far hold blocks [0, b)
    slowest = [0.0] + [inf] * blocks
    cuts: list[list[int]] = []
    for node in nodes:
        following, back = [inf] * (blocks + 1), [0] * (blocks + 1)
        for stop in range(1, blocks + 1):
            for start in range(stop - 1, -1, -1):
                span = BlockSpan(start, stop)
                if shape.span_bytes(span) > node.memory_bytes:
                    break
                time = max(slowest[start], node.seconds(shape, span))
                if time < following[stop]:
                    following[stop], back[stop] = time, start
        slowest = following
        cuts.append(back)
    if slowest[blocks] == inf:
        return None
    spans, stop = {}, blocks
    for node, back in zip(reversed(nodes), reversed(cuts), strict=True):
        spans[node.node_id] = BlockSpan(back[stop], stop)
        stop = back[stop]
    return slowest[blocks], spans


def place(shape: ModelShape, waiting: Sequence[NodeProfile]) -> dict[NodeId, BlockSpan]:
    """Spans for as many waiting nodes as form whole chains. A node that is left out keeps waiting."""
    placed: dict[NodeId, BlockSpan] = {}
    while chain := next_chain(shape, [n for n in waiting if n.node_id not in placed]):
        placed |= chain
    return placed


def next_chain(shape: ModelShape, waiting: Sequence[NodeProfile]) -> dict[NodeId, BlockSpan]:
    """One whole chain of a few of these nodes; empty where they form none."""
    pool = sorted(waiting, key=lambda n: (-n.memory_bytes, -n.speed, n.node_id))
    if not pool:
        return {}
    chain = pool[:1]
    spans = split(shape, chain)
    while spans is None and len(chain) < len(pool):
        rest = [n for n in pool if n not in chain]
        # the smallest single helper that completes the chain, else the roomiest and on
        fitting = ((n, split(shape, [*chain, n])) for n in reversed(rest))
        helper, spans = next(((n, s) for n, s in fitting if s is not None), (rest[0], None))
        chain.append(helper)
    return spans or {}
