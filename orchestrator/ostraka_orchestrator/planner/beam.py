"""One request's chain in a swarm too large to search to the end: spans of unbroken blocks, the best few ways kept, and a bound.

For a span and a region only the fastest nodes whose memory holds it matter. Over those, dynamic programming on borders gives a bound
(every visit keeps memory, but a node might be met twice) and, with the nodes of each way remembered, a chain that is allowed.
O(nodes · blocks² ) array work, and labels whose number does not depend on the swarm.
"""

from __future__ import annotations

import heapq
from functools import lru_cache
from math import inf
from typing import NamedTuple

import numpy as np

from ostraka_orchestrator.planner.costs import Assignment, Costs

WIDTH = 4  # ways kept for each border and region


class Way(NamedTuple):
    cost: float
    stop: int
    node: int
    before: Way | None


class Beam:
    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        shape = costs.shape
        self._work = np.concatenate([[0], np.cumsum(shape.work)])
        self._held = np.concatenate([[0], np.cumsum(shape.bytes_)])
        order = np.argsort(costs.slow, kind="stable")
        members = [order[costs.region[order] == r] for r in range(costs.links.regions)]
        self._regions = [(r, m, costs.memory[m]) for r, m in enumerate(members) if len(m)]
        self._most = int(costs.memory.max())
        # A way passes at most one node for each block, so one of these is always unused (or the region has no other).
        self._deep = shape.blocks
        self.fastest = lru_cache(maxsize=None)(self._fastest)

    def _fastest(self, size: int) -> list[tuple[int, list[int]]]:
        """(region, nodes that hold `size` bytes, the fastest first)"""
        return [(r, m[np.flatnonzero(memory >= size)[: self._deep]].tolist()) for r, m, memory in self._regions]

    def _spans(self, start: int) -> list[tuple[int, int, float]]:
        """(stop, bytes, work) of spans from here that some node holds."""
        stops = range(start + 1, self.costs.shape.blocks + 1)
        rows = [(s, int(self._held[s] - self._held[start]), float(self._work[s] - self._work[start])) for s in stops]
        return [row for row in rows if row[1] <= self._most]

    def bound(self) -> float:
        """No chain of whole spans is faster."""
        costs, blocks = self.costs, self.costs.shape.blocks
        ahead = np.full((blocks + 1, costs.links.regions), inf)  # from a region of which a node did the last block
        ahead[blocks] = costs.hop[-1][:, costs.origin]
        begun = np.full((blocks, costs.links.regions), inf)  # the same, once the next node, of this region, begins
        for start in range(blocks - 1, -1, -1):
            for stop, size, work in self._spans(start):
                for region, nodes in self.fastest(size):
                    if nodes:
                        seconds = work * float(costs.slow[nodes[0]]) + float(ahead[stop, region])
                        begun[start, region] = min(begun[start, region], seconds)
            if start:
                ahead[start] = (costs.hop[start - 1] + begun[start]).min(axis=1)
        source = costs.ends.source
        if source is None:
            enter = costs.weights.latency * costs.links.latency_s[costs.origin] + costs.weights.hop_s
            return float((enter + begun[0]).min())
        own = [(s, w) for s, size, w in self._spans(0) if size <= costs.memory[source]]
        rest = [0.0 if stop == blocks else float(ahead[stop, costs.origin]) for stop, _ in own]
        return min((w * float(costs.slow[source]) + r for (_, w), r in zip(own, rest, strict=True)), default=inf)

    def best(self) -> Assignment | None:
        """A fast chain of whole spans; None where no way was found."""
        costs, blocks = self.costs, self.costs.shape.blocks
        ways: list[list[Way]] = [[] for _ in range(blocks + 1)]
        self._extend(ways, 0, None)
        for border in range(1, blocks):
            for way in self._kept(ways[border]):
                self._extend(ways, border, way)
        if not ways[blocks]:
            return None
        last: Way | None = min(ways[blocks], key=lambda w: w.cost + costs.home(w.node))
        chosen: list[int] = []
        while last is not None:
            start = last.before.stop if last.before else 0
            chosen = [last.node] * (last.stop - start) + chosen
            last = last.before
        return tuple(chosen)

    def _extend(self, ways: list[list[Way]], start: int, way: Way | None) -> None:
        costs = self.costs
        used = set()
        past = way
        while past is not None:
            used.add(past.node)
            past = past.before
        hop = costs.hop[start - 1, costs.region[way.node]] if way else None
        for stop, size, work in self._spans(start):
            for region, nodes in self.fastest(size):
                node = next((n for n in nodes if n not in used), None)
                if way is None and costs.ends.source is not None:
                    source = costs.ends.source
                    node = source if costs.region[source] == region and costs.memory[source] >= size else None
                if node is not None:
                    begun = way.cost + float(hop[region]) if way and hop is not None else costs.enter(node)
                    ways[stop].append(Way(begun + work * float(costs.slow[node]), stop, node, way))

    def _kept(self, ways: list[Way]) -> list[Way]:
        by_region: dict[int, list[Way]] = {}
        for way in ways:
            by_region.setdefault(int(self.costs.region[way.node]), []).append(way)
        return [w for group in by_region.values() for w in heapq.nsmallest(WIDTH, group, key=lambda w: w.cost)]
