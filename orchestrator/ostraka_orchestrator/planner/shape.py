"""What the planner knows of a model and of a node."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from ostraka.types import BlockSpan, NodeId


@dataclass(frozen=True)
class ModelShape:
    """Bytes held and work done (multiply–adds per position) by each block; `out_bytes` leave it per position.

    The last block's `out_bytes` go back to the requester. None given means that links cost no more than their latency.
    """

    bytes_: tuple[int, ...]
    work: tuple[int, ...]
    out_bytes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.bytes_) != len(self.work) or not self.work:
            raise ValueError(f"model shape: {len(self.bytes_)} sizes for {len(self.work)} works")
        if not self.out_bytes:
            object.__setattr__(self, "out_bytes", (0,) * len(self.work))
        if len(self.out_bytes) != len(self.work):
            raise ValueError(f"model shape: {len(self.out_bytes)} outputs for {len(self.work)} works")
        object.__setattr__(self, "_bytes_sum", (0, *accumulate(self.bytes_)))
        object.__setattr__(self, "_work_sum", (0, *accumulate(self.work)))

    @property
    def blocks(self) -> int:
        return len(self.work)

    def span_bytes(self, span: BlockSpan) -> int:
        sums: tuple[int, ...] = self._bytes_sum  # type: ignore[attr-defined]
        return sums[span.stop] - sums[span.start]

    def span_work(self, span: BlockSpan) -> int:
        sums: tuple[int, ...] = self._work_sum  # type: ignore[attr-defined]
        return sums[span.stop] - sums[span.start]


@dataclass(frozen=True)
class NodeProfile:
    """A node that is ready to serve. `speed` is multiply–adds per second, as the node measured it.

    `load` counts the requests before a new one, as a share of one or more; `region` is a row of the swarm's `Links`; `stake` is in
    units of the least stake, since only its ratio between nodes matters here.
    """

    node_id: NodeId
    operator: str
    memory_bytes: int
    speed: float
    endpoint: str = ""
    span: BlockSpan | None = None  # what it serves now; None while it waits for a placement
    region: int = 0
    load: float = 0.0
    stake: float = 1.0

    def seconds(self, shape: ModelShape, span: BlockSpan) -> float:
        """Time for one position through `span`."""
        return shape.span_work(span) / self.speed
