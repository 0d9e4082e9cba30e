"""What came of a simulated swarm."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass
class Report:
    """Series have one entry for each sample. Rates are positions per second of whole requests."""

    time_s: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)  # what requests got
    carries: list[float] = field(default_factory=list)  # what the placement could carry
    alive: list[int] = field(default_factory=list)
    loading: list[int] = field(default_factory=list)
    moved_gb: list[float] = field(default_factory=list)  # so far, newcomers' first blocks included
    latency_s: list[float] = field(default_factory=list)  # of each request, in the order in which they ended
    requests: int = 0
    restarted: int = 0
    refused: int = 0  # no chain covered the model when they came
    moves: int = 0
    placed_newcomers: int = 0
    moved_bytes: int = 0  # by nodes that served before
    coverage_breaks: int = 0
    jain: float = 1.0
    offered: float = 0.0
    hit_at_s: float = 0.0  # when nodes left or slowed down

    def summary(self) -> dict[str, Any]:
        """Single numbers only."""
        found = {k: v for k, v in asdict(self).items() if not isinstance(v, list)}
        found["latency_p50_s"], found["latency_p95_s"] = (
            (round(float(np.percentile(self.latency_s, q)), 3) for q in (50, 95)) if self.latency_s else (0.0, 0.0)
        )
        if self.hit_at_s:
            found["throughput_kept"] = round(self.kept(self.served), 4)
            found["capacity_kept"] = round(self.kept(self.carries), 4)
            found["recover_s"] = self.recover_s()
        return found

    def kept(self, series: list[float]) -> float:
        """The mean of the last quarter over the mean before the swarm was hit (the first samples, while queues fill, left out)."""
        times = np.array(self.time_s)
        before = (times < self.hit_at_s) & (times > self.hit_at_s / 3)
        after = times > times[-1] - (times[-1] - self.hit_at_s) / 2
        return float(np.mean(np.array(series)[after]) / max(np.mean(np.array(series)[before]), 1e-12))

    def recover_s(self) -> float:
        """Seconds from then until requests get 95 % of what they got before, for good three samples long; -1 if never."""
        times, served = np.array(self.time_s), np.array(self.served)
        before = served[(times < self.hit_at_s) & (times > self.hit_at_s / 3)].mean()
        good = served >= 0.95 * before
        for at in range(len(times) - 2):
            if times[at] > self.hit_at_s and good[at : at + 3].mean() > 0.99:
                # A sample covers the time before it: the first good one counts from its beginning.
                previous = times[at - 1] if at else 0.0
                return round(float(max(previous - self.hit_at_s, 0.0)), 1)
        return -1.0
