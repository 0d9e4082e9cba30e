"""What the planner knows of a model and of a node."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from ostraka.types import BlockSpan, NodeId


@dataclass(frozen=True)
class ModelShape:
    """Bytes held and work done (multiply–adds per position) by each block."""

    bytes_: tuple[int, ...]
    work: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.bytes_) != len(self.work) or not self.work:
            raise ValueError(f"model shape: {len(self.bytes_)} sizes for {len(self.work)} works")
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
    """A node that is ready to serve. `speed` is multiply–adds per second, as the node measured it."""

    node_id: NodeId
    operator: str
    memory_bytes: int
    speed: float
    endpoint: str = ""
    span: BlockSpan | None = None  # what it serves now; None while it waits for a placement

    def seconds(self, shape: ModelShape, span: BlockSpan) -> float:
        """Time for one position through `span`."""
        return shape.span_work(span) / self.speed
