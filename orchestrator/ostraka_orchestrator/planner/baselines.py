"""What our solvers are measured against: one node alone, an even split, the greedy choice, EdgeShard's own bookkeeping, Petals' rule."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from ostraka.types import BlockSpan
from ostraka_orchestrator.planner.costs import Assignment, Costs

PETALS_QUALITY = 0.75  # Petals' `balance_quality`: it moves when the swarm would gain a third
PETALS_EPS = 1e-3


def alone(costs: Costs) -> Assignment | None:
    """All blocks on the source, or on the fastest node that holds them."""
    total = sum(costs.shape.bytes_)
    able = [j for j in range(len(costs.nodes)) if costs.enter(j) < inf and costs.memory[j] >= total]
    return (min(able, key=lambda j: float(costs.slow[j])),) * costs.shape.blocks if able else None


def even(costs: Costs, order: Sequence[int]) -> Assignment | None:
    """Spans of equal length on these nodes, as they come; None where a span does not fit."""
    blocks = costs.shape.blocks
    count = min(len(order), blocks)
    chosen = tuple(order[block * count // blocks] for block in range(blocks))
    return chosen if costs.fits(chosen, whole=True) and costs.enter(chosen[0]) < inf else None


def greedy(costs: Costs) -> Assignment | None:
    """Each block goes where it is cheapest now, given where the one before it went. It never looks ahead."""
    left = [int(m) for m in costs.memory]
    chosen: list[int] = []
    for block, size in enumerate(costs.shape.bytes_):
        best, at = inf, -1
        for j in range(len(costs.nodes)):
            if left[j] < size or (j in chosen and j != chosen[-1]):
                continue
            begun = costs.enter(j)
            if chosen:
                begun = (
                    0.0 if j == chosen[-1] else float(costs.hop[block - 1, costs.region[chosen[-1]], costs.region[j]])
                )
            price = begun + costs.shape.work[block] * float(costs.slow[j])
            if price < best:
                best, at = price, j
        if at < 0:
            return None
        left[at] -= size
        chosen.append(at)
    return tuple(chosen)


def edgeshard(costs: Costs) -> Assignment | None:
    """EdgeShard's first program with the paper's memory rule: each (block, node) keeps its one best path and what that path used."""
    blocks, n = costs.shape.blocks, len(costs.nodes)
    sizes, work = costs.shape.bytes_, costs.shape.work
    paths: list[tuple[float, Assignment] | None] = [
        (costs.enter(j) + work[0] * float(costs.slow[j]), (j,))
        if costs.enter(j) < inf and sizes[0] <= costs.memory[j]
        else None
        for j in range(n)
    ]
    for block in range(1, blocks):
        following: list[tuple[float, Assignment] | None] = []
        for j in range(n):
            best: tuple[float, Assignment] | None = None
            for k, known in enumerate(paths):
                if known is None:
                    continue
                cost, chosen = known
                used = sum(sizes[b] for b, at in enumerate(chosen) if at == j)
                if used + sizes[block] > costs.memory[j]:
                    continue
                hop = 0.0 if j == k else float(costs.hop[block - 1, costs.region[k], costs.region[j]])
                price = cost + hop + work[block] * float(costs.slow[j])
                if best is None or price < best[0]:
                    best = price, (*chosen, j)
            following.append(best)
        paths = following
    done = [(cost + costs.home(chosen[-1]), chosen) for cost, chosen in (p for p in paths if p is not None)]
    return min(done)[1] if done else None


def petals_start(throughput: Sequence[float], length: int) -> int:
    """Where a server with `length` blocks joins: the window whose worst blocks are worst (`block_selection.py`)."""
    windows = range(len(throughput) - length + 1)
    return min(windows, key=lambda start: sorted(throughput[start : start + length]))


def petals_moves(
    spans: Sequence[BlockSpan], rates: Sequence[float], me: int, blocks: int, quality: float = PETALS_QUALITY
) -> BlockSpan | None:
    """Where server `me` should move to, or None to stay: all others may answer its move, in turn, until none wants to."""
    served = list(spans)
    before = _cover(served, rates, blocks)
    length = len(served[me])
    others = [
        t - (rates[me] * (1 + PETALS_EPS) if b in range(served[me].start, served[me].stop) else 0)
        for b, t in enumerate(before)
    ]
    if min(others) <= 0:
        return None  # it would disconnect the swarm
    start = petals_start(others, length)
    served[me] = BlockSpan(start, start + length)
    if served[me] == spans[me]:
        return None
    for _ in range(len(served)):
        moved = False
        for i, span in enumerate(served):
            cover = _cover(served, rates, blocks)
            for b in range(span.start, span.stop):
                cover[b] -= rates[i] * (1 + PETALS_EPS)
            start = petals_start(cover, len(span))
            if start != span.start:
                served[i], moved = BlockSpan(start, start + len(span)), True
        if not moved:
            break
    gained = min(_cover(served, rates, blocks))
    return (
        served[me] if gained > 0 and min(before) / gained < quality - PETALS_EPS and served[me] != spans[me] else None
    )


def _cover(spans: Sequence[BlockSpan], rates: Sequence[float], blocks: int) -> list[float]:
    cover = [0.0] * blocks
    for span, rate in zip(spans, rates, strict=True):
        for b in range(span.start, span.stop):
            cover[b] += rate
    return cover
