"""How long bytes take between nodes.

A table of every pair would take 800 MB at 10,000 nodes. Nodes of one region share their links instead, so the table is regions by
regions; where every pair matters, each node is a region of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
    def probed(regions: int, probes: Floats, unknown: tuple[float, float]) -> Links:
        """From measurements, rows (from region, to region, latency_s, bytes_per_s); medians, since single probes lie.

        Where only the way back was measured, it stands for the way there.

        `unknown` (latency, bandwidth) stands where nothing was measured: choose it poor, so that nobody gains by staying silent.
        """
        key = probes[:, 0].astype(np.int64) * regions + probes[:, 1].astype(np.int64)
        tables = []
        for column, poor in zip((2, 3), unknown, strict=True):
            found, middle = medians(key, probes[:, column])
            table = np.full((regions, regions), np.nan)
            table[found // regions, found % regions] = middle
            table = np.where(np.isnan(table), table.T, table)
            tables.append(np.where(np.isnan(table), poor, table))
        return Links(*tables)


def medians(keys: Ints, values: Floats) -> tuple[Ints, Floats]:
    """The keys that there are, and the median of the values of each."""
    order = np.lexsort((values, keys))
    found, first, count = np.unique(keys[order], return_index=True, return_counts=True)
    low, high = (values[order[first + middle]] for middle in ((count - 1) // 2, count // 2))
    return found, (low + high) / 2
