"""The pipeline with the most throughput: EdgeShard's second program over kinds of nodes.

`g(m, S, j)`: the least possible slowest stage or link when the first m blocks run on the nodes S, the last of them on j
(EdgeShard, arXiv:2405.14371). The paper's S is any of 2^N sets. Nodes that are alike (region, speed, memory) may stand for each other,
so here S counts how many of each kind are used: exact, and 12 + 2 + 1 devices have 144 counts instead of 32,768 sets. A node serves
one unbroken span, so its memory needs no further bookkeeping.
"""

from __future__ import annotations

from collections import defaultdict
from math import inf, prod

import numpy as np

from ostraka_orchestrator.planner.costs import Assignment, Costs

MAX_STATES = 200_000  # counts of used nodes by kind
State = tuple[tuple[int, ...], int]  # how many of each kind are used, and the last one's kind


def states(costs: Costs) -> int:
    """How many sets of nodes the search tells apart; its time grows with them, with the kinds, and with the square of the blocks."""
    return prod(len(k) + 1 for k in _kinds(costs))


def most_throughput(costs: Costs) -> Assignment | None:
    """The assignment whose slowest stage or link is least; None where memory does not suffice.

    Raises `ValueError` for swarms of so many kinds that the search would not end: place those with `spread`.
    """
    if (count := states(costs)) > MAX_STATES:
        raise ValueError(f"pipeline: {count} sets of nodes; the limit is {MAX_STATES}")
    kinds = _kinds(costs)
    blocks, sizes = costs.shape.blocks, costs.shape.bytes_
    work = np.concatenate([[0], np.cumsum(costs.shape.work)])
    held = np.concatenate([[0], np.cumsum(sizes)])
    best: list[dict[State, float]] = [defaultdict(lambda: inf) for _ in range(blocks + 1)]
    back: list[dict[State, tuple[State | None, int]]] = [{} for _ in range(blocks + 1)]
    members = [k[0] for k in kinds]
    slow = [float(costs.slow[m]) for m in members]
    room = [int(costs.memory[m]) for m in members]
    region = [int(costs.region[m]) for m in members]
    goal = inf

    def grow(start: int, state: State | None, value: float, kind: int, used: tuple[int, ...]) -> None:
        nonlocal goal
        following = (*used[:kind], used[kind] + 1, *used[kind + 1 :]), kind
        for stop in range(start + 1, blocks + 1):
            if held[stop] - held[start] > room[kind]:
                break
            reached = max(value, float(work[stop] - work[start]) * slow[kind])
            if stop == blocks:
                reached = max(reached, costs.home(members[kind]))
            if reached >= goal:
                if stop < blocks:
                    break
                continue
            if reached < best[stop][following]:
                best[stop][following], back[stop][following] = reached, (state, start)
                if stop == blocks:
                    goal = reached

    none = tuple([0] * len(kinds))
    for kind, member in enumerate(members):
        if costs.enter(member) < inf:
            grow(0, None, 0.0, kind, none)
    for start in range(1, blocks):
        for state, value in best[start].items():
            used, last = state
            for kind in range(len(kinds)):
                if used[kind] < len(kinds[kind]):
                    hop = float(costs.hop[start - 1, region[last], region[kind]])
                    if (value_then := max(value, hop)) < goal:
                        grow(start, state, value_then, kind, used)
    if not best[blocks]:
        return None
    return _assignment(back, min(best[blocks], key=lambda s: best[blocks][s]), kinds)


def _kinds(costs: Costs) -> list[list[int]]:
    """Indices of nodes that are alike. The source is a kind of its own."""
    found: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for j, node in enumerate(costs.nodes):
        pinned = j == costs.ends.source
        found[(pinned, node.region, float(costs.slow[j]), node.memory_bytes)].append(j)
    return list(found.values())


def _assignment(back: list, state: tuple[tuple[int, ...], int] | None, kinds: list[list[int]]) -> Assignment:  # type: ignore[type-arg]
    free = [iter(members) for members in kinds]
    chosen: list[int] = []
    stop = len(back) - 1
    while state is not None:
        kind = state[1]
        state, start = back[stop][state]
        chosen = [next(free[kind])] * (stop - start) + chosen
        stop = start
    return tuple(chosen)
