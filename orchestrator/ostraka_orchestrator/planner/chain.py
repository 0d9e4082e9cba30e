"""The chain with the least latency: BSNS and EdgeShard's first program, solved exactly.

Without memory limits it is dynamic programming over (block, node): `DP(i, j) = min_k DP(i-1, k) + hop(i-1, k, j) + time(i, j)`
(EdgeShard, arXiv:2405.14371). Since hops depend on regions only, a row takes O(nodes + regions²).

With memory the paper subtracts what the best path so far has used. That is a heuristic: a dearer path that left room elsewhere is
forgotten, and a node may be met again. Here the memory-free program run backwards gives the true least rest cost, and an A* search over
labels (block, node, what is left where) finds the optimum; a label is dropped only when another at the same place is no dearer and has
no less room on any node. Unused nodes that are alike are tried in one order only.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from math import inf

import numpy as np

from ostraka_orchestrator.planner.beam import Beam
from ostraka_orchestrator.planner.costs import Assignment, Costs
from ostraka_orchestrator.planner.links import Floats

EXACT = 64  # nodes; beyond, an exact search rarely ends
MAX_LABELS = 50_000


@dataclass(frozen=True)
class Chain:
    """`bound`: no assignment is faster. Equal to `seconds` where the search ran to its end."""

    chosen: Assignment
    seconds: float
    bound: float


def rest_costs(costs: Costs) -> Floats:
    """Least seconds from the start of block i on node j to the result's return, memory aside: [blocks, nodes]."""
    order = np.argsort(costs.region, kind="stable")
    present, first = np.unique(costs.region[order], return_index=True)
    work = np.array(costs.shape.work, dtype=float)
    rest = np.empty((len(work), len(costs.nodes)))
    # What a node of each region pays for going on elsewhere, at the last border: for going home.
    onward = costs.hop[-1, :, costs.origin][costs.region]
    if costs.ends.source is not None:
        onward[costs.ends.source] = 0.0
    rest[-1] = work[-1] * costs.slow + onward
    for block in range(len(work) - 2, -1, -1):
        best = np.minimum.reduceat(rest[block + 1][order], first)  # the best next node of each region
        moved = (costs.hop[block][:, present] + best).min(axis=1)
        rest[block] = work[block] * costs.slow + np.minimum(rest[block + 1], moved[costs.region])
    return rest


def least_latency(costs: Costs, whole: bool = True) -> Chain | None:
    """The fastest assignment that memory allows; None where there is none (or, in swarms over `EXACT` nodes, none was found).

    `whole`: each node serves one unbroken span, as the market's rules want it; else a node may be met again. Larger swarms, and searches
    that do not end in `MAX_LABELS` labels, get the beam's chain, and `bound` says how far from the best it may be.
    """
    if len(costs.nodes) <= EXACT:
        found, ended = _Search(costs, rest_costs(costs), whole).run()
        if ended:
            return Chain(found, costs.seconds(found), costs.seconds(found)) if found else None
    beam = Beam(costs)
    chosen = beam.best()
    if chosen is None:
        return None
    rest = rest_costs(costs)
    bound = beam.bound() if whole else min(costs.enter(j) + float(rest[0, j]) for j in range(len(costs.nodes)))
    seconds = costs.seconds(chosen)
    return Chain(chosen, seconds, min(bound, seconds))


@dataclass(frozen=True, eq=False)
class _Label:
    """A way to have run all blocks up to `block`, the last on `node`, at `cost`; `left`: bytes left on nodes in use."""

    cost: float
    block: int
    node: int
    left: dict[int, int]
    before: _Label | None

    def path(self) -> Assignment:
        chosen, label = [], self
        while True:
            chosen.append(label.node)
            if label.before is None:
                return tuple(reversed(chosen))
            label = label.before


@dataclass
class _Search:
    costs: Costs
    rest: Floats
    whole: bool
    alike: list[tuple[int, int, float]] = field(init=False)

    def __post_init__(self) -> None:
        costs = self.costs
        self.alike = [
            # The source is like no other: coming home to it is free.
            (-1, 0, 0.0) if j == costs.ends.source else (n.region, n.memory_bytes, float(costs.slow[j]))
            for j, n in enumerate(costs.nodes)
        ]
        self._ranked = np.argsort(self.rest, axis=1, kind="stable")

    def run(self) -> tuple[Assignment | None, bool]:
        """The best, or None; and whether the search ended."""
        serial = count()
        heap: list[tuple[float, int, int, _Label]] = []
        seen: dict[tuple[int, int], list[_Label]] = {}
        last = self.costs.shape.blocks - 1

        def push(labels: Iterator[_Label]) -> None:
            for label in labels:
                block, node = label.block, label.node
                ahead = float(self.rest[block, node]) - self.costs.shape.work[block] * float(self.costs.slow[node])
                heapq.heappush(heap, (label.cost + ahead, -block, next(serial), label))

        push(self._first())
        while heap and next(serial) < MAX_LABELS:
            _, _, _, label = heapq.heappop(heap)
            known = seen.setdefault((label.block, label.node), [])
            if any(self._no_worse(other, label) for other in known):
                continue
            known.append(label)
            if label.block == last:
                return label.path(), True
            push(self._following(label))
        return None, not heap

    def _first(self) -> Iterator[_Label]:
        costs = self.costs
        for node in self._unused(0, {}):
            begun = costs.enter(node)
            if begun < inf:
                cost = begun + costs.shape.work[0] * float(costs.slow[node])
                yield _Label(cost, 0, node, {node: int(costs.memory[node]) - costs.shape.bytes_[0]}, None)

    def _following(self, label: _Label) -> Iterator[_Label]:
        costs, block, at = self.costs, label.block + 1, label.node
        size, work = costs.shape.bytes_[block], costs.shape.work[block]
        hop = costs.hop[block - 1, costs.region[at]]
        for node in (*label.left, *self._unused(block, label.left)):
            left = label.left.get(node, int(costs.memory[node])) - size
            if left < 0 or (self.whole and node != at and node in label.left):
                continue
            moved = 0.0 if node == at else float(hop[costs.region[node]])
            room = {**label.left, node: left}
            yield _Label(label.cost + moved + work * float(costs.slow[node]), block, node, room, label)

    def _unused(self, block: int, used: dict[int, int]) -> Iterator[int]:
        """The best first by what the rest would cost, one of each kind, and only where the block fits."""
        kinds = set()
        for node in self._ranked[block]:
            j = int(node)
            if j in used or self.alike[j] in kinds or self.costs.memory[j] < self.costs.shape.bytes_[block]:
                continue
            kinds.add(self.alike[j])
            yield j

    def _no_worse(self, a: _Label, b: _Label) -> bool:
        """Whatever follows b may follow a, at no higher cost."""
        if a.cost > b.cost:
            return False
        if self.whole and any(n != a.node and n not in b.left for n in a.left):
            return False
        full = self.costs.memory
        return all((self.whole and n != a.node) or left >= b.left.get(n, int(full[n])) for n, left in a.left.items())
