"""Partition of a workload into pipeline stages: SliceGraph, and orders evolved for it.

A partition whose quotient graph has no cycle is a topological order cut into slices. For one order the best cuts come from dynamic
programming, `dp[j][r] = min_l max(dp[j-1][l], f(l, r))` (SliceGraph, arXiv:2311.03703); a genetic algorithm looks for the order: its keys
are the priorities of Kahn's algorithm.

The costs of all slices of an order are matrices, filled by rectangles. A value made at p and used at q1 < q2 < … arrives in the slices
[l, r) with q(i-1) < l ≤ q(i) < r, so `arriving` is a sum over pairs of neighbouring uses. What is alive in a slice at step t is what
arrives in [t, r) and what t makes; so the peak is a running maximum of `arriving`, too. O(edges + operations²) an order.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np
import numpy.typing as npt

from ostraka.model.brkga import Brkga, Keys, evolve
from ostraka.model.workload import Machine, Workload

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Partition:
    """Parts in the order in which they run, without empty ones; `bottleneck` in seconds."""

    parts: tuple[tuple[int, ...], ...]
    bottleneck: float


def kahn(workload: Workload, keys: Keys) -> list[int]:
    """The topological order in which, of the operations that are ready, the one with the least key goes first."""
    missing = [len(set(o.uses)) for o in workload.operations]
    ready = [(float(keys[at]), at) for at, n in enumerate(missing) if not n]
    heapq.heapify(ready)
    order = []
    while ready:
        _, at = heapq.heappop(ready)
        order.append(at)
        for user in workload.users[at]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, (float(keys[user]), user))
    return order


def slice_costs(workload: Workload, order: Sequence[int], machine: Machine) -> Floats:
    """f of all slices [l, r) of an order, [operations, operations + 1]; infinite where r ≤ l."""
    n = len(order)
    place = {at: p for p, at in enumerate(order)}
    arriving, leaving = np.zeros((n + 1, n + 2)), np.zeros((n + 1, n + 2))
    for p, at in enumerate(order):
        size = workload.operations[at].size_out
        uses = sorted(place[user] for user in workload.users[at])
        before = p
        for q in uses:
            _rectangle(arriving, size, before + 1, q + 1, q + 1, n + 1)
            before = q
        if uses:
            _rectangle(leaving, size, 0, p + 1, p + 1, before + 1)
    arrive = arriving.cumsum(0).cumsum(1)[:n, : n + 1]
    leave = leaving.cumsum(0).cumsum(1)[:n, : n + 1]
    ops = [workload.operations[at] for at in order]
    slices = np.arange(n + 1)[None, :] > np.arange(n)[:, None]
    alive = np.where(slices, arrive + np.array([float(o.size_out) for o in ops])[:, None], 0.0)
    peak = np.maximum.accumulate(alive[::-1], axis=0)[::-1]
    held = np.concatenate([[0.0], np.cumsum([float(o.size_param) for o in ops])])
    work = np.concatenate([[0.0], np.cumsum([float(o.work) for o in ops])])
    over = np.maximum(held[None, :] - held[:-1, None] + peak - machine.fast_bytes, 0.0)
    cost = (arrive + leave) / machine.link + (work[None, :] - work[:-1, None]) / machine.speed + over / machine.stream
    return np.where(slices, cost, inf)


def _rectangle(table: Floats, value: float, top: int, bottom: int, left: int, right: int) -> None:
    """Adds to rows [top, bottom), columns [left, right), once summed."""
    table[top, left] += value
    table[bottom, left] -= value
    table[top, right] -= value
    table[bottom, right] += value


def best_slices(costs: Floats, parts: int) -> tuple[list[int], float]:
    """Borders of at most `parts` slices from 0 to the end, and the dearest slice's cost."""
    n = len(costs)
    best = np.full(n + 1, inf)
    best[0] = 0.0
    backs = []
    for _ in range(parts):
        reached = np.maximum(best[:-1, None], costs)
        back = reached.argmin(axis=0)
        value = reached[back, np.arange(n + 1)]
        back = np.where(best <= value, np.arange(n + 1), back)  # an empty part
        best = np.minimum(best, value)
        backs.append(back)
    borders = [n]
    for back in reversed(backs):
        borders.append(int(back[borders[-1]]))
    return sorted(set(borders)), float(best[n])


def slice_order(workload: Workload, order: Sequence[int], parts: int, machine: Machine) -> Partition:
    """The best cut of one order."""
    borders, cost = best_slices(slice_costs(workload, order, machine), parts)
    return Partition(tuple(tuple(order[a:b]) for a, b in pairwise(borders)), cost)


def partition(
    workload: Workload, parts: int, machine: Machine, seed: int = 0, options: Brkga | None = None
) -> Partition:
    """At most `parts` stages with a small bottleneck, over evolved orders. The same seed gives the same partition."""
    n = len(workload.operations)

    def cost(keys: Keys) -> float:
        return best_slices(slice_costs(workload, kahn(workload, keys), machine), parts)[1]

    keys, _ = evolve(cost, n, seed, options or Brkga(), _first(workload))
    return slice_order(workload, kahn(workload, keys), parts, machine)


def _first(workload: Workload) -> list[Keys]:
    """Orders that are often good: as given; as late as their users allow; branch after branch."""
    n = len(workload.operations)
    late = np.full(n, 1.0)
    for at in range(n - 1, -1, -1):
        late[at] = min((late[user] - 1 / n for user in workload.users[at]), default=1.0)
    deep = np.zeros(n)
    for at, operation in enumerate(workload.operations):
        deep[at] = max((deep[u] + 1 for u in operation.uses), default=0.0)
    return [np.arange(n) / n, late, 1 - deep / (n + 1)]


def even_split(workload: Workload, parts: int, machine: Machine) -> Partition:
    """The given order in parts of equal numbers of operations: what one would do without costs."""
    n = len(workload.operations)
    borders = sorted({n * i // parts for i in range(parts + 1)})
    chosen = tuple(tuple(range(a, b)) for a, b in pairwise(borders))
    return Partition(chosen, workload.bottleneck(chosen, machine))
