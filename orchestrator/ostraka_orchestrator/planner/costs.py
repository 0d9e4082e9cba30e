"""What a request pays on its way through a chain of nodes, as numbers that every solver shares.

The sequential cost of BSNS (arXiv:2407.19775, "Blockchain-based Sequential Neural Sharding"): a block on a node costs its time there,
and a change of node costs the link, so each choice depends on where the block before it went. `Weights` turn the terms up and down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf

import numpy as np
import numpy.typing as npt

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner.links import Floats, Links
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

Ints = npt.NDArray[np.int64]
Assignment = tuple[int, ...]  # for each block the index of its node


@dataclass(frozen=True)
class Weights:
    """What a second is worth where it is spent. All ones: the seconds of one position; `load` stretches busy nodes' time."""

    compute: float = 1.0
    latency: float = 1.0
    bandwidth: float = 1.0
    load: float = 1.0
    hop_s: float = 0.0  # software's share of every change of node


@dataclass(frozen=True)
class Ends:
    """Where a request starts and its result returns: a region, or a node (an index) that must run the first block itself."""

    region: int = 0
    source: int | None = None  # EdgeShard pins the first layer to the source: raw data never leaves it


@dataclass(frozen=True, eq=False)
class Costs:
    shape: ModelShape
    nodes: tuple[NodeProfile, ...]
    links: Links
    ends: Ends = Ends()
    weights: Weights = Weights()

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ValueError("costs: no nodes")
        if any(not 0 <= n.region < self.links.regions for n in self.nodes):
            raise ValueError(f"costs: a node's region is not among the {self.links.regions} of the links")

    @cached_property
    def slow(self) -> Floats:
        """Seconds per multiply–add, [nodes]."""
        w = self.weights
        return np.array([w.compute * (1 + w.load * n.load) / n.speed for n in self.nodes])

    @cached_property
    def region(self) -> Ints:
        return np.array([n.region for n in self.nodes], dtype=np.int64)

    @cached_property
    def memory(self) -> Ints:
        return np.array([n.memory_bytes for n in self.nodes], dtype=np.int64)

    @cached_property
    def hop(self) -> Floats:
        """Seconds from region to region after each block, [blocks, regions, regions]. The last block's go to the requester."""
        w, sizes = self.weights, np.array(self.shape.out_bytes, dtype=float)
        moving = sizes[:, None, None] / self.links.bytes_per_s
        return w.latency * self.links.latency_s + w.bandwidth * moving + w.hop_s

    def home(self, node: int) -> float:
        """Seconds for the result to come back from `node`."""
        if node == self.ends.source:
            return 0.0
        return float(self.hop[-1, self.region[node], self.origin])

    @property
    def origin(self) -> int:
        return self.ends.region if self.ends.source is None else int(self.region[self.ends.source])

    def enter(self, node: int) -> float:
        """Seconds until the first block may start on `node`; infinite where it may not. Token ids weigh nothing."""
        if self.ends.source is not None:
            return 0.0 if node == self.ends.source else inf
        w = self.weights
        return float(w.latency * self.links.latency_s[self.origin, self.region[node]] + w.hop_s)

    def seconds(self, chosen: Sequence[int]) -> float:
        """One position through all blocks and its result back: what EdgeShard's first program minimizes."""
        work = self.shape.work
        total = self.enter(chosen[0]) + self.home(chosen[-1])
        for block, node in enumerate(chosen):
            total += work[block] * float(self.slow[node])
            if block and node != chosen[block - 1]:
                total += float(self.hop[block - 1, self.region[chosen[block - 1]], self.region[node]])
        return total

    def slowest(self, chosen: Sequence[int]) -> float:
        """The slowest stage or link, seconds: a full pipeline gives a result so often. EdgeShard's second program."""
        if self.enter(chosen[0]) == inf:
            return inf
        worst, stage = self.home(chosen[-1]), 0.0
        for block, node in enumerate(chosen):
            if block and node != chosen[block - 1]:
                worst = max(worst, float(self.hop[block - 1, self.region[chosen[block - 1]], self.region[node]]))
                stage = 0.0
            stage += self.shape.work[block] * float(self.slow[node])
            worst = max(worst, stage)
        return worst

    def runs(self, chosen: Sequence[int]) -> list[tuple[NodeId, BlockSpan]]:
        """Unbroken spans in the order of the blocks; a node that is met again stands there again."""
        starts = [b for b, n in enumerate(chosen) if not b or chosen[b - 1] != n] + [len(chosen)]
        return [(self.nodes[chosen[a]].node_id, BlockSpan(a, b)) for a, b in pairwise(starts)]

    def fits(self, chosen: Sequence[int], whole: bool) -> bool:
        """Memory is kept; `whole`: each node serves one unbroken span."""
        held: dict[int, int] = {}
        for block, node in enumerate(chosen):
            held[node] = held.get(node, 0) + self.shape.bytes_[block]
        runs = sum(not block or chosen[block - 1] != node for block, node in enumerate(chosen))
        return all(size <= self.memory[n] for n, size in held.items()) and (not whole or runs == len(held))
