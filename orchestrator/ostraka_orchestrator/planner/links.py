"""How long bytes take between nodes.

A table of every pair would take 800 MB at 10,000 nodes. Nodes of one region share their links instead, so the table is regions by
regions; where every pair matters, each node is a region of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Links:
    """One-way latency in seconds and bandwidth in bytes per second between two different nodes, [regions, regions]."""

    latency_s: Floats
    bytes_per_s: Floats

    def __post_init__(self) -> None:
        regions = len(self.latency_s)
        if self.latency_s.shape != (regions, regions) or self.bytes_per_s.shape != (regions, regions):
            raise ValueError(f"links: {self.latency_s.shape} latencies and {self.bytes_per_s.shape} bandwidths")
        if (self.latency_s < 0).any() or (self.bytes_per_s <= 0).any():
            raise ValueError("links: a latency below 0 or a bandwidth of 0")

    @property
    def regions(self) -> int:
        return len(self.latency_s)

    def seconds(self, a: int, b: int, size: float) -> float:
        """For `size` bytes from a node of region a to another node, of region b."""
        return float(self.latency_s[a, b] + size / self.bytes_per_s[a, b])

    @staticmethod
    def none(regions: int = 1) -> Links:
        """Links that cost nothing."""
        return Links(np.zeros((regions, regions)), np.full((regions, regions), np.inf))

    @staticmethod
    def probed(regions: int, probes: Iterable[tuple[int, int, float, float]], unknown: tuple[float, float]) -> Links:
        """From measurements (from region, to region, latency_s, bytes_per_s); medians, since single probes lie. Where only the way back
        was measured, it stands for the way there.

        `unknown` (latency, bandwidth) stands where nothing was measured: choose it poor, so that nobody gains by staying silent.
        """
        found: dict[tuple[int, int], list[tuple[float, float]]] = {}
        for a, b, latency, bandwidth in probes:
            found.setdefault((a, b), []).append((latency, bandwidth))
        latency_s = np.full((regions, regions), unknown[0])
        bytes_per_s = np.full((regions, regions), unknown[1])
        for (a, b), rows in found.items():
            middle = np.median([r[0] for r in rows]), np.median([r[1] for r in rows])
            latency_s[a, b], bytes_per_s[a, b] = middle
            if (b, a) not in found:
                latency_s[b, a], bytes_per_s[b, a] = middle
        return Links(latency_s, bytes_per_s)


def regions_of(latency_s: Sequence[Sequence[float]] | Floats, near_s: float) -> list[int]:
    """Numbers nodes by region: a node joins the first region whose founder is within `near_s`, else founds one."""
    table = np.asarray(latency_s)
    founders: list[int] = []
    regions = []
    for node in range(len(table)):
        near = [r for r, founder in enumerate(founders) if table[node, founder] <= near_s]
        if not near:
            founders.append(node)
        regions.append(near[0] if near else len(founders) - 1)
    return regions
