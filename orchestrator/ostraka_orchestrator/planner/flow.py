"""How many positions per second a swarm can carry: the greatest flow over block borders.

A node that serves `[a, b)` is a pipe from border a to border b, as wide as its rate; pipes between the same borders add up, so the
graph has at most blocks² pipes however large the swarm is. (Helix, ASPLOS 2025, plans by the same flow.)
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from math import inf

from ostraka.types import BlockSpan
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

Pipes = Mapping[tuple[int, int], float]


def rate(shape: ModelShape, node: NodeProfile, span: BlockSpan) -> float:
    """Positions per second of `span` on `node`."""
    return node.speed / max(shape.span_work(span), 1)


def pipes(shape: ModelShape, nodes: Iterable[NodeProfile]) -> dict[tuple[int, int], float]:
    wide: dict[tuple[int, int], float] = defaultdict(float)
    for node in nodes:
        if node.span is not None:
            wide[node.span.start, node.span.stop] += rate(shape, node, node.span)
    return dict(wide)


def greatest_flow(blocks: int, wide: Pipes) -> float:
    """Positions per second from border 0 to the last (Dinic's algorithm)."""
    left: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), width in wide.items():
        left[a][b] = left[a].get(b, 0.0) + width
        left[b].setdefault(a, 0.0)
    tiny = max(wide.values(), default=0.0) * 1e-12
    total = 0.0
    while True:
        level = {0: 0}
        queue = deque([0])
        while queue:
            a = queue.popleft()
            for b, width in left[a].items():
                if width > tiny and b not in level:
                    level[b] = level[a] + 1
                    queue.append(b)
        if blocks not in level:
            return total
        spent: dict[int, int] = defaultdict(int)
        while (pushed := _push(left, level, spent, 0, blocks, inf, tiny)) > 0:
            total += pushed


def _push(
    left: dict[int, dict[int, float]],
    level: dict[int, int],
    spent: dict[int, int],
    at: int,
    goal: int,
    most: float,
    tiny: float,
) -> float:
    if at == goal:
        return most
    ways = list(left[at])
    while spent[at] < len(ways):
        b = ways[spent[at]]
        if left[at][b] > tiny and level.get(b) == level[at] + 1:
            pushed = _push(left, level, spent, b, goal, min(most, left[at][b]), tiny)
            if pushed > 0:
                left[at][b] -= pushed
                left[b][at] += pushed
                return pushed
        spent[at] += 1
    return 0.0


def covered(blocks: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Some chain of whole spans leads from border 0 to the last."""
    ways: dict[int, set[int]] = defaultdict(set)
    for a, b in spans:
        ways[a].add(b)
    reached, stack = {0}, [0]
    while stack:
        for b in ways[stack.pop()] - reached:
            reached.add(b)
            stack.append(b)
    return blocks in reached


def flow_bound(shape: ModelShape, nodes: Iterable[NodeProfile]) -> float:
    """No placement carries more, positions per second.

    At T positions per second all work is done T times: `T · work <= Σ min(speed, T · most work its memory holds)`. The greatest T with
    that is found by Newton's steps from above: the right side is concave in T.
    """
    able = [(n.speed, most_work(shape, n.memory_bytes)) for n in nodes]
    total = sum(shape.work)
    bound = sum(speed for speed, most in able if most) / total
    while True:
        busy = [(speed, most) for speed, most in able if most]
        capped = sum(most for speed, most in busy if speed > bound * most)
        free = sum(speed for speed, most in busy if speed <= bound * most)
        if capped >= total:
            return bound
        tighter = free / (total - capped)
        if tighter >= bound * (1 - 1e-12):
            return bound
        bound = tighter


def most_work(shape: ModelShape, memory: int) -> int:
    """The most work of a span that fits."""
    best = start = held = work = 0
    for stop in range(shape.blocks):
        held += shape.bytes_[stop]
        work += shape.work[stop]
        while held > memory:
            held -= shape.bytes_[start]
            work -= shape.work[start]
            start += 1
        best = max(best, work)
    return best
