"""Which nodes a request goes through: a shortest path over (border, node).

A node costs its time, stretched by the requests before this one; a change of node costs the link; and a node that has had more work than
its due costs extra. Its due is by `speed × stake`. The extra is the slope of `Σ served² / due`, so that requests, one after the other,
descend to the split with the least unevenness that spans allow (Frank–Wolfe): replicas of one span get work in proportion to speed, and
a chain of short spans shares with a long one. All nodes of a border and a region are compared at once: O(nodes + blocks · regions²).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ostraka_orchestrator.planner.links import Floats, Links
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

# What a path of nodes that all had twice their due costs more than one of nodes that had it, in times of the fastest path. A node whose
# own time is t times that lacks about t / FAIRNESS of its due: with 4, replicas an eighth as fast as the fastest had no work at all.
FAIRNESS = 96.0


@dataclass(frozen=True)
class Path:
    """Indices of nodes in the order of their spans. `seconds` for one position and its way back, without fairness."""

    chosen: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Router:
    """Nodes that serve no span are ignored."""

    shape: ModelShape
    nodes: tuple[NodeProfile, ...]
    links: Links
    fairness: float = FAIRNESS

    @cached_property
    def work(self) -> Floats:
        """Multiply–adds per position of what each node serves."""
        return np.array([self.shape.span_work(n.span) if n.span else 0 for n in self.nodes], dtype=float)

    @cached_property
    def ids(self) -> npt.NDArray[np.uint64]:
        return np.array([n.node_id for n in self.nodes], dtype=np.uint64)

    @cached_property
    def due(self) -> Floats:
        return np.array([n.speed * n.stake for n in self.nodes])

    @cached_property
    def _region(self) -> npt.NDArray[np.int64]:
        return np.array([n.region for n in self.nodes], dtype=np.int64)

    @cached_property
    def _seconds(self) -> Floats:
        seconds: Floats = self.work / np.array([n.speed for n in self.nodes])
        return seconds

    @cached_property
    def _load(self) -> Floats:
        return np.array([n.load for n in self.nodes])

    @cached_property
    def _groups(self) -> list[tuple[int, int, int, npt.NDArray[np.int64]]]:
        """(start, stop, region, indices), sorted: spans only lead forward, so this is a topological order."""
        groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for i, node in enumerate(self.nodes):
            if node.span is not None:
                groups[node.span.start, node.span.stop, node.region].append(i)
        return [(*key, np.array(groups[key], dtype=np.int64)) for key in sorted(groups)]

    @cached_property
    def _unit(self) -> Floats:
        """What having had its due costs each node: its share of the work, in times of the fastest path from region 0."""
        fastest = self._shortest(0, self._seconds, self._seconds)
        return self.work * ((fastest.seconds if fastest else 0.0) / max(sum(self.shape.work), 1))

    def path(
        self,
        region: int = 0,
        *,
        served: Floats | None = None,
        load: Floats | None = None,
        stretch: Floats | None = None,
        without: Collection[int] = (),
    ) -> Path | None:
        """From a requester's region and back. None where no chain of whole spans leads through the model.

        By node: `served`, the work each has had of late; `load`, requests before this one, in place of the profiles'; `stretch`, factors
        of its time. `without` are indices to leave out.
        """
        times = self._seconds * (1 + (self._load if load is None else load))
        price = times if stretch is None else times * stretch
        if served is not None and self.fairness and (total := float(served.sum())) > 0:
            share = (served / self.due) / (total / float(self.due.sum()))
            price = price + self.fairness * self._unit * share
        if without:
            price = price.copy()
            price[list(without)] = np.inf
        return self._shortest(region, price, times)

    def _shortest(self, region: int, price: Floats, times: Floats) -> Path | None:
        blocks, regions = self.shape.blocks, self.links.regions
        # cost[border, r]: cheapest way to have all blocks before `border` done by a node of region r, which is node[border, r]
        cost = np.full((blocks + 1, regions), np.inf)
        node = np.full((blocks + 1, regions), -1, dtype=np.int64)
        before: dict[int, int] = {}
        arrive: dict[int, tuple[Floats, npt.NDArray[np.int64]]] = {
            0: (self.links.latency_s[region], np.full(regions, -1))
        }
        for start, stop, r, members in self._groups:
            if start not in arrive:
                onward = cost[start][:, None] + self._hop(start)
                by = onward.argmin(axis=0)
                arrive[start] = onward[by, np.arange(regions)], node[start][by]
            reached, came = arrive[start]
            prices = price[members]
            i = int(prices.argmin())
            value = float(reached[r] + prices[i])
            if value < cost[stop, r]:
                cost[stop, r], node[stop, r] = value, members[i]
                before[int(members[i])] = int(came[r])
        final = cost[blocks] + self._hop(blocks)[:, region]
        last = int(node[blocks, int(np.argmin(final))])
        if not np.isfinite(final.min()):
            return None
        chosen = [last]
        while before[chosen[-1]] >= 0:
            chosen.append(before[chosen[-1]])
        chosen.reverse()
        return Path(tuple(chosen), self._time(chosen, region, times))

    def _hop(self, border: int) -> Floats:
        return self.links.latency_s + self.shape.out_bytes[border - 1] / self.links.bytes_per_s

    def _time(self, chosen: Sequence[int], region: int, times: Floats) -> float:
        total, at = float(self.links.latency_s[region, self._region[chosen[0]]]), -1
        for i in chosen:
            span = self.nodes[i].span
            assert span is not None
            if at >= 0:
                total += float(self._hop(span.start)[at, self._region[i]])
            total, at = total + float(times[i]), int(self._region[i])
        return total + float(self._hop(self.shape.blocks)[at, region])


def jain(shares: Sequence[float] | Floats) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything (Jain, Chiu, Hawe 1984)."""
    x = np.asarray(shares, dtype=float)
    square = float((x * x).sum())
    return float(x.sum()) ** 2 / (len(x) * square) if square else 1.0
